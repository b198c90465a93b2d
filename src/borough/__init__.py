"""Borough: write services, choose the topology later, know what every change costs.

This is the front door: what a team needs to write services. Errors live in `borough.errors`,
tests use `borough.testing`. Nobody inside the package imports this module.
"""

from typing import TYPE_CHECKING, Any

from borough.clock import Clock
from borough.contracts.marks import (
    ANYONE,
    IDEMPOTENCY_KEY,
    USER,
    Cookie,
    Header,
    Reply,
    Upload,
    contract,
    delete,
    get,
    patch,
    post,
    put,
    raw,
    scope,
)
from borough.contracts.problem import Problem
from borough.contracts.struct import (
    UNSET,
    Event,
    Instant,
    Key,
    Meta,
    OpenEnum,
    Page,
    Struct,
    Unset,
    field,
)
from borough.contracts.upcasting import upcast
from borough.services.clients import client
from borough.services.context import Call, Principal, current_call, in_thread
from borough.services.data import Database, Transaction
from borough.services.handlers import every, on
from borough.services.identity import TokenIssuer
from borough.services.outside import Outside
from borough.services.projections import Projections, projection
from borough.services.service import Service, provide
from borough.services.settings import Secret, Settings

if TYPE_CHECKING:
    from borough.gateway.asgi import asgi
    from borough.runtime.system import System

__version__ = "0.1.0"

__all__ = [
    "ANYONE",
    "IDEMPOTENCY_KEY",
    "UNSET",
    "USER",
    "Call",
    "Clock",
    "Cookie",
    "Database",
    "Event",
    "Header",
    "Instant",
    "Key",
    "Meta",
    "OpenEnum",
    "Outside",
    "Page",
    "Principal",
    "Problem",
    "Projections",
    "Reply",
    "Secret",
    "Service",
    "Settings",
    "Struct",
    "System",
    "TokenIssuer",
    "Transaction",
    "Unset",
    "Upload",
    "asgi",
    "client",
    "contract",
    "current_call",
    "delete",
    "every",
    "field",
    "get",
    "in_thread",
    "on",
    "patch",
    "post",
    "projection",
    "provide",
    "put",
    "raw",
    "scope",
    "upcast",
]


def __getattr__(name: str) -> Any:
    # These two pull asyncio in; a module of contracts must not pay for that.
    if name == "System":
        from borough.runtime.system import System

        return System
    if name == "asgi":
        from borough.gateway.asgi import asgi

        return asgi
    raise AttributeError(f"module 'borough' has no attribute {name!r}")
