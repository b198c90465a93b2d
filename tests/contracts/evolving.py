"""Contracts made for a test: one operation around a type, or around a signature, in a version."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from borough import Struct, contract, get, post
from borough.contracts.codec import Codec
from borough.contracts.descriptor import Descriptor, describe
from borough.contracts.operation import Contract
from borough.contracts.reading import read_contract

POST = post("/swap")


def contract_of(
    version: str = "1.0", events: Sequence[Any] = (), retains: str = "7d", **operations: Any
) -> Contract:
    """The contract `yard.Yard` with these marked functions."""
    protocol: Any = Protocol
    cls = type(protocol)("Yard", (protocol,), {"__module__": __name__, **operations})
    marked = contract("yard", version=version, publishes=events, retains=retains)(cls)
    return read_contract(marked)


def operation(
    parameters: dict[str, Any], result: Any = None, route: Callable[[Any], Any] = POST
) -> Any:
    """A marked function with these parameters; a tuple is a type with a default."""

    kinds = {n: k[0] if isinstance(k, tuple) else k for n, k in parameters.items()}
    defaults = {n: k[1] for n, k in parameters.items() if isinstance(k, tuple)}
    names = ", ".join(f"{n}=defaults[{n!r}]" if n in defaults else n for n in parameters)
    space: dict[str, Any] = {"defaults": defaults}
    exec(f"async def swap(self, *, {names}): ..." if names else "async def swap(self): ...", space)
    function = space["swap"]
    function.__annotations__ = {**kinds, "return": result}
    return route(function)


class Side:
    """One side of a contract: its descriptor, and the codec of its only operation."""

    def __init__(self, swap: Any, version: str = "1.0", **more: Any) -> None:
        self.contract = contract_of(version, swap=swap, **more)
        self.descriptor: Descriptor = describe(self.contract)
        self.codec = Codec(self.contract.operations["swap"])


def struct_of(name: str, fields: dict[str, Any], base: Any = Struct, **options: Any) -> Any:
    """A struct with these fields; a tuple is a type with a default."""
    space: dict[str, Any] = {"__module__": __name__}
    space["__annotations__"] = {n: k[0] if isinstance(k, tuple) else k for n, k in fields.items()}
    space |= {n: k[1] for n, k in fields.items() if isinstance(k, tuple)}
    return type(base)(name, (base,), space, **options)


def box_of(kind: Any, default: Any = msgspec.NODEFAULT) -> Any:
    """A struct with one field of this type."""
    return struct_of("Box", {"value": kind if default is msgspec.NODEFAULT else (kind, default)})


def box_side(kind: Any, default: Any = msgspec.NODEFAULT) -> Side:
    """An operation that takes a box and answers it."""
    box = box_of(kind, default)
    return Side(operation({"box": box}, box))


def ask_side(kind: Any, default: Any = msgspec.NODEFAULT) -> Side:
    """An operation that takes the value in its query."""
    return Side(
        operation(
            {"value": kind if default is msgspec.NODEFAULT else (kind, default)}, None, get("/ask")
        )
    )
