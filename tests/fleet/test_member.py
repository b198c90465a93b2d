"""A place in a fleet: whether its process is begun anew, by why the one before has ended."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from borough.clock import SystemClock
from borough.fleet.control import Assignment, Failed, FromReplica, Ready
from borough.fleet.member import Member
from borough.reliability.backoff import Backoff
from borough.reliability.restarts import Restarts

SERVES = Ready(services={"post": "1.0"}, host="127.0.0.1", port=1)
CRASHED = Failed("has crashed", 1, is_final=False)
WITHOUT_STORE = Failed("its database is away", 2, is_final=False, is_outside=True)
AT_MOST = 2


class Told:
    """A process that says one thing, and ends."""

    pid = 1

    def __init__(self, message: FromReplica) -> None:
        self._message = message

    async def messages(self) -> AsyncIterator[FromReplica]:
        yield self._message

    def tell(self, _message: object) -> None:
        """It listens to nobody."""

    def kill(self) -> None:
        """It has ended."""

    async def ended(self) -> int:
        return 1


async def lived(said: Sequence[FromReplica | OSError]) -> tuple[str, int]:
    """The state after processes that said these things, and how many there were; the rest of them crash.

    Where an error stands, there was no process.
    """
    begun = 0

    async def begin(say: Callable[[str], None], *, is_aside: bool) -> Any:
        nonlocal begun
        begun += 1
        what = said[begun - 1] if begun <= len(said) else CRASHED
        if isinstance(what, OSError):
            raise what
        return Told(what)

    def nothing(*_: object) -> None: ...

    owner = SimpleNamespace(
        changed=nothing, moved=nothing, is_served=lambda _: False, current_directory=nothing
    )
    member = Member(
        Assignment(path="", flags={}, deployable="post", number=1, services=("post",)),
        cast("Any", owner),
        SystemClock(),
        Restarts(AT_MOST, 60.0, Backoff(0.0001, 0.001)),
        start_within_s=60.0,
        silent_s=30.0,
        begin=begin,
    )
    async with asyncio.timeout(30):
        await member.ended()
    return member.state, begun


async def test_what_crashes_too_often_stays_down() -> None:
    assert await lived([SERVES, CRASHED]) == ("failed", 1 + AT_MOST)


async def test_what_has_served_waits_for_its_database_and_may_then_crash_as_often_as_before() -> (
    None
):
    away = [WITHOUT_STORE] * 20
    assert await lived([SERVES, *away]) == ("failed", 1 + len(away) + AT_MOST)


async def test_what_has_never_served_does_not_wait_for_a_database_for_ever() -> None:
    assert await lived([WITHOUT_STORE] * 20) == ("failed", 1 + AT_MOST)


async def test_what_has_served_is_begun_anew_however_long_the_machine_has_no_process_for_it() -> (
    None
):
    short = [OSError(errno.EAGAIN, "Resource temporarily unavailable")] * 20
    assert await lived([SERVES, *short]) == ("failed", 1 + len(short) + AT_MOST)


async def test_what_has_never_served_does_not_wait_for_a_process_for_ever() -> None:
    assert await lived([OSError("none")] * 20) == ("failed", 1 + AT_MOST)
