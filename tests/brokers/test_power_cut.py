"""The power goes at any moment: every event whose publishing was acknowledged is in the log."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from borough.brokers.embedded.writer import LogWriter
from borough.errors import BrokerError
from tests.brokers.appending_process import numbered
from tests.brokers.recording import Act, recorded, write_after_cut
from tests.brokers.topic import TOPIC, everything, opened

SMALL = 1500
BATCHES = 40
CUTS = 300


def record(folder: Path, chance: random.Random) -> list[Act]:
    """Batches of one to six events into small segments, by writers that come and go.

    Now and then one cannot sync the folder, and whoever comes next publishes the batch again.
    """
    folder.mkdir(parents=True)
    writer = LogWriter(folder, SMALL)
    number = 0
    with recorded(folder) as recorder:
        for batch in range(BATCHES):
            events = [numbered(number + n) for n in range(chance.randrange(1, 7))]
            number += len(events)
            if chance.random() < 0.3:
                recorder.refuses_names = True
                with suppress(BrokerError):
                    writer.append(events, 1e9 + batch, lambda: True)
                recorder.refuses_names = False
            assert writer.append(events, 1e9 + batch, lambda: True)
            recorder.mark(str(number))
            if chance.random() < 0.2:
                writer.close()
                writer = LogWriter(folder, SMALL)
    writer.close()
    return recorder.acts


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_acknowledged_is_in_the_log_after_a_power_cut(
    tmp_path: Path, seed: int
) -> None:
    acts = record(tmp_path / "written" / TOPIC, random.Random(seed))
    assert sum(act.kind == "folder" for act in acts) > 5  # segments
    chance = random.Random(seed + 100)
    for at in range(CUTS // 3):
        cut = chance.randrange(1, len(acts) + 1)
        folder = tmp_path / f"cut{at}"
        write_after_cut(folder / TOPIC, acts[:cut], random.Random(chance.random()))
        marks = [int(act.name) for act in acts[:cut] if act.kind == "mark"]
        sure = marks[-1] if marks else 0
        async with opened(folder, full=SMALL) as broker:
            found = [message.sequence for message in await everything(broker)]
            assert found == list(range(len(found))), cut
            assert len(found) >= sure, cut
            # The relay publishes again what it does not know to be there, and goes on.
            again = [numbered(n) for n in range(sure, sure + 8)]
            await broker.publish(again)
            found = [message.sequence for message in await everything(broker)]
            assert found == list(range(len(found))), cut
            assert len(found) >= sure + 8, cut


async def test_a_log_that_is_never_synced_is_seen_to_lose(tmp_path: Path) -> None:
    """The trial itself is tried."""
    acts = record(tmp_path / "written" / TOPIC, random.Random(1))
    acts = [act for act in acts if act.kind != "sync"]
    lost = 0
    for at in range(20):
        folder = tmp_path / f"cut{at}"
        write_after_cut(folder / TOPIC, acts, random.Random(at))
        async with opened(folder, full=SMALL) as broker:
            try:
                lost += len(await everything(broker)) < int(acts[-1].name)
            except Exception:
                lost += 1
    assert lost > 10
