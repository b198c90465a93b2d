"""`borough alerts`: what is wrong with a running system; and that somebody looks after it, or wants quiet.

It asks the console of the system, and logs in there by the password that borough.toml refers to.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from borough.cli.address import read_address
from borough.cli.alerts_export import add_export
from borough.cli.trace import add_place, configuration_of
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ConfigurationError

if TYPE_CHECKING:
    from borough.alerting.view import AlertsView, AlertView
    from borough.runtime.configuration import Configuration
    from borough.transports.http.client import ClientResponse, HttpClient

__all__ = ["add"]

_EXAMPLE = """examples:
  borough alerts --system examples/shop
  borough alerts --for-team checkout --json
  borough alerts acknowledge 3f2a9c41d07be512 --note "the issuer knows"
  borough alerts silence --service payments --for 2h --reason "the issuer moves"
  borough alerts export --format prometheus"""
_API = "/console/api"
_TIMEOUT_S = 10.0
_MARKS = {"firing": "FIRES", "acknowledged": "acknowledged", "pending": "pending"}


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "alerts",
        help="show what is wrong with a running system; exit status 1 when something fires",
        description="What fires, what somebody looks after, and what may fire soon.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--for-team", metavar="TEAM", help="those of the services of one team")
    add_place(parser)
    parser.set_defaults(run=_run, action="show")
    actions = parser.add_subparsers(metavar="ACTION")
    acknowledge = actions.add_parser(
        "acknowledge",
        help="say that somebody looks after an alert",
        epilog='example: borough alerts acknowledge 3f2a9c41d07be512 --note "the issuer knows"',
    )
    acknowledge.add_argument("alert", help="its id")
    acknowledge.add_argument("--note", default="", help="what others should know")
    acknowledge.set_defaults(action="acknowledge")
    silence = actions.add_parser(
        "silence",
        help="tell nobody of some alerts for a while",
        epilog='example: borough alerts silence --rule slow-calls --for 2h --reason "a sale"',
    )
    silence.add_argument("--rule", help="of that rule (default: of each)")
    silence.add_argument("--service", help="of that service (default: of each)")
    silence.add_argument("--all", action="store_true", help="of every rule and service")
    silence.add_argument("--for", dest="lasting", required=True, metavar="TIME", help="90m, 2h, 1d")
    silence.add_argument("--reason", required=True, help="why")
    silence.set_defaults(action="silence")
    for action in (acknowledge, silence):
        add_place(action, is_below=True)
    add_export(actions)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    configuration = configuration_of(options)
    data = Path(options.data).resolve() if options.data else configuration.data_folder
    edge = read_address(data).edge
    if not edge:
        raise ConfigurationError("this system has no public listener, and so no console to ask")
    if options.action == "show":
        return _show(options, asyncio.run(_ask(configuration, edge, "GET", "/alerts")))
    by = _user()
    if options.action == "acknowledge":
        path = f"/alerts/{quote(options.alert, safe='')}/acknowledge"
        body: dict[str, Any] = {"note": options.note, "by": by}
    else:
        path, body = "/alerts/silences", _silence(options, by)
    answer = asyncio.run(_ask(configuration, edge, "POST", path, msgspec.json.encode(body)))
    if options.json:
        print(answer.decode())
    elif options.action == "acknowledge":
        print(f"{options.alert} is acknowledged")
    else:
        found = msgspec.json.decode(answer)
        print(f"silenced until {_time(found['until'])}: {found['id']}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises `ConfigurationError` for what would silence more, or act on more, than was meant."""
    if options.action == "show":
        return
    if options.for_team is not None:
        raise ConfigurationError(
            f"--for-team chooses what is shown, and is nothing to {options.action} by; "
            "name a service with --service, or an alert"
        )
    if options.action == "silence" and options.all == bool(options.rule or options.service):
        raise ConfigurationError(
            "say of what nobody is to be told: --rule or --service or both, or --all"
        )


