"""What cannot be read, from a replica or a browser, is told to who asks, and keeps nothing else from being seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from borough.alerting.fleet_facts import FleetFacts
from borough.console.endpoint import Asked
from borough.console.event_desk import EventsView
from borough.console.fleet_events import FleetEvents
from borough.errors import InvalidRequest, ServiceFailure
from borough.ports import Replica
from borough.runtime.dead_letters import Selection
from borough.runtime.discovery import Directory
from borough.transports.http.client import ClientResponse
from borough.transports.http.message import Connection, Headers, Request

DEEP = b'{"letters":' * 100_000
NO_TEXT = b'{"letters":[{"handler":"\xff"}],"password":"\xff"}'
garbled = pytest.mark.parametrize("body", [DEEP, NO_TEXT], ids=["deep", "no text"])


class Door:
    """A fleet's door whose only replica tells this."""

    services = ("tickets",)

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.discovery = Directory()
        self.discovery.update({"tickets": [Replica("tickets.1", "127.0.0.1", 1)]})

    def states(self) -> dict[str, str]:
        return {"tickets": "ready"}

    async def ask(self, *_: Any) -> ClientResponse:
        return ClientResponse(200, Headers({}), self.body)


class Supervised:
    async def replicas(self) -> Sequence[Any]:
        return ()


class Password(msgspec.Struct):
    password: str
    letters: Any = None


@garbled
async def test_alerts_are_judged_though_a_replica_tells_what_cannot_be_read(body: bytes) -> None:
    door: Any = Door(body)
    supervised: Any = Supervised()
    facts = await FleetFacts(door, supervised).look()
    assert (facts.processes, facts.answered) == ((), {"tickets": True})


@garbled
async def test_letters_that_cannot_be_read_are_a_failure_of_their_service(body: bytes) -> None:
    async def told() -> Sequence[EventsView]:
        return ()

    door: Any = Door(body)
    with pytest.raises(ServiceFailure, match="What tickets tells of its events cannot be read"):
        await FleetEvents(door, told).look(Selection("tickets.count"))


@garbled
def test_what_a_browser_sends_and_cannot_be_read_is_refused(body: bytes) -> None:
    sent = Request(
        "POST", "/console/api/session", "", Headers({}), body, Connection(("127.0.0.1", 1))
    )
    with pytest.raises(InvalidRequest, match="the body is not what /console/api/session takes"):
        Asked(sent, {}).body(Password)
