"""A running system as its operator sees it: ready, draining, stopped, reloaded, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from borough.cli.address import (
    Address,
    forget_address,
    forget_dead_keeper,
    read_address,
    write_address,
)
from borough.testing import free_port
from tests.cli.systems import write_system
from tests.cli.terminal import HELD, PATIENCE_S, Ran, borough, ready_line, running, spawned
from tests.runtime.wheels import search_wheel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_system(tmp_path, "memo", files=HELD)


class Held:
    """A request that hangs until it is let go."""

    def __init__(self, ran: Ran) -> None:
        self.answer: Any = None
        path = ran.pipe

        def ask() -> None:
            with suppress(OSError):
                self.answer = ran.request("/notes/hold/pipe")

        self._thread = threading.Thread(target=ask)
        self._thread.start()
        self._pipe = path.open("w")  # opens once the handler reads

    def let_go(self) -> Any:
        self._pipe.write("done")
        self._pipe.close()
        self._thread.join(PATIENCE_S)
        return self.answer


def test_a_handler_that_blocks_the_loop_is_named_with_its_line(tmp_path: Path) -> None:
    blocking = HELD["notes/service.py"].replace(
        "await in_thread((self.folder / place).read_text)", "(self.folder / place).read_text()"
    )
    root = write_system(tmp_path, "memo", files={**HELD, "notes/service.py": blocking})
    file = root / "notes" / "service.py"
    lines = file.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "read_text" in text)
    with running(root) as ran:
        held = Held(ran)
        heard = ran.said("the event loop has stood still")
        assert held.let_go() == (200, "done")
        assert f"in notes.Notes.hold, at {file}:{line} (NoteService.hold)" in heard
        assert ran.stop()[0] == 0


def test_the_ready_line_says_where_everything_is(root: Path) -> None:
    with running(root) as ran:
        ready = ran.ready
        assert (ready["system"], ready["pid"]) == ("memo", ran.process.pid)
        assert ready["data"] == str(root / ".borough")
        assert ready["contracts"] == [
            {"service": "notes", "contract": "Notes", "version": "1.0", "path": "/notes"}
        ]
        assert ran.request("/readyz")[0] == 200
        assert ran.stop()[0] == 0
    assert not (root / ".borough" / "running.json").exists()


def test_a_person_gets_a_table(root: Path) -> None:
    port = free_port()
    with spawned("run", str(root), "--port", str(port)) as process:
        assert process.stdout is not None
        table = "".join(iter(process.stdout.readline, "Ctrl-C stops.\n"))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert f"memo runs in one process (pid {process.pid}), data in {root}/.borough" in table
    for row in ("console", "docs", "internal", "Notes 1.0"):
        assert f"\n  {row} " in table
    assert f"http://127.0.0.1:{port}/notes" in table


def test_the_first_signal_drains_and_the_request_in_flight_is_answered(root: Path) -> None:
    with running(root) as ran:
        held = Held(ran)
        ran.process.send_signal(signal.SIGTERM)
        ran.said("stopping; once more exits at once")
        refused = False
        host, _, port = ran.ready["edge"][7:].partition(":")
        while not refused:
            try:
                socket.create_connection((host, int(port)), PATIENCE_S).close()
            except ConnectionResetError:
                pass  # it came just as the listener closed
            except ConnectionRefusedError:
                refused = True
        assert held.let_go() == (200, "done")
        assert ran.ended()[0] == 0


def test_a_second_signal_exits_at_once(root: Path) -> None:
    with running(root) as ran:
        held = Held(ran)
        ran.process.send_signal(signal.SIGTERM)
        ran.said("stopping")
        assert ran.stop()[0] == 130
        with suppress(BrokenPipeError):
            held.let_go()
    assert held.answer is None


def test_a_terminal_that_is_closed_drains_however_often_it_says_so(root: Path) -> None:
    with running(root) as ran:
        held = Held(ran)
        ran.process.send_signal(signal.SIGHUP)
        ran.said("stopping")
        ran.process.send_signal(signal.SIGHUP)
        assert held.let_go() == (200, "done")
        assert ran.ended()[0] == 0
    assert not (root / ".borough" / "running.json").exists()


def test_a_thread_that_hangs_does_not_keep_the_process(root: Path) -> None:
    with running(root, "--set", "limits.drain_s=0.2") as ran:
        held = Held(ran)
        assert ran.stop()[0] == 0
        with suppress(BrokenPipeError):
            held.let_go()


STUBBORN = """
import asyncio
from {package}.notes.contract import Notes
from borough import Database, Service, every

class NoteService(Service, Notes):
    db: Database

    @every("10ms")
    async def stay(self):
        print("staying", flush=True)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def write(self, text): ...
    async def read(self, id): ...
    def all(self): ...
    async def hold(self, place): ...
    async def internal(self): ...
