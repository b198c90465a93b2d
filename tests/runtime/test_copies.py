"""A copy of code stays as long as somebody runs from it, or will; what is nobody's goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from borough.runtime.code import Code, Kept, keep, tidy
from borough.runtime.copies import finding, remove_unused
from tests.runtime.wheels import search_wheel

HOLDS = """
import sys
from pathlib import Path
from borough.runtime.copies import hold
hold(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


def copy_in(data: Path, digit: int) -> Path:
    """The code of a copy, as a rollout makes it."""
    place = data / "releases" / f"shop-{digit:012x}" / "shop"
    place.mkdir(parents=True)
    (place / "service.py").write_text("")
    return place


def names_in(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "releases").iterdir())


def test_of_all_copies_those_stay_that_run_or_that_the_next_start_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    running, recorded, left = (copy_in(data, digit) for digit in (1, 2, 3))
    (data / "releases" / ".shop-a1b2c3d4").mkdir()
    (data / "releases" / "somebody's").mkdir()
    (data / "releases" / "search-1.0.0" / "search-1.0.0.dist-info").mkdir(parents=True)
    (data / "releases" / "search-1.0.0" / "search-1.0.0.dist-info" / "RECORD").touch()
    keep(data, {"orders": Kept(("orders",), Code(str(recorded)))})
    tidy(data, [Code(str(running)), Code()])
    assert names_in(data) == [
        "current.json",
        running.parent.name,
        recorded.parent.name,
        "somebody's",
    ]
    assert not left.exists()


def test_a_copy_that_was_recorded_by_another_path_stays(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    other.symlink_to(data)
    place = copy_in(data, 1)
    keep(data, {"orders": Kept(("orders",), Code(str(place)))})
    tidy(other, [])
    assert place.is_dir()


def test_nothing_is_removed_where_it_cannot_be_read_what_the_next_start_runs(
    tmp_path: Path,
) -> None:
    place = copy_in(tmp_path, 1)
    (tmp_path / "releases" / "current.json").write_text("{")
    tidy(tmp_path, [])
    assert place.is_dir()


def test_a_copy_from_which_another_process_runs_stays_until_that_has_ended(tmp_path: Path) -> None:
    place = copy_in(tmp_path, 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds\n"
        tidy(tmp_path, [])
        assert place.is_dir()
        process.kill()
    tidy(tmp_path, [])
    assert names_in(tmp_path) == []


def test_nothing_is_removed_while_somebody_finds_or_makes_a_copy(tmp_path: Path) -> None:
    place = copy_in(tmp_path, 1)
    with finding(tmp_path / "releases"):
        tidy(tmp_path, [])
        assert place.is_dir()
    tidy(tmp_path, [])
    assert not place.exists()


def test_the_wheel_from_which_a_system_runs_stays_until_that_has_ended(tmp_path: Path) -> None:
    root = tmp_path / "wheeled"
    root.mkdir()
    wheel = search_wheel(tmp_path, "wheeled_search")
    (root / "borough.toml").write_text(
        '[system]\nname = "wheeled"\n[services.search]\ndistribution = "wheeled-search"\n'
    )
    loads = (
        "import sys; from pathlib import Path; from borough.runtime.system import System;"
        "System.load(sys.argv[1], release=Path(sys.argv[2]));"
        "print('runs', flush=True); sys.stdin.read()"
    )
    releases = root / ".borough" / "releases"
    with subprocess.Popen(
        [sys.executable, "-c", loads, str(root), str(wheel)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        remove_unused(releases, ())
        assert [path.name for path in releases.iterdir()] == ["wheeled-search-1.0.0"]
        process.kill()
    remove_unused(releases, ())
    assert list(releases.iterdir()) == []
