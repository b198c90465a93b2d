"""What goes wrong around a running fleet, and what whoever runs it is told and left with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from borough.fleet.data_folder import DataFolder
from tests.fleet.village import run_village, write_village

DOWN = "it stays down; once the cause is mended, `borough scale ledger=1 --data "


def test_nothing_is_begun_on_an_empty_folder_where_the_data_were(tmp_path: Path) -> None:
    with run_village(write_village(tmp_path), "fleet", "--set", "fleet.restarts=1") as village:
        assert village.ask("/clerk/write", {"text": "a"}) == (200, 1)
        village.data.rename(tmp_path / "elsewhere")
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        village.hears("which was moved, removed or unmounted while the fleet ran; put it back")
        village.hears(DOWN)
        assert not (village.data / "ledger.db").exists()
        if village.data.exists():  # the door has left there what it had to say
            village.data.rename(tmp_path / "empty")
        (tmp_path / "elsewhere").rename(village.data)
        assert village.command("scale", "ledger=1").returncode == 0
        assert village.ask("/clerk/write", {"text": "b"}) == (200, 2)


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
