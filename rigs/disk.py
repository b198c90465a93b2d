"""Full disks, limits on file sizes, failed fsyncs, read-only disks and stepped clocks, under traffic.

Each episode runs a system on a disk made for it and lets that fail, once or more: every answer is
then an acknowledgement or a 503 with a time to come back, the process lives on, goes on by itself
when the fault is over, and nothing acknowledged is lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rigs.bookkeeping import Server, Traffic, judge, open_server
from rigs.disk_shop import ShopTrial
from rigs.disks import can_fail, failing_disk, small_disk
from rigs.episodes import Episode, Fault, Rig

__all__ = ["KINDS", "RIG", "run_trial"]

FLOWING = 30
FLOWING_WITHIN_S = 30.0
RECOVERY_WITHIN_S = 20.0
QUIET_WITHIN_S = 30.0
SMALL_MIB = 8
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Trial:
    """One episode on its way: where its disk is mounted, and what has been seen."""

    def __init__(
        self, folder: Path, chance: random.Random, launcher: Sequence[str], stack: ExitStack
    ) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.data = self.disk / "data"
        self.chance = chance
        self.launcher = launcher
        self.stack = stack
        self.traffic = Traffic(chance, authors=8, filling=chance.choice((10, 500, 4000)))
        self.wrong: list[str] = []
        self.orders = 0

    def keep(self) -> None:
        """Copy what a bad episode has left, before its disk is unmounted."""
        kept = Path(tempfile.mkdtemp(prefix="borough-disk-bad-"))
        ignored = shutil.ignore_patterns("filler", "image", "*-shm")
        shutil.copytree(self.folder, kept, ignore=ignored, dirs_exist_ok=True)
        print(f"kept: {kept}", flush=True)

    def server(self) -> Server:
        """A process on the trial's disk."""
        return Server(self.data, self.folder / "server.log", self.launcher)

    async def flow(self) -> None:
        """Wait for a number of acknowledgements."""
        if not await self.traffic.until(FLOWING, FLOWING_WITHIN_S):
            self.wrong.append("the system does not take entries")

    async def recover(self) -> None:
        """Wait for a number of acknowledgements after a fault is over."""
        if not await self.traffic.until(FLOWING, RECOVERY_WITHIN_S):
            self.wrong.append("the system does not go on by itself")

    async def end(self, server: Server, *, quiet: bool = True) -> None:
        """Wait until all is booked, and stop the server."""
        if quiet and not await self.traffic.quiet(server, QUIET_WITHIN_S):
            self.wrong.append("entries stay unbooked")
        status = await server.stop()
        if status:
            self.wrong.append(f"the server ended with status {status}")
        self.read_log(server)

    def read_log(self, server: Server) -> None:
        """A fault that is foreseen leaves sentences in the log, no traceback."""
        said = server.said()
        at = said.find("Traceback")
        if at >= 0:
            self.wrong.append(f"a traceback: ...{said[max(0, at - 300) : at + 1500]}")

    async def disturb(
        self, breaks: Callable[[Server], object], heals: Callable[[Server], object]
    ) -> None:
        """Run under traffic, and let the fault come and go."""
        async with open_server(self.server()) as server:
            async with self.traffic.flowing(server):
                await self.flow()
                for _ in range(self.chance.choice((1, 1, 2, 3))):
                    breaks(server)
                    await asyncio.sleep(self.chance.uniform(0.1, 2.5))
                    heals(server)
                    await self.recover()
            await self.end(server)
        self.wrong += judge(self.data, self.traffic.acknowledged)


async def full(trial: Trial) -> None:
    """Somebody else takes all the space, and gives it back."""
    disk = trial.stack.enter_context(small_disk(trial.disk, SMALL_MIB))
    await trial.disturb(lambda _: disk.fill(), lambda _: disk.free())


async def limited(trial: Trial) -> None:
    """Files may not grow beyond a size that some of them have reached; the log among them."""
    trial.stack.enter_context(small_disk(trial.disk, 64))

    def limit(server: Server) -> None:
        sizes = [path.stat().st_size for path in trial.data.rglob("*") if path.is_file()]
        size = trial.chance.randrange(max(sizes) + 1)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED[1]))

    def lift(server: Server) -> None:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, UNLIMITED)

    await trial.disturb(limit, lift)


async def unsynced(trial: Trial) -> None:
    """Writes go well and their fsync fails."""
    disk = trial.stack.enter_context(failing_disk(trial.disk))
    await trial.disturb(lambda _: disk.fail_syncs(), lambda _: disk.mend())


