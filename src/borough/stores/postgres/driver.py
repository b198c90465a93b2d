"""The driver, asyncpg. It has no types, so what comes from it is `Any`, and says its type where it is used."""

from __future__ import annotations

from typing import Any

import asyncpg as untyped  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["asyncpg"]

asyncpg: Any = untyped
