"""What alerts go through while something is not as it should be: silent databases, clocks that step, bad disks."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from borough.alerting.alert_file import AlertFile, Stored
from borough.alerting.facts import SystemFacts
from borough.contracts.objective import read_availability
from borough.errors import InvalidRequest
from borough.reliability.alerts import Kept
from tests.alerting.desk import Desk, PutClock, given_up, orders, silence, taken


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    found = Desk(tmp_path)
    await found.alerting.remember()
    yield found
    await found.alerting.close()


async def test_an_alert_of_a_handler_stays_while_its_database_is_silent(desk: Desk) -> None:
    desk.said.facts = orders(given_up(5))
    assert await desk.look() == [("dead-letters", "firing")]
    desk.said.facts = orders(unknown=("orders.ship payments.Payments",))
    for _ in range(20):
        assert await desk.look(2) == [("dead-letters", "firing")]
    desk.said.facts = orders(given_up(0))
    await desk.look(2)
    assert await desk.look(31) == []


@pytest.mark.parametrize("step_s", [-3600.0, 10 * 86_400.0])
async def test_what_is_pending_fires_in_its_time_though_the_clock_is_put(
    desk: Desk, step_s: float
) -> None:
    desk.said.facts = SystemFacts(processes=(), answered={"orders": False})
    await desk.look()
    desk.clock.off_by_s = step_s
    assert await desk.look(29) == [("not-ready", "pending")]
    assert await desk.look(2) == [("not-ready", "firing")]
    (alert,) = desk.alerting.view().alerts
    assert alert.since == pytest.approx(desk.clock.epoch_s() - 31)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
async def test_a_silence_lasts_as_long_as_was_said_though_the_clock_is_put(
    desk: Desk, step_s: float
) -> None:
    await desk.look()
    desk.clock.off_by_s = step_s
    await desk.alerting.silence(None, "orders", 600, "known", "ann")
    desk.clock.off_by_s = 0.0
    await desk.look(599)
    assert len(desk.alerting.view().silences) == 1
    await desk.look(2)
    assert list(desk.alerting.view().silences) == []


async def test_calls_are_of_the_last_minute_for_a_minute_though_the_clock_is_put_back(
    desk: Desk,
) -> None:
    desk.said.facts = taken(0)
    await desk.look()
    desk.said.facts = taken(10)
    assert await desk.look(2) == [("failing-calls", "pending")]
    desk.clock.off_by_s = -3600.0
    assert await desk.look(61) == []


async def test_a_crash_loop_of_the_door_is_told_to_whom_it_is_for_that_has_no_owner(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, default_team="night")
    now = desk.clock.epoch_s()
    AlertFile(tmp_path).write(Stored(is_running=True, crashes=(now - 20, now - 10)))
    await desk.alerting.remember()
    assert await desk.look() == [("crash-loop", "firing")]
    assert [alert.team for alert in desk.alerting.view().alerts] == ["night"]
    await desk.alerting.close()


async def test_what_was_kept_by_a_clock_that_was_ahead_is_as_old_as_it_is(tmp_path: Path) -> None:
    clock = PutClock()
    clock.off_by_s = 10 * 86_400.0
    now = clock.epoch_s()
    AlertFile(tmp_path).write(
        Stored(
            kept=Kept(silences=(silence(now + 600),)),
            written_at=now,
            is_running=True,
            crashes=(now - 20, now - 10),
        )
    )
    clock.off_by_s = 0.0
    desk = Desk(tmp_path, clock)
    await desk.alerting.remember()
    assert await desk.look() == [("crash-loop", "firing")]
    assert await desk.look(301) == [("crash-loop", "firing")]
    assert await desk.look(31) == []
    assert len(desk.alerting.view().silences) == 1
    await desk.look(300)
    assert list(desk.alerting.view().silences) == []


async def test_where_alerts_are_switched_off_nothing_is_changed_and_nothing_written(
    tmp_path: Path,
) -> None:
    file = AlertFile(tmp_path)
    file.write(Stored(kept=Kept(silences=(silence(9e9),))))
    desk = Desk(tmp_path, options={"enabled": False})
    desk.alerting.start()
    for asked in (
        desk.alerting.silence(None, "orders", 60, "known", "ann"),
        desk.alerting.acknowledge("x", "", "ann"),
        desk.alerting.end_silence("s1"),
    ):
        with pytest.raises(InvalidRequest, match="alerts are switched off in this process"):
            await asked
    await desk.alerting.close()
    assert [each.id for each in file.read().kept.silences] == ["s1"]


async def test_what_is_asked_before_the_kept_is_read_comes_after_it(tmp_path: Path) -> None:
    file = AlertFile(tmp_path)
    file.write(Stored(kept=Kept(silences=(silence(9e9),))))
    desk = Desk(tmp_path)
    desk.alerting.start()
    made = await desk.alerting.silence(None, "orders", 60, "mine", "ann")
    await desk.alerting.close()
    assert [each.id for each in desk.alerting.view().silences] == ["s1", made.id]
    assert [each.id for each in file.read().kept.silences] == ["s1", made.id]


async def test_a_file_that_nobody_can_read_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "borough.alerts.json").write_bytes(b'{"kept":{"silences":[{"id":"\xff"}]}}')
    desk = Desk(tmp_path)
    desk.said.facts = orders(given_up(5))
    desk.alerting.start()
    await desk.alerting.silence(None, "orders", 60, "known", "ann")
    assert await desk.look() == [("dead-letters", "firing")]
    await desk.alerting.close()


async def test_what_a_disk_did_not_take_is_written_at_the_next_look(
    desk: Desk, tmp_path: Path
) -> None:
    draft = tmp_path / ".borough.alerts.json"
    draft.mkdir()
    await desk.alerting.silence(None, "orders", 3600, "known", "ann")
    draft.rmdir()
    assert list(AlertFile(tmp_path).read().kept.silences) == []
    await desk.look()
    assert [each.by for each in AlertFile(tmp_path).read().kept.silences] == ["ann"]


async def test_the_end_is_written_after_what_is_being_written(tmp_path: Path) -> None:
    long = msgspec.structs.replace(silence(9e9), reason="known " * 50_000)
    AlertFile(tmp_path).write(Stored(kept=Kept(silences=(long,)), is_running=True))
    draft = tmp_path / ".borough.alerts.json"
    os.mkfifo(draft)  # a disk that is slow: it takes no more than a pipe has room for
    desk = Desk(tmp_path)
    desk.alerting.start()
    disk = await asyncio.to_thread(draft.open, "rb")
    draft.unlink()
    closing = asyncio.ensure_future(desk.alerting.close())
    await asyncio.wait([closing], timeout=0.05)
    assert not closing.done()
    with disk:
        await asyncio.to_thread(disk.read)
    await closing
    assert AlertFile(tmp_path).read().is_running is False


async def test_of_two_processes_on_one_folder_one_keeps_its_alerts_and_then_the_other(
    tmp_path: Path,
) -> None:
    first, second = Desk(tmp_path), Desk(tmp_path, PutClock(seed=1))
    await first.alerting.remember()
    await second.alerting.remember()
    await first.alerting.silence(None, "orders", 3600, "first", "ann")
    await second.alerting.silence(None, "orders", 3600, "second", "ann")
    await second.look()
    assert [each.reason for each in AlertFile(tmp_path).read().kept.silences] == ["first"]
    await first.alerting.close()
    assert await second.look() == []
    stored = AlertFile(tmp_path).read()
    assert {each.reason for each in stored.kept.silences} == {"first", "second"}
    assert stored.crashes == []
    await second.alerting.close()


async def test_a_budget_goes_on_burning_where_it_was_over_a_restart(tmp_path: Path) -> None:
    clock, found = PutClock(), []
    for counted in (100, 0):
        desk = Desk(tmp_path, clock, objectives=(read_availability("orders", "99.9%"),))
        await desk.alerting.remember()
        desk.said.facts = taken(0)
        await desk.look()
        desk.said.facts = taken(counted)
        await desk.look(62)
        found.append([rule for rule, _ in await desk.look(31)])
        await desk.alerting.close()
        clock.off_by_s += clock.monotonic()
        restarted = PutClock()
        restarted.off_by_s, clock = clock.off_by_s, restarted
    assert "availability-fast-burn" in found[0]
    assert found[1] == ["availability-fast-burn"]
