"""Where every value comes from: defaults in code, borough.toml, `BOROUGH_*` in the environment, flags.

The later one wins. An option's name is its path (`edge.port`), its variable `BOROUGH_EDGE_PORT`; a
service's setting `services.payments.settings.issuer_url` has `BOROUGH_PAYMENTS_ISSUER_URL`.
Secrets come by reference (`env:NAME`, `file:PATH`) and are never shown.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from borough.errors import ConfigurationError
from borough.runtime.duration import read_duration
from borough.runtime.options import Options
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.table import Table
from borough.runtime.toml_file import read_toml
from borough.services.settings import Secret, Settings
from borough.telemetry.masking import MASK, masked_url, without_secrets

__all__ = [
    "CONFIGURATION_FILE",
    "OWN_VARIABLES",
    "Configuration",
    "option_defaults",
    "variable_of",
]

CONFIGURATION_FILE = "borough.toml"
_REFERENCES = ("env:", "file:")
OWN_VARIABLES = frozenset({"BOROUGH_REQUIRE", "BOROUGH_SHOTS"})
"""Variables that are no option: Borough's own tests read them."""
_TOLD = {
    "BOROUGH_SYSTEM", "BOROUGH_SYSTEM_DATA", "BOROUGH_SERVICE", "BOROUGH_TOKENS", "BOROUGH_DIRECTORY",
    "BOROUGH_TLS_CA", "BOROUGH_TLS_CERTIFICATE", "BOROUGH_TLS_KEY",
}  # fmt: skip
"""What a service that is a command is told; one may run Borough itself."""
_LISTS = "discovery.static."
"""Below it each name has a list."""
S = TypeVar("S", bound=Settings)
_FIELD = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?\Z", re.DOTALL)


