"""A service that is a command is a member of the fleet like others: started, found, begun anew, seen off, told of."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from borough.clock import SystemClock
from borough.errors import ConfigurationError, DeclarationFaults
from borough.fleet.control import (
    Assignment,
    Describe,
    Described,
    DirectoryChanged,
    Drain,
    Failed,
    FromReplica,
    Ready,
)
from borough.fleet.foreign import ForeignChild
from borough.fleet.last_words import LastWords
from borough.fleet.member import Member
from borough.fleet.surroundings import Surroundings
from borough.reliability.backoff import Backoff
from borough.reliability.restarts import Restarts
from borough.runtime.configuration import Configuration
from borough.runtime.foreign import foreign_services
from borough.runtime.options import DeployableFacts
from borough.runtime.system import System
from borough.runtime.topology import make_topology
from tests.cli.terminal import PATIENCE_S, borough
from tests.fleet.versions import write_grown, write_incompatible
from tests.fleet.village import TOML, Village, is_alive, run_village, until, write_village

POST = Path(__file__).with_name("post.py")
FACTS = """
[services.post]
command = ["%s", "-S", "post.py", "{port}"]
folder = "post"
needs = ["ledger.Ledger"]
environment = { SEALED = "file:sealed.txt", GREETING = "hello" }
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The village with a post office, which calls the ledger before it is ready."""
    root = write_village(tmp_path)
    (root / "borough.toml").write_text(TOML + FACTS % sys.executable)
    (root / "sealed.txt").write_text("a secret\n")
    (root / "post").mkdir()
    shutil.copy(POST, root / "post" / "post.py")
    return root


def test_a_command_is_a_member_of_the_fleet_like_others(root: Path, tmp_path: Path) -> None:
    left = root / ".borough" / "directory" / "post.7.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")  # by a fleet that was killed
    with run_village(root, "fleet", "--set", "fleet.watch_s=0.2") as village:
        assert not left.exists()
        assert {each["replica"] for each in village.ready["replicas"]} == {
            "ledger.1", "clerk.1", "post.1", "edge.1",
        }  # fmt: skip
        said = village.hears("edge.1   | is ready")
        assert said.index("ledger.1 | is ready") < said.index("post.1   | the post is open")
        assert said.index("post.1   | is ready") < said.index("edge.1   | is ready")
        status, facts = village.ask("/post/facts")
        assert (status, facts["pid"], facts["secret"]) == (200, village.pid("post.1"), 42)
        assert facts["folder"] == str(root / "post")
        told = facts["environment"]
        assert facts["arguments"] == [told["PORT"]]
        assert (told["SEALED"], told["GREETING"]) == ("a secret", "hello")
        assert (told["BOROUGH_SYSTEM"], told["BOROUGH_SERVICE"]) == ("village", "post")
        assert (told["OTEL_SERVICE_NAME"], told["OTEL_EXPORTER_OTLP_ENDPOINT"]) == (
            "post",
            (village.data / "borough.otlp").read_text().strip(),
        )
        shown = {each["name"]: each for each in village.ask("/console/api/system")[1]["services"]}
        calls = village.ask("/console/api/system")[1]["calls"]
        assert {"caller": "post", "provider": "ledger", "contracts": ["ledger.Ledger"]} in calls
        mapped = subprocess.run(
            borough("map", "--system", str(village.root), "--data", str(village.data)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "post -> ledger" in mapped.stdout, mapped.stderr
        counts = village.ask("/console/api/state")[1]
        assert shown["post"]["runs"] == "here"
        assert counts["services"]["post"]["processes"] == [
            {"pid": village.pid("post.1"), "version": "2.5"}
        ]
        assert counts["processes"][str(village.pid("post.1"))]["memory_bytes"] > 0
        targets = json.loads((village.data / "prometheus.json").read_bytes())
        assert {each["labels"]["instance"] for each in targets} == {"ledger.1", "clerk.1"}
        os.kill(village.pid("post.1"), signal.SIGKILL)
        pid = until(lambda: (found := village.ask("/post/facts"))[0] == 200 and found[1]["pid"])
        assert pid != village.pid("post.1")
        village.hears("post.1   | was ended by SIGKILL; begun anew in ")
        grown = village.command("scale", "post=2")
        assert (grown.returncode, grown.stdout) == (0, "post has 2 replicas\n"), grown.stderr
        pids = until(
            lambda: (
                len(found := {village.ask("/post/facts")[1]["pid"] for _ in range(9)}) == 2
                and found
            )
        )
        _roll_out_others(village, tmp_path)
        assert village.stop() == 0
        assert [pid for pid in [*village.pids, *pids] if is_alive(pid)] == []
        assert list((village.data / "directory").iterdir()) == []


def _roll_out_others(village: Village, folder: Path) -> None:
    """What it calls counts where others get another version; its own is nobody's to exchange."""
    for service, source, said in (
        (
            "ledger",
            write_incompatible(folder / "a"),
            "post calls ledger: the caller has ledger.Ledger 1.3",
        ),
        ("ledger", write_grown(folder / "b"), "ledger.1 has gone"),
        ("post", village.root, "post is a command"),
    ):
        done = village.command("rollout", service, "--from", str(source))
        assert said in done.stdout + done.stderr, done.stderr


