"""What goes wrong around a running fleet, and what whoever runs it is told and left with."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from borough.errors import ConfigurationError
from borough.fleet.commands import Members, Scale, ask_fleet
from borough.fleet.data_folder import DataFolder
from tests.cli.terminal import PATIENCE_S, borough
from tests.fleet.versions import write_grown
from tests.fleet.village import LEDGER_SERVICE, Village, run_village, until, write_village

DOWN = "it stays down; once the cause is mended, `borough scale ledger=1 --data "


def test_a_scale_that_fails_leaves_what_was_down_to_be_seen(tmp_path: Path) -> None:
    root = write_village(tmp_path)
    with run_village(root, "fleet", "--set", "fleet.restarts=1") as village:
        (root / "ledger" / "service.py").write_text("raise SystemExit('no')")
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        village.hears(DOWN)
        failed = village.command("scale", "ledger=2", "--json")
        assert (failed.returncode != 0, json.loads(failed.stdout)) == (True, {"ledger": []})
        members = ask_fleet(village.data, Members()).facts["members"]
        assert [(each["name"], each["state"]) for each in members] == [
            ("clerk.1", "ready"),
            ("ledger.1", "failed"),
        ]
        (root / "ledger" / "service.py").write_text(LEDGER_SERVICE)
        assert village.command("scale", "ledger=1").returncode == 0
        (root / "ledger" / "service.py").write_text("raise SystemExit('no')")
        assert village.command("scale", "ledger=2").returncode != 0
        assert village.ask("/clerk/pids")[0] == 200
        os.kill(village.ask("/clerk/pids")[1]["ledger"], signal.SIGKILL)
        until(lambda: village.said.count(DOWN) == 2)
        assert village.command("scale", "ledger=1").returncode != 0
        assert village.stop() == 1


def test_of_several_scales_those_before_one_that_fails_are_told_and_what_each_has_then(
    tmp_path: Path,
) -> None:
    root = write_village(tmp_path)
    with run_village(root, "fleet") as village:
        (root / "ledger" / "service.py").write_text("raise SystemExit('no')")
        failed = village.command("scale", "clerk=2", "ledger=2", "--json")
        assert failed.returncode != 0
        assert failed.stderr.startswith("borough: clerk has 2 replicas; ledger.2: ")
        now = json.loads(failed.stdout)
        assert {name: [each["replica"] for each in found] for name, found in now.items()} == {
            "clerk": ["clerk.1", "clerk.2"],
            "ledger": ["ledger.1"],
        }


def test_who_scales_a_fleet_that_starts_waits_for_the_end_of_that(tmp_path: Path) -> None:
    opens = f"while not os.path.exists({str(tmp_path / 'go')!r}): await asyncio.sleep(0.05)"
    service = "import asyncio\n" + LEDGER_SERVICE.replace('print("the ledger is open")', opens)
    root = write_village(tmp_path, ledger__service=service)
    data = root / ".borough"
    said: list[str] = []

    def answers() -> bool:
        with suppress(ConfigurationError):
            return ask_fleet(data, Members()).status == 0
        return False

    def say(sentence: str) -> None:
        said.append(sentence)
        (tmp_path / "go").touch()

    def scale() -> None:
        try:
            until(answers)
            ask_fleet(data, Scale({"ledger": 3}), say, silent_s=60.0)
        finally:
            (tmp_path / "go").touch()

    scaling = threading.Thread(target=scale)
    scaling.start()
    with run_village(root, "pairs") as village:
        scaling.join()
        assert said == ["the end of the fleet's start is waited for"]
        members = ask_fleet(village.data, Members()).facts["members"]
        assert [each["name"] for each in members] == [
            "ledger.1",
            "ledger.2",
            "clerk.1",
            "clerk.2",
            "ledger.3",
        ]


def test_who_scales_is_answered_once_all_others_have_been_told_of_the_new_replica(
    tmp_path: Path,
) -> None:
    opened = tmp_path / "opened"
    opens = f"Path({str(opened)!r}).touch()"
    service = LEDGER_SERVICE.replace('print("the ledger is open")', opens)
    with run_village(write_village(tmp_path, ledger__service=service), "fleet") as village:
        os.kill(village.pid("clerk.1"), signal.SIGSTOP)
        try:
            ask_fleet(village.data, Scale({"ledger": 2}))
        finally:
            os.kill(village.pid("clerk.1"), signal.SIGCONT)
        assert time.time() - opened.stat().st_mtime > 1.9  # one that hangs is given two seconds


def test_of_fewer_replicas_those_stay_that_take_calls(tmp_path: Path) -> None:
    waits = ("--set", "fleet.restart_first_s=1e6", "--set", "fleet.restart_last_s=1e6")
    with run_village(write_village(tmp_path), "pairs", *waits) as village:
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        village.hears("begun anew in")
        left = ask_fleet(village.data, Scale({"ledger": 1})).facts["ledger"]
        assert [each["replica"] for each in left] == ["ledger.2"]
        assert village.ask("/ledger/pid") == (200, village.pid("ledger.2"))


def test_nothing_is_begun_on_an_empty_folder_until_the_data_are_there_again(tmp_path: Path) -> None:
    with run_village(write_village(tmp_path), "fleet", "--set", "fleet.restarts=1") as village:
        assert village.ask("/clerk/write", {"text": "a"}) == (200, 1)
        village.data.rename(tmp_path / "elsewhere")
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        told = "which was moved, removed or unmounted while the fleet ran; put it back"
        until(lambda: village.said.count(told) > 2)  # beyond the restarts that it may have
        assert not (village.data / "ledger.db").exists()
        if village.data.exists():  # the door has left there what it had to say
            village.data.rename(tmp_path / "empty")
        (tmp_path / "elsewhere").rename(village.data)
        until(lambda: village.said.count("ledger.1 | is ready") == 2)
        until(
            lambda: village.ask("/clerk/write", {"text": "b"}) == (200, 2)
        )  # the clerk is told next


def test_a_folder_is_known_by_what_it_is_and_not_by_its_path(tmp_path: Path) -> None:
    place = tmp_path / "data"
    unseen, seen = DataFolder(place), DataFolder(place)
    unseen.look()
    place.mkdir()
    seen.look()
    (tmp_path / "elsewhere").mkdir()
    for folder in (unseen, seen):
        folder.refuse_another()
    place.rename(tmp_path / "away")
    assert [refuses(unseen), refuses(seen)] == [False, True]
    (tmp_path / "elsewhere").rename(place)
    assert [refuses(unseen), refuses(seen)] == [False, True]
    place.rmdir()
    place.symlink_to(tmp_path / "away")
    assert [refuses(unseen), refuses(seen)] == [False, False]


def refuses(folder: DataFolder) -> bool:
    try:
        folder.refuse_another()
    except OSError:
        return True
    return False


@contextmanager
def rolling_out(tmp_path: Path, watch_s: float) -> Iterator[tuple[Village, subprocess.Popen[str]]]:
    """A village as a fleet, and who asks it for another ledger."""
    root, grown = write_village(tmp_path / "now"), write_grown(tmp_path / "next")
    with run_village(root, "fleet", "--set", f"fleet.watch_s={watch_s}") as village:
        words = ("rollout", "ledger", "--from", str(grown), "--data", str(village.data))
        with subprocess.Popen(borough(*words), stderr=subprocess.PIPE, text=True) as asking:
            yield village, asking


def test_who_does_not_wait_for_a_rollout_is_told_that_it_goes_on_and_the_fleet_how_it_ends(
    tmp_path: Path,
) -> None:
    with rolling_out(tmp_path, watch_s=0.5) as (village, asking):
        assert asking.stderr is not None
        said = asking.stderr.readline()
        assert said == "ledger 1.4 fits what runs; 1.3 goes\n"
        asking.send_signal(signal.SIGINT)
        rest = asking.stderr.read()
        assert asking.wait(PATIENCE_S) == 130
        assert rest.endswith(
            "the fleet goes on with it; its standard error tells what becomes of it\n"
        )
        village.hears("borough: ledger runs 1.4 instead of 1.3 (")


def test_a_rollout_that_the_end_of_the_fleet_cuts_off_is_told_in_a_sentence_and_leaves_no_copy(
    tmp_path: Path,
) -> None:
    with rolling_out(tmp_path, watch_s=60) as (village, asking):
        village.hears("ledger.2 | is ready")
        assert village.stop() == 0
        _, said = asking.communicate(timeout=PATIENCE_S)
        assert (asking.returncode, said.splitlines()[-1]) == (
            1,
            "borough: the fleet was stopped before that was done",
        )
        assert "Traceback" not in village.said
        assert list((village.data / "releases").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a file can be held from readers")
def test_a_rollout_that_is_cut_off_while_its_code_is_copied_leaves_no_copy(tmp_path: Path) -> None:
    root, grown = write_village(tmp_path / "now"), write_grown(tmp_path / "next")
    with run_village(root, "fleet") as village, held(grown / "ledger/service.py") as code:
        words = ("rollout", "ledger", "--from", str(grown), "--data", str(village.data))
        with subprocess.Popen(borough(*words), stderr=subprocess.PIPE, text=True) as asking:
            until(lambda: is_waited_for(code))
            village.process.terminate()
            _, said = asking.communicate(timeout=PATIENCE_S)
        assert said.endswith("borough: the fleet was stopped before that was done\n")
        assert village.process.poll() is None  # it waits for the copy, so that it can remove it
        code.close()
        assert village.process.wait(PATIENCE_S) == 0
        assert list((village.data / "releases").iterdir()) == []


@contextmanager
def held(path: Path) -> Iterator[BinaryIO]:
    """Within the block nobody else gets to read the file, unless it is closed before."""
    with path.open("r+b") as file:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # which is of no harm; SIGIO would end us
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield file


def is_waited_for(file: BinaryIO) -> bool:
    """Whether somebody wants to read a held file."""
    return fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_WRLCK


def test_what_a_killed_fleet_had_copied_in_part_goes_at_the_next_start(tmp_path: Path) -> None:
    root = write_village(tmp_path)
    releases = root / ".borough/releases"
    for name in (".village-0a1b/village/ledger", "village-2c3d/village/ledger"):
        (releases / name).mkdir(parents=True)
    with run_village(root, "fleet"):
        assert [path.name for path in releases.iterdir()] == ["village-2c3d"]
