"""Killed before each act on a file, a writer or trimmer loses nothing that it had acknowledged."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from borough.brokers.embedded import EmbeddedBroker
from borough.contracts.retention import Retention
from borough.ports import Message
from borough.testing.clock import ManualClock
from tests.brokers.killed_process import BATCH_S, BATCHES, FULL, batch
from tests.brokers.topic import TOPIC, everything, latest, opened


@pytest.mark.parametrize(("retains", "acts"), [("forever", 20), ("2h", 40), ("latest per key", 40)])
def test_killed_before_each_act_nothing_acknowledged_is_lost(
    tmp_path: Path, retains: str, acts: int
) -> None:
    retention = Retention.read(retains)
    assert retention is not None
    subprocess.run(
        [sys.executable, "-m", "tests.brokers.killed_process", str(tmp_path), retains],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
    )
    notes = sorted(tmp_path.glob("*.acknowledged"))
    assert len(notes) > acts
    counts = [len(note.read_text().split()) for note in notes]
    assert (min(counts), max(counts)) == (0, BATCHES)
    for note, acknowledged in zip(notes, counts, strict=True):
        asyncio.run(_check(note.with_suffix(""), retention, acknowledged))


async def _check(folder: Path, retention: Retention, acknowledged: int) -> None:
    """Go on where a process was killed: its last batch comes again, and then a trim."""
    sent = [message for number in range(acknowledged + 1) for message in batch(number)]
    clock = ManualClock()
    clock.advance(BATCH_S * acknowledged)
    async with opened(folder, clock, full=FULL) as broker:
        await broker.publish(batch(acknowledged))
        await _as_retained(broker, clock, retention, sent)
        await broker.trim(TOPIC, retention, clock.epoch_s())
        await _as_retained(broker, clock, retention, sent)
        facts = await broker.facts(TOPIC)
        assert facts.segments == len(list((folder / TOPIC).glob("*.log")))
    assert {path.name for path in (folder / TOPIC).iterdir() if path.suffix != ".log"} <= {
        *("lock", "trim")
    }


async def _as_retained(
    broker: EmbeddedBroker, clock: ManualClock, retention: Retention, sent: list[Message]
) -> None:
    left = await everything(broker)
    if retention.kind == "latest":
        assert latest(left) == latest(sent)
        assert left == [message for message in sent if message in left]
        return
    hours = retention.seconds / BATCH_S if retention.kind == "age" else len(sent)
    needed = sent[max(0, len(sent) - 4 * int(hours)) :]
    assert left == sent[len(sent) - len(left) :]
    assert left[len(left) - len(needed) :] == needed