"""


def test_what_will_not_be_stopped_is_left_behind_and_that_is_said(tmp_path: Path) -> None:
    root = write_system(tmp_path, "stub", files={**HELD, "notes/service.py": STUBBORN})
    with running(root, "--set", "limits.drain_s=0.1") as ran:
        assert ran.process.stdout is not None
        assert ran.process.stdout.readline() == "staying\n"
        status, error = ran.stop()
        assert status == 70
        assert "not stopped after" in error


def test_ctrl_c_stops_it(root: Path) -> None:
    with running(root) as ran:
        assert ran.stop(signal.SIGINT)[0] == 0


def test_a_signal_during_the_start_ends_the_start(tmp_path: Path) -> None:
    service = """
    import asyncio
    from borough import Service
    from {package}.notes.contract import Notes

    class NoteService(Service, Notes):
        async def open(self):
            print("opening", flush=True)
            await asyncio.Event().wait()
        async def write(self, text): ...
        async def read(self, id): ...
        async def internal(self): ...
    """
    root = write_system(tmp_path, "memo", files={"notes/service.py": service})
    with spawned("run", str(root), "--port", "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        process.terminate()
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in error


def test_a_failing_open_is_one_sentence(tmp_path: Path) -> None:
    service = """
    from borough import Database, Service
    from {package}.notes.contract import Notes

    class NoteService(Service, Notes):
        db: Database
        async def open(self):
            raise RuntimeError("no mail server")
        async def write(self, text): ...
        async def read(self, id): ...
        async def internal(self): ...
    """
    root = write_system(tmp_path, "memo", files={"notes/service.py": service})
    with spawned("run", str(root), "--port", "0") as process:
        _, error = process.communicate(timeout=PATIENCE_S)
    place = root / "notes" / "service.py"
    assert error == (
        f"borough: notes could not be opened: RuntimeError: no mail server ({place}:8)\n"
    )
    assert process.returncode == 1


@pytest.mark.parametrize(
    "words", [["--port", "0"], ["--only", "notes"]], ids=["one process", "one of its parts"]
)
def test_a_database_that_is_away_at_the_start_is_worth_another_start(
    tmp_path: Path, words: list[str]
) -> None:
    root = write_system(tmp_path, "memo")
    address = f"data.postgres.url=postgresql://127.0.0.1:{free_port()}/memo_{{service}}"
    with spawned("run", str(root), "--store", "postgres", *words, "--set", address) as process:
        _, error = process.communicate(timeout=PATIENCE_S)
    assert "cannot be reached: " in error
    assert "Traceback" not in error
    assert process.returncode == 1  # 2 would keep a service manager from trying again


def test_reload_begins_anew_and_leaves_no_child_behind(root: Path) -> None:
    with running(root, "--reload") as ran:
        first = ran.ready["pid"]
        assert first != ran.process.pid
        place = root / "notes" / "service.py"
        place.write_text(place.read_text().replace("for {", "now for {"))
        assert f"{place} has changed" in ran.said("starting anew")
        second = ready_line(ran.process)["pid"]
        assert second not in (first, ran.process.pid)
        place.write_text("x = = 1\n")
        heard = ran.said("waiting for a change")
        assert "SyntaxError" in heard
        place.write_text("# nothing\n" + place.read_text())
        ran.said("waiting for a change")
        status, _ = ran.stop(signal.SIGINT)
        assert status == 2  # that of its last child
    for child in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_reload_watches_a_distribution_that_is_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"  # where it is worked on: on the path as `pip install -e` puts it there
    with zipfile.ZipFile(search_wheel(tmp_path, "findings")) as wheel:
        wheel.extractall(own)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(own), os.environ.get("PYTHONPATH", "")]))
    root = tmp_path / "finder"
    root.mkdir()
    (root / "borough.toml").write_text('[services.search]\ndistribution = "findings"\n')
    with running(root, "--reload") as ran:
        place = own / "findings" / "service.py"
        place.write_text(place.read_text() + "\nSEEN = True\n")
        assert f"{place} has changed" in ran.said("starting anew")
        assert ready_line(ran.process)["pid"] != ran.ready["pid"]
        assert ran.stop()[0] == 0


def test_reload_drains_its_child_when_it_is_stopped(root: Path) -> None:
    with running(root, "--reload") as ran:
        held = Held(ran)
        ran.process.send_signal(signal.SIGINT)
        ran.said("stopping; once more exits at once")
        assert held.let_go() == (200, "done")
        assert ran.ended()[0] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(ran.ready["pid"], 0)


@pytest.fixture
def unheard() -> Iterator[None]:
    """What is started by `nohup` does not hear that the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("unheard")
def test_reload_that_is_started_by_nohup_goes_on_when_the_terminal_is_closed(root: Path) -> None:
    with running(root, "--reload") as ran:
        ran.process.send_signal(signal.SIGHUP)
        place = root / "notes" / "service.py"
        place.write_text("# nothing\n" + place.read_text())
        ran.said("starting anew")
        assert ready_line(ran.process)["pid"] != ran.ready["pid"]
        assert ran.stop()[0] == 0


def test_a_mock_serves_a_contract_without_a_class(root: Path) -> None:
    (root / "notes" / "service.py").unlink()
    with running(root, "--mock", "notes") as ran:
        status, note = ran.request("/notes/notes/3")
        assert (status, set(note)) == (200, {"id", "text"})
        assert ran.stop()[0] == 0


