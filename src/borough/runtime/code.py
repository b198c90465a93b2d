"""Which version of its services' code a process runs: the system's own, or what was rolled out.

What is rolled out is copied beside the data first and never changed there, so that a process that is begun
anew runs what ran before, whatever has become of the place it came from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import ConfigurationError
from borough.runtime.whole_folder import remove_whole, written_whole

__all__ = [
    "Code",
    "Kept",
    "Wanted",
    "clear_away",
    "code_from",
    "content_of",
    "forget",
    "keep",
    "kept",
    "left_behind",
    "reminders",
]

_RECORD = "current.json"
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})
_DIGITS = 12
_MOST_BYTES = 512 * 1024 * 1024


class Code(msgspec.Struct, frozen=True):
    """Where a process takes code from, before all other places."""

    folder: str = ""
    """The folder of the system's package; empty for the system's own."""
    releases: dict[str, str] = {}
    """Unpacked distributions, by service."""

    @property
    def place(self) -> str:
        """The folders, for people to read."""
        return ", ".join(self.folders)

    @property
    def folders(self) -> list[str]:
        """All of them."""
        return [*([self.folder] if self.folder else []), *self.releases.values()]

    def moved(self, move: Callable[[str], str]) -> Code:
        """The same with other names of its folders."""
        releases = {service: move(folder) for service, folder in self.releases.items()}
        return Code(move(self.folder) if self.folder else "", releases)


class Kept(msgspec.Struct, frozen=True):
    """What the deployable of these services runs until the next rollout."""

    services: tuple[str, ...]
    code: Code
    versions: dict[str, str] = {}
    """Which of them were rolled out, and their versions."""
    topology: str = ""
    """Where they were rolled out, and where alone that is in force; empty in records of before that was noted,
    which are in force wherever their services form a deployable of that name."""
    before: Code = Code()
    """What they ran until then; its copies stay, so that there is a way back."""
    declared: dict[str, tuple[str, ...]] = {}
    """The contracts that what was rolled out calls, by service."""

    @property
    def names(self) -> str:
        """The services that were rolled out, with their versions, for people to read."""
        named = [f"{name} {version}" for name, version in self.versions.items()]
        return " and ".join(named or self.services)

    def moved(self, move: Callable[[str], str]) -> Kept:
        """The same with other names of its folders."""
        return msgspec.structs.replace(
            self, code=self.code.moved(move), before=self.before.moved(move)
        )


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The service that gets another version: where its class stands, beside whom it runs, and what runs."""

    service: str
    module: str
    distribution: str | None
    alone: bool
    """Whether it has its processes for itself."""
    system: Path
    """The system's folder."""
    data: Path
    """The system's data folder."""
    now: Code = Code()

    @property
    def folder(self) -> Path:
        """The folder of the system that is exchanged. Raises `ConfigurationError` for one outside of it."""
        return self.system / _below(self).partition("/")[0]


def code_from(source: Path, wanted: Wanted) -> Code:
    """The code with another version of one service: of a wheel, a distribution's folder, or a system's.

    Copies or unpacks it below `data/releases`. Raises `ConfigurationError` for a place that has no other
    version of that service.
    """
    into = wanted.data / "releases"
    if source.suffix == ".whl" or (source.is_dir() and any(source.glob("*.dist-info/RECORD"))):
        release = _distribution(source, wanted, into)
        return Code(wanted.now.folder, {**wanted.now.releases, wanted.service: str(release)})
    if not source.is_dir():
        what = f"{source} is no wheel and no folder" if source.exists() else f"there is no {source}"
        raise ConfigurationError(
            f"{what}; name a wheel, or the folder of a system with another version of "
            f"{wanted.service}"
        )
    if wanted.distribution is not None:
        built = " (build one: `uv build --wheel`)" if (source / "pyproject.toml").is_file() else ""
        raise ConfigurationError(
            f"{wanted.service} is the distribution {wanted.distribution}, and {source} is no wheel "
            f"and no unpacked one; name a wheel{built}"
        )
    return Code(str(_system(source, wanted, into)), wanted.now.releases)


def _distribution(source: Path, wanted: Wanted, into: Path) -> Path:
    from packaging.utils import canonicalize_name

    from borough.runtime.releases import distribution_of, unpack

    if wanted.distribution is None:
        raise ConfigurationError(
            f"{wanted.service} is a folder of the system and {source.name} is a distribution; name a folder "
            f"with {_below(wanted)}, or make it a distribution (services.{wanted.service}.distribution)"
        )
    is_wheel = source.suffix == ".whl"
    unpacked = [path.stem.rpartition("-")[0] for path in source.glob("*.dist-info")]
    found = [distribution_of(source)] if is_wheel else unpacked
    if canonicalize_name(wanted.distribution) not in [canonicalize_name(name) for name in found]:
        raise ConfigurationError(
            f"{source} is of the distribution {', '.join(found)}, and {wanted.service} is "
            f"{wanted.distribution}; name a wheel of that one"
        )
    return unpack(source, into) if is_wheel else _copied(source, source.name, into)


