"""Ids are minted once: by no two processes the same, at whichever moment, forked or not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from borough.clock import SystemClock
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import event_writers
from borough.runtime.pulse import Pulse
from tests.runtime.stage import EVENTS, Placed, staged

MINT = """
from borough.clock import SystemClock, uuid7
clock = SystemClock()
print("\\n".join(uuid7(1_900_000_000_000, clock.token(10)).hex for _ in range(20_000)))
"""


def in_child(work: Callable[[], str]) -> str:
    """What `work` gives in a forked process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, work().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_processes_that_mint_at_the_same_millisecond_share_no_id() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MINT], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = [process.communicate(timeout=60)[0].split() for process in processes]
    assert list(map(len, found)) == [20_000] * 3
    minted = {id_ for ids in found for id_ in ids}
    assert {id_[:12] for id_ in minted} == {f"{1_900_000_000_000:012x}"}  # one moment for all
    assert len(minted) == 60_000


def test_a_forked_process_repeats_nothing_of_its_parent() -> None:
    clock = SystemClock()
    clock.new_id()  # randomness has been read in advance
    forked = in_child(lambda: clock.new_id().hex + clock.token(16).hex())
    assert forked[12:32] != clock.new_id().hex[12:]
    assert forked[32:] != clock.token(16).hex()


async def test_events_of_a_forked_process_have_ids_of_their_own(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        database = ServiceDatabase(
            orders.store, event_writers(EVENTS, "shop", "orders"), SystemClock(), Pulse()
        )

        class Block:
            """What a publish needs of a transaction."""

            outbox: list[object]
            is_open = True

        def published() -> str:
            block = Block()
            block.outbox = []
            return database.publish(block, Placed(customer="ann", number=1))  # type: ignore[arg-type]

        first = published()
        forked = in_child(published)
        second = published()
        assert len({first, forked, second}) == 3