class Configuration:
    """The options of a system with the source of each."""

    def __init__(
        self,
        options: Options,
        sources: Mapping[str, str],
        folder: Path,
        environment: Mapping[str, str],
        flags: Mapping[str, Any],
    ) -> None:
        self.options = options
        self.folder = folder
        self._sources = dict(sources)
        self._environment = environment
        self._flags = flags
        self._settings: dict[str, Settings] = {}
        self._asked = {variable_of(name) for name in option_defaults()}

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
        if path.exists() or path.is_symlink():  # a link that leads nowhere is a mistake
            table = read_toml(path)
        _convert(table, Options, str(path), strict=True, hook=read_duration)
        sources = dict.fromkeys(_paths(table), CONFIGURATION_FILE)
        flags = {name: value for name, value in (flags or {}).items() if value is not None}
        defaults = option_defaults()
        laid_over = [
            (name, variable_of(name)) for name in defaults if variable_of(name) in environment
        ]
        values = [environment[variable] for _, variable in laid_over] + list(flags.values())
        laid_over += [(name, "flag") for name in flags]
        for (name, source), value in zip(laid_over, values, strict=True):
            is_list = isinstance(defaults.get(name), tuple) or name.startswith(_LISTS)
            _put(table, name, _items(value) if is_list else value)
            sources[name] = source
        options = _convert(
            table, Options, "configuration", strict=False, hook=read_duration, sources=sources
        )
        for option, value in _secrets(options):
            _refuse_clear_text(option, value, sources.get(option, CONFIGURATION_FILE))
        return cls(options, sources, folder, environment, flags)

    def with_flags(self, flags: Mapping[str, Any]) -> Configuration:
        """The same with further flags laid over it. Raises `ConfigurationError`."""
        return self.load(self.folder, self._environment, {**self._flags, **flags})

    def without_external(self, names: Collection[str]) -> Configuration:
        """The same without these services elsewhere."""
        left = {name: it for name, it in self.options.external.items() if name not in names}
        options = msgspec.structs.replace(self.options, external=left)
        return Configuration(options, self._sources, self.folder, self._environment, self._flags)

    def settings(self, service: str, kind: type[S]) -> S:
        """The typed settings of a service. Raises `ConfigurationError`."""
        facts = self.options.services.get(service, ServiceFacts())
        values = dict(facts.settings)
        where = f"services.{service}.settings"
        for field in msgspec.structs.fields(kind):
            name = field.encode_name
            path, variable = f"{where}.{name}", variable_of(f"{service}.{name}")
            self._asked.add(variable)
            if variable in self._environment and self._sources.get(path) != "flag":
                _refuse_option(service, name, variable)
                text = self._environment[variable]
                values[name] = Secret(text) if _is_secret(field.type) else text
                self._sources[path] = variable
            elif name in values and _is_secret(field.type):
                _refuse_clear_text(path, values[name], self._sources.get(path, CONFIGURATION_FILE))
            elif name not in values and field.required:
                wanted = '"env:NAME" or "file:PATH"' if _is_secret(field.type) else "a value"
                raise ConfigurationError(
                    f"{path} is missing; give it {wanted} in {CONFIGURATION_FILE}, or set {variable}"
                )
            if get_origin(field.type) in (tuple, list) and name in values:
                values[name] = _items(values[name])
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

    def credentials(self, external: str) -> dict[str, Secret]:
        """The header fields for a service elsewhere. Raises `ConfigurationError` for one that cannot be had."""
        headers = self.options.external[external].headers
        return self._referred(f"external.{external}.headers", headers)

    def telemetry_headers(self) -> dict[str, Secret]:
        """The same for the collector."""
        return self._referred("telemetry.headers", self.options.telemetry.headers)

    def mail_password(self) -> Secret | None:
        """What `alerts.mail.user` proves itself with. Raises `ConfigurationError`."""
        given = self.options.alerts.mail.password
        return (
            None
            if given is None
            else self._referred("alerts.mail", {"password": given})["password"]
        )

    def console_password(self) -> Secret | None:
        """What whoever looks at the console must know, if anything. Raises `ConfigurationError`."""
        given = self.options.console.password
        return None if given is None else self._referred("console", {"password": given})["password"]

    def variables(self, service: str) -> tuple[dict[str, str], tuple[Secret, ...]]:
        """What `services.NAME.environment` adds for a service that is a command, references resolved.

        With the secrets among them: keep these as long as the command runs, they are hidden so long.
        Raises `ConfigurationError` for one that cannot be had.
        """
        given = self.options.services[service].environment
        secret = {name: text for name, text in given.items() if text.startswith(_REFERENCES)}
        try:
            found = self._referred(f"services.{service}.environment", secret)
        except ConfigurationError as error:
            raise ConfigurationError(
                f'{error}, or write "literal:..." for the text itself'
            ) from None
        literal = {name: text.removeprefix("literal:") for name, text in given.items()}
        revealed = {name: value.reveal() for name, value in found.items()}
        return {**literal, **revealed}, tuple(found.values())

    def _referred(self, option: str, headers: Mapping[str, str]) -> dict[str, Secret]:
        found: dict[str, Secret] = {}
        for name, reference in headers.items():
            try:
                found[name] = self._secret(Secret, reference)
            except ValueError as error:
                raise ConfigurationError(f"{option}.{name}: {error}; give it there") from None
        return found

    def address(self, option: str, given: str) -> Secret:
        """What `env:NAME` or `file:PATH` stands for, or the text itself. Raises `ConfigurationError`.

        A password in clear is refused. Keep the secret as long as the address is in use: it is hidden so long.
        """
        if not given.startswith(_REFERENCES):
            if masked_url(given) != given:
                _refuse_clear_text(option, given, self._sources.get(option, CONFIGURATION_FILE))
            return Secret(given)
        try:
            found: Secret = self._secret(Secret, given)
        except ValueError as error:
            raise ConfigurationError(f"{option}: {error}; give it there") from None
        return found

    def signing_keys(self, option: str, given: str) -> tuple[Secret, tuple[bytes, ...]]:
        """What signs as Standard Webhooks have it, and its keys. Raises `ConfigurationError`.

        Keep the secret as long as it signs: it is hidden from logs so long.
        """
        from borough.reliability.webhook import read_keys  # few systems sign anything

        secret = self.address(option, given)
        try:
            return secret, read_keys(secret.reveal())
        except ValueError as error:
            raise ConfigurationError(
                f"{option} is no secret of Standard Webhooks: {error}; "
                "write whsec_ and then 24 to 64 random bytes in base64"
            ) from None

    def _secret(self, kind: type[Any], value: Any) -> Any:
        if kind is not Secret:
            raise NotImplementedError(f"a setting cannot be of type {kind.__name__}")
        if isinstance(value, Secret):
            return value
        how, _, name = str(value).partition(":")
        if how == "env":
            self._asked.add(name)
            if name not in self._environment:
                raise ValueError(f"the environment has no {name or 'variable without a name'}")
            return Secret(self._environment[name])
        path = self.folder / name
        try:
            return Secret(path.read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not in UTF-8") from None

    def unread_variables(self, absent: Iterable[str] = ()) -> list[str]:
        """A sentence for each `BOROUGH_*` variable that nothing has read; asked once all settings are.

        The variables of services that are `absent` here (mocked, or elsewhere) cannot be judged.
        """
        spared = tuple(variable_of(service) + "_" for service in absent)
        found: list[str] = []
        for variable in sorted(set(self._environment) - self._asked - OWN_VARIABLES - _TOLD):
            if variable.startswith("BOROUGH_") and not (spared and variable.startswith(spared)):
                close = difflib.get_close_matches(variable, sorted(self._asked), 1)
                remedy = f"did you mean {close[0]}?" if close else "remove it"
                found.append(f"{variable} is set and is neither an option nor a setting; {remedy}")
        return found

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that it was read with."""
        return self._environment

    @property
    def data_folder(self) -> Path:
        """Where databases, logs and keys live, absolute."""
        return (self.folder / self.options.data.folder).resolve()

    def explain(self) -> list[tuple[str, str, str]]:
        """Every option as (path, value, source) for people to read, secrets masked."""
        return [(name, _written(value), source) for name, value, source in self.explained()]

    def explained(self) -> list[tuple[str, Any, str]]:
        """The same with values as JSON has them."""
        rows: list[tuple[str, Any, str]] = []
        for name, value in _leaves("", self.options):
            shown = _shown(value)
            if _is_variable(name) and not str(value).startswith(_REFERENCES):
                shown = MASK
            if value is not None and name.startswith("teams.") and name.endswith(".alerts"):
                shown = _without_path(shown)
            rows.append((name, shown, self._sources.get(name, "default")))
        rows += [
            (f"external.{name}", "elsewhere", CONFIGURATION_FILE) for name in self.options.external
        ]
        for service, settings in self._settings.items():
            for name in settings.__struct_fields__:
                path = f"services.{service}.settings.{name}"
                rows.append(
                    (path, _shown(getattr(settings, name)), self._sources.get(path, "default"))
                )
        return rows


def _secrets(options: Options) -> Iterator[tuple[str, str]]:
    """Every option that is a secret, with what is given for it."""
    for name, external in options.external.items():
        for field, value in external.headers.items():
            yield f"external.{name}.headers.{field}", value
    for field, value in options.telemetry.headers.items():
        yield f"telemetry.headers.{field}", value
    found: dict[str, str | None] = {
        "console.password": options.console.password,
        "alerts.mail.password": options.alerts.mail.password,
    }
    for name, push in options.push.items():
        found[f"push.{name}.secret"] = push.secret
    for name, team in options.teams.items():
        found[f"teams.{name}.alerts_secret"] = team.alerts_secret
    yield from ((option, value) for option, value in found.items() if value is not None)


def _written(value: Any) -> str:
    """A value as borough.toml has it, but for the quotes of a text; nothing where it is not set."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode().replace(",", ", ")


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in cast("list[Any]", value)]
    return MASK if isinstance(value, Secret) else masked_url(without_secrets(str(value)))


