"""The demo: a card issuer, the shop, its customers; and in the end, whether all was kept.

Each is a process of its own; the shop is one, or a fleet of them below their supervisor. They are
ended in the order in which they depend on each other: customers, then the server once its events
are quiet, then the issuer. Then the ledgers speak.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from borough.engines.started import started
from borough.errors import ConfigurationError
from borough.runtime.adapters import engines_without_address
from borough.runtime.configuration import Configuration, variable_of
from shop.demo import flash_sale
from shop.demo.flags import as_flags, of_services
from shop.demo.places import Places
from shop.demo.polyglot import Polyglot
from shop.demo.processes import Child, ChildFailed, free_port, is_free, pss_mib
from shop.demo.screen import Screen, progress_block, summary_block
from shop.demo.watch import Watch

LOOK_S = 0.25
FIRST_LOOK_S = 0.05
"""While customers sign up: hashing passwords is the peak of memory, and it is short."""
MEASURE_EACH_S = 1.0
"""The kernel walks a process's pages to tell its memory, which costs milliseconds."""
READY_WITHIN_S = 30.0
QUIET_WITHIN_S = 30.0
QUIET_LOOK_S = 0.05
COUNT_SHARE = 20
"""Counting events may take a twentieth of the time."""
PAUSE_S = 0.5
"""Between two visits of a customer in a demo that runs until Ctrl-C: it is there to be watched."""
PORT = 8080


class Wishes(NamedTuple):
    """What the command line asks for."""

    shop: Path
    seconds: float | None
    seed: int
    in_flight: int
    port: int
    data: Path | None
    keep: bool
    as_json: bool
    measure: bool
    topology: str
    engines: Mapping[str, str]
    """Which store and which broker, where they are not the embedded ones."""
    scenario: str | None
    is_polyglot: bool
    """Whether notifications are the TypeScript service."""


class Stopped(Exception):
    """Ctrl-C for the second time."""


