"""`/console`: the door to the page, its files and its endpoints.

The page is the same for everybody, so it is served before anybody has logged in; what it shows comes
from `/console/api`, and there `Access` is asked first. Each area's endpoints are a file of
`endpoints/`; they are imported when somebody looks, not at every start.
"""

from __future__ import annotations

from pathlib import Path

from borough.alerting.alerting import Alerting
from borough.console.access import Access
from borough.console.endpoint import Endpoints
from borough.console.seen import Seen
from borough.console.watch import Watch
from borough.errors import CallError
from borough.gateway.documents import only_get
from borough.gateway.pages import Pages
from borough.transports.http.door import problem_response
from borough.transports.http.message import Request, Response

__all__ = ["Console"]

_PREFIX = "/console"
_API = "/console/api"
_PAGE = Path(__file__).parent / "page"


class Console:
    """The console of one system."""

    def __init__(self, seen: Seen, alerting: Alerting) -> None:
        options = seen.configuration.options.console
        self._seen = seen
        self._alerting = alerting
        self._access = Access(
            seen.configuration.console_password(),
            options.session_s,
            seen.clock,
            seen.configuration.options.edge.proxies,
        )
        self._pages = Pages(_PAGE)
        self._areas: Areas | None = None
        self._watch = Watch(seen, alerting.bounds)

    def start(self) -> None:
        """Look at the system from now on."""
        self._watch.start()

    async def answer(self, request: Request) -> Response:
        """The page, one of its files, or an endpoint's answer. Raises a `CallError`."""
        self._access.admit(request)
        path = request.path
        if path == _API or path.startswith(_API + "/"):
            try:
                return await self._ask(request, path.removeprefix(_API))
            except CallError as error:
                # To one page of our own, a login that is missing is no challenge for a browser.
                return problem_response(error)
        if path == _PREFIX:
            only_get(request)
            return Response(308, [(b"location", b"/console/")])
        below = path.removeprefix(_PREFIX)
        return await self._pages.answer(_at(request, below if below.strip("/") else "/index.html"))

    async def _ask(self, request: Request, path: str) -> Response:
        if self._areas is None:
            self._areas = Areas(self._seen, self._watch, self._access, self._alerting)
        endpoint, asked = self._areas.endpoints.find(request, path)
        if path != "/session":
            self._access.check(request)
        return await endpoint.answer(asked)

    async def close(self) -> None:
        """End what follows it, and let go of what it reads. Idempotent."""
        if self._areas is not None:
            await self._areas.live.close()
        await self._watch.close()
        await self._seen.kept.close()


class Areas:
    """Every area's endpoints and live topics."""

    def __init__(self, seen: Seen, watch: Watch, access: Access, alerting: Alerting) -> None:
        from borough.console.endpoints import (
            alerts,
            events,
            live,
            services,
            session,
            system,
            traces,
        )
        from borough.console.live import Live

        sources = (
            *system.sources(watch),
            *events.sources(seen.events, alerting),
            *alerts.sources(alerting),
        )
        self.live = Live(sources, seen.clock)
        self.endpoints = Endpoints(
            (
                *session.endpoints(access),
                *system.endpoints(seen, watch),
                *services.endpoints(watch),
                *traces.endpoints(seen),
                *events.endpoints(seen.events, alerting),
                *alerts.endpoints(alerting),
                *live.endpoints(self.live, access),
            )
        )


def _at(request: Request, path: str) -> Request:
    return Request(
        request.method, path, request.query, request.headers, request.body, request.connection
    )
