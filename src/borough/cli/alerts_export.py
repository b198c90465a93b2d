"""`borough alerts export`: what a system watches, as files of Prometheus, Alertmanager and Grafana."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from borough.errors import ConfigurationError

if TYPE_CHECKING:
    from borough.alerting.declared import Declared
    from borough.observing.exports.routes import Mail, Told
    from borough.observing.exports.rules import Owned
    from borough.runtime.alert_options import AlertMailOptions
    from borough.runtime.system import System

__all__ = ["add_export"]

_EXAMPLE = """examples:
  borough alerts export --format prometheus --system examples/shop > rules.yml
  borough alerts export --format alertmanager --system examples/shop > alertmanager.yml
  borough alerts export --format grafana --system examples/shop > dashboard.json"""
_AGAIN = "Written by `borough alerts export`: write it anew when borough.toml changes."
_IS_SECRET = "It has the addresses of teams, and the mail server's password: keep it to yourself."


def add_export(subparsers: Any) -> None:
    """Add the command to those of `borough alerts`."""
    parser = subparsers.add_parser(
        "export",
        help="write alert rules, routes or a dashboard for other tools",
        description="Write what borough.toml declares, and what holds by default, for another tool.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--format",
        choices=sorted(_FORMATS),
        required=True,
        help="rules of `prometheus`, routes of `alertmanager`, or a dashboard of `grafana`",
    )
    parser.add_argument(
        "--system",
        metavar="PATH",
        default=argparse.SUPPRESS,  # what was said before the action stays
        help="the folder of the system (default: here)",
    )
    parser.set_defaults(run=_run, action="export")


def _run(options: argparse.Namespace) -> int:
    from borough.alerting.declared import declared_in
    from borough.runtime.system import System, service_name

    for option in ("for-team", "data", "json"):
        if getattr(options, option.replace("-", "_")):
            raise ConfigurationError(f"--{option} is nothing to export by; leave it away")
    system = System.load(options.system)
    services = sorted(service_name(cls) for cls in system.services)
    declared = declared_in(system.configuration, services)
    print(_FORMATS[options.format](system, services, declared), end="")
    return 0


def _rules(system: System, services: list[str], declared: Declared) -> str:
    from borough.observing.exports.rules import promised, rules_document
    from borough.observing.exports.yaml_text import yaml_text
    from borough.runtime.host import OWN_RESOURCES
    from borough.runtime.wiring import make_plan
    from borough.services.identity import TokenIssuer

    plan = make_plan(system, resources=[TokenIssuer, *OWN_RESOURCES])
    document = rules_document(
        system.name,
        declared.rules,
        declared.objectives,
        _owned(services, declared.teams),
        promised([*plan.contracts.values(), *plan.absent.values()]),
    )
    return yaml_text(document, _AGAIN)


def _routes(system: System, _services: list[str], declared: Declared) -> str:
    from borough.observing.exports.routes import routes_document
    from borough.observing.exports.yaml_text import yaml_text

    options = system.configuration.options.alerts
    document = routes_document(
        _told(declared), _mail(options.mail, declared), options.repeat_after.seconds
    )
    return yaml_text(document, f"{_AGAIN}\n{_IS_SECRET}")


def _dashboard(system: System, services: list[str], _declared: Declared) -> str:
    from borough.observing.exports.dashboard import dashboard

    return json.dumps(dashboard(system.name, services), indent=2) + "\n"


def _owned(services: list[str], teams: Mapping[str, str]) -> Iterator[Owned]:
    from borough.observing.exports.rules import Owned

    named: list[str | None] = [*sorted({teams[name] for name in services if name in teams}), None]
    for team in named:
        theirs = tuple(name for name in services if teams.get(name) == team)
        if theirs:
            yield Owned(team, theirs)


def _told(declared: Declared) -> Iterator[Told]:
    from borough.observing.exports.routes import Told

    for route in declared.routes.values():
        address = None if route.address is None else route.address.reveal()
        is_mail = route.channel == "mail"
        yield Told(route.team, None if is_mail else address, address if is_mail else None)


def _mail(options: AlertMailOptions, declared: Declared) -> Mail | None:
    from borough.observing.exports.routes import Mail

    if options.host is None:
        return None
    password = None if declared.password is None else declared.password.reveal()
    needs_tls = options.security == "starttls"
    return Mail(options.host, options.port, options.sender, needs_tls, options.user, password)


_FORMATS: Mapping[str, Callable[[System, list[str], Declared], str]] = {
    "prometheus": _rules,
    "alertmanager": _routes,
    "grafana": _dashboard,
}
