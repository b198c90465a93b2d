"""docs/guides/on-a-server.md: its unit, container and manifest are run, asked and stopped as they say."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml  # type: ignore[import-untyped]  # comes with openapi-spec-validator

from borough.testing import free_port
from tests.docs.pages import DOCS, write_cafe, write_files

_PAGE = DOCS / "guides" / "on-a-server.md"
_PATIENCE_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The cafe, and the page's files beside it."""
    write_cafe(tmp_path)
    assert len(write_files(_PAGE, tmp_path)) == 3
    return tmp_path


class Started:
    """A command line of the page, on this machine."""

    def __init__(self, place: Path, words: Sequence[str], more: dict[str, str]) -> None:
        command = [each.replace("/opt/cafe/cafe", "cafe") for each in words]
        command = [each.replace("/var/lib/cafe", "data") for each in command]
        assert Path(command[0]).name == "borough"
        self.url = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "borough", *command[1:], "--json"],
            cwd=place,
            env={"PATH": "/usr/bin:/bin", **more},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout

    def until_ready(self) -> None:
        """Wait for the document that says where it is."""
        self.url = json.loads(self._out.readline())["edge"]

    def ask(self, path: str, body: Any = None) -> Any:
        """What it answers."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"content-type": "application/json"})
        with urlopen(request, timeout=_PATIENCE_S) as answer:
            return json.loads(answer.read())

    def stop(self, within_s: float) -> int:
        """SIGTERM; returns the exit status. Raises `TimeoutExpired`."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within_s)

    def end(self) -> int:
        """Whatever it does, it ends; returns the exit status."""
        try:
            return self._process.wait(_PATIENCE_S)
        finally:
            self.leave()

    def leave(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._out.close()


@contextmanager
def started(place: Path, words: Sequence[str], **more: str) -> Iterator[Started]:
    """One that is ready."""
    made = Started(place, words, more)
    try:
        made.until_ready()
        yield made
    finally:
        made.leave()


def _unit(place: Path) -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(place / "cafe.service")
    return unit["Service"]


def _command(place: Path) -> list[str]:
    return shlex.split(_unit(place)["ExecStart"].replace("8080", str(free_port())))


def _files(folder: Path) -> set[str]:
    """All but the data, and what Python keeps beside code that may be written."""
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return {
        str(path) for path in found if path.parts[0] != "data" and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("topology", ["one", "fleet"])
def test_the_unit_starts_answers_writes_its_data_alone_and_stops_in_time(
    place: Path, topology: str
) -> None:
    before = _files(place)
    with started(place, [*_command(place), "--topology", topology]) as cafe:
        assert cafe.ask("/till/orders", {"dish": "soup"})["dish"] == "soup"
        assert cafe.stop(float(_unit(place)["TimeoutStopSec"])) == 0
    assert _files(place) == before


def test_the_unit_is_not_begun_anew_where_that_mends_nothing(place: Path) -> None:
    (place / "cafe" / "borough.toml").write_text("[edge]\nprot = 80\n")
    status = Started(place, _command(place), {}).end()
    assert str(status) == _unit(place)["RestartPreventExitStatus"]


def test_the_containers_command_answers_from_all_addresses(place: Path) -> None:
    found = re.search(r"^CMD (\[.*\])$", (place / "Containerfile").read_text(), re.MULTILINE)
    assert found is not None
    words = [each.replace("8080", str(free_port())) for each in json.loads(found[1])]
    with started(place, words) as cafe:
        assert cafe.url.startswith("http://0.0.0.0:")
        assert cafe.ask("/readyz")["status"] == "ready"
        assert cafe.stop(_PATIENCE_S) == 0


def test_the_pod_is_asked_where_it_answers_and_has_the_time_to_stop(place: Path) -> None:
    spec = yaml.safe_load((place / "cafe.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    port = free_port()
    given = {each["name"]: each["value"].replace("8080", str(port)) for each in container["env"]}
    assert container["ports"] == [{"containerPort": 8080}]
    assert container["volumeMounts"][0]["mountPath"] in container["command"]
    with started(place, container["command"], **given) as cafe:
        for probe in "readinessProbe", "livenessProbe":
            asked = container[probe]["httpGet"]
            assert asked["port"] == 8080
            assert cafe.ask(asked["path"])["status"] in {"ready", "live"}
        pause, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        assert pause == "sleep"
        began = time.monotonic()
        assert cafe.stop(spec["terminationGracePeriodSeconds"] - int(seconds)) == 0
        assert time.monotonic() - began < 20, "nothing runs, and it takes limits.drain_s"


def _backed_up(path: Path, to: Path) -> list[Any]:
    """What is in a backup that is made while the system runs."""
    with closing(sqlite3.connect(path)) as running, closing(sqlite3.connect(to)) as copy:
        running.backup(copy)
        return copy.execute("select dish from orders").fetchall()


def test_a_copy_of_the_stopped_folder_is_the_system_as_it_was(place: Path) -> None:
    with started(place, _command(place)) as cafe:
        cafe.ask("/till/orders", {"dish": "soup"})
        assert _backed_up(place / "data" / "till.db", place / "one.db") == [("soup",)]
        assert cafe.stop(_PATIENCE_S) == 0
    shutil.copytree(place / "data", place / "kept")
    shutil.rmtree(place / "data")
    shutil.copytree(place / "kept", place / "data")
    with started(place, _command(place)) as cafe:
        assert cafe.ask("/till/orders/1") == {"id": 1, "dish": "soup", "paid": False}
        tickets: list[Any] = []
        while not tickets:  # the event was kept as well
            tickets = cafe.ask("/kitchen/tickets")
        assert tickets == [{"order_id": 1, "dish": "soup"}]
