"""A disk that takes no output, or no file beside the data, ends nothing that runs."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from borough.cli.address import Address, forget_address, read_address, write_address
from borough.errors import ConfigurationError
from borough.testing import free_port
from tests.cli.systems import write_system
from tests.cli.terminal import PATIENCE_S, borough, ready_line
from tests.mounts import mounted_small


def command(root: Path) -> list[str]:
    ports = ("--port", str(free_port()), "--internal-port", str(free_port()))
    return borough("run", str(root), "--json", *ports)


def test_a_log_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    root = write_system(tmp_path, "mute")
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            command(root), stdout=subprocess.PIPE, stderr=full, text=True, bufsize=1
        )
        with process:
            ready_line(process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0


def test_output_that_takes_nothing_is_told_in_one_sentence(tmp_path: Path) -> None:
    root = write_system(tmp_path, "unheard")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command(root),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 2
    assert "borough: standard output takes nothing: no space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_results_that_nothing_takes_are_told_in_one_sentence(tmp_path: Path) -> None:
    root = write_system(tmp_path, "untold")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            borough("contracts", "show", "--system", str(root)),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    sentence = (
        "borough: standard output takes nothing: no space left on device; send it elsewhere\n"
    )
    assert (ended.returncode, ended.stderr) == (2, sentence)


def test_an_address_that_cannot_be_left_is_told_with_the_remedy(tmp_path: Path) -> None:
    address = Address(os.getpid(), "http://a", "http://b")
    with mounted_small(tmp_path) as disk:
        disk.fill()
        with pytest.raises(ConfigurationError, match="no space left on device; free some space"):
            write_address(disk.folder, address)
        assert [path.name for path in disk.folder.iterdir()] == ["filler"]
        disk.free()
        write_address(disk.folder, address)
        assert disk.remount(read_only=True)
        forget_address(disk.folder, address)  # it stays, and nobody is bothered
        assert read_address(disk.folder) == address


def without(streams: str, words: list[str]) -> list[str]:
    """These words run by a shell that closes streams before."""
    return ["sh", "-c", f'exec "$@" {streams}', "sh", *words]


def test_a_system_that_was_started_without_streams_keeps_no_file_where_they_were(
    tmp_path: Path,
) -> None:
    root = write_system(tmp_path, "streamless")
    process = subprocess.Popen(
        without("<&- 2>&-", command(root)), stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        ready_line(process)
        kept = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 2)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert kept == [os.devnull, os.devnull]


def test_a_command_that_was_started_without_an_output_ends_as_if_it_were_read(
    tmp_path: Path,
) -> None:
    root = write_system(tmp_path, "unasked")
    ended = subprocess.run(
        without(">&-", borough("contracts", "show", "--system", str(root))),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_command_that_reads_its_input_and_was_started_without_one_has_read_nothing(
    tmp_path: Path,
) -> None:
    root = write_system(tmp_path, "unread")
    ended = subprocess.run(
        without("<&-", borough("call", "notes.write", "-", "--system", str(root))),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("borough: the arguments are not JSON")
