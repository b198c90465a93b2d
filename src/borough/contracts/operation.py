"""A contract that has been read: operations, events and problems, bound to Python classes.

`reading.py` makes these from the marks in code; `descriptor.py` makes data of them that outlives
the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from borough.contracts.marks import Allow, ContractMark, OperationMark
from borough.contracts.problem import Problem
from borough.contracts.retention import WEEK, Retention
from borough.contracts.source import source_place
from borough.contracts.struct import Event

__all__ = [
    "OF_SERVICES",
    "REQUIRED",
    "BoundEvent",
    "Contract",
    "Operation",
    "Parameter",
    "ParameterPlace",
]

ParameterPlace = Literal["path", "query", "body", "field", "header", "cookie", "upload"]
REQUIRED: Final = msgspec.NODEFAULT
OF_SERVICES: Final[Mapping[str, str]] = {
    "open": "is called at start or stop",
    "close": "is called at start or stop",
    "service_name": "says how a service is called",
}
"""What every service has; an operation of that name could not be told from it."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter: where it travels, under which name, and its Python type."""

    name: str
    place: ParameterPlace
    wire_name: str
    kind: Any
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether a caller must give it."""
        return self.default is REQUIRED


class BoundEvent(msgspec.Struct, frozen=True):
    """An event of a contract. `key` is the attribute that keeps its order, None without order."""

    kind: type[Event]
    wire_name: str
    topic: str
    key: str | None


class Operation:
    """One operation. `path` is whole (`/payments/charges`), `name` is the method's name in code."""

    __slots__ = (
        "contract",
        "doc",
        "is_reply",
        "mark",
        "name",
        "parameters",
        "path",
        "problems",
        "request",
        "result",
        "stream",
        "wire_name",
    )

    def __init__(
        self,
        contract: Contract,
        name: str,
        mark: OperationMark,
        parameters: tuple[Parameter, ...],
        request: Any,
        result: Any,
        *,
        stream: bool,
        is_reply: bool,
        doc: str,
    ) -> None:
        self.contract = contract
        self.name = name
        self.mark = mark
        self.parameters = parameters
        self.request = request
        """The type of the JSON body: the sole Struct, or one made from the fields; None without."""
        self.result = result
        """The type of the answer, of an item for a stream, of the value for a `Reply`."""
        self.stream = stream
        self.is_reply = is_reply
        self.doc = doc
        self.path = contract.path + ("" if mark.path == "/" else mark.path)
        self.wire_name = f"{contract.wire_name}.{name}"
        self.problems: Mapping[str, type[Problem]] = {
            f"{contract.service}.{p.__name__}": p for p in mark.raises
        }

    @property
    def public(self) -> bool:
        """Whether the edge serves it."""
        return self.mark.allow is not None

    @property
    def allow(self) -> Allow | None:
        """Who may call it at the edge; None for an internal operation."""
        return self.mark.allow

    @property
    def keyed(self) -> bool:
        """Whether it stores an answer under an idempotency key."""
        return self.mark.idempotent_by is not None

    def __repr__(self) -> str:
        return f"<operation {self.wire_name}: {self.mark.method} {self.path}>"


class Contract:
    """A contract of a service. Names carry the major version from 2 on (DESIGN: wire names)."""

    __slots__ = (
        "cls",
        "doc",
        "events",
        "major",
        "mark",
        "minor",
        "name",
        "operations",
    )

    def __init__(self, cls: type[Any], mark: ContractMark, doc: str) -> None:
        self.cls = cls
        self.mark = mark
        self.name = cls.__name__
        self.doc = doc
        major, _, minor = mark.version.partition(".")
        self.major = int(major)
        self.minor = int(minor)
        self.operations: dict[str, Operation] = {}
        self.events: dict[str, BoundEvent] = {}

    @property
    def place(self) -> tuple[str, int]:
        """File and line where it is declared."""
        return source_place(self.cls)

    @property
    def service(self) -> str:
        """The service that promises it."""
        return self.mark.service

    @property
    def wire_name(self) -> str:
        """`payments.Payments`, from major 2 `payments.Payments.v2`; also its events' topic."""
        return f"{self.service}.{self.name}" + (f".v{self.major}" if self.major > 1 else "")

    @property
    def path(self) -> str:
        """`/payments`, from major 2 `/payments/v2`."""
        return f"/{self.service}" + (f"/v{self.major}" if self.major > 1 else "")

    @property
    def retention(self) -> Retention:
        """How long its topic keeps events."""
        return Retention.read(self.mark.retains) or WEEK

    def __repr__(self) -> str:
        return f"<contract {self.wire_name} {self.mark.version}>"