def _below(wanted: Wanted) -> str:
    """Where the module of the service stands below the system's folder."""
    package, _, rest = wanted.module.partition(".")
    if package != wanted.system.name or not rest:
        raise ConfigurationError(
            f"{wanted.service} is the module {wanted.module}, outside of the system's package "
            f"{wanted.system.name}; make it a distribution (services.{wanted.service}.distribution)"
        )
    return rest.replace(".", "/") + ".py"


def _system(source: Path, wanted: Wanted, into: Path) -> Path:
    below = _below(wanted)
    if not (source / below).is_file():
        raise ConfigurationError(
            f"{source} has no {below}; name the folder of a system with another version of {wanted.service}"
        )
    name = wanted.system.name
    if wanted.alone:
        return _copied(source.resolve(), name, into)
    # The others of the process stay as they are.
    within = below.partition("/")[0]
    base = Path(wanted.now.folder) if wanted.now.folder else wanted.system
    return _copied(base, name, into, within=within, instead=source.resolve() / within)


def left_behind(source: Path, code: Code, wanted: Wanted) -> list[str]:
    """A sentence where contracts of others are not those of `source`: who shares a process shares them, too."""
    if wanted.alone or wanted.distribution is not None:
        return []
    others: list[str] = []
    for path in sorted(source.glob("*/contract.py")):
        below = path.relative_to(source)
        there = Path(code.folder) / below
        if path.parent.name != wanted.folder.name and content_of(there) != content_of(path):
            others.append(str(below))
    if not others:
        return []
    return [
        f"{wanted.service} shares its process, and so it runs with the contracts of others as they are there: "
        f"{', '.join(others)} of {source} {'is' if len(others) == 1 else 'are'} not taken. If it needs them, put them "
        f"in the system's folder and start the fleet anew, or give {wanted.service} a process of its own"
    ]


def content_of(path: Path) -> bytes | None:
    """What a file holds; None where there is none."""
    return path.read_bytes() if path.is_file() else None


def _copied(
    source: Path, name: str, into: Path, *, within: str | None = None, instead: Path | None = None
) -> Path:
    """A copy of a folder that is named by its content, whole or not at all; `instead` goes to `within`."""
    try:
        files = [
            (path, below)
            for path, below in _files(source, source, into)
            if within is None or below.parts[0] != within
        ]
        if instead is not None and within is not None:
            files += [(path, within / below) for path, below in _files(instead, instead, into)]
        target = into / f"{name}-{_digest(files)}" / name
        if not target.is_dir():
            into.mkdir(parents=True, exist_ok=True)
            target = _copy(files, name, into)
    except OSError as error:
        raise ConfigurationError(
            f"{source} cannot be copied to {into}: {error.strerror or error}"
        ) from error
    return target


def _files(
    folder: Path, top: Path, but: Path, around: frozenset[Path] = frozenset()
) -> Iterator[tuple[Path, Path]]:
    """Files below a folder, with their paths from the top; nothing hidden, no data, no caches.

    A link that leads back to one of the folders `around` it would have no end, and is left out.
    """
    here = Path(os.path.realpath(folder))
    if here in around:
        return
    for path in sorted(folder.iterdir()):
        is_data = but.parent in (path, Path(os.path.realpath(path)))
        if path.name in _LEFT_OUT or path.name.startswith(".") or is_data:
            continue
        if path.is_dir():
            yield from _files(path, top, but, around | {here})
        elif path.is_file():
            yield path, path.relative_to(top)


def _digest(files: list[tuple[Path, Path]]) -> str:
    total, digest = 0, hashlib.sha256()
    for path, below in sorted(files, key=lambda each: each[1]):
        content = path.read_bytes()
        total += len(content)
        if total > _MOST_BYTES:
            raise ConfigurationError(f"more than {_MOST_BYTES} bytes are not copied: {path}")
        digest.update(f"{below}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _copy(files: list[tuple[Path, Path]], name: str, into: Path) -> Path:
    """A copy under the name of what was copied: they may have changed since they were looked at."""
    with TemporaryDirectory(prefix=f".{name}-", dir=into) as folder:
        copied: list[tuple[Path, Path]] = []
        for path, below in files:
            place = Path(folder, name, below)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)
            copied.append((place, below))
        target = into / f"{name}-{_digest(copied)}" / name
        if not target.is_dir():
            # Another process that is first has the same content: the folder is named by it.
            with written_whole(target.parent, target) as beside:
                os.rename(Path(folder, name), beside / name)
    return target


