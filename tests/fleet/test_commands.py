"""The socket by which commands reach a fleet: whose it is, and who is heard there."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
import stat
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from borough.errors import ConfigurationError, Unavailable
from borough.fleet.commands import Answer, CommandSocket, Say, Scale, ask_fleet


async def count(request: Scale, _say: Say) -> Answer:
    return Answer(0, f"{len(request.replicas)} named")


async def test_only_one_fleet_at_a_time_has_a_data_folder(tmp_path: Path) -> None:
    first, second = (CommandSocket(tmp_path, {Scale: count}) for _ in range(2))
    await first.open()
    with pytest.raises(ConfigurationError, match="already; stop it, or name another"):
        await second.open()
    await second.close()
    answer = await asyncio.to_thread(ask_fleet, tmp_path, Scale({"a": 1}))
    assert answer.sentence == "1 named"
    await first.close()
    await second.open()
    await second.close()


async def test_a_socket_that_a_killed_fleet_has_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "fleet.sock").write_text("")
    commands = CommandSocket(tmp_path, {Scale: count})
    await commands.open()
    assert stat.S_IMODE((tmp_path / "fleet.sock").stat().st_mode) == 0o600
    await commands.close()
    assert os.listdir(tmp_path) == []


async def test_a_folder_that_takes_no_socket_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "fleet.sock").mkdir()
    commands = CommandSocket(tmp_path, {Scale: count})
    with pytest.raises(ConfigurationError, match="cannot be made"):
        await commands.open()
    (tmp_path / "fleet.sock").rmdir()
    other = CommandSocket(tmp_path, {Scale: count})
    await other.open()
    await other.close()


async def test_a_shortage_of_files_is_told_once_and_who_has_asked_meanwhile_is_answered_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commands = CommandSocket(tmp_path, {Scale: count})
    await commands.open()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as files:
            files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (asking.fileno() + 1, hard))
            with suppress(OSError):
                while True:  # also the numbers that are free below
                    files.callback(os.close, os.dup(asking.fileno()))
            asking.connect(str(tmp_path / "fleet.sock"))
            for _ in range(200):  # turns of the loop, in the first of which it is heard
                await asyncio.sleep(0)
        asking.setblocking(False)
        said = await asyncio.get_running_loop().sock_recv(asking, 100)
    await commands.close()
    assert said == b'{"type":"beat"}\n'
    assert caplog.messages == ["commands cannot reach this fleet now: Too many open files"]


async def test_what_nobody_has_thought_of_is_answered_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(request: Scale, _say: Say) -> Answer:
        raise KeyError(*request.replicas)

    commands = CommandSocket(tmp_path, {Scale: fail})
    await commands.open()
    answer = await asyncio.to_thread(ask_fleet, tmp_path, Scale({"a": 1}))
    await commands.close()
    assert answer == Answer(1, "the fleet runs on, and could not do that: KeyError: 'a'")
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_half_an_answer_is_that_of_a_fleet_that_has_ended(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"type":"beat"}\n')
        await reader.readline()
        writer.write(b'{"type":"answer","sta')
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "fleet.sock"):
        with pytest.raises(ConfigurationError, match="has ended before it answered"):
            await asyncio.to_thread(ask_fleet, tmp_path, Scale({"a": 1}))


async def test_what_is_at_work_when_the_fleet_stops_is_given_up_and_that_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at_work = asyncio.Event()

    async def work(_request: Scale, _say: Say) -> Answer:
        at_work.set()
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    commands = CommandSocket(tmp_path, {Scale: work})
    await commands.open()
    asking = asyncio.create_task(asyncio.to_thread(ask_fleet, tmp_path, Scale({"a": 1})))
    async with asyncio.timeout(30):
        await at_work.wait()
        await commands.close()
        assert await asking == Answer(1, "the fleet was stopped before that was done")
    assert not caplog.records


async def test_a_fleet_whose_folder_was_removed_leaves_the_socket_of_the_next_one(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    first, second = (CommandSocket(folder, {Scale: count}) for _ in range(2))
    folder.mkdir()
    await first.open()
    folder.rename(tmp_path / "away")
    folder.mkdir()
    await second.open()
    await first.close()
    answer = await asyncio.to_thread(ask_fleet, folder, Scale({"a": 1}))
    assert answer.sentence == "1 named"
    await second.close()


async def test_ctrl_c_while_the_fleet_is_at_work_says_that_it_goes_on(tmp_path: Path) -> None:
    async def work(_request: Scale, say: Say) -> Answer:
        say("begins")
        return Answer(0, "done")

    said: list[str] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        if sentence == "begins":
            raise KeyboardInterrupt

    def ask() -> None:
        with pytest.raises(KeyboardInterrupt):
            ask_fleet(tmp_path, Scale({"a": 1}), say)

    commands = CommandSocket(tmp_path, {Scale: work})
    await commands.open()
    await asyncio.to_thread(ask)
    await commands.close()
    assert said == [
        "begins",
        "the fleet goes on with it; its standard error tells what becomes of it",
    ]


def test_a_fleet_that_says_no_word_is_asked_nothing_and_given_up_in_a_sentence(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stopped:
        stopped.bind(str(tmp_path / "fleet.sock"))
        stopped.listen()
        with pytest.raises(Unavailable, match="does not answer, and nothing was asked of it"):
            ask_fleet(tmp_path, Scale({"a": 1}), said.append, silent_s=0.1, patience_s=0.3)
        accepted, _ = stopped.accept()
        with accepted:
            assert accepted.recv(1) == b""
    fleet = re.escape(f"the fleet in {tmp_path}") + r"( \(pid \d+\))?"
    (only,) = said
    assert re.fullmatch(
        f"{fleet} has said nothing for 0.1 s; it is waited for, 0.3 s at most", only
    )


def test_a_fleet_where_no_more_may_wait_is_given_up_after_a_while(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stopped = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        stopped.bind(str(tmp_path / "fleet.sock"))
        stopped.listen(0)
        with suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(str(tmp_path / "fleet.sock"))
        with pytest.raises(Unavailable, match="is stopped or hangs"):
            ask_fleet(tmp_path, Scale({"a": 1}), patience_s=0.2)


def test_a_fleet_that_is_killed_after_its_first_word_has_ended_before_it_answered(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "fleet.sock"))
        listening.listen()

        def end() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b'{"type":"beat"}\n')
                accepted.recv(1)  # the rest of the request is never read: its connection is reset

        ending = threading.Thread(target=end)
        ending.start()
        with pytest.raises(ConfigurationError, match="has ended before it answered"):
            ask_fleet(tmp_path, Scale({"a": 1}))
        ending.join()


async def test_what_was_asked_is_waited_for_however_long_nothing_is_heard(tmp_path: Path) -> None:
    patience_s = 3.0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"type":"beat"}\n')
        await reader.readline()
        await asyncio.sleep(1.2 * patience_s)
        writer.write(b'{"type":"answer","status":0,"sentence":"done"}\n')
        writer.close()

    said: list[str] = []

    def ask() -> Answer:
        terms = {"silent_s": 0.05, "patience_s": patience_s}
        return ask_fleet(tmp_path, Scale({"a": 1}), said.append, **terms)

    async with await asyncio.start_unix_server(answer, tmp_path / "fleet.sock"):
        assert await asyncio.to_thread(ask) == Answer(0, "done")
    assert said[-1].endswith("has said nothing for 0.05 s; it is waited for")


async def test_who_waits_for_work_that_takes_long_hears_that_the_fleet_is_well(
    tmp_path: Path,
) -> None:
    async def work(_request: Scale, _say: Say) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    commands = CommandSocket(tmp_path, {Scale: work})
    await commands.open()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "fleet.sock")
    async with asyncio.timeout(30):
        assert await reader.readline() == b'{"type":"beat"}\n'
        writer.write(b'{"type":"scale","replicas":{"a":1}}\n')
        assert await reader.readline() == b'{"type":"beat"}\n'
    writer.close()
    await commands.close()


def test_where_no_fleet_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no fleet is known"):
        ask_fleet(tmp_path, Scale({"a": 1}))
