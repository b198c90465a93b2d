"""A wheel becomes a folder that is whole, or a sentence that says why not."""

from __future__ import annotations

import stat
import threading
import zipfile
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
from borough.runtime.releases import unpack
from tests.runtime.wheels import search_wheel, write_wheel

FILES = {"findery/__init__.py": "found = True\n"}


def refused(tmp_path: Path, wheel: Path, sentence: str) -> None:
    """It is refused with this sentence, and leaves nothing behind."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        unpack(wheel, tmp_path / "releases")
    assert "\n" not in str(caught.value)
    assert [*tmp_path.glob("releases/*"), *tmp_path.glob("escaped*")] == []


def test_a_wheel_lies_below_its_name_and_version(tmp_path: Path) -> None:
    wheel = search_wheel(tmp_path, "Find_ery", "1.0.0")
    place = unpack(wheel, tmp_path / "releases")
    assert place == tmp_path / "releases" / "find-ery-1.0.0"
    assert (place / "Find_ery" / "migrations" / "sqlite" / "0001_things.sql").is_file()
    assert [path.name for path in place.parent.iterdir()] == ["find-ery-1.0.0"]


def test_the_same_wheel_again_is_the_same_folder(tmp_path: Path) -> None:
    wheel = search_wheel(tmp_path, "findery")
    assert unpack(wheel, tmp_path / "releases") == unpack(wheel, tmp_path / "releases")


def test_wheels_unpacked_at_once_are_one_whole_folder(tmp_path: Path) -> None:
    wheel = search_wheel(tmp_path, "findery")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(unpack(wheel, tmp_path / "releases")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert [path.name for path in (tmp_path / "releases").iterdir()] == ["findery-1.0.0"]


def test_another_build_of_a_version_is_refused(tmp_path: Path) -> None:
    unpack(search_wheel(tmp_path / "a", "findery"), tmp_path / "releases")
    other = write_wheel(tmp_path / "b", "findery", "1.0.0", FILES)
    with pytest.raises(ConfigurationError, match="another build of findery"):
        unpack(other, tmp_path / "releases")


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    wrong = {"findery/__init__.py": "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, record=wrong)
    refused(tmp_path, wheel, "not what its RECORD says")


def test_a_file_that_the_record_does_not_list_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, record={"findery/__init__.py": ""})
    refused(tmp_path, wheel, "without a hash")


def test_a_file_that_only_the_record_has_is_missed(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, record={"findery/x.py": "sha256=x"})
    refused(tmp_path, wheel, "lacks findery/x.py")


@pytest.mark.parametrize(
    "path",
    [
        "../escaped",
        "/escaped",
        "a/../../escaped",
        "a\\escaped",
        "c:escaped",
        "a//b",
        "./a",
        "a\x9b2J",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", {path: "x"})
    refused(tmp_path, wheel, "no plain file below its folder")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES)
    with zipfile.ZipFile(wheel, "a") as archive:
        link = zipfile.ZipInfo("findery/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path, wheel, "no plain file")


def test_files_for_an_installer_are_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", {"findery-1.0.0.data/scripts/x": "x"})
    refused(tmp_path, wheel, "only an installer")


def test_a_renamed_wheel_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES)
    other = wheel.rename(tmp_path / "findery-2.0.0-py3-none-any.whl")
    refused(tmp_path, other, "a wheel is not renamed")


@pytest.mark.parametrize("name", ["findery.whl", "findery-1.0.0.tar.gz", "findery-x-y-z-a.whl"])
def test_a_name_that_no_wheel_has_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x", encoding="utf-8")
    refused(tmp_path, tmp_path / name, "not named as a wheel")


def test_a_wheel_for_another_python_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, tag="cp26-cp26-win_amd64")
    refused(tmp_path, wheel, "not for this Python")


def test_a_file_that_is_no_archive_or_not_there_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "findery-1.0.0-py3-none-any.whl"
    refused(tmp_path, wheel, "there is no wheel")
    wheel.write_text("x", encoding="utf-8")
    refused(tmp_path, wheel, "is no wheel")


def test_all_that_is_not_installed_is_told_together(tmp_path: Path) -> None:
    needs = ["msgspec>=0.19", "msgspec>999", "no-such-thing>=2; python_version > '3'"]
    needs += ["unneeded; python_version < '3'", "optional; extra == 'more'"]
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, needs=needs)
    sentence = r"msgspec>999, and .* is installed; no-such-thing>=2, which is not installed"
    refused(tmp_path, wheel, sentence)


def test_a_requirement_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, needs=["msgspec ~~ 1"])
    refused(tmp_path, wheel, "cannot be read")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_wheel_is_refused(tmp_path: Path, method: int) -> None:
    record = {"findery/x": "sha256=x"}
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, record=record)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("findery/x", "".join(map(str, range(1000))), method)
        begins = archive.getinfo("findery/x").header_offset
    data = bytearray(wheel.read_bytes())
    data[begins + 42 : begins + 120] = b"\xff" * 78
    wheel.write_bytes(data)
    refused(tmp_path, wheel, "is no wheel|cannot be unpacked: Invalid data")


def test_a_record_that_no_list_can_be_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, record={"x" * 200_000: "sha256=x"})
    refused(tmp_path, wheel, "is no wheel: field larger")


def test_a_requirement_that_compares_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    needs = ["msgspec; python_version ~= 'abc'"]
    wheel = write_wheel(tmp_path, "findery", "1.0.0", FILES, needs=needs)
    refused(tmp_path, wheel, "cannot be read")
