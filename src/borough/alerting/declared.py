"""What borough.toml says of alerts, read and checked at the start: rules, objectives, who is told where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from borough.alerting.view import Channel
from borough.contracts.objective import Objective, read_availability, read_latency
from borough.errors import ConfigurationError
from borough.gateway.internal import is_loopback
from borough.reliability.alert_rules import DEFAULT_RULES, METRICS, Rule, read_above
from borough.reliability.objectives import BURNS
from borough.runtime.alert_options import AlertMailOptions, AlertRuleOptions
from borough.runtime.configuration import Configuration
from borough.services.settings import Secret
from borough.transports.http.external import place_at

__all__ = ["Declared", "Route", "declared_in"]

_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")
_BURN_NAMES = frozenset(
    f"{kind}-{burn.name}-burn" for kind in ("availability", "latency") for burn in BURNS
)
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+\Z")


class Route(msgspec.Struct, frozen=True):
    """Where a team is told. `address` is a secret: whoever knows the URL of a chat's webhook may write there."""

    team: str
    channel: Channel
    address: Secret | None = None
    keys: tuple[bytes, ...] = ()
    secret: Secret | None = None
    """What the keys were read from, which is hidden from logs as long as it lives."""

    @property
    def shown(self) -> str:
        """The address, without what may be secret in it."""
        if self.address is None:
            return ""
        address = self.address.reveal()
        if self.channel == "mail":
            name, _, host = address.partition("@")
            return f"{name[:1]}…@{host}"
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…"


class Declared(msgspec.Struct, frozen=True):
    """All of it. `teams` has the owner of each service."""

    rules: tuple[Rule, ...]
    objectives: tuple[Objective, ...]
    routes: Mapping[str, Route]
    teams: Mapping[str, str]
    password: Secret | None
    """That of the mail server."""
    default_team: str | None = None
    """Who is told of what has no owner."""

    def team(self, service: str | None) -> str | None:
        """Who is told of a service, or of what belongs to none."""
        return self.default_team if service is None else self.teams.get(service, self.default_team)


def declared_in(configuration: Configuration, services: Collection[str]) -> Declared:
    """Read it. `services` are all that there are. Raises `ConfigurationError`, which says what to mend."""
    options = configuration.options
    known = sorted({*services, *options.services, *options.external})
    teams = {name: facts.team for name, facts in options.services.items() if facts.team is not None}
    names = sorted({*options.teams, *teams.values()})
    default = options.alerts.team
    if default is not None and default not in names:
        raise ConfigurationError(f"alerts.team: there is no team {default}{_meant(default, names)}")
    return Declared(
        rules=_rules(options.alerts.rules, known),
        objectives=tuple(_objectives(configuration)),
        routes={name: _route(configuration, name) for name in names},
        teams=teams,
        password=configuration.mail_password(),
        default_team=default,
    )


def _rules(given: Mapping[str, AlertRuleOptions], services: Collection[str]) -> tuple[Rule, ...]:
    defaults = {rule.name: rule for rule in DEFAULT_RULES}
    found = dict(defaults)
    for name, said in given.items():
        place = f"alerts.rules.{name}"
        if not _NAME.match(name):
            raise ConfigurationError(f"{place} is no name: use lower-case letters, digits and -")
        if name in _BURN_NAMES:
            raise ConfigurationError(
                f"{place} is an alert on an objective, which [services.NAME.objectives] says; "
                "give a rule of your own another name"
            )
        rule = _rule(place, name, said, defaults.get(name))
        _check_services(place, rule.services, services)
        if said.enabled:
            found[name] = rule
        else:
            found.pop(name, None)
    return tuple(found.values())


def _rule(place: str, name: str, said: AlertRuleOptions, default: Rule | None) -> Rule:
    if default is not None and said.metric not in (None, default.metric):
        raise ConfigurationError(
            f"{place}.metric is {default.metric}; give a rule of your own another name"
        )
    metric = said.metric if default is None else default.metric
    if metric is None:
        raise ConfigurationError(
            f"{place} is no default rule{_meant(name, (rule.name for rule in DEFAULT_RULES))}; "
            "one of your own says its metric and above"
        )
    if metric not in METRICS:
        raise ConfigurationError(f"{place}.metric: there is no {metric}{_meant(metric, METRICS)}")
    if said.above is None and default is None and said.enabled:
        raise ConfigurationError(f"{place}.above is missing; say above which {metric} it fires")
    try:
        above = read_above(metric, 0 if said.above is None else said.above)
    except ValueError as error:
        if said.above is not None:
            raise ConfigurationError(f"{place}.above: {error}") from None
        above = 0.0
    if said.runbook is not None:
        place_at(said.runbook, f"{place}.runbook")
    base = default or Rule(name=name, metric=metric, above=above, for_s=30.0, severity="ticket")
    return msgspec.structs.replace(
        base,
        above=base.above if said.above is None else above,
        for_s=base.for_s if said.lasting is None else said.lasting.seconds,
        severity=said.severity or base.severity,
        services=said.services,
        runbook=said.runbook,
        source="borough.toml",
    )


def _check_services(place: str, named: Iterable[str], known: Collection[str]) -> None:
    for name in named:
        if name not in known:
            raise ConfigurationError(f"{place}.services: there is no {name}{_meant(name, known)}")


def _objectives(configuration: Configuration) -> Iterable[Objective]:
    for service, facts in configuration.options.services.items():
        for read, kind in ((read_availability, "availability"), (read_latency, "latency")):
            text: str | None = getattr(facts.objectives, kind)
            if text is None:
                continue
            try:
                yield read(service, text)
            except ValueError as error:
                place = f"services.{service}.objectives.{kind}"
                raise ConfigurationError(f"{place}: {error}") from None


def _route(configuration: Configuration, team: str) -> Route:
    facts = configuration.options.teams.get(team)
    given = None if facts is None else facts.alerts
    if facts is None or given is None:
        return Route(team, "none")
    option = f"teams.{team}.alerts"
    address = configuration.address(option, given)
    text = address.reveal()
    if text.startswith("mailto:"):
        to = unquote(text.removeprefix("mailto:"))
        if not _ADDRESS.match(to):
            raise ConfigurationError(
                f"{option} is no address for mail; write it as mailto:NAME@HOST"
            )
        _check_mail(option, configuration.options.alerts.mail)
        return Route(team, "mail", Secret(to))
    if not text.startswith(("https://", "http://")):
        raise ConfigurationError(f"{option} must begin with https:// or mailto:")
    if place_at(text, option).is_exposed:
        raise ConfigurationError(
            f"{option} is clear text to another machine, where alerts would be read on the way; use https"
        )
    if facts.alerts_secret is None:
        return Route(team, "webhook", address)
    option = f"teams.{team}.alerts_secret"
    secret, keys = configuration.signing_keys(option, facts.alerts_secret)
    return Route(team, "webhook", address, keys, secret)


def _check_mail(option: str, mail: AlertMailOptions) -> None:
    if mail.host is None:
        raise ConfigurationError(
            f"{option} is an address for mail, and alerts.mail.host does not say by which server; set it"
        )
    if not _ADDRESS.match(mail.sender):
        raise ConfigurationError(
            f"alerts.mail.sender is no address for mail: {mail.sender!r}; write it as NAME@HOST"
        )
    if mail.security == "none" and not is_loopback(mail.host):
        raise ConfigurationError(
            'alerts.mail.security is "none", which is for a server on this machine only; '
            'write "starttls" or "tls"'
        )
    if (mail.user is None) != (mail.password is None):
        raise ConfigurationError("alerts.mail has user and password, or neither; add the other one")


def _meant(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names) or 'none'}"
