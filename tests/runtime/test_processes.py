"""Processes are killed and paused at any moment: no event is lost, none takes effect twice."""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from pathlib import Path

from borough.runtime.pulse import until_quiet
from tests.runtime.shop_process import TERMS
from tests.runtime.stage import Placed, Stage, remember, running, staged

EPISODES = 24


class Shop:
    """Processes on one folder, and what they have acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged: list[int] = []
        self.started = 0
        self.alive: list[tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = []

    async def start(self) -> None:
        self.started += 1
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.runtime.shop_process",
            str(self.folder),
            str(self.started * 1_000_000),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.alive.append((child, asyncio.create_task(self._listen(child))))

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        async for line in child.stdout:
            if line.endswith(b"\n"):
                self.acknowledged.append(int(line))

    async def kill(self, index: int) -> None:
        child, listening = self.alive.pop(index)
        child.send_signal(signal.SIGKILL)
        await child.wait()
        await listening

    async def pause(self, index: int, seconds: float) -> None:
        child, _ = self.alive[index]
        child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        child.send_signal(signal.SIGCONT)


async def upset(shop: Shop, chance: random.Random) -> None:
    """Two processes at a time; in each episode one is killed and replaced, or paused."""
    for _ in range(2):
        await shop.start()
    for _ in range(EPISODES):
        before = len(shop.acknowledged)
        async with asyncio.timeout(30):
            while len(shop.acknowledged) < before + 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        index = chance.randrange(2)
        if chance.random() < 0.3:
            await shop.pause(index, TERMS.lasting_s + chance.uniform(0.0, 0.4))
        else:
            await shop.kill(index)
            await shop.start()
    while shop.alive:
        await shop.kill(0)


async def heal(stage: Stage) -> tuple[list[tuple[str, int]], list[int]]:
    """Handle what is left; returns what was heard, in order, and what was placed."""
    orders, mail = await stage.place("orders"), await stage.place("mail")

    async def deliver(event: Placed) -> None:
        with (stage.folder / "ledger").open("a") as ledger:
            ledger.write(f"{event.customer} {event.number}\n")

    relay = stage.relay(orders)
    one = stage.consumer(mail, remember(mail), takes_transaction=True, name="one")
    two = stage.consumer(mail, deliver, takes_transaction=False, name="two")
    async with running(one, two, relay), asyncio.timeout(30):
        await until_quiet([relay, one, two], stage.activity)
    seen = await mail.store.all(tuple[str, int], "select customer, number from seen order by place")
    return seen, await orders.store.all(int, "select number from placed")


async def test_killed_and_paused_processes_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        await upset(shop, random.Random(11))
    finally:
        for child, _ in shop.alive:
            child.kill()
    async with staged(tmp_path, terms=TERMS) as stage:
        seen, placed = await heal(stage)
    assert set(shop.acknowledged) <= set(placed)
    assert sorted(number for _, number in seen) == sorted(placed)
    by_customer: dict[str, list[int]] = defaultdict(list)
    for customer, number in seen:
        by_customer[customer].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_customer.values())
    delivered = {int(line.split()[1]) for line in (tmp_path / "ledger").read_text().splitlines()}
    assert delivered == set(placed)
    assert len(by_customer) > EPISODES
