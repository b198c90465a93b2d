"""The shop as a fleet under its customers' traffic: started, upset by a rig, made quiet, compared.

Its processes are those of `rigs.fleet.launcher`. Whatever else a rig does, in the end every ledger is
right, nothing is left behind when the supervisor has gone, and processes hold what they held at first.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from borough.fleet.commands import Scale, ask_fleet
from borough.transports.http.client import HttpClient
from rigs.customers import (
    HASHES_AT_ONCE,
    SETTLE_S,
    PatientCustomer,
    PatientShop,
    ended,
    write_notes,
)
from rigs.fleet.launcher import Plan
from rigs.fleet.look import Holdings, descriptors_of, holdings_of, members_of, processes_of
from rigs.shop import RiggedShop, Server, ServerFailed
from shop.demo.journal import Journal
from shop.demo.tally import Tally

__all__ = ["FleetShop", "Traffic"]

REPLICAS = {"payments": 2, "search": 2}
SERVICES = ("accounts", "notifications", "orders", "payments", "search", "witness")
MEMBERS = frozenset({"edge.1", *(f"{name}.1" for name in SERVICES), "payments.2", "search.2"})
WRITERS = 2
OPTIONS = {
    "BOROUGH_FLEET_RESTARTS": "100000",  # a rig kills more often than a sound system ends
    "BOROUGH_FLEET_RESTART_FIRST_S": "0.05",
    "BOROUGH_FLEET_RESTART_LAST_S": "0.2",
    "BOROUGH_LIMITS_DRAIN_S": "5",
}
WHOLE_S = 60.0
GONE_S = 25.0
"""Who has lost the supervisor drains for at most a few seconds, and ends."""
QUIET_S = 60.0
CALM_S = 20.0
KEPT_S = 75.0
"""By then a connection that nobody uses is closed."""
LOOK_S = 0.1
SLACK = 3
"""So much more than at first may be chance, of each kind."""
FILES = 22
"""Files that a process may open later than at its start: readers of a database, topics of the log."""
CONNECTIONS = 11
"""The shop keeps up to eight connections to its card issuer."""
COMPLAINTS = (" ERROR ", " CRITICAL ", "must prove itself", "does not prove", "does not declare")
BROKE_OFF = "broke off without an answer; the call may have run"
_READY = re.compile(r"is ready \(pid (\d+),")


class FleetDoor(PatientShop):
    """The public door of a fleet whose processes die: which answers it gave in place of a final one."""

    def __init__(self, client: HttpClient, origin: tuple[str, int], tally: Tally) -> None:
        super().__init__(client, origin, tally)
        self.asked_again: Counter[str] = Counter()

    def is_final(self, status: int, document: Any) -> bool:
        """Who was called and died may have done it or not: that is said, and is no final answer.

        What a service does wrong by itself would be told likewise, but with an error in its log.
        """
        is_failure = status == 500 and document.get("code") == "service-failure"
        is_final = not is_failure and super().is_final(status, document)
        if not is_final:
            is_inside = is_failure and BROKE_OFF not in str(document.get("detail"))
            self.asked_again[f"{status} inside" if is_inside else str(status)] += 1
        return is_final


class Traffic:
    """Customers, and writers of notes; they begin at once."""

    def __init__(self, shop: RiggedShop, seed: int, customers: int) -> None:
        self._client = HttpClient()
        self.tally = Tally()
        self.door = FleetDoor(self._client, shop.origin, self.tally)
        self._journal = Journal(shop.places.answers)
        self._stopping = asyncio.Event()
        self._known = asyncio.Semaphore(0)
        self._customers = customers
        run = os.urandom(3).hex()
        hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._tasks = [
            asyncio.ensure_future(
                PatientCustomer(self.door, self._journal, seed, run, number).live(
                    self._stopping, hashing, self._known
                )
            )
            for number in range(customers)
        ] + [
            asyncio.ensure_future(
                write_notes(self.door, self._journal, f"{run}-{number}", self._stopping)
            )
            for number in range(WRITERS)
        ]

    async def admit(self) -> None:
        """Wait until all customers have signed up. Raises `ServerFailed`."""

        async def know() -> None:
            for _ in range(self._customers):
                await self._known.acquire()

        known = asyncio.ensure_future(know())
        await asyncio.wait(
            [known, *self._tasks], timeout=SETTLE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not known.done():
            known.cancel()
            raise ServerFailed(f"customers cannot sign up: {self.tally.sentences}")

    async def end(self) -> list[str]:
        """Let everybody finish; returns what is wrong."""
        self._stopping.set()
        wrong = await ended(self._tasks, self.tally)
        await self._client.close()
        return wrong

    @property
    def figures(self) -> dict[str, Any]:
        """What has come of it."""
        return {
            "orders": self.tally.orders,
            "paid": self.tally.paid,
            "unanswered": self.door.tried_again,
            "asked_again": dict(self.door.asked_again),
        }

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
        await self._journal.close()


class FleetShop:
    """One folder, and the fleet that runs on it."""

    def __init__(
        self, folder: Path, fault: str = "", doors: Mapping[str, int] | None = None
    ) -> None:
        self._reports = folder / "reports"
        self._reports.mkdir()
        plan = Plan(str(self._reports), fault, dict(doors or {}))
        self.rigged = RiggedShop(
            folder,
            ("-m", "rigs.fleet.launcher", msgspec.json.encode(plan).decode()),
            ("--topology", "fleet"),
            OPTIONS,
        )
        self.server: Server | None = None
        self._at_first: dict[str, Holdings] = {}
        self._supervisor_at_first: Counter[str] = Counter()

    @property
    def data(self) -> Path:
        """Where the fleet's data are."""
        return self.rigged.places.data

    # --- its life ----------------------------------------------------------------------------------

    async def start(self) -> dict[str, Any]:
        """Start the fleet; returns what it announced before it got further replicas.

        Raises `ServerFailed`.
        """
        self.server = await self.rigged.start_server()
        await self.server.until_ready()
        answer = await asyncio.to_thread(ask_fleet, self.data, Scale(REPLICAS))
        if answer.status:
            raise ServerFailed(f"the fleet does not scale: {answer.sentence}")
        await self.until_whole()
        announced: dict[str, Any] = msgspec.json.decode(self.server.announced)
        announced["replicas"] += [
            each for name in REPLICAS for each in answer.facts[name] if each["replica"][-1] != "1"
        ]
        return announced

    def members(self) -> dict[str, int]:
        """The process of each member that lives now."""
        return members_of(self.data)

    async def until_whole(self) -> None:
        """Wait until every member is there, ready and known to the door. Raises `ServerFailed`."""
        assert self.server is not None
        try:
            async with asyncio.timeout(WHOLE_S):
                while not await asyncio.to_thread(self._is_whole):
                    if self.server.has_ended:
                        raise ServerFailed(f"the supervisor ended: {self.server.last_words()}")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise ServerFailed(
                f"the fleet is not whole after {WHOLE_S:.0f} s but {sorted(self.members())}: "
                f"{self.server.last_words()}"
            ) from None

    def _is_whole(self) -> bool:
        members = self.members()
        said = self.rigged.log.read_text(errors="replace")
        ready = {int(pid) for pid in _READY.findall(said)}
        if not members.keys() >= MEMBERS or not ready.issuperset(members.values()):
            return False
        host, port = self.rigged.origin
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=2.0) as answer,
        ):
            return bool(answer.status == 200)
        return False

    async def kill_supervisor(self) -> list[str]:
        """Kill the supervisor, and wait until nobody is left; returns who is, in words."""
        assert self.server is not None
        await self.server.kill()
        return await self._until_gone()

    async def stop(self) -> list[str]:
        """Ask the fleet to stop; returns what is wrong with its end."""
        assert self.server is not None
        try:
            await self.server.stop()
        except ServerFailed as error:
            return [f"stuck: {error}"]
        return await self._until_gone(0.5)

    async def _until_gone(self, within_s: float = GONE_S) -> list[str]:
        ends = asyncio.get_running_loop().time() + within_s
        while left := processes_of(self.data):
            if asyncio.get_running_loop().time() > ends:
                names = [line.replace(b"\0", b" ").decode()[-40:] for line in left.values()]
                self._end(left)
                return [
                    f"left behind: after {within_s:g} s there still is {name}" for name in names
                ]
            await asyncio.sleep(LOOK_S)
        return []

    @staticmethod
    def _end(pids: Mapping[int, bytes]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- what it holds -----------------------------------------------------------------------------

    async def remember(self) -> None:
        """What a process of each kind holds now is what it may hold in the end. Before any traffic."""
        assert self.server is not None
        for name, pid in self.members().items():
            held = await holdings_of(pid, self._reports)
            if held is None:
                raise ServerFailed(f"{name} does not tell what it holds")
            kind = _deployable(name)
            self._at_first[kind] = _most(self._at_first.get(kind, held), held)
        self._supervisor_at_first = descriptors_of(self.server.pid)

    async def leaks(self, *, is_long: bool) -> list[str]:
        """What is held that was not at first, in words; waits for connections that are kept if long."""
        ends = asyncio.get_running_loop().time() + (KEPT_S if is_long else CALM_S)
        while found := await self._grown(with_sockets=is_long):
            if asyncio.get_running_loop().time() > ends:
                return found
            await asyncio.sleep(1.0)
        return []

    async def _grown(self, *, with_sockets: bool) -> list[str]:
        found: list[str] = []
        for name, pid in self.members().items():
            first, now = self._at_first[_deployable(name)], await holdings_of(pid, self._reports)
            if now is None:
                found.append(f"stuck: {name} does not tell what it holds")
                continue
            counts = [(task, first.tasks.get(task, 0), n, SLACK) for task, n in now.tasks.items()]
            counts.append(("open files", first.files, now.files, FILES))
            if with_sockets:
                counts.append(("connections", first.sockets, now.sockets, CONNECTIONS))
            found += _leaked(name, counts)
        assert self.server is not None
        first_files, now_files = self._supervisor_at_first, descriptors_of(self.server.pid)
        # Each process keeps a connection over which it tells what it has seen.
        told = {"socket": len(self.members())}
        return found + _leaked(
            "supervisor",
            [
                (kind, first_files[kind], n, SLACK + told.get(kind, 0))
                for kind, n in now_files.items()
            ],
        )

    async def judge(self, traffic: Traffic, *, is_long: bool) -> list[str]:
        """Let all that is under way end, look at what is held, stop, and compare."""
        await self.until_whole()
        wrong = await traffic.end()
        unfinished = await self.rigged.until_quiet(QUIET_S)
        if unfinished:
            wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        wrong += await self.leaks(is_long=is_long)
        wrong += await self.stop()
        wrong += self.complaints()
        return wrong + await asyncio.to_thread(self.rigged.breaches)

    def complaints(self) -> list[str]:
        """Errors that processes have logged, and that one did not believe another."""
        said = self.rigged.log.read_text(errors="replace").splitlines()
        found = [line for line in said if any(sign in line for sign in COMPLAINTS)]
        return [f"logged: {line}" for line in found]

    async def close(self) -> None:
        """End what still runs."""
        await self.rigged.close()
        self._end(processes_of(self.data))


def _deployable(member: str) -> str:
    return member.partition(".")[0]


def _most(one: Holdings, other: Holdings) -> Holdings:
    """The more of each kind: of two replicas one has the roles, and later it may be the other."""
    tasks = Counter(one.tasks) | Counter(other.tasks)
    return Holdings(max(one.files, other.files), max(one.sockets, other.sockets), tasks)


def _leaked(name: str, counts: list[tuple[str, int, int, int]]) -> list[str]:
    return [
        f"leaked: {name} has {now} {what}, at first {first}"
        for what, first, now, slack in counts
        if now > first + slack
    ]