async def broken(trial: Trial) -> None:
    """The kernel finds an error and goes read-only under the running system."""
    disk = trial.stack.enter_context(failing_disk(trial.disk, errors="remount-ro"))
    async with open_server(trial.server()) as server:
        async with trial.traffic.flowing(server):
            await trial.flow()
            await asyncio.sleep(trial.chance.uniform(0.0, 0.5))
            disk.break_down()
            await asyncio.sleep(trial.chance.uniform(0.5, 2.5))
        if not trial.traffic.refused:
            trial.wrong.append("nothing was refused although the disk is read-only")
        await trial.end(server, quiet=False)
    disk.repair()
    async with open_server(trial.server()) as server:
        async with trial.traffic.flowing(server):
            await trial.flow()
        await trial.end(server)
    trial.wrong += judge(trial.data, trial.traffic.acknowledged)


async def stepped(trial: Trial) -> None:
    """The wall clock is set an hour on and an hour back."""
    trial.stack.enter_context(small_disk(trial.disk, 64))
    steps = [signal.SIGUSR1, signal.SIGUSR2]
    trial.chance.shuffle(steps)
    one, other = steps
    await trial.disturb(
        lambda server: server.process.send_signal(one),
        lambda server: server.process.send_signal(other),
    )
    if trial.traffic.refused:
        trial.wrong.append(f"a stepped clock refused entries: {dict(trial.traffic.refused)}")


async def started(trial: Trial) -> None:
    """The disk fails before or during a start, the first one or a later one; the next start is fine."""
    disk = trial.stack.enter_context(small_disk(trial.disk, SMALL_MIB))
    if trial.chance.random() < 0.5:
        async with open_server(trial.server()) as server:
            async with trial.traffic.flowing(server):
                await trial.flow()
            await trial.end(server)
    how = trial.chance.choice(("full", "read-only", "full meanwhile"))
    if how == "full":
        disk.fill()
    elif how == "read-only" and not disk.remount(read_only=True):
        trial.wrong.append("somebody still writes to the disk of a server that has ended")
    server = trial.server()
    try:
        if how == "full meanwhile":
            await asyncio.sleep(trial.chance.uniform(0.0, 0.8))
            disk.fill()
        if await server.is_ready():
            await server.stop()
        elif server.process.wait() != 2 or "borough: " not in server.said():
            trial.wrong.append(f"a start that failed ended with {server.process.returncode}")
    finally:
        server.kill()
    trial.read_log(server)
    disk.remount(read_only=False)
    disk.free()
    async with open_server(trial.server()) as server:
        async with trial.traffic.flowing(server):
            await trial.flow()
        await trial.end(server)
    trial.wrong += judge(trial.data, trial.traffic.acknowledged)


async def shop(trial: Trial) -> None:
    """The shop on a disk that is full, loses what it was given or has a limit."""
    shop_trial = ShopTrial(trial.folder, trial.chance, trial.stack)
    await shop_trial.run()
    trial.wrong += shop_trial.wrong
    trial.orders = shop_trial.tally.orders


KINDS: Mapping[str, Callable[[Trial], Coroutine[Any, Any, None]]] = {
    "full": full,
    "limited": limited,
    "unsynced": unsynced,
    "broken": broken,
    "stepped": stepped,
    "started": started,
    "shop": shop,
}
PLANTED = {
    "acknowledged-though-failed": Fault(4, "lost: "),
    "never-moved-again": Fault(4, "entries stay unbooked"),
    "answered-with-500": Fault(4, "answered 500 "),
}
BOROUGH = ("-m", "borough")
LAUNCHERS: Mapping[str, Sequence[str]] = {"stepped": ("-m", "rigs.stepping")}


def run_trial(kind: str, seed: int, planted: str | None = None) -> Episode:
    """One episode of a kind, from its seed."""
    launcher = ("-m", "rigs.planted", planted) if planted else LAUNCHERS.get(kind, BOROUGH)
    with tempfile.TemporaryDirectory(prefix="borough-disk-") as name, ExitStack() as stack:
        trial = Trial(Path(name), random.Random(seed), launcher, stack)
        try:
            asyncio.run(KINDS[kind](trial))
        except RuntimeError as error:
            trial.wrong.append(str(error))
        if planted is None and (trial.wrong or trial.traffic.wrong):
            trial.keep()
        traffic = trial.traffic
        facts = {
            "kind": kind,
            "acknowledged": trial.orders or len(traffic.acknowledged),
            "refused": dict(traffic.refused),
        }
        return Episode(seed, traffic.wrong + trial.wrong, facts)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=sorted(KINDS), help="only this kind of fault")


def _run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    if not can_fail():
        sys.exit("this rig mounts disks: run it as root, with mkfs.ext2 and losetup")
    kinds = list(KINDS)
    for seed in seeds:
        kind = "full" if planted else options.kind or kinds[seed % len(kinds)]
        yield run_trial(kind, seed, planted)


RIG = Rig("episodes", _run, PLANTED, add_arguments=_add_arguments)
