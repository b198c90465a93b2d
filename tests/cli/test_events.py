"""Dead letters as an operator meets them: listed with their cause, replayed, dropped."""

import http.client
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borough.cli import main
from borough.cli.events import _show_topics
from borough.engines.postgres import PostgresServer
from borough.ports import TopicFacts
from borough.runtime.topics import HandlerState, TopicState
from tests.cli.systems import write_system
from tests.cli.terminal import Ran, running
from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]

LISTENER = {
    "readers/__init__.py": "",
    "readers/contract.py": """
        from typing import Protocol
        from borough import contract, get

        @contract("readers", version="1.0")
        class Readers(Protocol):
            @get("/readers", allow=ANYONE)
            async def read(self) -> tuple[int, ...]:
                ...
        """.replace("from borough import", "from borough import ANYONE,"),
    "readers/service.py": """
        from pathlib import Path
        from typing import final
        from borough import Database, Service, Transaction, on
        from {package}.notes.contract import Noted
        from {package}.readers.contract import Readers

        MENDED = Path(__file__).parent / "mended"
        CAUSE = Path(__file__).parent / "cause"

        @final
        class ReaderService(Service, Readers):
            db: Database

            async def read(self) -> tuple[int, ...]:
                return tuple(await self.db.all(int, "select id from read order by id"))

            @on(Noted)
            async def remember(self, event: Noted, tx: Transaction) -> None:
                if not MENDED.exists():
                    raise LookupError(CAUSE.read_text() if CAUSE.exists() else "the shelf is missing")
                await tx.execute("insert into read (id) values ($1)", event.id)
        """,
    "readers/migrations/sqlite/0001_read.sql": "create table read (id integer primary key);\n",
}
OPTIONS = ("events.attempts=2", "events.retry_first_s=0.01", "events.retry_last_s=0.01")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_system(tmp_path, "shelves", files=LISTENER)


@pytest.fixture
def ran(root: Path) -> Iterator[Ran]:
    with running(root, *(word for option in OPTIONS for word in ("--set", option))) as found:
        yield found


