"""`/system`: a page about the running system, its facts and its counts. It changes nothing.

It is served where only this machine can look: with the edge on loopback, asked for by a loopback
name (a proxy in front, or a page elsewhere whose name was bent to 127.0.0.1, brings another one).
`edge.system_page = true` serves it to everyone who reaches the edge, `false` to nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from borough.clock import Clock
from borough.errors import ConfigurationError, NotFound
from borough.gateway.documents import Document, only_get
from borough.gateway.pages import Pages
from borough.gateway.segments import Handler
from borough.runtime.options import EdgeOptions
from borough.transports.http.message import Request, Response

__all__ = ["LIVE", "SystemPage", "page_mounts"]

PREFIX = "/system"
LIVE = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
"""Headers of what is another one a moment later."""
_PAGE = Path(__file__).parent / "page"
Build = Callable[[], Awaitable[bytes]]


def page_mounts(
    options: EdgeOptions, services: Iterable[str], page: Callable[[bool], SystemPage]
) -> dict[str, Handler]:
    """`/system`, or nothing, as the options of the edge have it; `page` is told whether to be local only.

    Raises `ConfigurationError` where a service is named `system`, whose paths it would hide.
    """
    wanted = options.system_page
    if wanted is False or (wanted is None and not _is_loopback(options.host)):
        return {}
    if PREFIX[1:] in services:
        raise ConfigurationError(
            "A service is named system, and the edge shows its system page there; "
            "rename the service or set edge.system_page = false"
        )
    return {PREFIX: page(wanted is None).answer}


class SystemPage:
    """Answers `/system` and everything below it, by GET and HEAD.

    `facts` and `counts` are asked for their JSON: facts again when they are older than `facts_for_s`.
    """

    def __init__(
        self,
        facts: Build,
        counts: Build,
        clock: Clock,
        *,
        local_only: bool,
        facts_for_s: float = float("inf"),
    ) -> None:
        self._counts = counts
        self._local_only = local_only
        self._pages = Pages(_PAGE)
        self._facts = Document(facts, clock, lifetime_s=facts_for_s)

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
            return Response(200, LIVE, await self._counts())
        return await self._pages.answer(
            _moved(request, below if below.strip("/") else "/index.html")
        )


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
