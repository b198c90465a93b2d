"""What the entrance makes of a call before anything else looks at it."""

from __future__ import annotations

from contextvars import ContextVar, copy_context

import msgspec
import pytest

from borough.reliability.waiting_line import LineTerms
from borough.testing import ManualClock
from borough.transports.http.entrance import Entrance, EntranceLimits
from borough.transports.http.message import Connection, Headers, Request, Response

LIMITS = EntranceLimits(
    most=4,
    least=1,
    line=LineTerms(burst=1, burst_s=0.1, most=0, wait_s=0.1),
    default_timeout_s=2.0,
    longest_timeout_s=3.0,
)


class Refused:
    """Who calls from outside, and has been refused so often."""

    is_inside = False
    count = 0

    def begin(self) -> None:
        """Its call may begin now."""

    def turn_away(self, response: Response) -> None:
        """Its call is refused."""
        assert response.status == 503
        self.count += 1


def asked(timeout_ms: bytes) -> Request:
    """A request with a time of its own."""
    headers = Headers.of([(b"borough-timeout-ms", timeout_ms)])
    return Request("GET", "/booth/left", "", headers, b"", Connection(("", 0)))


def test_a_call_that_lay_unread_for_half_of_its_time_is_refused() -> None:
    caller, entrance = Refused(), Entrance("booth", LIMITS, ManualClock())
    assert entrance.arrive(asked(b"100"), caller, 10.0, 9.94) is None
    assert caller.count == 1


@pytest.mark.parametrize(("timeout_ms", "refused"), [(b"999", 0), (b"1000", 1)])
def test_who_had_less_time_than_is_enough_shows_no_want_of_room(
    timeout_ms: bytes, refused: int
) -> None:
    caller, entrance = Refused(), Entrance("booth", LIMITS, ManualClock())
    assert entrance.arrive(asked(timeout_ms), caller, 10.0, 9.0) is None
    assert (caller.count, entrance.refused, entrance.limit.was_full) == (1, refused, bool(refused))


async def test_nor_does_who_cannot_wait_where_there_is_none() -> None:
    clock = ManualClock()
    limits = msgspec.structs.replace(
        LIMITS, most=1, line=LineTerms(burst=2, burst_s=1.0, most=2, wait_s=1.0)
    )
    callers = [Refused(), Refused(), Refused()]
    entrance = Entrance("booth", limits, clock)
    now = clock.monotonic()
    first = entrance.arrive(asked(b"2000"), callers[0], now, now)
    assert first is not None
    for caller, timeout_ms in zip(callers[1:], (b"100", b"2000"), strict=True):
        assert entrance.arrive(asked(timeout_ms), caller, now, now) is not None
    clock.advance(0.5)
    entrance.leave(first)
    assert [caller.count for caller in callers] == [0, 1, 1]
    assert entrance.refused == 1


@pytest.mark.parametrize("timeout_ms", [b"soon", b"0"])
def test_a_time_that_cannot_be_meant_is_told_at_the_door_however_long_it_lay_unread(
    timeout_ms: bytes,
) -> None:
    caller, entrance = Refused(), Entrance("booth", LIMITS, ManualClock())
    arrival = entrance.arrive(asked(timeout_ms), caller, 10.0, 9.999)
    assert arrival is not None
    assert arrival.at_work == 1
    assert caller.count == 0


async def test_a_call_that_waited_begins_in_no_other_calls_context() -> None:
    who = ContextVar("who", default="nobody")
    begun: list[str] = []

    class Waiting(Refused):
        def begin(self) -> None:
            begun.append(who.get())

    limits = msgspec.structs.replace(
        LIMITS, most=1, line=LineTerms(burst=1, burst_s=0.1, most=1, wait_s=60.0)
    )
    entrance = Entrance("booth", limits, ManualClock())
    first = entrance.arrive(asked(b"1000"), Waiting(), 0.0, 0.0)
    second = entrance.arrive(asked(b"1000"), Waiting(), 0.0, 0.0)
    assert first is not None
    assert second is not None

    def leave() -> None:
        who.set("the first")
        entrance.leave(first)

    copy_context().run(leave)
    assert begun == ["nobody"]
    entrance.leave(second)
