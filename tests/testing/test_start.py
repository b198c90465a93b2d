"""What a test asks of `start` it gets, or is told why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import Database, Event, Key, Secret, Service, Transaction, contract, on, post
from borough.errors import BoroughError, ConfigurationError, ServiceFailure, Unavailable
from borough.runtime.system import System
from borough.testing import Hardship, Mode, NotQuiet, fake, start
from tests.calls.town import Depot, DepotService, Desk, Seen, town


async def test_a_fake_takes_the_place_of_its_service() -> None:
    seen = Seen(
        operation="", caller=None, user=None, key="faked", trace_id=None, has_deadline=False
    )
    async with start(town(), fakes={Depot: fake(Depot, seen=seen)}) as running:
        assert (await running.client(Desk).ask()).key == "faked"
        with pytest.raises(ConfigurationError, match="no service 'depot' is running"):
            running.service("depot")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("local", r"Nobody in this process answers depot\.Depot\.mood"),
        ("honest", r"depot\.Depot\.mood is answered by nobody here"),
        ("wire", "No replica of depot takes calls now"),
    ],
)
async def test_what_is_left_out_and_not_faked_is_unavailable(mode: Mode, words: str) -> None:
    async with start(town(), only=["desk"], mode=mode) as running:
        with pytest.raises(Unavailable, match=words):
            await running.client(Depot).mood()
        with pytest.raises(Unavailable, match=r"needs depot\.Depot\.seen"):
            await running.client(Desk).ask()


@pytest.mark.parametrize("mode", ["local", "wire"])
async def test_another_event_loop_is_told_to_share_that_of_the_start(mode: Mode) -> None:
    async with start(town(), mode=mode) as running:
        kept = running.client(Depot)

        async def all_of_it() -> list[str]:
            asked: list[Callable[[], Awaitable[object]]] = [
                lambda: running.client(Depot).mood(),
                lambda: kept.mood(),
                lambda: running.quiet(),
                lambda: running.tick("desk.sweep"),
                lambda: running.rebuild("desk.rows"),
                lambda: running.database("depot").one(int, "select 1"),
            ]
            said = []
            for ask in asked:
                with pytest.raises(BoroughError) as refused:
                    await ask()
                said.append(str(refused.value))
            return said

        said = await asyncio.to_thread(lambda: asyncio.run(all_of_it()))
        assert all("was started in another event loop" in each for each in said)
        assert all('loop_scope="module"' in each for each in said)
        # And nothing of it holds up who is in the right loop.
        await running.client(Depot).mood()
        await running.quiet()


@pytest.mark.parametrize("mode", ["local", "wire"])
async def test_what_an_object_of_ones_own_leaves_out_is_named_when_it_is_asked(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(town(), mode=mode, fakes={Depot: Moody()}) as running:
        depot = running.client(Depot)
        assert await depot.mood() == "faked"
        with pytest.raises(ServiceFailure):
            await depot.once(1, "first")
        with pytest.raises(ServiceFailure):
            await anext(aiter(depot.count(2)))
    told = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert "what stands in for Depot has no once" in told
    assert "what stands in for Depot has no count" in told


async def test_honest_calls_can_be_made_to_fail() -> None:
    hardship = Hardship(delay_s=0.001, failure_share=1.0)
    async with start(town(), mode="honest", hardship=hardship) as running:
        with pytest.raises(Unavailable, match="injected"):
            await running.client(Depot).mood()


@pytest.mark.parametrize(
    "wrong", [{"failure_share": 3.0}, {"delay_s": -1.0}, {"delay_s": math.nan}]
)
def test_a_hardship_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="write "):
        Hardship(**wrong)


async def test_what_is_there_is_named_beside_what_is_not() -> None:
    async with start(town()) as running:
        with pytest.raises(ConfigurationError, match=r"the schedule 'sweep'; there is \w+"):
            await running.tick("sweep")
        with pytest.raises(ConfigurationError, match=r"the projection 'rows'; there is \w+"):
            await running.rebuild("rows")


async def test_data_can_be_kept(tmp_path: Path) -> None:
    for data in (tmp_path, str(tmp_path)):
        async with start(System([DepotService]), data=data) as running:
            assert running.data_folder == tmp_path
            assert await running.client(Depot).once(7, "first") == 1


class Moodless:
    """Its mood is that of somebody, which no caller says."""

    async def mood(self, of: str) -> str:
        return of


class Moody:
    """Answers what the test is about, and no more."""

    async def mood(self) -> str:
        return "faked"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "wired"}, "mode 'wired' is none of local, honest, wire"),
    ({"only": ["dept"]}, "there is no service 'dept'; there are depot, desk"),
    ({"hardship": Hardship()}, 'hardship is for mode="honest"'),
    ({"settings": {"edge.prt": 1}}, "edge.prt is no option"),
    ({"settings": {"services.depot.settings.key": Secret("x")}}, "a Secret for services.depot"),
    ({"fakes": {"depot": object()}}, "fakes has 'depot', which is no contract"),
    ({"only": "desk"}, 'only is a text; write only=["desk"]'),
    ({"fakes": [fake(Depot)]}, "fakes is a list; write fakes={Contract: object}"),
    ({"fakes": {Depot: fake(Desk)}}, "fakes has for Depot a fake of Desk"),
    (
        {"fakes": {Depot: None}},
        "an object of NoneType, which has none of its operations: keep, find",
    ),
    ({"fakes": {Depot: Moodless()}}, "Moodless, where mood takes (of), its contract ()"),
    (
        {"fakes": {Depot: DepotService}},
        "the class DepotService and no object of it; write DepotService()",
    ),
]


LOCK = """
from typing import Protocol
from borough import ANYONE, contract, get

