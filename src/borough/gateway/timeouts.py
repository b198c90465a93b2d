"""How long what comes from outside may take: as the client asks, within bounds of ours."""

from __future__ import annotations

import msgspec

from borough.transports.http import wire
from borough.transports.http.message import Request

__all__ = ["Timeouts"]


class Timeouts(msgspec.Struct, frozen=True):
    """In seconds: for who asks for nothing, and the longest that may be asked for."""

    default_s: float = 10.0
    longest_s: float = 60.0

    def of(self, request: Request) -> float:
        """The seconds for this request. Raises `InvalidRequest` where it asks for no number."""
        asked = wire.read_timeout_s(request.headers.get(wire.TIMEOUT_MS))
        return self.default_s if asked is None else min(asked, self.longest_s)
