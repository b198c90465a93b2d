"""Where every value comes from: defaults in code, borough.toml, `BOROUGH_*` in the environment, flags.

The later one wins. An option's name is its path (`edge.port`), its variable `BOROUGH_EDGE_PORT`; a
service's setting `services.payments.settings.issuer_url` has `BOROUGH_PAYMENTS_ISSUER_URL`.
Secrets come by reference (`env:NAME`, `file:PATH`) and are never shown.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from borough.errors import ConfigurationError
from borough.services.settings import Secret, Settings

__all__ = [
    "CONFIGURATION_FILE",
    "Configuration",
    "EdgeOptions",
    "InternalOptions",
    "LimitOptions",
    "Options",
    "ServiceFacts",
    "TeamFacts",
    "TokenOptions",
]

CONFIGURATION_FILE = "borough.toml"
S = TypeVar("S", bound=Settings)
_FIELD = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?\Z", re.DOTALL)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of borough.toml; a key it does not know is an error."""


class SystemFacts(_Table, frozen=True):
    """What the whole is called."""

    name: str = "system"
    version: str = "0.1.0"


class TeamFacts(_Table, frozen=True):
    """People who own services."""

    size: int = 0
    on_call: bool | str = False
    time_zone: str = "UTC"
    release_days: tuple[str, ...] = ()


class ServiceFacts(_Table, frozen=True):
    """What code cannot know of a service. `module` names its module where convention does not find it."""

    team: str | None = None
    domain: str | None = None
    capability: str | None = None
    module: str | None = None
    settings: dict[str, Any] = {}


class TokenOptions(_Table, frozen=True):
    """Whose tokens the edge takes: `own` ones, or those of an issuer with its JWKS (URL or file)."""

    issuer: str = "own"
    audience: str | None = None
    jwks: str | None = None
    algorithms: tuple[str, ...] = ("EdDSA", "ES256", "RS256")


class EdgeOptions(_Table, frozen=True):
    """The public listener. `pages` is a folder of static files served at `/`.

    `system_page` shows `/system` to all (true) or nobody (false); by default on loopback only.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    pages: str | None = None
    cors: tuple[str, ...] = ()
    rate_limit: str | None = "100/s"
    system_page: bool | None = None
    tokens: TokenOptions = TokenOptions()


class InternalOptions(_Table, frozen=True):
    """The listener for services of this system; port 0 picks a free one."""

    host: str = "127.0.0.1"
    port: int = 0


class LimitOptions(_Table, frozen=True):
    """Limits that hold for each service, in calls, seconds and threads."""

    calls_in_flight: int = 512
    threads: int = 8
    thread_queue: int = 256
    default_timeout_s: float = 10.0
    longest_timeout_s: float = 60.0
    drain_s: float = 20.0
    stream_idle_s: float = 60.0


class DataOptions(_Table, frozen=True):
    """Where databases, event logs and keys live; relative to the system's folder."""

    folder: str = ".borough"


class Options(_Table, frozen=True):
    """Everything that borough.toml may say."""

    system: SystemFacts = SystemFacts()
    teams: dict[str, TeamFacts] = {}
    services: dict[str, ServiceFacts] = {}
    edge: EdgeOptions = EdgeOptions()
    internal: InternalOptions = InternalOptions()
    limits: LimitOptions = LimitOptions()
    data: DataOptions = DataOptions()


