"""A host starts whole or not at all, stops in order, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from borough import Database, Event, Service, Settings, contract, every, get, in_thread, on, provide
from borough.brokers.memory import MemoryBroker
from borough.clock import SystemClock
from borough.errors import ConfigurationError, OpenFailed, Unavailable
from borough.gateway.process import Process
from borough.ports import Broker
from borough.runtime.chosen import ChosenAdapters
from borough.runtime.configuration import Configuration
from borough.runtime.host import Host
from borough.runtime.system import System
from borough.testing import Mode, fake, free_port, start
from tests.modes import IN_ONE_PROCESS
from tests.runtime.old_tax import Tax as OldTax

LOG: list[str] = []
OPENING = asyncio.Event()


class Rang(Event):
    number: int


@contract("bell", version="1.0", publishes=[Rang])
class Bell(Protocol):
    """Rings."""

    @get("/ring")
    async def ring(self) -> int: ...

    @get("/peal")
    def peal(self) -> AsyncIterator[int]: ...


class BellService(Service, Bell):
    db: Database

    async def open(self) -> None:
        LOG.append("bell opens")
        await in_thread(LOG.append, "bell opened in a thread")

    async def close(self) -> None:
        LOG.append("bell closes")

    async def ring(self) -> int:
        async with self.db.transaction() as tx:
            tx.publish(Rang(number=1))
        return 1

    async def peal(self) -> AsyncIterator[int]:
        yield 1


class ListenerService(Service, name="listener"):
    """A service without a contract: it only hears."""

    bell: Bell
    db: Database

    async def open(self) -> None:
        LOG.append(f"listener asks {await self.bell.ring()}")

    async def close(self) -> None:
        LOG.append(f"listener says goodbye {await self.bell.ring()}")

    @on(Rang)
    async def heard(self, event: Rang) -> None:
        LOG.append("listener heard")

    @every("1h")
    async def wake(self) -> None: ...


class BrokenService(Service, name="broken"):
    async def open(self) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("no mail server")

    async def close(self) -> None:
        LOG.append("broken closes")


class Needs(Settings):
    url: str


class StuckService(Service, name="stuck"):
    async def open(self) -> None:
        OPENING.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


def open_files() -> set[str]:
    """What this process has open below its temporary folders, and every socket."""
    found: set[str] = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            place = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "pytest-of" in place or "borough-test" in place or place.startswith("socket:"):
            found.add(place)
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """Assert that tasks, threads and files are as they were."""
    before = asyncio.all_tasks(), set(threading.enumerate()), open_files()
    yield
    for thread in set(threading.enumerate()) - before[1]:
        if thread.name.startswith("borough"):
            thread.join(10)  # told to end, not waited for
    left = [
        thread for thread in set(threading.enumerate()) - before[1] if "asyncio" not in thread.name
    ]
    assert asyncio.all_tasks() - before[0] == set()
    assert left == []
    assert open_files() - before[2] == set()


def host(folder: Path, *services: type[Service]) -> Host:
    return Host(System(services), data_folder=folder)


async def test_hooks_run_with_everything_there_and_the_last_opened_is_closed_first(
    tmp_path: Path, log: list[str]
) -> None:
    with nothing_left():
        running = host(tmp_path, BellService, ListenerService)
        await running.start()
        await running.quiet()
        assert running.ready
        await running.stop()
    assert {"bell opens", "bell opened in a thread", "listener asks 1", "listener heard"} <= set(
        log
    )
    assert log[-2:] == ["listener says goodbye 1", "bell closes"]


class Taken(MemoryBroker):
    """A broker at which another system has a service of one of the names."""

    claimed: frozenset[str] = frozenset()

    async def claim(self, services: Iterable[str]) -> None:
        self.claimed = frozenset(services)
        raise ConfigurationError("bell is of another system")


class WithTaken(ChosenAdapters):
    def __init__(self, folder: Path) -> None:
        self.taken = Taken(SystemClock())
        super().__init__(Configuration.load(folder, {}), folder, SystemClock())

    def broker(self) -> Broker:
        return self.taken


async def test_a_system_whose_names_at_the_broker_are_anothers_does_not_start(
    tmp_path: Path, log: list[str]
) -> None:
    adapters = WithTaken(tmp_path)
    system = System([BellService, ListenerService, StuckService])
    with nothing_left(), pytest.raises(ConfigurationError, match="of another system"):
        await Host(system, data_folder=tmp_path, adapters=adapters).start()
    assert adapters.taken.claimed == {
        "bell",
        "listener",
    }  # who neither publishes nor hears has none
    assert log == []


async def test_stopping_twice_or_before_the_start_is_fine(tmp_path: Path, log: list[str]) -> None:
    with nothing_left():
        running = host(tmp_path, BellService)
        await running.start()
        await asyncio.gather(running.stop(), running.stop())
        await running.stop()
        await host(tmp_path, BellService).stop()
    assert log.count("bell closes") == 1
    assert not running.ready


async def test_a_failing_open_stops_what_was_started(tmp_path: Path, log: list[str]) -> None:
    with nothing_left():
        running = host(tmp_path, BellService, BrokenService)
        with pytest.raises(OpenFailed):
            await running.start()
    assert running.state == "stopped"
    assert "bell closes" in log
    assert "broken closes" not in log


async def test_a_failing_open_is_told_with_service_and_line(tmp_path: Path) -> None:
    with pytest.raises(OpenFailed) as caught:
        await host(tmp_path, BrokenService).start()
    line = BrokenService.open.__code__.co_firstlineno + 2
    assert str(caught.value) == (
        f"broken could not be opened: RuntimeError: no mail server ({__file__}:{line})"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_failing_close_does_not_hide_a_failing_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Sulking(Service, name="sulking"):
        async def close(self) -> None:
            raise RuntimeError("close failed")

    with caplog.at_level(logging.ERROR), pytest.raises(OpenFailed, match="no mail server"):
        await host(tmp_path, Sulking, BrokenService).start()
    assert "close failed" in caplog.text


async def test_a_failing_close_does_not_keep_the_others_open(
    tmp_path: Path, log: list[str]
) -> None:
    class Sulking(Service, name="sulking"):
        async def close(self) -> None:
            raise RuntimeError("close failed")

    with nothing_left():
        running = host(tmp_path, BellService, Sulking)
        await running.start()
        with pytest.raises(RuntimeError, match="close failed"):
            await running.stop()
    assert log[-1] == "bell closes"


async def test_a_start_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    with nothing_left():
        process = Process(
            System([BellService, StuckService]), data_folder=tmp_path, edge_port=free_port()
        )
        starting = asyncio.create_task(process.start())
        async with asyncio.timeout(10):
            await OPENING.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await process.stop()
    assert process.host.state == "stopped"


async def test_a_port_in_use_stops_what_was_started(tmp_path: Path) -> None:
    with nothing_left():
        first = Process(System([BellService]), data_folder=tmp_path / "1", edge_port=free_port())
        await first.start()
        port = int(first.edge_url.rpartition(":")[2])
        second = Process(System([BellService]), data_folder=tmp_path / "2", edge_port=port)
        with pytest.raises(ConfigurationError, match="in use"):
            await second.start()
        await first.stop()


async def test_a_failing_init_stops_what_was_started(tmp_path: Path) -> None:
    class Odd(Service, name="odd"):
        db: Database

        def __init__(self, **dependencies: Any) -> None:
            raise ValueError("cannot be")

    with (
        nothing_left(),
        pytest.raises(OpenFailed, match="Odd cannot be made: ValueError: cannot be"),
    ):
        await host(tmp_path, BellService, Odd).start()


async def test_an_init_that_drops_its_dependencies_is_told(tmp_path: Path) -> None:
    class Odd(Service, name="odd"):
        bell: Bell

        def __init__(self) -> None: ...

    with pytest.raises(OpenFailed, match=r"must take and pass on \*\*dependencies"):
        await host(tmp_path, BellService, Odd).start()


async def test_missing_settings_are_told_before_anything_is_opened(tmp_path: Path) -> None:
    class Asking(Service, name="asking"):
        needs: Needs
        db: Database

    with pytest.raises(ConfigurationError, match="or set BOROUGH_ASKING_URL"):
        await host(tmp_path, Asking).start()
    assert not any(name.endswith(".db") for name in os.listdir(tmp_path))


async def test_a_variable_that_nothing_reads_is_warned_about_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configuration = Configuration.load(tmp_path, {"BOROUGH_LIMITS_THREDS": "4"})
    system = System([BellService], configuration=configuration)
    started = Host(system, data_folder=tmp_path / "data")
    with caplog.at_level(logging.WARNING):
        await started.start()
        await started.stop()
    assert caplog.messages == [
        "BOROUGH_LIMITS_THREDS is set and is neither an option nor a setting; "
        "did you mean BOROUGH_LIMITS_THREADS?"
    ]


async def test_a_system_of_fakes_only_runs(tmp_path: Path) -> None:
    async with start(System([], contracts=[Bell]), fakes={Bell: fake(Bell, ring=5)}) as running:
        assert await running.client(Bell).ring() == 5


async def test_what_nobody_answers_is_unavailable(tmp_path: Path) -> None:
    async with start(System([], contracts=[Bell])) as running:
        with pytest.raises(Unavailable, match=r"bell\.Bell\.ring"):
            await running.client(Bell).ring()


# --- two majors side by side ------------------------------------------------------------------------


@contract("tax", version="2.0")
class Tax(Protocol):
    """Reckons, in words."""

    @get("/rate")
    async def rate(self) -> str: ...


class Elder:
    def __init__(self, service: Any) -> None:
        self.service = service

    async def rate(self) -> int:
        return len(await self.service.rate())


class TaxService(Service, Tax):
    old = provide(OldTax, Elder)

    async def rate(self) -> str:
        return "nineteen"


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_two_majors_of_a_contract_answer_side_by_side(mode: Mode) -> None:
    async with start(System([TaxService]), mode=mode) as running:
        assert await running.client(Tax).rate() == "nineteen"
        assert await running.client(OldTax).rate() == 8


async def test_a_provided_object_must_have_every_operation(tmp_path: Path) -> None:
    class Lazy(Service, name="tax"):
        old = provide(OldTax, lambda service: cast(OldTax, object()))

    with pytest.raises(ConfigurationError, match="provides Tax by an object without rate"):
        await host(tmp_path, Lazy).start()


# --- the configuration of a system that is a value -----------------------------------------------------


class TalkSettings(Settings):
    greeting: str = "hello"


class TalkService(Service, name="talk"):
    settings: TalkSettings


async def test_settings_reach_a_system_that_is_a_value(tmp_path: Path) -> None:
    configuration = Configuration.load(tmp_path, {})
    system = System([TalkService], configuration=configuration)
    async with start(system, settings={"services.talk.settings.greeting": "ahoy"}) as running:
        assert running.service("talk").settings.greeting == "ahoy"


async def test_roles_of_a_killed_process_are_free_when_the_configured_lease_is_over(
    tmp_path: Path,
) -> None:
    system = System([BellService], configuration=Configuration.load(tmp_path, {}))
    async with start(system, settings={"events.lease_s": 3600}) as running:
        await running.client(Bell).ring()
        await running.quiet()  # the relay has its role by now
        until = await running.database("bell").one(float, "select min(until) from borough_leases")
    assert time.time() + 3000 < until < time.time() + 3700
