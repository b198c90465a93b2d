"""A wheel as the place of a service's code: unpacked beside the data, without an installer.

What the wheel promises is checked first: its name, the hash of every file, what it requires of this
environment. It appears whole or not at all, under its name and version, and is never changed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import platform
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from borough.errors import ConfigurationError
from borough.runtime.whole_folder import written_whole

__all__ = ["distribution_of", "unpack"]

_MOST_BYTES = 512 * 1024 * 1024
_MOST_FILES = 50_000
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")
_NO_WHEEL = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    csv.Error,
    lzma.LZMAError,
    zlib.error,
)
"""What reading an archive may raise that is damaged, or was made to be."""
_SEGMENT = re.compile(r"[^\x00-\x1f\\:]+")


def unpack(wheel: Path, into: Path) -> Path:
    """Unpack a wheel to `into/NAME-VERSION` and return that folder, also where it was unpacked before.

    Raises `ConfigurationError` for a file that is no wheel, is not for this Python, does not match its
    own RECORD, leaves its folder, requires what is not installed, or differs from what is there.
    """
    name, version = _name_of(wheel)
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = _read(wheel, archive)
            root = _metadata_folder(wheel, files, name, version)
            _check_record(wheel, archive, files, root)
            _check_needs(wheel, BytesParser().parsebytes(archive.read(f"{root}/METADATA")))
            into.mkdir(parents=True, exist_ok=True)
            target = into / f"{name}-{version}"
            if not target.exists():
                _extract(archive, files, target)
            if (target / root / "RECORD").read_bytes() != archive.read(f"{root}/RECORD"):
                raise ConfigurationError(
                    f"{target} holds another build of {name} {version}; give the new one a version of its own"
                )
            return target
    except _NO_WHEEL as error:
        raise ConfigurationError(f"{wheel} is no wheel: {error}; build it anew") from None
    except OSError as error:
        raise ConfigurationError(f"{wheel} cannot be unpacked: {error.strerror or error}") from None


def distribution_of(wheel: Path) -> str:
    """What a wheel is of, as the name of its file says. Raises `ConfigurationError` for one that is no wheel's."""
    _name_of(wheel)
    return wheel.name.partition("-")[0]


def _name_of(wheel: Path) -> tuple[str, str]:
    if not wheel.is_file():
        raise ConfigurationError(f"there is no wheel {wheel}")
    try:
        name, version, _, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise ConfigurationError(f"{wheel} is not named as a wheel is: {error}") from None
    if tags.isdisjoint(sys_tags()):
        raise ConfigurationError(
            f"{wheel.name} is not for this Python ({platform.python_version()}, {sys.platform}); "
            "build it for this one"
        )
    return name, str(version)


def _read(wheel: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files by path. Refuses every path that is not plainly below the folder."""
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        path = entry.filename
        steps = path.removesuffix("/").split("/")
        is_plain = all(_SEGMENT.fullmatch(step) and step not in (".", "..") for step in steps)
        is_plain = is_plain and path.isprintable()
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_plain or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ConfigurationError(
                f"{wheel} holds {path!r}, which is no plain file below its folder; build it anew"
            )
        if entry.is_dir():
            continue
        if path in files:
            raise ConfigurationError(f"{wheel} holds {path} twice; build it anew")
        files[path] = entry
    total = sum(entry.file_size for entry in files.values())
    if len(files) > _MOST_FILES or total > _MOST_BYTES:
        raise ConfigurationError(
            f"{wheel} holds {len(files)} files and {total} bytes; "
            f"at most {_MOST_FILES} files and {_MOST_BYTES} bytes are unpacked"
        )
    return files


def _metadata_folder(
    wheel: Path, files: Mapping[str, zipfile.ZipInfo], name: str, version: str
) -> str:
    """The one `.dist-info` folder, which must be that of the file's name."""
    tops = {PurePosixPath(path).parts[0] for path in files}
    roots = sorted(top for top in tops if top.endswith(".dist-info"))
    missing = [
        part for part in ("METADATA", "RECORD") if not roots or f"{roots[0]}/{part}" not in files
    ]
    if len(roots) != 1 or missing:
        raise ConfigurationError(
            f"{wheel} has {len(roots)} .dist-info folders"
            + (f" and no {missing[0]}" if missing else "")
            + "; build it anew"
        )
    data = sorted(top for top in tops if top.endswith(".data"))
    if data:
        raise ConfigurationError(
            f"{wheel} holds {data[0]}, which only an installer can put in its place; "
            "build a wheel without scripts and data files"
        )
    said_name, _, said_version = roots[0].removesuffix(".dist-info").rpartition("-")
    if (canonicalize_name(said_name), said_version) != (name, version):
        raise ConfigurationError(
            f"{wheel.name} holds {said_name} {said_version}; a wheel is not renamed, build it anew"
        )
    return roots[0]


def _check_record(
    wheel: Path, archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], root: str
) -> None:
    rows = csv.reader(io.StringIO(archive.read(f"{root}/RECORD").decode("utf-8", "replace")))
    listed = {row[0]: row[1] for row in rows if len(row) == 3}
    unlisted = {f"{root}/{name}" for name in _UNLISTED}
    for path in sorted(set(listed) - set(files)):
        raise ConfigurationError(f"{wheel} lacks {path}, which its RECORD lists; build it anew")
    for path in sorted(set(files) - unlisted):
        kind, _, expected = listed.get(path, "").partition("=")
        if kind not in _HASHES:
            raise ConfigurationError(
                f"{wheel} holds {path} without a hash in its RECORD; build it anew"
            )
        digest = hashlib.new(kind)
        for part in _parts(archive, files[path]):
            digest.update(part)
        if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != expected:
            raise ConfigurationError(
                f"{path} in {wheel} is not what its RECORD says; the wheel was changed, build it anew"
            )


def _parts(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """What a file holds, piece by piece, and never more than the archive says that it does."""
    with archive.open(entry) as file:
        while part := file.read(1 << 20):
            yield part


def _check_needs(wheel: Path, said: Message) -> None:
    """Whether this environment has what the wheel requires; all that is missing is told together."""
    faults: list[str] = []
    try:
        python = SpecifierSet(str(said.get("Requires-Python", "")))
        if not python.contains(platform.python_version(), prereleases=True):
            faults.append(f"Python {python}, and this is {platform.python_version()}")
        for text in said.get_all("Requires-Dist", []):
            need = Requirement(str(text))
            if need.marker is not None and not need.marker.evaluate({"extra": ""}):
                continue
            fault = _unmet(need)
            if fault is not None:
                faults.append(fault)
    except ValueError as error:  # packaging has several of its own
        cause = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{wheel.name} requires what cannot be read: {cause}; build it anew"
        ) from None
    if faults:
        raise ConfigurationError(
            f"{wheel.name} requires {'; '.join(faults)}. Install that in the environment of the system first"
        )


def _unmet(need: Requirement) -> str | None:
    try:
        there = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return f"{need.name}{need.specifier}, which is not installed"
    if need.specifier.contains(there, prereleases=True):
        return None
    return f"{need.name}{need.specifier}, and {there} is installed"


def _extract(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], target: Path) -> None:
    # Another process may be first, with the same or another wheel: who asked compares them.
    with written_whole(target, target) as beside:
        for path, entry in files.items():
            place = beside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                for part in _parts(archive, entry):
                    file.write(part)
