"""Who is told of what fires, as a configuration of Alertmanager: one route for each team, by the label `team`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from borough.observing.exports.yaml_text import Node

__all__ = ["Mail", "Told", "routes_document"]

_NOBODY = "nobody"


class Told(msgspec.Struct, frozen=True):
    """Where a team is told: the URL of a webhook, or an address for mail."""

    team: str
    url: str | None = None
    mail: str | None = None


class Mail(msgspec.Struct, frozen=True):
    """The server that takes mail. `needs_tls` is about STARTTLS."""

    host: str
    port: int
    sender: str
    needs_tls: bool
    user: str | None = None
    password: str | None = None


def routes_document(
    told: Iterable[Told], mail: Mail | None, repeat_after_s: float
) -> Mapping[str, Node]:
    """Alertmanager's own file. A team without an address is told nothing, as in Borough."""
    known = [each for each in told if each.url is not None or each.mail is not None]
    return {
        **({"global": _server(mail)} if mail is not None else {}),
        "route": {
            "receiver": _NOBODY,
            "group_by": ["alertname", "team"],
            "group_wait": "5s",
            "group_interval": "1m",
            "repeat_interval": f"{repeat_after_s:.0f}s",
            "routes": [
                {"receiver": each.team, "matchers": [f'team="{each.team}"']} for each in known
            ],
        },
        "receivers": [{"name": _NOBODY}, *(_receiver(each) for each in known)],
    }


def _receiver(told: Told) -> dict[str, Any]:
    if told.url is not None:
        return {"name": told.team, "webhook_configs": [{"url": told.url, "send_resolved": True}]}
    return {"name": told.team, "email_configs": [{"to": told.mail, "send_resolved": True}]}


def _server(mail: Mail) -> dict[str, Any]:
    found: dict[str, Any] = {
        "smtp_smarthost": f"{mail.host}:{mail.port}",
        "smtp_from": mail.sender,
        "smtp_require_tls": mail.needs_tls,
    }
    if mail.user is not None and mail.password is not None:
        found |= {"smtp_auth_username": mail.user, "smtp_auth_password": mail.password}
    return found