@contract("lock", version="1.0")
class Lock(Protocol):
    @get("/opened", allow=ANYONE)
    async def opened(self, by: str) -> bool: ...
"""
LOCK_SERVICE = """
from borough import Secret, Service, Settings
from {root}.lock.contract import Lock

class LockSettings(Settings):
    tries: int = 3
    key: Secret

class LockService(Service, Lock):
    settings: LockSettings

    async def opened(self, by: str) -> bool:
        return by == f"{{self.settings.key.reveal()}} {{self.settings.tries}}"
"""


@pytest.mark.parametrize("mode", ["local", "processes"])
async def test_of_the_environment_only_what_a_reference_names_is_read(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / f"gate_{tmp_path.name}_{mode}".replace("-", "_")
    (root / "lock").mkdir(parents=True)
    (root / "lock" / "contract.py").write_text(LOCK)
    (root / "lock" / "service.py").write_text(LOCK_SERVICE.format(root=root.name))
    (root / "borough.toml").write_text('[services.lock.settings]\nkey = "env:KEY_OF_LOCK"\n')
    monkeypatch.setenv("KEY_OF_LOCK", "sesame")
    monkeypatch.setenv("BOROUGH_LOCK_TRIES", "9")
    (lock,) = System.load(root, environment={}).contracts
    async with start(root, mode=mode) as running:
        assert await running.client(lock).opened("sesame 3")


@pytest.mark.parametrize(("wishes", "expected"), WRONG)
async def test_a_wish_that_cannot_be_is_told(wishes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with start(town(), **wishes):
            pass
    assert expected in str(caught.value)


async def test_a_database_that_is_not_there_and_a_schedule_that_is_not_there_are_told() -> None:
    async with start(System([DepotService])) as running:
        with pytest.raises(ConfigurationError, match="no service 'desk' with a database"):
            running.database("desk")
        with pytest.raises(ConfigurationError, match=r"the schedule 'depot\.nap'"):
            await running.tick("depot.nap")
        with pytest.raises(ConfigurationError, match="no such listener"):
            _ = running.edge_url


class Wound(Event):
    number: Key[int]


@contract("clock", version="1.0", publishes=[Wound])
class Clockwork(Protocol):
    """Winds."""

    @post("/wind")
    async def wind(self) -> None: ...


class ClockworkService(Service, Clockwork):
    db: Database

    async def wind(self) -> None:
        async with self.db.transaction() as tx:
            tx.publish(Wound(number=1))

    @on(Wound)
    async def strike(self, event: Wound, tx: Transaction) -> None:
        await tx.execute("insert into strikes values ($1)", event.number)


async def test_a_failing_handler_ends_the_wait_for_quiet_with_its_error() -> None:
    async with start(System([ClockworkService])) as running:
        await running.client(Clockwork).wind()
        with pytest.raises(
            NotQuiet, match=r"clock\.strike has failed on event .* \(attempt \d+\): .*strikes"
        ) as caught:
            await running.quiet(timeout_s=1)
        assert "no such table: strikes" in str(caught.value.__cause__)
