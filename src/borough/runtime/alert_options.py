"""What borough.toml may say of alerts: rules, objectives, and the server that takes mail.

The sentence below a field is its entry in docs/reference/configuration.md.
"""

# ruff: noqa: RUF012 - msgspec copies an empty default for each instance

from __future__ import annotations

from typing import Literal

import msgspec

from borough.runtime.duration import Duration
from borough.runtime.table import Port, Seconds, Table

__all__ = ["AlertMailOptions", "AlertOptions", "AlertRuleOptions", "ObjectiveOptions"]


class ObjectiveOptions(Table, frozen=True):
    """What a service aims at over 30 days; what it burns of the rest too fast is an alert."""

    availability: str | None = None
    """The share of calls that do not fail by its fault: `99.9%`."""
    latency: str | None = None
    """The share of calls that are answered so soon: `p99 < 250ms`."""


class AlertRuleOptions(Table, frozen=True):
    """A rule. Where it has the name of a default one, it changes that."""

    enabled: bool = True
    """Whether it holds at all."""
    metric: str | None = None
    """What it looks at, one of the metrics of [alerts](alerts.md)."""
    above: str | float | None = None
    """Above which value it is breached: a number, or one with its unit: `5%`, `500ms`, `2m`."""
    lasting: Duration | None = msgspec.field(default=None, name="for")
    """How long it must be breached before somebody is told."""
    services: tuple[str, ...] = ()
    """The services that it is about; all if not given."""
    severity: Literal["page", "ticket"] | None = None
    """Whether somebody must look now (`page`), or in working hours (`ticket`)."""
    runbook: str | None = None
    """URL of the page that says what to do."""


class AlertMailOptions(Table, frozen=True):
    """The SMTP server by which alerts go to `mailto:` addresses."""

    host: str | None = None
    """Its name; without one no mail is sent."""
    port: Port = 587
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How it is spoken to; `none` on this machine only."""
    sender: str = "borough@localhost"
    """From whom the mails are: `NAME@HOST`."""
    user: str | None = None
    """Who logs in there."""
    password: str | None = None
    """The password, by `env:NAME` or `file:PATH`."""


class AlertOptions(Table, frozen=True):
    """When somebody is told that the system is not well."""

    enabled: bool = True
    """Whether anything is watched."""
    every_s: Seconds = 2.0
    """How often the rules are looked at, in seconds; less often where a look takes long."""
    repeat_after: Duration = Duration("4h")
    """After how long a team is told again of what still fires and nobody has acknowledged."""
    team: str | None = None
    """Who is told of what has no owner: the process with the public door, services without a team."""
    rules: dict[str, AlertRuleOptions] = {}
    """Rules of one's own, and changes to the default ones, by name."""
    mail: AlertMailOptions = AlertMailOptions()
