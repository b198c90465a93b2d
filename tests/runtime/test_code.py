"""The code of another version is copied beside the data, under a name made of what it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
from borough.runtime.code import Code, Wanted, code_from, left_behind
from tests.runtime.wheels import search_wheel


def wanted(folder: Path, **facts: object) -> Wanted:
    given: dict[str, object] = {
        "service": "search",
        "module": "shop.search.service",
        "distribution": None,
        "alone": True,
        "system": folder / "shop",
        "data": folder / "data",
        **facts,
    }
    return Wanted(**given)  # type: ignore[arg-type]


def system_at(folder: Path, **files: str) -> Path:
    for name, text in {"search__service.py": "v = 1\n", **files}.items():
        place = folder / name.replace("__", "/", 1)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def test_a_folder_is_copied_once_under_the_systems_name_without_data_and_hidden_files(
    tmp_path: Path,
) -> None:
    source = system_at(tmp_path / "next", **{".git__config": "", "node_modules__a.js": ""})
    code = code_from(source, wanted(tmp_path))
    copied = Path(code.folder)
    assert copied.name == "shop"
    assert [path.name for path in copied.iterdir()] == ["search"]
    assert code_from(source, wanted(tmp_path)) == code
    (source / "search/service.py").write_text("v = 2\n")
    assert code_from(source, wanted(tmp_path)) != code
    assert (copied / "search/service.py").read_text() == "v = 1\n"


_KILLED = """
import os, sys
from pathlib import Path
from borough.runtime.code import Code, forget
removed = []
def end(event, arguments):
    if event == "os.remove":
        removed.append(arguments)
        if len(removed) == 2:
            os._exit(137)
sys.addaudithook(end)
forget(Code(sys.argv[1]), [], Path(sys.argv[2]))
"""


def test_who_is_killed_while_a_copy_is_removed_leaves_no_part_of_it_under_its_name(
    tmp_path: Path,
) -> None:
    source = system_at(tmp_path / "next", search__data="", search__more="")
    code = code_from(source, wanted(tmp_path))
    words = (sys.executable, "-c", _KILLED, code.folder, str(tmp_path / "data"))
    assert subprocess.run(words, check=False).returncode == 137
    assert code_from(source, wanted(tmp_path)) == code
    assert len(list(Path(code.folder, "search").iterdir())) == 3


def test_a_copy_is_named_by_what_was_copied_and_not_by_what_was_there_before(
    tmp_path: Path,
) -> None:
    source = system_at(tmp_path / "next")
    (source / "search/id").symlink_to("/proc/sys/kernel/random/uuid")  # another at each reading
    code = code_from(source, wanted(tmp_path))
    assert code_from(Path(code.folder), wanted(tmp_path)) == code


def test_a_link_that_leads_back_to_a_folder_around_it_is_not_followed(tmp_path: Path) -> None:
    source = system_at(tmp_path / "next")
    for name in ("one", "two"):
        (source / name).symlink_to(".")
        (source / "search" / name).symlink_to("..")
    (source / "itself").symlink_to("itself")
    copied = Path(code_from(source, wanted(tmp_path)).folder)
    files = [path.relative_to(copied) for path in copied.rglob("*") if path.is_file()]
    assert files == [Path("search/service.py")]


def test_of_a_shared_process_only_the_folder_of_the_service_is_exchanged(tmp_path: Path) -> None:
    system_at(tmp_path / "shop", orders__service="orders = 1\n")
    source = system_at(tmp_path / "next", search__service="", orders__service="orders = 2\n")
    (source / "search/service.py").write_text("v = 2\n")
    copied = Path(code_from(source, wanted(tmp_path, alone=False)).folder)
    assert (copied / "search/service.py").read_text() == "v = 2\n"
    assert (copied / "orders/service").read_text() == "orders = 1\n"


def test_contracts_of_others_that_a_shared_process_does_not_take_are_told(tmp_path: Path) -> None:
    system = system_at(tmp_path / "shop", **{"orders__contract.py": "fields = 1\n"})
    source = system_at(tmp_path / "next", **{"orders__contract.py": "fields = 2\n"})
    (source / "search/contract.py").write_text("its own\n")
    shared, alone = wanted(tmp_path, alone=False), wanted(tmp_path)
    (said,) = left_behind(source, code_from(source, shared), shared)
    assert f"orders/contract.py of {source} is not taken" in said
    assert left_behind(source, code_from(source, alone), alone) == []
    (system / "orders/contract.py").write_text("fields = 2\n")
    assert left_behind(source, code_from(source, shared), shared) == []


def test_what_has_no_other_version_of_the_service_is_refused_with_the_remedy_and_not_copied(
    tmp_path: Path,
) -> None:
    wheel = search_wheel(tmp_path, "search_pkg")
    plain = system_at(tmp_path / "next")
    (plain / "pyproject.toml").touch()
    for source, facts, sentence in (
        (tmp_path / "gone", {}, "there is no .*gone; name a wheel"),
        (plain / "pyproject.toml", {}, "pyproject.toml is no wheel and no folder; name a wheel"),
        (tmp_path, {}, "has no search/service.py"),
        (plain, {"module": "elsewhere.search"}, "outside of the system's package shop"),
        (
            plain,
            {"distribution": "search-pkg"},
            r"is no wheel .* \(build one: `uv build --wheel`\)",
        ),
        (wheel, {}, "is a folder of the system and .* is a distribution"),
        (
            wheel,
            {"distribution": "other"},
            "is of the distribution search_pkg, and search is other",
        ),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            code_from(source, wanted(tmp_path, **facts))
    assert not (tmp_path / "data").exists()


def test_a_wheel_stands_beside_what_was_rolled_out_of_the_other_services(tmp_path: Path) -> None:
    wheel = search_wheel(tmp_path, "search_pkg")
    now = Code("/code/shop", {"orders": "/code/orders-1"})
    code = code_from(wheel, wanted(tmp_path, distribution="search-pkg", now=now))
    assert code.folder == "/code/shop"
    assert code.releases["orders"] == "/code/orders-1"
    assert Path(code.releases["search"]).name == "search-pkg-1.0.0"