def _is_variable(option: str) -> bool:
    """Whether it is one of `services.NAME.environment`, of which nobody says what is secret."""
    steps = option.split(".")
    return steps[0] == "services" and steps[2:3] == ["environment"] and len(steps) > 3


def _without_path(url: str) -> str:
    """Whoever knows the path of a chat's webhook may write there. A reference, or a mail's address, stays."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/…" if slashes else url


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]]
    if isinstance(value, Table):
        fields = msgspec.structs.fields(value)
        pairs = [
            (field.encode_name, getattr(value, field.name))
            for field in fields
            if field.name != "settings"
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


def option_defaults() -> dict[str, Any]:
    """Every option that has a name of its own, with its default."""
    return dict(_leaves("", Options()))


def variable_of(path: str) -> str:
    """The environment variable of an option (`edge.port`) or a setting (`payments.issuer_url`)."""
    return "BOROUGH_" + path.replace(".", "_").replace("-", "_").upper()


def _put(table: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{path} is no option: {parent} is a value, not a table")
        table = cast("dict[str, Any]", inner)
    table[last] = value


def _items(value: Any) -> Any:
    """A list given as one text: what stands between its commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _is_secret(kind: Any) -> bool:
    return kind is Secret or Secret in get_args(kind)


def _refuse_clear_text(path: str, value: Any, source: str) -> None:
    if not isinstance(value, str) or not value.startswith(_REFERENCES):
        raise ConfigurationError(
            f'{path} ({source}) is a secret in clear; write "env:NAME" or "file:PATH" instead'
        )


