"""What listeners of one side of a process bear together: open connections, and what is held for slow ones."""

from __future__ import annotations

import logging
import resource
from collections.abc import Sequence

from borough.transports.http import refusals
from borough.transports.http.addresses import Proxies, client_of
from borough.transports.http.holding import Holding
from borough.transports.http.limits import ServerLimits
from borough.transports.http.refusals import Refusal

__all__ = ["Bounds"]

_log = logging.getLogger("borough.http")
_OTHER_FILES = 256
"""What connections leave of the file limit to databases, logs and calls to others."""
_HANDSHAKES = 1_024
_LEAST_HANDSHAKES = 64
"""These are left where there is no more connection: who comes then is told so, inside TLS."""


class Bounds:
    """Counts of connections, in all and by address, and `holding`."""

    def __init__(self, limits: ServerLimits, proxies: Sequence[str] = ()) -> None:
        """`proxies`: networks whose connections are many clients', and not counted by address."""
        self.holding = Holding(limits.held_bytes)
        self._most = min(limits.connections, _connections_by_files())
        self._per_address = limits.connections_per_address
        self._proxies = Proxies(proxies)
        self._admitted = 0
        self._has_told = False
        self._clients: dict[str, int] = {}

    def admit(self, peer: str) -> str | Refusal:
        """Count a new connection in, and say under which name, or why there are too many."""
        if self._admitted >= self._most:
            return refusals.FULL
        client = "" if peer in self._proxies else client_of(peer)
        count = self._clients.get(client, 0)
        if client and count >= self._per_address:
            self._tell_of(client, count)
            return refusals.FULL_FOR_ADDRESS
        self._admitted += 1
        self._clients[client] = count + 1
        return client

    def _tell_of(self, client: str, count: int) -> None:
        """Log, once, that who is refused may stand for many."""
        if not self._has_told:
            self._has_told = True
            _log.warning(
                "%s has %d connections open and may have no more (edge.limits.connections_per_address); "
                "if it is a proxy of yours, name it in edge.proxies: then only the total counts",
                client,
                count,
            )

    @property
    def handshakes(self) -> int:
        """How many may agree on TLS now, and so are not counted in yet."""
        return min(_HANDSHAKES, max(_LEAST_HANDSHAKES, self._most - self._admitted))

    def dismiss(self, client: str) -> None:
        """Forget a connection that is gone, by what it was admitted as."""
        self._admitted -= 1
        count = self._clients.pop(client) - 1
        if count:
            self._clients[client] = count


def _connections_by_files() -> int:
    """How many connections the file limit of this process allows for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 2**31
    return max(files - _OTHER_FILES, files // 2)