def test_one_process_for_all_in_python_has_it_beside(root: Path) -> None:
    with run_village(root, "one") as village:
        assert [each["replica"] for each in village.ready["replicas"]] == [
            "one.1", "post.1", "edge.1",
        ]  # fmt: skip
        pids = village.ask("/clerk/pids")[1]
        assert pids["clerk"] == pids["ledger"] == village.pid("one.1")
        assert village.ask("/post/facts")[1]["pid"] == village.pid("post.1")
        village.process.kill()
        until(lambda: not any(is_alive(pid) for pid in village.pids))


# --- what is wrong is said, and nothing is started -------------------------------------------------


LEDGER: Any = {"ledger.Ledger": SimpleNamespace(service="ledger")}


def services(folder: Path, toml: str) -> Any:
    (folder / "borough.toml").write_text(toml)
    return foreign_services(Configuration.load(folder, dict(os.environ)), LEDGER)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ('command = ["no-such-program"]', "no-such-program was not found on the PATH; install it"),
        ('command = ["./main"]', "main is not there; build the service, or mend the path"),
        ('command = ["./borough.toml"]', "borough.toml is not executable; chmod +x it"),
        ('command = ["sh"]\nfolder = "dist"', "dist, which is no folder; build the service"),
        ('command = ["sh"]\nready = "readyz"', "'readyz', which is no path"),
        ('command = ["sh"]\nneeds = ["ledger.Legder"]', "did you mean ledger.Ledger?"),
        ('command = ["sh"]\nenvironment = { A = "env:NOT_THERE" }', "has no NOT_THERE"),
        ('command = ["sh"]\nready = "/is it"', "'/is it', which is no path"),
        ('command = ["/"]', "services.post.command: / is a folder"),
        ('command = ["sh"]\nstore = "postgres"', "services.post.store is for a service in Python"),
        ('command = ["sh"]\nsettings = { a = 1 }', "services.post.settings is for a service in Py"),
        ('command = [""]', "services.post.command names no program"),
        ('command = ["sh", "\\u0000"]', "services.post.command has a zero byte"),
        (
            'command = ["sh"]\nenvironment = { "A=B" = "c" }',
            "'A=B', which is no name of a variable",
        ),
        ('command = ["sh"]\nenvironment = { PORT = "1" }', "PORT is told by Borough"),
        ('command = ["sh"]\nenvironment = { "" = "c" }', "has '', which is no name"),
        ('command = ["sh"]\nenvironment = { A = "\\u0000" }', "environment.A has a zero byte"),
        ("port = 8090", "services.post.port is for a service that is a command"),
    ],
)
def test_a_command_that_cannot_be_started_is_told_before(
    tmp_path: Path, facts: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        services(tmp_path, f"[services.post]\n{facts}\n")
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[services.quay]", "services.quay.port and services.post.port are both 8090"),
        ("[edge]", "services.post.port and edge.port are both 8090"),
    ],
)
def test_a_port_that_two_would_have_is_told_before(
    tmp_path: Path, table: str, sentence: str
) -> None:
    command = 'command = ["sh"]\n'
    other = command if "services" in table else ""
    with pytest.raises(ConfigurationError) as raised:
        services(tmp_path, f"[services.post]\n{command}port = 8090\n{table}\n{other}port = 8090\n")
    assert sentence in str(raised.value)