class Configuration:
    """The options of a system with the source of each."""

    def __init__(
        self,
        options: Options,
        sources: Mapping[str, str],
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.options = options
        self.folder = folder
        self._sources = dict(sources)
        self._environment = environment
        self._settings: dict[str, Settings] = {}

    @classmethod
    def load(
        cls,
        folder: Path,
        environment: Mapping[str, str],
        flags: Mapping[str, Any] | None = None,
    ) -> Configuration:
        """Read `folder/borough.toml` (which may be missing) and lay environment and flags over it.

        `flags` maps option paths to values. Raises `ConfigurationError` naming file, option and remedy.
        """
        path = folder / CONFIGURATION_FILE
        table: dict[str, Any] = {}
        if path.exists():
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"{path} is not valid TOML: {error}. Mend that line"
                ) from None
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        _convert(table, Options, str(path), strict=True)
        sources = dict.fromkeys(_paths(table), CONFIGURATION_FILE)
        for name in _option_paths():
            variable = "BOROUGH_" + name.replace(".", "_").upper()
            if variable in environment:
                _put(table, name, environment[variable])
                sources[name] = variable
        for name, value in (flags or {}).items():
            if value is not None:
                _put(table, name, value)
                sources[name] = "flag"
        return cls(
            _convert(table, Options, "configuration", strict=False), sources, folder, environment
        )

    def settings(self, service: str, kind: type[S]) -> S:
        """The typed settings of a service. Raises `ConfigurationError`."""
        facts = self.options.services.get(service, ServiceFacts())
        values = dict(facts.settings)
        where = f"services.{service}.settings"
        for field in msgspec.structs.fields(kind):
            variable = f"BOROUGH_{service}_{field.name}".upper().replace("-", "_")
            if field.encode_name in values and field.type is Secret:
                reference = values[field.encode_name]
                if not isinstance(reference, str) or not reference.startswith(("env:", "file:")):
                    raise ConfigurationError(
                        f"{where}.{field.name} in {CONFIGURATION_FILE} is a secret in clear; "
                        'write "env:NAME" or "file:PATH" instead'
                    )
            if variable in self._environment:
                text = self._environment[variable]
                values[field.encode_name] = Secret(text) if field.type is Secret else text
                self._sources[f"{where}.{field.name}"] = variable
        unknown = sorted(
            set(values) - {field.encode_name for field in msgspec.structs.fields(kind)}
        )
        if unknown:
            names = [field.encode_name for field in msgspec.structs.fields(kind)]
            raise ConfigurationError(
                f"{where}.{unknown[0]} is no setting of {service}{_meant(unknown[0], names)}"
            )
        found: S = _convert(values, kind, where, strict=False, hook=self._secret)
        self._settings[service] = found
        return found

    def _secret(self, kind: type[Any], value: Any) -> Any:
        if kind is not Secret:
            raise NotImplementedError(f"a setting cannot be of type {kind.__name__}")
        if isinstance(value, Secret):
            return value
        how, _, name = str(value).partition(":")
        if how == "env":
            if name not in self._environment:
                raise ValueError(f"the environment has no {name}")
            return Secret(self._environment[name])
        try:
            return Secret((self.folder / name).read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from None

    @property
    def data_folder(self) -> Path:
        """Where databases, logs and keys live, absolute."""
        return (self.folder / self.options.data.folder).resolve()

    def explain(self) -> list[tuple[str, str, str]]:
        """Every option as (path, value, source), secrets masked."""
        rows: list[tuple[str, str, str]] = []
        for name, value in _leaves("", self.options):
            rows.append((name, _shown(value), self._sources.get(name, "default")))
        for service, settings in self._settings.items():
            for name in settings.__struct_fields__:
                path = f"services.{service}.settings.{name}"
                rows.append(
                    (path, _shown(getattr(settings, name)), self._sources.get(path, "default"))
                )
        return rows


def _shown(value: Any) -> str:
    return "***" if isinstance(value, Secret) else str(value)


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]]
    if isinstance(value, _Table):
        pairs = [
            (name, getattr(value, name)) for name in value.__struct_fields__ if name != "settings"
        ]
    elif isinstance(value, dict):
        pairs = list(cast("dict[str, Any]", value).items())
    else:
        return [(prefix, value)]
    return [
        leaf
        for name, inner in pairs
        for leaf in _leaves(f"{prefix}.{name}" if prefix else name, inner)
    ]


def _paths(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in table.items():
        path = f"{prefix}{name}"
        found += (
            _paths(cast("dict[str, Any]", value), path + ".") if isinstance(value, dict) else [path]
        )
    return found


def _option_paths() -> list[str]:
    return [name for name, _ in _leaves("", Options()) if name]


def _put(table: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known) or 'none'}"


def _convert(table: Any, kind: Any, where: str, *, strict: bool, hook: Any = None) -> Any:
    try:
        return msgspec.convert(table, kind, strict=strict, dec_hook=hook)
    except msgspec.ValidationError as error:
        found = _FIELD.match(str(error))
        message, place = (found[1], found[2]) if found else (str(error), None)
        steps = (place or "").replace("[...]", ".*").strip(".").split(".") if place else []
        unknown = re.search(r"unknown field `(.*)`", message)
        if unknown:
            path = ".".join([*_named(table, steps, unknown[1]), unknown[1]])
            meant = _meant(unknown[1], _known_options(kind, steps))
            raise ConfigurationError(f"{where}: {path} is no option{meant}") from None
        spot = f"{'.'.join(steps)}: " if steps else ""
        sentence = f"{message[:1].lower()}{message[1:]}"
        raise ConfigurationError(f"{where}: {spot}{sentence}. Mend the value") from None


def _named(table: Any, steps: list[str], unknown: str) -> list[str]:
    """The steps with the name of the table that holds the unknown key in place of `*`."""
    named: list[str] = []
    for step in steps:
        if step == "*":
            step = next((name for name, inner in table.items() if unknown in inner), step)
        named.append(step)
        table = table.get(step, {})
    return named


def _known_options(kind: Any, steps: list[str]) -> list[str]:
    """The keys that a table knows, found along the types of the tables above it."""
    for step in steps:
        if getattr(kind, "__args__", ()):
            kind = kind.__args__[-1]
        else:
            kind = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}[step]
    return list(getattr(kind, "__struct_fields__", ()))