def post(ran: Ran, target: str, value: Any) -> int:
    connection = http.client.HTTPConnection(ran.ready["edge"][7:], timeout=30)
    try:
        body = json.dumps(value)
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def borough(root: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "borough", "events", *words, "--system", str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def until_dead(root: Path, count: int) -> list[Any]:
    groups: list[Any] = []
    for _ in range(40):  # each look starts a process: a poll that waits long enough by itself
        _, output, _ = borough(root, "dead", "--json")
        groups = json.loads(output)
        if sum(group["events"] for group in groups) == count:
            return groups
    raise AssertionError(f"not {count} are dead: {groups}")


def until_read(root: Path, ran: Ran, ids: list[int]) -> None:
    found: object = None
    for _ in range(40):  # each look starts a process: a poll that waits long enough by itself
        found = ran.request("/readers/readers")
        if found == (200, ids):
            return
        borough(root, "dead")
    raise AssertionError(found)


def test_dead_letters_are_found_where_the_running_system_was_told_to_keep_them(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "create table read (id bigint primary key);\n"
    root = write_system(
        tmp_path,
        "shelves",
        toml='[system]\nname = "shelves"\n[data.postgres]\nurl = "env:SHELVES_URL"\n',
        files={**LISTENER, "readers/migrations/postgres/0001_read.sql": table},
    )
    monkeypatch.setenv("SHELVES_URL", f"{postgres_server.url}/shelves_{{service}}")
    options = (word for option in OPTIONS for word in ("--set", option))
    with running(root, "--store", "readers=postgres", *options) as ran:
        assert post(ran, "/notes/notes", {"text": "one"}) == 201
        (group,) = until_dead(root, 1)
        assert group["handler"] == "readers.remember"


def test_a_dead_letter_is_seen_replayed_and_gone(root: Path, ran: Ran) -> None:
    for text in ("one", "two"):
        assert post(ran, "/notes/notes", {"text": text}) == 201
    (group,) = until_dead(root, 2)
    assert group["handler"] == "readers.remember"
    assert (group["error"], group["cause"]) == ("LookupError", "the shelf is missing")
    assert group["frame"] == "service.py:remember"

    status, output, _ = borough(root, "dead", "readers.remember", "--events")
    assert status == 1
    assert output.count("2 attempts") == 2
    assert f"group {group['group']}" in output

    status, output, error = borough(root, "dead", "--events", "--json", "--limit", "1")
    assert (status, len(json.loads(output))) == (1, 1)
    assert "there are more; these are the first 1, --limit N shows" in error
    assert borough(root, "dead", "--events", "--limit", "2")[2] == ""
    status, _, error = borough(root, "dead", "--events", "--limit", "0")
    assert (status, "'0' is no number from 1 to 50000" in error) == (2, True)

    (root / "readers" / "mended").touch()
    status, output, _ = borough(root, "replay", "--group", group["group"])
    assert (status, output.splitlines()[0][:10]) == (0, "2 replayed")
    assert "out of order" in output
    until_read(root, ran, [1, 2])
    assert borough(root, "dead") == (0, "nothing is dead\n", "")


def renamed(root: Path, before: str, after: str) -> None:
    """The system's folder has another version, as after a rollout from elsewhere."""
    code = root / "readers" / "service.py"
    code.write_text(code.read_text().replace(f"def {before}(", f"def {after}("))


def test_a_handler_of_what_runs_is_replayed_though_the_folder_has_it_not(
    root: Path, ran: Ran
) -> None:
    assert post(ran, "/notes/notes", {"text": "one"}) == 201
    until_dead(root, 1)
    renamed(root, "remember", "recall")
    (root / "readers" / "mended").touch()
    status, output, error = borough(root, "replay", "readers.remember")
    assert (status, error) == (0, "")
    assert "1 replayed; a running service takes them within seconds\n" in output
    until_read(root, ran, [1])
    assert borough(root, "dead", "readers.remember") == (0, "nothing is dead\n", "")


def test_a_replay_for_which_nobody_reads_says_so(root: Path, ran: Ran) -> None:
    assert post(ran, "/notes/notes", {"text": "one"}) == 201
    until_dead(root, 1)
    ran.process.terminate()
    assert ran.process.wait(30) == 0
    renamed(root, "remember", "recall")
    (root / "readers" / "mended").touch()
    with running(root) as other:
        assert post(other, "/notes/notes", {"text": "two"}) == 201
        until_read(root, other, [2])
        renamed(root, "recall", "remember")
        status, output, _ = borough(root, "replay", "readers.remember")
    assert status == 0
    assert "1 replayed; those of readers.remember wait: no process that runs has it now" in output


def test_a_cause_that_a_customer_has_chosen_gives_the_terminal_no_orders(
    root: Path, ran: Ran
) -> None:
    (root / "readers" / "cause").write_text("no\x1b[2J\x1b]0;owned\x07\nshelf\x9b2J\u202e")
    assert post(ran, "/notes/notes", {"text": "one"}) == 201
    until_dead(root, 1)
    for words in ((), ("--events",)):
        _, output, _ = borough(root, "dead", *words)
        assert ": no�[2J�]0;owned� shelf�2J�\n" in output
        assert output.replace("\n", "").isprintable()


def test_dropped_letters_are_gone_also_without_a_running_service(root: Path, ran: Ran) -> None:
    assert post(ran, "/notes/notes", {"text": "one"}) == 201
    until_dead(root, 1)
    ran.process.terminate()
    assert ran.process.wait(30) == 0
    status, output, _ = borough(root, "drop", "readers", "--json")
    assert (status, json.loads(output)["action"]) == (0, "drop")
    assert borough(root, "dead")[0] == 0


def test_topics_are_listed_with_what_they_hold_and_who_hears_them(root: Path, ran: Ran) -> None:
    assert post(ran, "/notes/notes", {"text": "one"}) == 201
    until_dead(root, 1)
    status, output, _ = borough(root, "topics", "--json")
    (topic,) = json.loads(output)
    assert (status, topic["topic"], topic["retains"]) == (0, "notes.Notes", "7d")
    assert topic["facts"]["records"] == 1
    assert topic["outbox"] == topic["scheduled"] == 0
    assert topic["handlers"] == [
        {"name": "readers.remember", "behind": 0, "parked": 0, "dead": 1, "keys": 0, "heard": 1}
    ]
    lines = borough(root, "topics")[1].splitlines()
    assert lines[0].startswith("notes.Notes  retains 7d: 1 event, ")
    told = "    readers.remember: 0 behind, 0 parked, 1 dead (of 1 that it has taken)"
    assert told in lines
    assert lines[-1].startswith("dead: given up after the last attempt")


def test_a_size_that_the_broker_does_not_tell_is_not_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = TopicFacts(0, 9, 9, None, 3, None)
    _show_topics([TopicState("notes.Notes", "7d", facts, 0, 0, ())], Namespace(json=False))
    assert capsys.readouterr().out.splitlines()[0] == "notes.Notes  retains 7d: 9 events"


def test_while_the_broker_is_away_the_outbox_is_told_and_why_the_rest_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [HandlerState("readers.remember", None, 1, 0)]

    async def survey(*_: object) -> Any:
        return [TopicState("notes.Notes", "7d", None, 4, 0, handlers, "nobody answers")]

    monkeypatch.setattr("borough.runtime.topics.survey", survey)
    assert main(["events", "topics", "--system", str(root)]) == 1
    told = capsys.readouterr()
    assert told.err == "borough: what topics hold is not known: nobody answers\n"
    assert told.out.splitlines()[:3] == [
        "notes.Notes  retains 7d: the broker cannot be asked",
        "    4 in the outbox, 0 for later",
        "    readers.remember: how far is not known, 1 parked, 0 dead",
    ]


def test_topics_of_a_system_that_never_ran_are_empty(root: Path) -> None:
    (topic,) = json.loads(borough(root, "topics", "--json")[1])
    assert topic["facts"]["records"] == 0
    assert topic["handlers"][0]["behind"] is None


def test_replay_and_drop_want_to_know_which(root: Path) -> None:
    for action in ("replay", "drop"):
        status, _, error = borough(root, action)
        assert status == 2
        assert f"borough events {action}: say which" in error


def test_an_unknown_handler_is_said_with_those_that_there_are(root: Path) -> None:
    status, _, error = borough(root, "dead", "readers.recall")
    assert status == 2
    assert "there is no service or handler readers.recall; handlers are readers.remember" in error
