"""What a run has kept, as an operator asks for it: traces, one of them, and who calls or hears whom."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.systems import write_system
from tests.cli.terminal import Ran, running

READERS = {
    "readers/__init__.py": "",
    "readers/contract.py": """
        from typing import Protocol
        from borough import ANYONE, contract, get

        @contract("readers", version="1.0")
        class Readers(Protocol):
            @get("/readers/{note_id}", allow=ANYONE)
            async def read(self, note_id: int) -> str:
                ...
        """,
    "readers/service.py": """
        import logging
        from typing import final
        from borough import Database, Service, Transaction, on
        from {package}.notes.contract import Noted, Notes
        from {package}.readers.contract import Readers

        @final
        class ReaderService(Service, Readers):
            db: Database
            notes: Notes

            async def read(self, note_id: int) -> str:
                logging.getLogger("readers").warning("looking for %d", note_id, extra={"shelf": 3})
                return (await self.notes.read(note_id)).text

            @on(Noted)
            async def hear(self, event: Noted, tx: Transaction) -> None:
                pass
        """,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_system(tmp_path, "shelves", files=READERS)


@pytest.fixture
def ran(root: Path) -> Iterator[Ran]:
    with running(root, "--set", "telemetry.every_s=0.1", "--set", "telemetry.logs=json") as found:
        yield found


def ask(ran: Ran, method: str, target: str, value: Any = None) -> Any:
    connection = http.client.HTTPConnection(ran.ready["edge"][7:], timeout=30)
    try:
        body = None if value is None else json.dumps(value)
        connection.request(method, target, body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def borough(root: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "borough", *words, "--system", str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_trace_is_found_by_an_id_and_shown_with_what_was_logged(root: Path, ran: Ran) -> None:
    ask(ran, "POST", "/notes/notes", {"text": "tea"})
    ask(ran, "GET", "/readers/readers/1")
    ask(ran, "GET", "/readers/readers/2")
    found: list[Any] = []
    for _ in range(50):
        status, said, _ = borough(root, "trace", "list", "note_id=1", "--json")
        assert status == 0
        if found := json.loads(said)["traces"]:
            break
    (trace,) = found
    assert trace["name"] == "readers.Readers/read"
    assert trace["services"] == ["readers", "notes"]
    status, said, _ = borough(root, "trace", "show", trace["trace_id"][:12])
    assert status == 0
    assert "readers: readers.Readers/read" in said
    assert "notes: select notes" in said
    assert "warning: looking for 1" in said
    line = json.loads(ran.said("looking for 1").splitlines()[-1])
    assert (line["service"], line["trace_id"], line["shelf"]) == ("readers", trace["trace_id"], 3)
    status, said, _ = borough(root, "trace", "list", "--service", "nobody")
    assert (status, said) == (0, "no trace fits\n")


def test_a_map_tells_what_is_declared_from_what_was_seen(root: Path) -> None:
    with running(root) as ran:
        ask(ran, "POST", "/notes/notes", {"text": "tea"})
        ask(ran, "GET", "/readers/readers/1")
        ran.stop()
    status, said, _ = borough(root, "map", "--json")
    assert status == 0
    edges = {(e["kind"], e["caller"], e["callee"]): e for e in json.loads(said)["edges"]}
    assert set(edges) == {("call", "readers", "notes"), ("event", "notes", "readers")}
    call = edges["call", "readers", "notes"]
    assert (call["declared"], call["observed"]) == (True, True)
    assert call["operations"][0]["count"] == 1
    assert "readers -> notes" in borough(root, "map")[1]


def test_a_map_of_what_never_ran_says_that_nothing_is_known(root: Path) -> None:
    status, said, error = borough(root, "map")
    assert status == 0
    assert "declared\n" in said
    assert "never seen" not in said
    assert "what has been seen is not known: nothing is kept in" in error


ELSEWHERE = {
    "bank/contract.py": """
        from typing import Protocol
        from borough import Problem, contract, get

        class Closed(Problem, status=409):
            \"""The bank is closed.\"""

        @contract("bank", version="1.0")
        class Bank(Protocol):
            @get("/left", raises=[Closed])
            async def left(self) -> int:
                ...
        """,
    "readers/service.py": """
        from contextlib import suppress
        from typing import final
        from borough import Service
        from {package}.bank.contract import Bank, Closed
        from {package}.readers.contract import Readers

        @final
        class ReaderService(Service, Readers):
            bank: Bank

            async def read(self, note_id: int) -> str:
                with suppress(Closed):
                    await self.bank.left()
                return "closed"
        """,
}


class ClosedBank(http.server.BaseHTTPRequestHandler):
    """Answers every request with the problem that its contract declares."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"type": "urn:borough:problem:bank.Closed", "code": "bank.Closed", "status": 409}'
        self.send_response(409)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_map_has_calls_to_services_elsewhere_and_takes_a_declared_problem_for_an_answer(
    tmp_path: Path,
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ClosedBank) as bank:
        threading.Thread(target=bank.serve_forever).start()
        url = f"http://127.0.0.1:{bank.server_port}"
        toml = f'[system]\nname = "banking"\n[external.bank]\nurl = "{url}"\n'
        root = write_system(tmp_path, "banking", toml=toml, files={**READERS, **ELSEWHERE})
        try:
            with running(root) as ran:
                assert ask(ran, "GET", "/readers/readers/1") == "closed"
                ran.stop()
        finally:
            bank.shutdown()
    status, said, _ = borough(root, "map")
    assert status == 0
    assert re.search(r"^readers -> bank +1 call, 0 failed, .*, elsewhere$", said, re.MULTILINE), (
        said
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("trace", "list"), "nothing is kept in"),
        (("trace", "show", "xyz"), "is no trace id"),
    ],
)
def test_what_is_not_there_is_said_with_a_remedy(
    root: Path, words: tuple[str, ...], sentence: str
) -> None:
    status, _, said = borough(root, *words)
    assert status == 2
    assert sentence in said
    assert "Traceback" not in said


def test_the_console_of_a_running_system_is_named(root: Path, ran: Ran) -> None:
    url = f"{ran.ready['edge']}/console/#/services/notes"
    assert borough(root, "console", "services/notes", "--print") == (0, f"{url}\n", "")
    assert json.loads(borough(root, "console", "services/notes", "--json")[1]) == {"url": url}


def test_a_console_of_nothing_is_said_with_a_remedy(root: Path) -> None:
    status, _, complaint = borough(root, "console")
    assert status == 2
    assert "start it with `borough run`" in complaint