def _user() -> str:
    """Whoever asks; in a container a user may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _silence(options: argparse.Namespace, by: str) -> dict[str, Any]:
    from borough.runtime.duration import Duration

    try:
        seconds = Duration(options.lasting).seconds
    except ValueError as error:
        raise ConfigurationError(f"--for: {error}") from None
    return {
        "rule": options.rule,
        "service": options.service,
        "for_s": seconds,
        "reason": options.reason,
        "by": by,
    }


async def _ask(
    configuration: Configuration, edge: str, method: str, path: str, body: bytes = b""
) -> bytes:
    """What the console answers. Raises `ConfigurationError` for what it refuses, else a `CallError`."""
    from borough.transports.http.client import HttpClient

    client = HttpClient()
    try:
        fields = await _session(client, edge, configuration)
        answer = await _send(client, edge, method, path, body, fields)
        if answer.status >= 400:
            raise ConfigurationError(_said(answer))
        return answer.body
    finally:
        await client.close()


async def _session(
    client: HttpClient, edge: str, configuration: Configuration
) -> list[tuple[bytes, bytes]]:
    """Fields that let a request in, and that let it change something."""
    fields: list[tuple[bytes, bytes]] = []
    password = configuration.console_password()
    if password is not None:
        given = msgspec.json.encode({"password": password.reveal()})
        answer = await _send(client, edge, "POST", "/session", given, ())
        if answer.status >= 400:
            raise ConfigurationError(_said(answer))
        cookie = (answer.headers.get("set-cookie") or "").partition(";")[0]
        fields.append((b"cookie", cookie.encode()))
    answer = await _send(client, edge, "GET", "/session", b"", fields)
    if answer.status == 404:
        raise ConfigurationError(
            "this system shows no console, by which alerts are asked for; set console.serve = true, "
            "and a console.password where others reach it"
        )
    token = msgspec.json.decode(answer.body).get("token") or ""
    return [*fields, (b"x-borough-token", token.encode())]


async def _send(
    client: HttpClient,
    edge: str,
    method: str,
    path: str,
    body: bytes,
    fields: Sequence[tuple[bytes, bytes]],
) -> ClientResponse:
    parts = urlsplit(edge)
    origin = parts.hostname or "127.0.0.1", parts.port or 80
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_S
    given = [*fields, (b"content-type", b"application/json")] if body else list(fields)
    return await client.send(origin, method, _API + path, given, body, deadline)


def _said(answer: ClientResponse) -> str:
    try:
        return str(msgspec.json.decode(answer.body)["detail"])
    except (KeyError, TypeError, *UNREADABLE):
        raise CallError(f"the console answered {answer.status}") from None


def _show(options: argparse.Namespace, answer: bytes) -> int:
    from borough.alerting.view import AlertsView

    view = msgspec.json.decode(answer, type=AlertsView)
    team = options.for_team
    if team is not None:
        view = _of(view, team)
    fires = any(alert.state == "firing" for alert in view.alerts)
    if options.json:
        print(msgspec.json.encode(view).decode())
    elif not view.alerts:
        print("nothing is wrong" if team is None else f"nothing is wrong for {team}")
    else:
        for alert in view.alerts:
            print(_line(alert))
    return 1 if fires else 0


def _of(view: AlertsView, team: str) -> AlertsView:
    """What one team is told of. Raises `ConfigurationError` for one that there is not."""
    teams = sorted(route.team for route in view.routes)
    if team not in teams:
        raise ConfigurationError(f"there is no team {team}; there are {', '.join(teams) or 'none'}")
    return msgspec.structs.replace(
        view,
        alerts=[alert for alert in view.alerts if alert.team == team],
        history=[alert for alert in view.history if alert.team == team],
        rules=[rule for rule in view.rules if rule.team in (team, None)],
        routes=[route for route in view.routes if route.team == team],
    )


def _line(alert: AlertView) -> str:
    from borough.telemetry.plain import plain

    facts = [f"since {_time(alert.since)}", alert.severity, alert.id]
    if alert.team is not None:
        facts.insert(0, f"team {alert.team}")
    if alert.acknowledged_by is not None:
        facts.append(f"by {alert.acknowledged_by}{f': {alert.note}' if alert.note else ''}")
    if alert.silenced_until is not None:
        facts.append(f"silenced until {_time(alert.silenced_until)}")
    said = plain(f"{alert.rule}: {alert.summary}")
    return f"{_MARKS[alert.state]:<12}  {said}\n{'':<14}{plain(', '.join(facts))}"


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
