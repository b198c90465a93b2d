"""How full a service is said to be, where calls from outside have a limit of their own."""

from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.observing.rooms import Room, rooms_of
from borough.reliability.arrival import Arrival
from borough.reliability.waiting_line import LineTerms
from borough.transports.http.entrance import Entrance, EntranceLimits
from tests.alerting.till import till, watched

LIMITS = EntranceLimits(
    most=20,
    least=10,
    line=LineTerms(burst=1, burst_s=0.1, most=5, wait_s=1),
    default_timeout_s=5,
    longest_timeout_s=60,
)


@pytest.mark.parametrize(
    ("inside", "outside", "told"),
    [
        (100, 10, Room("calls", 10, 20, 0, 0)),
        (900, 10, Room("calls", 900, 1000, 0, 0)),
    ],
)
async def test_calls_at_work_are_set_against_the_limit_that_holds_for_them(
    tmp_path: Path, inside: int, outside: int, told: Room
) -> None:
    async with watched(till(tmp_path), tmp_path) as shop:
        service = shop.process.host.services["payments"]
        service.gate.limit = 1000
        service.gate.in_flight = inside
        entrance = Entrance("payments", LIMITS, SystemClock())
        for _ in range(outside):
            entrance.limit.begin(Arrival(0.0, 5.0), 0.0)
        calls = next(iter(rooms_of(service, entrance)))
        service.gate.in_flight = 0
    assert calls == told