def test_what_is_mocked_is_not_told_to_be_elsewhere(root: Path) -> None:
    (root / "notes" / "service.py").unlink()
    with (root / "borough.toml").open("a") as toml:
        toml.write('[external.notes]\nurl = "http://127.0.0.1:1"\n')
    with spawned("run", str(root), "--port", "0", "--mock", "notes") as process:
        assert process.stdout is not None
        told = [line for line in iter(process.stdout.readline, "Ctrl-C stops.\n") if line]
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert any("Notes 1.0 (mock)" in line for line in told)
    assert not any("elsewhere" in line for line in told)


def test_two_processes_cannot_have_one_port_and_the_second_takes_nothing_from_the_first(
    root: Path,
) -> None:
    with running(root) as ran:
        otlp = (root / ".borough" / "borough.otlp").read_text()
        port = ran.ready["edge"].rpartition(":")[2]
        with spawned("run", str(root), "--port", port) as second:
            _, error = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 2
        assert error.startswith(f"borough: Port {port} on 127.0.0.1 is in use")
        assert (root / ".borough" / "borough.otlp").read_text() == otlp
        assert ran.request("/notes/notes/1")[0] == 404
        assert ran.stop()[0] == 0


def test_a_killed_system_leaves_its_data_and_a_clear_trail(root: Path) -> None:
    call = borough("call", "notes.write", '{"text": "milk"}', "--system", str(root))
    with running(root) as ran:
        subprocess.run(call, check=True, capture_output=True, timeout=PATIENCE_S)
        ran.process.kill()
        ran.process.wait(PATIENCE_S)
    done = subprocess.run(call, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "has ended without saying so; start it again with `borough run`" in done.stderr
    with running(root) as ran:
        assert ran.request("/notes/notes/1") == (200, {"id": 1, "text": "milk"})
        assert ran.stop()[0] == 0


def test_a_second_system_on_the_same_data_is_found_once_the_first_has_ended(root: Path) -> None:
    call = borough("call", "notes.write", '{"text": "milk"}', "--system", str(root))
    known = root / ".borough" / "running.json"
    with running(root) as first, running(root) as second:
        port = first.ready["edge"].rpartition(":")[2]
        assert f":{port} (pid {first.process.pid}) runs on the data in" in second.said("too; until")
        assert read_address(known.parent).pid == first.process.pid
        assert second.stop()[0] == 0
        assert read_address(known.parent).pid == first.process.pid
        with running(root) as third:
            first.process.kill()
            first.process.wait(PATIENCE_S)
            assert read_address(known.parent).pid == third.process.pid
            subprocess.run(call, check=True, capture_output=True, timeout=PATIENCE_S)
            assert third.stop()[0] == 0


def test_where_a_killed_system_took_otlp_is_forgotten_before_the_next_one_begins(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        edge = f"http://127.0.0.1:{listening.getsockname()[1]}"
        write_address(tmp_path, Address(os.getppid(), edge, otlp="http://127.0.0.1:3"))
        forget_dead_keeper(tmp_path)
        assert (tmp_path / "borough.otlp").exists()
    forget_dead_keeper(tmp_path)
    assert not (tmp_path / "borough.otlp").exists()


def test_the_next_system_takes_the_place_of_the_first_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        edge = f"http://127.0.0.1:{listening.getsockname()[1]}"
        first = Address(os.getppid(), edge, otlp="http://127.0.0.1:3")
        own = Address(os.getpid(), "http://127.0.0.1:2", otlp="http://127.0.0.1:4")
        assert write_address(tmp_path, first) == first
        assert write_address(tmp_path, own) == first
        assert read_address(tmp_path) == first
        assert (tmp_path / "borough.otlp").read_text() == "http://127.0.0.1:3\n"
        forget_address(tmp_path, first)
    assert read_address(tmp_path) == own
    assert (tmp_path / "borough.otlp").read_text() == "http://127.0.0.1:4\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "borough.otlp",
        "prometheus.json",
        "running.json",
    ]
    forget_address(tmp_path, own)
    assert list(tmp_path.iterdir()) == []


def test_a_place_at_which_nobody_listens_is_taken_though_its_number_is_somebodys(
    tmp_path: Path,
) -> None:
    gone = Address(os.getppid(), f"http://127.0.0.1:{free_port()}")
    own = Address(os.getpid(), "http://127.0.0.1:2")
    write_address(tmp_path, gone)
    assert write_address(tmp_path, own) == own
    assert read_address(tmp_path) == own


@pytest.mark.parametrize("words", [["contracts", "export"], ["contracts", "show"]])
def test_a_reader_that_leaves_is_no_error(root: Path, words: list[str]) -> None:
    with spawned(*words, "--system", str(root)) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_S) == 141


def test_it_runs_from_anywhere(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path, folder in ((".", root), ("../memo", elsewhere), ("memo", tmp_path)):
        with spawned("contracts", "show", "--system", path, cwd=folder) as process:
            output, error = process.communicate(timeout=PATIENCE_S)
        assert (error, output.split()[0]) == ("", "notes.Notes")
