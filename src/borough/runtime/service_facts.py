"""What borough.toml may say of one service (`[services.NAME]`).

The sentence below a field is its entry in docs/reference/configuration.md.
"""

# ruff: noqa: RUF012 - msgspec copies them
from __future__ import annotations

from typing import Any, Literal

from borough.runtime.alert_options import ObjectiveOptions
from borough.runtime.table import Port, Table

__all__ = ["ServiceFacts", "StoreKind"]

StoreKind = Literal["sqlite", "postgres"]


class ServiceFacts(Table, frozen=True):
    """What code cannot know of a service."""

    team: str | None = None
    """The team that owns it."""
    domain: str | None = None
    """The part of the business that it belongs to."""
    capability: str | None = None
    """What it does for the business, in one sentence."""
    version: str | None = None
    """Its version; that of its distribution, or else of the system, if not given."""
    module: str | None = None
    """Its module, where it is not FOLDER/service.py."""
    distribution: str | None = None
    """The installed distribution that it is an entry point of."""
    asgi: str | None = None
    """Its ASGI application, `module:name`, where it is no class of services; a factory will do."""
    command: tuple[str, ...] = ()
    """The program that it is, where it is not written in Python, as `["node", "main.js"]`; `{port}` is its port."""
    folder: str | None = None
    """Where it is started, relative to the system's folder; in that, if not given."""
    port: Port | None = None
    """The port at which that program listens, and which it is told in `PORT`; if not given, a free one."""
    ready: str = "/readyz"
    """The path that it answers with 2xx once it takes calls."""
    environment: dict[str, str] = {}
    """Further variables of its environment; secrets by `env:NAME` or `file:PATH`; `literal:TEXT` is that text."""
    allow: str | None = None
    """Who may reach that application: `anyone`, `user`, or the scopes that a token must carry."""
    needs: tuple[str, ...] = ()
    """Contracts that code elsewhere, a command or an application (`module:Name` too) may call: `payments.Payments`."""
    store: StoreKind | None = None
    """What its database is, where that is another one than `data.store`."""
    objectives: ObjectiveOptions = ObjectiveOptions()
    settings: dict[str, Any] = {}
    """Values of its `Settings` class."""
