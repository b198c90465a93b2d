"""What the door knows of a fleet's processes, by asking its supervisor."""

from pathlib import Path
from typing import Any

from borough.alerting.facts import ReplicaFacts
from borough.alerting.supervised import Supervised
from borough.clock import SystemClock
from borough.fleet.commands import Answer, CommandSocket, Members, Say

MEMBER = {
    "name": "search.1",
    "services": ["search"],
    "state": "ready",
    "restarts": 0,
    "trouble": None,
}


class Later(SystemClock):
    """Each look is seconds after the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0

    def monotonic(self) -> float:
        self.at += 5.0
        return self.at


async def looks_at(folder: Path, *answers: Any) -> list[tuple[ReplicaFacts, ...]]:
    """What each look finds while the supervisor answers so."""
    left = iter(answers)

    async def members(_request: Members, _say: Say) -> Answer:
        return Answer(0, "", {"members": next(left)})

    supervisor = CommandSocket(folder, {Members: members})
    await supervisor.open()
    try:
        supervised = Supervised(folder, Later())
        return [await supervised.replicas() for _ in answers]
    finally:
        await supervisor.close()


async def test_one_odd_answer_takes_nothing_away_and_the_next_one_is_heard(tmp_path: Path) -> None:
    other = {**MEMBER, "name": "search.2"}
    looks = await looks_at(tmp_path, [MEMBER], [3], [other])
    assert [each.name for look in looks for each in look] == ["search.1", "search.1", "search.2"]


async def test_a_traceback_keeps_its_shape_and_writes_to_no_terminal(tmp_path: Path) -> None:
    words = ['  File "x.py", line 3', "\traise \x1b[31mBoom\r"]
    ((found,),) = await looks_at(tmp_path, [{**MEMBER, "last_words": words}])
    assert found.last_words == ('  File "x.py", line 3', "        raise \ufffd[31mBoom")
