"""Deliveries come several times and in any order, with kills between; each event takes effect once."""

from pathlib import Path

from rigs.duplicates import try_seed


def test_a_few_hundred_events_take_effect_once_and_in_order(tmp_path: Path) -> None:
    episode = try_seed(tmp_path, 1, deliveries=1_800)
    assert episode.wrong == []
    assert episode.facts["deliveries"] >= 1_800


def test_without_waiting_for_the_event_before_order_is_lost(tmp_path: Path) -> None:
    episode = try_seed(tmp_path, 1, deliveries=1_800, planted="order")
    assert any(sentence.startswith("disorder: ") for sentence in episode.wrong)