def keep(data: Path, current: dict[str, Kept]) -> None:
    """Remember what each of these deployables runs, for the next start of its topology.

    Of others nothing is forgotten, also where another topology has a deployable of that name.
    Raises `ConfigurationError`.
    """
    told = {_key(each.topology, name): each for name, each in current.items()}
    replaced = {_key("", name) for name in current} - told.keys()
    before = {key: each for key, each in _recorded(data).items() if key not in replaced}
    place = data / "releases" / _RECORD
    beside = place.with_suffix(".new")
    try:
        beside.write_bytes(msgspec.json.encode(_as_written(before | told, data)))
        os.replace(beside, place)
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be written: {error.strerror}") from error


def kept(data: Path, topology: str, deployables: Mapping[str, Collection[str]]) -> dict[str, Kept]:
    """What rollouts have left in a topology, for deployables that run the same services still.

    Raises `ConfigurationError` for a record that cannot be read, or code that is gone.
    """
    recorded = _recorded(data)
    current = {
        name: each
        for name, services in deployables.items()
        if (each := recorded.get(_key(topology, name), recorded.get(_key("", name)))) is not None
        and sorted(each.services) == sorted(services)
    }
    place = data / "releases" / _RECORD
    for each in current.values():
        for folder in each.code.folders:
            if not Path(folder).is_dir():
                raise ConfigurationError(
                    f"{folder}, which was rolled out, is gone; remove {place} to run the system's own code"
                )
    return current


def _as_written(recorded: Mapping[str, Kept], data: Path) -> dict[str, Kept]:
    """Copies by their place below `data/releases`: the data may lie elsewhere at the next start."""
    top = data / "releases"

    def below(folder: str) -> str:
        return str(Path(folder).relative_to(top)) if Path(folder).is_relative_to(top) else folder

    return {key: each.moved(below) for key, each in recorded.items()}


def _key(topology: str, deployable: str) -> str:
    return f"{topology}/{deployable}"


def _recorded(data: Path) -> dict[str, Kept]:
    """What was ever left and not replaced, by topology and deployable."""
    place = data / "releases" / _RECORD
    try:
        found = msgspec.json.decode(place.read_bytes(), type=dict[str, Kept])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, *UNREADABLE) as error:
        raise ConfigurationError(
            f"{place} cannot be read: {error}; remove it to run the system's own code"
        ) from error

    def whole(folder: str) -> str:
        return os.path.realpath(data / "releases" / folder)

    # Earlier versions wrote the deployable alone, and whole paths.
    return {
        key if "/" in key else _key(each.topology, key): each.moved(whole)
        for key, each in found.items()
    }


def reminders(data: Path, in_force: Mapping[str, Kept]) -> list[str]:
    """What a start says of earlier rollouts: a sentence for each that is `in_force`, and for each that is not."""
    place = data / "releases" / _RECORD
    try:
        recorded = _recorded(data)
    except ConfigurationError as error:
        return [str(error)]
    said = [
        f"{each.names}: runs from {each.code.place}, as it was rolled out, and not from the system's "
        f"folder; remove {place} and start anew to run that"
        for each in in_force.values()
    ]
    return said + [
        f"{each.names}: was rolled out{_under(each.topology)}, and this start runs the "
        f"system's own code; remove {place} to forget the rollout"
        for each in recorded.values()
        if each not in in_force.values()
    ]


def _under(topology: str) -> str:
    return f" under --topology {topology}" if topology else ""


def forget(code: Code, running: Iterable[Code], data: Path) -> None:
    """Remove the copies of a version, but for those that are `running` somewhere or recorded."""
    try:
        recorded = _recorded(data).values()
    except ConfigurationError:  # what it names is not known; the next start tells of it
        return
    used: set[str] = set()
    for each in [*running, *(code for left in recorded for code in (left.code, left.before))]:
        used.update(each.folders)
    for folder in set(code.folders) - used:
        place = Path(folder)
        # A system's copy has a folder of its own around it, a distribution's has not.
        top = place if place.parent == data / "releases" else place.parent
        if top.parent == data / "releases":
            remove_whole(top)


def clear_away(data: Path) -> None:
    """Remove what a fleet that was killed had half copied or half removed; nothing else may run on the data."""
    for beside in (data / "releases").glob(".*"):
        shutil.rmtree(beside, ignore_errors=True)
