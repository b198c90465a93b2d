"""What alerts go through while something is not as it should be: silent databases, clocks that step, bad disks."""

from pathlib import Path

import pytest

from tests.alerting.desk import Desk, given_up, orders


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    found = Desk(tmp_path)
    await found.alerting.remember()
    return found


async def test_an_alert_of_a_handler_stays_while_its_database_is_silent(desk: Desk) -> None:
    desk.said.facts = orders(given_up(5))
    assert await desk.look() == [("dead-letters", "firing")]
    desk.said.facts = orders(unknown=("orders.ship payments.Payments",))
    for _ in range(20):
        assert await desk.look(2) == [("dead-letters", "firing")]
    desk.said.facts = orders(given_up(0))
    await desk.look(2)
    assert await desk.look(31) == []
