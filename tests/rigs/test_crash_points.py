"""What a recorded run passes says where to die; a process dies there and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from rigs.dying import Plan, Points, read_points


def test_points_count_only_while_the_flag_is_there(tmp_path: Path) -> None:
    flag, log = tmp_path / "armed", tmp_path / "points"
    points = Points(Plan(str(flag), str(tmp_path), record=str(log)))
    assert points.pass_by("a", lambda: 1) == 1
    flag.touch()
    assert points.pass_by("b", lambda: 2) == 2
    assert read_points(log) == ["b"]


def test_ids_in_names_of_files_are_no_part_of_a_point(tmp_path: Path) -> None:
    points = Points(Plan(str(tmp_path / "armed"), str(tmp_path)))
    assert points.name_of(tmp_path / "data" / "orders.db") == "orders.db"
    assert points.name_of(tmp_path / ".0001.jwk.5f2c8e1b7d041234") == ".ID.jwk.ID"
    assert points.name_of("/etc/passwd") == ""


@pytest.mark.parametrize(
    ("side", "left"), [("before", "one"), ("half", "onetw"), ("after", "onetwo!!")]
)
def test_a_process_dies_before_within_or_after_a_write(
    tmp_path: Path, side: str, left: str
) -> None:
    (tmp_path / "armed").touch()
    text = f"""
import os
from rigs.dying import Plan, Points, wrap_files
wrap_files(Points(Plan({str(tmp_path / "armed")!r}, {str(tmp_path)!r},
    point="pwrite file", number=2, side={side!r})))
descriptor = os.open({str(tmp_path / "file")!r}, os.O_RDWR | os.O_CREAT)
os.pwrite(descriptor, b"one", 0)
os.pwrite(descriptor, b"two!!", 3)
os.pwrite(descriptor, b"three", 8)
"""
    done = subprocess.run([sys.executable, "-c", text], check=False)
    assert done.returncode == -9
    assert (tmp_path / "file").read_text() == left
