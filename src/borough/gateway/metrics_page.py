"""`/metrics`: what is measured of the process, for Prometheus or whoever else reads OpenMetrics."""

from __future__ import annotations

from borough.gateway.documents import only_get
from borough.observing.observer import Observer
from borough.telemetry.openmetrics import CONTENT_TYPE
from borough.transports.http.message import Request, Response

__all__ = ["METRICS", "MetricsPage"]

METRICS = "/metrics"
_HEADERS = ((b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store"))


class MetricsPage:
    """Answers with the metrics of this moment."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def answer(self, request: Request) -> Response:
        """The exposition. Raises `MethodNotAllowed`."""
        only_get(request)
        return Response(200, _HEADERS, await self._observer.metrics())
