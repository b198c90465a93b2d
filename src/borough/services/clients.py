"""Clients for code that is no service: an ASGI application of the system, while it answers a request.

A service gets its clients by annotation. An application has no attributes to annotate; what it may
call is declared in borough.toml (`services.NAME.needs`), and found by the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import msgspec

from borough.errors import BoroughError, Forbidden

__all__ = ["APPLICATION", "ApplicationClients", "client"]

C = TypeVar("C")


class ApplicationClients(msgspec.Struct, frozen=True):
    """The clients of the application `service`, by contract class."""

    service: str
    clients: Mapping[type[Any], Any]


APPLICATION: ContextVar[ApplicationClients | None] = ContextVar("borough_application", default=None)
"""The application whose code runs here."""


def client(contract: Callable[..., C]) -> C:
    """The client of a contract, inside an ASGI application that is a service of the system.

    Its calls carry the deadline, the trace and the end user of the request at hand. Raises
    `Forbidden` for a contract that `services.NAME.needs` does not name, `BoroughError` elsewhere.
    """
    here = APPLICATION.get()
    if here is None:
        raise BoroughError(
            "client() was used outside of an ASGI application of a system; "
            "a service annotates an attribute with the contract instead"
        )
    found = here.clients.get(cast("type[Any]", contract))
    if found is None:
        name = getattr(contract, "__name__", str(contract))
        raise Forbidden(
            f"{here.service} does not declare {name}: name it in services.{here.service}.needs"
        )
    return cast("C", found)
