"""Who signs a user in: a service proves a user to the edge by having a token issued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["TokenIssuer"]


class TokenIssuer(Protocol):
    """Issues tokens that this system's edge accepts. Wired by annotation: `tokens: TokenIssuer`."""

    async def issue(
        self,
        subject: str,
        *,
        scopes: Sequence[str] = (),
        claims: Mapping[str, Any] = {},
        lifetime_s: float = 900,
    ) -> str:
        """A signed token for `subject`, the `current_call().user.subject` of later calls."""
        ...
