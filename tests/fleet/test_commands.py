"""The socket by which commands reach a fleet: whose it is, and who is heard there."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
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


def test_where_no_fleet_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no fleet is known"):
        ask_fleet(tmp_path, Scale({"a": 1}))
