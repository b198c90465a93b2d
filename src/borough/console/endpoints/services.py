"""`GET /console/api/services/NAME/history`: what a service did in the last 15 minutes."""

from __future__ import annotations

from collections.abc import Iterable

from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.watch import Watch
from borough.errors import NotFound
from borough.transports.http.message import Response

__all__ = ["endpoints"]


def endpoints(watch: Watch) -> Iterable[Endpoint]:
    """That of plots."""

    async def history(asked: Asked) -> Response:
        name = asked.path["name"]
        facts = (await watch.look()).facts
        if all(service.name != name for service in facts.services):
            raise NotFound(f"No service is named {name}")
        return json_answer({"points": await watch.history(name)})

    yield Endpoint("GET", "/services/{name}/history", history)
