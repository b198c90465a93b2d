"""Poison ends among the dead letters, and a replay by command mends the state."""

from pathlib import Path

from rigs.pair.sink.service import is_poison
from rigs.poison import try_seed


def test_one_of_so_many_is_poison_and_always_the_same() -> None:
    notes = [(f"writer-{key}", number) for key in range(100) for number in range(100)]
    poison = [note for note in notes if is_poison(*note, 100)]
    assert 60 < len(poison) < 140
    assert poison == [note for note in notes if is_poison(*note, 100)]
    assert not any(is_poison(*note, 0) for note in notes)


def test_poison_is_buried_with_its_cause_and_replayed(tmp_path: Path) -> None:
    episode = try_seed(tmp_path, 1, messages=400)
    assert [sentence for sentence in episode.wrong if not sentence.startswith("slow")] == []
    assert episode.facts["poison"] > 0
