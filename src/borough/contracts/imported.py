"""What reading other people's documents gives, and why a part of them cannot be said in a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from borough.contracts.descriptor import Descriptor

__all__ = ["Imported", "Json", "Unmappable"]

Json = Mapping[str, Any]


class Unmappable(ValueError):
    """What no shape can be; the text says why."""


class Imported(msgspec.Struct, frozen=True):
    """A contract, and in sentences what of the document it leaves out."""

    descriptor: Descriptor
    notes: tuple[str, ...]
