"""A system that starts, and says when and in which thread PyJWT was imported.

`request` sends a token before the process would import PyJWT by itself; `wait` lets that come;
`behind` waits in a process of a fleet, which does not do so.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from borough import System
from borough.gateway.process import Process
from borough.testing.clock import ManualClock
from tests.gateway.library import LibraryService, Seen, request


class Watch(MetaPathFinder):
    """Sees the import of PyJWT, and finds nothing itself."""

    def __init__(self) -> None:
        self.seen = threading.Event()
        self.on_the_loop = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "jwt":
            self.on_the_loop = threading.current_thread() is threading.main_thread()
            self.seen.set()
        return None


async def main(folder: Path, what: str) -> None:
    watch, clock = Watch(), ManualClock()
    sys.meta_path.insert(0, watch)
    declared: dict[str, list[str]] | None = {} if what == "behind" else None
    process = Process(System([LibraryService]), clock=clock, data_folder=folder, declared=declared)
    await process.start()
    edge = process.make_edge()
    states = [process.host.ready, watch.seen.is_set()]
    status = 0
    if what == "request":
        token = "e30.e30.e30"
        asked = request("GET", "/library/who", {"Authorization": f"Bearer {token}"})
        status = (await Seen.of(await edge.answer(asked))).status
    else:
        await asyncio.sleep(0)  # the process begins to wait
        clock.advance(1)
        await asyncio.to_thread(watch.seen.wait, 0.5 if what == "behind" else 30)
    print(json.dumps([*states, watch.seen.is_set(), watch.on_the_loop, status]))
    await edge.close()
    await process.stop()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
