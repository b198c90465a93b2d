"""A canary in every place where a process could say a secret; it is heard in none of them."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from borough.testing import free_port
from tests.cli.systems import write_system
from tests.cli.terminal import PATIENCE_S
from tests.secrets.leaky import FILES, TOML

CANARY = 'canary-"7f3a9c"-ä'
PASSWORD = "password-canary-51"
TOKEN_CANARY = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5"
HEARD = ("7f3a9c", PASSWORD, "Y2FuYXJ5", "URL-CANARY")
"""A part of each canary that is there however it is written."""

MASKED = "import sys\nfrom borough.cli import main\nsys.exit(main(sys.argv[1:]))\n"
BARE = "import borough.telemetry.masking as masking\nmasking.{net} = lambda text: text\n" + MASKED
REQUESTS = (
    ("POST", "/notes/log", json.dumps({"password": PASSWORD})),
    ("POST", f"/notes/log?token={TOKEN_CANARY}", '{"password": 1}'),
    ("GET", "/notes/fail", None),
    ("GET", "/notes/refuse", None),
    ("GET", "/notes/tell", None),
    ("GET", "/notes/stream", None),
    ("POST", "/notes/events", None),
    ("POST", "/notes/threads", None),
    ("GET", "/openapi.json", None),
    ("GET", "/console/", None),
    ("GET", "/console/api/system", None),
)


class Leaky:
    """The system that says its secret, as a process of its own."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = {**os.environ, **environment}

    def run(self, *words: str, program: str = MASKED) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", program, "run", str(self.root), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def said(self, *words: str, program: str = MASKED) -> bytes:
        """All that a run says that ends by itself."""
        with self.run(*words, program=program) as process:
            return b"\n".join(process.communicate(timeout=PATIENCE_S))

    @contextmanager
    def running(self, program: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
        ports = ["--port", str(free_port()), "--internal-port", str(free_port())]
        with self.run("--json", "--verbose", *ports, program=program) as process:
            try:
                assert process.stdout is not None
                yield process, json.loads(process.stdout.readline())["edge"]
            finally:
                if process.poll() is None:
                    process.kill()


@pytest.fixture(params=["env", "file", "variable"])
def leaky(request: pytest.FixtureRequest, tmp_path: Path) -> Leaky:
    environment: dict[str, str] = {"PYTHONFAULTHANDLER": "1"}
    reference = "env:NOBODY"
    if request.param == "env":
        reference, environment["LEAKY"] = "env:LEAKY", CANARY
    elif request.param == "file":
        reference = f"file:{tmp_path / 'key'}"
        (tmp_path / "key").write_text(CANARY + "\n", encoding="utf-8")
    else:
        environment["BOROUGH_NOTES_KEY"] = CANARY
    root = write_system(tmp_path, "leaky", files=FILES)
    (root / "borough.toml").write_text(
        TOML.replace("{package}", "leaky").replace("{reference}", reference), encoding="utf-8"
    )
    return Leaky(root, environment)


def heard_in(*texts: bytes) -> set[str]:
    """Which canaries are heard."""
    return {canary for text in texts for canary in HEARD if canary.encode() in text}


def asked(edge: str) -> bytes:
    """Every request once, with a bearer token; all answers with their headers."""
    said = b""
    for method, target, body in REQUESTS:
        connection = http.client.HTTPConnection(edge.removeprefix("http://"), timeout=PATIENCE_S)
        headers = {"Cookie": f"session={TOKEN_CANARY}", "traceparent": "00-canary-01"}
        if target.startswith("/notes/log?"):
            headers["Authorization"] = f"Bearer {TOKEN_CANARY}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        said += f"{method} {target.partition('?')[0]}: {answer.status} ".encode()
        said += str(answer.headers).encode() + answer.read() + b"\n"
        connection.close()
    return said


def talk(leaky: Leaky, program: str) -> tuple[bytes, bytes]:
    """What a process answers, and what it logs until it is told to stop."""
    with leaky.running(program) as (process, edge):
        answers = asked(edge)
        said = said_by_itself(process)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE_S)
    return answers, out + said + errors


def said_by_itself(process: subprocess.Popen[bytes]) -> bytes:
    """What it logs until an event and a schedule have failed, which nobody asks for."""
    assert process.stderr is not None
    file, said = process.stderr.fileno(), b""
    while not all(words in said for words in (b"event with ", b"schedule with ")):
        assert select.select([file], [], [], PATIENCE_S)[0], said
        chunk = os.read(file, 65_536)
        assert chunk, said
        said += chunk
    return said


def test_a_running_process_keeps_its_secrets(leaky: Leaky) -> None:
    answers, log = talk(leaky, MASKED)
    # Everything has happened, and was told without the secret.
    assert answers.count(b"with ***") == 1
    assert answers.count(b"***") >= 4
    for words in (
        b"Traceback", b"with ***", b"event with ***", b"schedule with ***", b"thread with ***",
        b"the key is ***", b"Exception ignored", b"password=***", b"postgres://***@db",
    ):  # fmt: skip
        assert words in log, words
    assert heard_in(answers) == set()
    assert heard_in(log) == set()
    files = [path for path in (leaky.root / ".borough").rglob("*") if path.is_file()]
    assert files
    assert heard_in(*(path.read_bytes() for path in files)) == set()


def test_an_explanation_keeps_them(leaky: Leaky) -> None:
    for more in ((), ("--json",)):
        said = leaky.said("--explain", *more)
        assert b"services.notes.settings.key" in said
        assert b"postgres://***@db/x" in said
        assert heard_in(said) == set()


def test_a_start_that_fails_keeps_them(leaky: Leaky) -> None:
    leaky.environment["LEAKY_START"] = "1"
    said = leaky.said()
    assert b"cannot start with ***" in said
    assert heard_in(said) == set()


def test_a_crash_dump_keeps_them(leaky: Leaky) -> None:
    with leaky.running(MASKED) as (process, edge):
        connection = http.client.HTTPConnection(edge.removeprefix("http://"), timeout=PATIENCE_S)
        connection.request("POST", "/notes/abort")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            connection.getresponse()
        connection.close()
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGABRT
    assert b"Fatal Python error: Aborted" in errors
    assert heard_in(errors) == set()


def test_without_the_nets_they_would_be_heard(tmp_path: Path) -> None:
    root = write_system(tmp_path, "leaky", files=FILES)
    toml = TOML.replace("{package}", "leaky").replace("{reference}", "env:LEAKY")
    (root / "borough.toml").write_text(toml, encoding="utf-8")
    leaky = Leaky(root, {"LEAKY": CANARY})
    answers, log = talk(leaky, BARE.format(net="masked"))
    assert heard_in(answers) == set()
    assert heard_in(log) == {"7f3a9c", PASSWORD, "URL-CANARY"}
    answers, log = talk(leaky, BARE.format(net="without_secrets_in"))
    assert heard_in(answers) == {"7f3a9c"}
    assert heard_in(log) == set()
