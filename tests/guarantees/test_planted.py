"""A guarantee that is switched off turns its cell red, and no other."""

from __future__ import annotations

import pytest

from borough.testing.conformance import broken_guarantees, run_conformance
from tests.docs.guarantees import BROKEN, table
from tests.guarantees.cells import ADAPTERS
from tests.guarantees.chosen import ChosenAdapters, Pair, choose
from tests.guarantees.planted import ALL, Planted, hasty_system


async def test_exactly_the_cell_of_what_is_switched_off_turns_red(
    planted: Planted, request: pytest.FixtureRequest
) -> None:
    chosen = ChosenAdapters()
    choose(chosen, planted.pair, request.getfixturevalue)
    said: list[str] = []
    verdicts = await run_conformance(planted.suite(chosen), said.append)
    broken = broken_guarantees(planted.part, verdicts)
    assert broken == {planted.broken}, "\n".join(said)
    adapter = next(adapter for adapter in ADAPTERS if adapter.name == planted.adapter)
    red = [line for line in table(adapter, broken) if line.startswith(f"| {BROKEN} |")]
    assert len(red) == 1
    assert f"`{planted.broken}`" in red[0]


def test_a_fault_is_planted_in_every_adapter() -> None:
    assert {planted.adapter for planted in ALL} == {adapter.name for adapter in ADAPTERS}


async def test_events_that_were_confirmed_before_they_were_kept_are_missed_after_a_kill(
    request: pytest.FixtureRequest,
) -> None:
    chosen = ChosenAdapters()
    choose(chosen, Pair("sqlite", "embedded"), request.getfixturevalue)
    with pytest.raises(AssertionError, match="it has not come to that"):
        await hasty_system(chosen).test_killed_processes_lose_nothing_and_double_nothing()