def _refuse_option(service: str, name: str, variable: str) -> None:
    for option in option_defaults():
        if variable_of(option) == variable:
            raise ConfigurationError(
                f"{variable} is the option {option}, and would be the setting {name} of {service}; "
                "rename the setting"
            )


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known) or 'none'}"


def _convert(
    table: Any,
    kind: Any,
    where: str,
    *,
    strict: bool,
    hook: Any = None,
    sources: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    try:
        return msgspec.convert(table, kind, strict=strict, dec_hook=hook)
    except msgspec.ValidationError as error:
        found = _FIELD.match(str(error))
        message, place = (found[1], found[2]) if found else (str(error), None)
        steps = (place or "").replace("[...]", ".*").strip(".").split(".") if place else []
        unknown = re.search(r"unknown field `(.*)`", message)
        named = _named(table, steps, str(error), lambda part: _refusal(part, kind, strict, hook))
        if unknown:
            path = ".".join([*named, unknown[1]])
            meant = _meant(unknown[1], _known_options(kind, steps))
            raise ConfigurationError(f"{where}: {path} is no option{meant}") from None
        where = sources.get(".".join(named), where)
        spot = f"{'.'.join(named)}: " if named else ""
        sentence = f"{message[:1].lower()}{message[1:]}".replace(
            " | null`", "`"
        )  # TOML has no null
        raise ConfigurationError(f"{where}: {spot}{sentence}. Mend the value") from None


def _refusal(table: Any, kind: Any, strict: bool, hook: Any) -> str:
    try:
        msgspec.convert(table, kind, strict=strict, dec_hook=hook)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _named(table: Any, steps: list[str], said: str, refusal: Callable[[Any], str]) -> list[str]:
    """The steps with a name in place of each `*`: of the entry that alone is refused in the same words."""
    named: list[str] = []
    for step in steps:
        if step == "*":
            inner = reduce(lambda held, each: held.get(each, {}), named, table)
            parts = {name: _only(table, [*named, name]) for name in inner}
            step = next((name for name, part in parts.items() if refusal(part) == said), step)
            table = parts.get(step, table)
        named.append(step)
    return named


def _only(table: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    """The table with one entry on the way along the path; what stands beside the way is kept above it."""
    first, *rest = path
    if not rest:
        return {first: table[first]}
    return {**table, first: _only(table[first], rest)}


def _known_options(kind: Any, steps: list[str]) -> list[str]:
    """The keys that a table knows, found along the types of the tables above it."""
    for step in steps:
        if getattr(kind, "__args__", ()):
            kind = kind.__args__[-1]
        else:
            kind = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}[step]
    return list(getattr(kind, "__struct_encode_fields__", ()))