class Demo:
    """One run."""

    def __init__(self, wishes: Wishes, folder: Path, screen: Screen) -> None:
        self._wishes = wishes
        self._places = Places(folder)
        self._screen = screen
        self._children: list[Child] = []
        self._polyglot = Polyglot(wishes.shop, self._places) if wishes.is_polyglot else None
        self._pids: Mapping[str, int] = {}
        self._port = wishes.port or free_port(PORT)
        self._is_stopping = False
        self._tally: dict[str, Any] = {}
        self._events = self._events_before = (0, 0)
        self._next_count_s = 0.0
        self._next_measure_s = 0.0
        self._errors: list[str] = []
        self._memory = {"server_ready_mib": 0.0, "server_peak_mib": 0.0, "peak_mib": 0.0}
        self._ready_ms = 0.0
        self._options: dict[str, str] = dict(wishes.engines)
        self._environment = dict(os.environ)
        paths = [str(wishes.shop.parent), os.environ.get("PYTHONPATH", "")]
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)

    def run(self) -> tuple[dict[str, Any], list[str]]:
        """From the first process to the comparison: the summary, and what is wrong in words."""
        try:
            with self._signals(), self._engines():
                issuer, server = self._start()
                watch = Watch(self._places)
                self._events_before = watch.counts()
                customers = self._start_customers()
                self._follow(customers, server, watch)
                self._wait_until_quiet(server, watch)
                self._events = self._events_so_far(watch)
                watch.close()
                self._stop(server)
                self._stop(issuer)
                return self._judge()
        finally:
            for child in self._children:
                child.kill()

    @property
    def _seconds(self) -> float | None:
        """How long customers come; None for ever."""
        is_endless = self._wishes.scenario is None
        return self._wishes.seconds or (None if is_endless else flash_sale.SECONDS)

    @property
    def memory(self) -> Mapping[str, float]:
        """Shares of memory that were seen."""
        return self._memory

    # --- beginning -------------------------------------------------------------------------------

    def _start(self) -> tuple[Child, Child]:
        """Start issuer and server. Where there are no databases, one start before makes them."""
        places = self._places
        self._screen.say("Starting the card issuer and the shop ...")
        issuer = self._child(
            "issuer", "-m", "shop.demo.issuer", "--port", "0", "--ledger", str(places.issuer)
        )
        url = f"http://127.0.0.1:{self._first_line(issuer)['ready']}"
        self._environment |= {
            "BOROUGH_EDGE_PORT": str(self._port),
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",  # all customers come from one address
            "BOROUGH_DATA_FOLDER": str(places.data),
            "BOROUGH_PAYMENTS_ISSUER_URL": url,
        }
        self._environment |= {
            variable_of(name): value
            for name, value in self._options.items()
            if name not in of_services(self._options)
        }
        if self._wishes.scenario:
            self._environment |= flash_sale.SETTINGS
        if self._polyglot is not None:
            self._environment |= self._polyglot.environment(self._options)
        else:
            self._environment["BOROUGH_NOTIFICATIONS_MAILBOX"] = str(places.mailbox)
        if not places.data.exists():
            self._stop(self._started_server())
        server = self._started_server()
        self._ready_ms = round((time.monotonic() - server.started_s) * 1000, 1)
        self._memory["server_ready_mib"] = round(self._mib_of(server), 1)
        page = f"http://127.0.0.1:{self._port}"
        self._screen.say(f"The shop is open: {page}/   how it works: {page}/console")
        if self._pids:
            said = ", ".join(f"{name} {pid}" for name, pid in self._pids.items())
            self._screen.say(f"Its processes: {said}")
        if self._seconds is None:
            self._screen.say("Customers come and go. Ctrl-C ends it and compares the ledgers.")
        return issuer, server

    def _started_server(self) -> Child:
        """A server that is ready, which it says in a line of JSON."""
        wishes, flags, system = self._wishes, of_services(self._options), self._wishes.shop
        if self._polyglot is not None:
            system = self._polyglot.system
            flags |= self._polyglot.flags(self._options)
        run = ("borough", "run", str(system), "--json", "--topology", wishes.topology)
        server = self._child("server", "-m", *run, *as_flags(flags))
        ready = self._first_line(server)
        self._pids = {each["deployable"]: each["pid"] for each in ready.get("replicas", ())}
        return server

    def _start_customers(self) -> Child:
        wishes, seconds = self._wishes, self._seconds
        pause_s = PAUSE_S if seconds is None else 0.0
        sale: tuple[str, ...] = ()
        if wishes.scenario:
            pause_s = flash_sale.PAUSE_S
            sale = ("--sale", str(self._places.data))
        return self._child(
            "customers",
            "-m",
            "shop.demo.traffic",
            *("--edge", f"http://127.0.0.1:{self._port}"),
            *("--ledger", str(self._places.answers)),
            *("--seed", str(wishes.seed)),
            *("--for", "forever" if seconds is None else str(seconds)),
            *("--in-flight", str(wishes.in_flight)),
            *("--pause", str(pause_s)),
            *sale,
        )

    def _child(self, name: str, *arguments: str) -> Child:
        log = self._places.folder / f"{name}.log"
        child = Child(name, arguments, log, self._environment)
        self._children.append(child)
        return child

    def _first_line(self, child: Child) -> dict[str, Any]:
        """What a child says when it is ready. Raises `ChildFailed` if it does not get there."""
        while not (lines := child.lines(LOOK_S)):
            child.check()
            if time.monotonic() - child.started_s > READY_WITHIN_S:
                raise ChildFailed(f"{child.name} is not ready after {READY_WITHIN_S:.0f} s")
        ready: dict[str, Any] = json.loads(lines[0])
        return ready

    # --- going on ---------------------------------------------------------------------------------

    def _follow(self, customers: Child, server: Child, watch: Watch) -> None:
        """Show how it stands until the customers have gone."""
        began_s = time.monotonic()
        was_asked = False
        while not customers.is_silent:
            if self._is_stopping and not was_asked:
                was_asked = True
                self._screen.say("Stopping: no further visits, open orders are followed ...")
                customers.ask_to_stop()
            lines = customers.lines(LOOK_S if self._tally else FIRST_LOOK_S)
            if lines:
                self._tally = json.loads(lines[-1])
            server.check()
            self._measure(server)
            self._count(watch)
            if self._tally:
                now_s = time.monotonic()
                block = progress_block(
                    now_s - began_s, self._tally, self._events, self._memory["peak_mib"]
                )
                self._screen.show(block, now_s)
        customers.stop()
        self._errors += self._tally.get("sentences", [])
        if not self._tally.get("final"):
            raise ChildFailed(f"the customers have gone without a word\n{customers.last_words()}")

    def _count(self, watch: Watch) -> None:
        began_s = time.monotonic()
        if began_s < self._next_count_s:
            return
        self._events = self._events_so_far(watch)
        now_s = time.monotonic()
        self._next_count_s = now_s + max(LOOK_S, COUNT_SHARE * (now_s - began_s))

    def _events_so_far(self, watch: Watch) -> tuple[int, int]:
        """Published and handled in this run: the databases may be older."""
        published, handled = watch.counts()
        return published - self._events_before[0], handled - self._events_before[1]

    def _measure(self, server: Child) -> None:
        now_s = time.monotonic()
        if self._tally and now_s < self._next_measure_s:
            return
        self._next_measure_s = now_s + MEASURE_EACH_S
        ours = self._mib_of(server)
        together = ours + sum(
            pss_mib(child.pid) for child in self._children if child.name in ("issuer", "customers")
        )
        memory = self._memory
        memory["server_peak_mib"] = round(max(memory["server_peak_mib"], ours), 1)
        memory["peak_mib"] = round(max(memory["peak_mib"], together), 1)

    def _mib_of(self, server: Child) -> float:
        """The share of memory of all that is the shop."""
        return sum(map(pss_mib, {server.pid, *self._pids.values()}))

    def _wait_until_quiet(self, server: Child, watch: Watch) -> None:
        """Wait until every order rests and every event is handled."""
        ends_s = time.monotonic() + QUIET_WITHIN_S
        while unfinished := watch.unfinished():
            server.check()
            if time.monotonic() > ends_s:
                self._errors.append(f"after {QUIET_WITHIN_S:.0f} s: {'; '.join(unfinished)}")
                return
            time.sleep(QUIET_LOOK_S)

    # --- the end ----------------------------------------------------------------------------------

    def _stop(self, *children: Child) -> None:
        for child in children:
            status = child.stop()
            if status != 0:
                said = f"{child.name} ended with status {status}: {child.last_words()}"
                self._errors.append(said)

    def _judge(self) -> tuple[dict[str, Any], list[str]]:
        from shop.demo.ledger import compare  # reads contracts: not before it is needed

        breaches = compare(self._places.folder)
        lost = sum(breach.rule.kind == "lost" for breach in breaches)
        tally = self._tally
        ours = len(self._errors) - len(tally["sentences"])
        summary = {
            "orders": tally["orders"],
            "paid": tally["paid"],
            "declined": tally["declined"],
            "events_published": self._events[0],
            "events_handled": self._events[1],
            "lost": lost,
            "doubled": len(breaches) - lost,
            "errors": tally["errors"] + ours,
            "p50_ms": tally["p50_ms"],
            "p99_ms": tally["p99_ms"],
            "requests_per_s": tally["requests_per_s"],
            "ready_ms": self._ready_ms,
        }
        if self._pids:
            summary["pids"] = self._pids
        if self._wishes.scenario:
            summary["scenario"] = tally["scenario"]
        return summary, [*self._errors, *map(str, breaches)]

    @contextlib.contextmanager
    def _engines(self) -> Iterator[None]:
        """The servers that the shop needs outlive it: in the end the databases are read."""
        configuration = Configuration.load(self._wishes.shop, os.environ, self._options)
        names = engines_without_address(configuration.options)
        if names:
            self._screen.say(f"Starting {', '.join(names)} ...")
        with started(names, self._places.folder) as found:
            self._options |= found
            yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C ends the visits, the second one everything."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            if self._is_stopping:
                raise Stopped
            self._is_stopping = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def show(wishes: Wishes) -> int:
    """Run the demo and say what it came to; returns the exit status."""
    if wishes.port and not is_free(wishes.port):
        raise ConfigurationError(f"Port {wishes.port} is in use; choose another with --port")
    if wishes.scenario and wishes.topology == "one":
        raise ConfigurationError(
            f"{wishes.scenario} gives replicas to one service, and there is one process; "
            "add --topology fleet"
        )
    screen = Screen(sys.stderr if wishes.as_json else sys.stdout)
    folder = (wishes.data or Path(tempfile.mkdtemp(prefix="borough-demo-"))).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"{folder} cannot be made: {reason}; name another folder with --data"
        ) from None
    if wishes.data is None and os.geteuid() == 0:
        # Servers are never root: they pass through to their data, which goes with the folder.
        folder.chmod(0o711)
    is_worth_keeping = wishes.keep or wishes.data is not None
    try:
        demo = Demo(wishes, folder, screen)
        summary, wrong = demo.run()
        is_worth_keeping |= bool(wrong)
        for sentence in wrong[:10]:
            screen.say(f"  ! {sentence}")
        for line in summary_block(summary, demo.memory):
            screen.say(line)
        if wishes.measure:
            print(json.dumps({"ready_ms": summary["ready_ms"], **demo.memory}), file=sys.stderr)
        if wishes.as_json:
            print(json.dumps(summary), flush=True)
        return 0 if not wrong and summary.get("scenario", {}).get("met", True) else 1
    except Stopped:
        return 130
    except ChildFailed as error:
        is_worth_keeping = True
        print(f"borough demo: {error}", file=sys.stderr)
        return 1
    finally:
        if is_worth_keeping:
            screen.say(f"Everything is kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