def test_a_ca_that_is_not_there_is_told_before(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").write_text('[internal.tls]\nca = "ca.pem"\n')
    around = Surroundings(Configuration.load(tmp_path, {}), {}, None)
    with pytest.raises(ConfigurationError) as raised:
        around.ssl()
    assert "ca.pem, which internal.tls.ca names, cannot be read" in str(raised.value)


def test_a_command_without_a_word_is_told_by_its_option(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").write_text("[services.post]\ncommand = []\n")
    with pytest.raises(ConfigurationError, match=r"or say what services\.post\.command is"):
        System.load(tmp_path)


def test_last_words_of_a_command_hide_the_secrets_that_borough_toml_gives_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "key.txt").write_text("zq81-ghost-value")
    facts = 'command = ["sh"]\nenvironment = { KEY = "file:key.txt", GREETING = "hello" }\n'
    found = services(tmp_path, f"[services.post]\n{facts}")
    words = LastWords()
    words.add("hello, the issuer has refused zq81-ghost-value")
    assert found["post"].environment["KEY"] == "zq81-ghost-value"
    assert words.told() == ("hello, the issuer has refused ***",)


def test_a_command_shares_no_process() -> None:
    written = {"all": {"all": DeployableFacts(services=("ledger", "post"))}}
    with pytest.raises(DeclarationFaults) as raised:
        make_topology("all", written, ["ledger", "post"], ["post"])
    assert "topologies.all.all runs post together with others" in str(raised.value)
    assert 'Write post = { services = ["post"] } beside it' in str(raised.value)


def test_a_command_with_a_port_has_one_replica(root: Path) -> None:
    toml = (root / "borough.toml").read_text().replace('folder = "post"', "port = 8090")
    (root / "borough.toml").write_text(
        f'{toml}\n[topologies.two]\npython = {{ services = ["ledger", "clerk"] }}\n'
        'post = { services = ["post"], replicas = 2 }\n'
    )
    words = ("run", str(root), "--topology", "two", "--data", str(root / "data"), "--port", "0")
    refused = subprocess.run(borough(*words), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    sentence = "borough: services.post.port is one port, at which 2 replicas cannot listen"
    assert sentence in refused.stderr


# --- one life --------------------------------------------------------------------------------------


class Life:
    """A life of the post office that begins at once."""

    def __init__(
        self, folder: Path, word: str, port: int | None = None, argv: list[str] | None = None
    ) -> None:
        option = "" if port is None else f"port = {port}\n"
        argv = argv or [sys.executable, "-S", str(POST), word]
        found = services(
            folder,
            f'[data]\nfolder = "data"\n[services.post]\n{option}command = {json.dumps(argv)}\n',
        )
        configuration = Configuration.load(folder, {})
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.child = ForeignChild(
            found["post"],
            Assignment(path=str(folder), flags={}, deployable="post", number=1, services=("post",)),
            Surroundings(configuration, dict(os.environ), None),
            SystemClock(),
            self.lines.put_nowait,
        )
        self.messages: AsyncIterator[FromReplica] = self.child.messages()
        self.child.tell(DirectoryChanged(0, {}, {}))

    async def first(self, kind: Any) -> Any:
        """The first message of that kind; None where there was none."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.messages:
                if isinstance(message, kind):
                    return message
        return None


async def test_one_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    life = Life(tmp_path, "broken")
    failed: Failed = await life.first(Failed)
    assert "has ended with status 1 before GET http://127.0.0.1:" in failed.sentence
    assert failed.sentence.endswith("/readyz was answered; its last line: the post has no stamps")
    assert await life.child.ended() == 1


async def test_one_that_is_never_ready_is_told_with_what_it_answers(tmp_path: Path) -> None:
    life = Life(tmp_path, "lame")
    assert await life.lines.get() == "the post is open"
    assert [await life.lines.get() for _ in range(2)] == ["asked", "asked"]
    life.child.kill()
    failed: Failed = await life.first(Failed)
    assert "has not been ready in time" in failed.sentence
    assert "the answer is 503; it is told its port in PORT" in failed.sentence


async def test_one_whose_port_is_taken_is_told_whose_fault_that_is(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        failed: Failed = await Life(tmp_path, "open", port).first(Failed)
    assert failed.sentence == (
        f"cannot be started: port {port} (services.post.port) is taken by another process; "
        "end that, or name another port"
    )


async def test_it_has_the_version_that_it_tells_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    life = Life(tmp_path, "deaf")
    below = int((await life.lines.get()).partition(" ")[2])
    ready: Ready = await life.first(Ready)
    assert ready.services == {"post": "2.5"}
    life.child.tell(Drain())  # which it does not hear
    pid = life.child.pid
    assert pid is not None
    life.child.kill()
    assert await life.child.ended() == -signal.SIGKILL
    await asyncio.to_thread(until, lambda: not is_alive(pid) and not is_alive(below))
    assert await life.first(Failed) is None


async def test_one_that_cannot_be_watched_has_failed_instead_of_starting_for_ever() -> None:
    async def begin(say: Any, *, is_aside: bool) -> Any:
        raise ValueError("embedded null byte")

    owner = SimpleNamespace(changed=lambda *_: None, is_served=lambda _: False)
    member = Member(
        Assignment(path="", flags={}, deployable="post", number=1, services=("post",)),
        cast("Any", owner),
        SystemClock(),
        Restarts(3, 60.0, Backoff(0.1, 1.0)),
        start_within_s=60.0,
        silent_s=30.0,
        begin=begin,
    )
    await member.ended()
    assert member.state == "failed"
    assert member.failure is not None
    assert "embedded null byte" in member.failure.sentence


async def test_one_that_keeps_its_connections_open_is_ready_by_what_it_answers(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path, "keeping")
    ready: Ready = await life.first(Ready)
    assert ready.services == {"post": "2.5"}
    life.child.kill()
    await life.child.ended()


async def test_one_whose_contract_cannot_be_read_is_described_without_it(tmp_path: Path) -> None:
    life = Life(tmp_path, "open")
    await life.first(Ready)
    life.child.tell(Describe(7))
    described: Described = await life.first(Described)
    assert (described.number, described.refusal) == (7, None)
    assert described.services["post"].provides == {}
    life.child.kill()
    await life.child.ended()


async def test_its_end_is_its_own_whoever_holds_what_it_printed_to(tmp_path: Path) -> None:
    life = Life(tmp_path, "leaving")
    failed: Failed = await life.first(Failed)
    left = int(failed.sentence.rpartition(" ")[2])
    try:
        assert "has ended with status 1" in failed.sentence
        assert is_alive(left)
    finally:
        os.kill(left, signal.SIGKILL)


async def test_one_behind_a_shell_hears_that_it_is_to_stop_and_has_its_time(tmp_path: Path) -> None:
    script = f"'{sys.executable}' -S '{POST}' thorough; echo never"
    life = Life(tmp_path, "", argv=["sh", "-c", script])
    await life.first(Ready)
    life.child.tell(Drain())
    assert await life.child.ended() == -signal.SIGTERM
    said = [life.lines.get_nowait() for _ in range(life.lines.qsize())]
    assert said[-1] == "the post is swept"
