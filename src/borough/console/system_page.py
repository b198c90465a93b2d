"""`/system`: a page about the running system, its facts and its counts. It changes nothing.

It is served where only this machine can look: with the edge on loopback, asked for by a loopback
name (a proxy in front, or a page elsewhere whose name was bent to 127.0.0.1, brings another one).
`edge.system_page = true` serves it to everyone who reaches the edge, `false` to nobody.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from borough.console.counts import system_counts
from borough.errors import ConfigurationError, NotFound
from borough.gateway.documents import Document, described, only_get
from borough.gateway.pages import Pages
from borough.gateway.process import Process
from borough.gateway.segments import Handler
from borough.transports.http.message import Request, Response

__all__ = ["mounts"]

PREFIX = "/system"
_PAGE = Path(__file__).parent / "page"
_LIVE = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


def mounts(process: Process) -> dict[str, Handler]:
    """What the console adds to the edge of a process that has started: `/system`, or nothing.

    Raises `ConfigurationError` where a service is named `system`, whose paths it would hide.
    """
    options = process.system.configuration.options.edge
    wanted = options.system_page
    if wanted is False or (wanted is None and not _is_loopback(options.host)):
        return {}
    if any(contract.service == PREFIX[1:] for contract in process.host.plan.contracts.values()):
        raise ConfigurationError(
            "A service is named system, and the edge shows its system page there; "
            "rename the service or set edge.system_page = false"
        )
    return {PREFIX: SystemPage(process, local_only=wanted is None).answer}


class SystemPage:
    """Answers `/system` and everything below it, by GET and HEAD."""

    def __init__(self, process: Process, *, local_only: bool) -> None:
        self._host = process.host
        self._local_only = local_only
        self._started_at = process.clock.now()
        self._pages = Pages(_PAGE)
        self._facts = Document(described(self._describe), process.clock)

    async def answer(self, request: Request) -> Response:
        """The page, one of its files, `facts.json` or `state.json`. Raises `NotFound`."""
        if self._local_only and not _is_loopback(_host_name(request)):
            raise NotFound(
                "The system page is shown on this machine only; edge.system_page = true shows it to all"
            )
        below = request.path.removeprefix(PREFIX)
        if below == "/facts.json":
            return await self._facts.answer(request)
        if below == "/state.json":
            only_get(request)
            return Response(200, _LIVE, await self._counts())
        return await self._pages.answer(
            _moved(request, below if below.strip("/") else "/index.html")
        )

    def _describe(self) -> dict[str, object]:
        # Read when somebody looks, not at every start.
        from borough.console.facts import system_view

        host = self._host
        view = system_view(host.plan, host.configuration.options, host.callees)
        return msgspec.structs.asdict(view)

    async def _counts(self) -> bytes:
        return msgspec.json.encode(await system_counts(self._host, self._started_at))


def _moved(request: Request, path: str) -> Request:
    return Request(
        request.method, path, request.query, request.headers, request.body, request.connection
    )


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host') or ''}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
