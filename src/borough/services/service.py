"""A service: one business capability, behind the contracts that it provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

__all__ = ["Provided", "Service", "provide"]

C = TypeVar("C")


class Provided:
    """A contract that another object answers for the service; `make(service)` builds it."""

    __slots__ = ("contract", "make")

    def __init__(self, contract: Callable[..., Any], make: Callable[[Any], Any]) -> None:
        self.contract = contract
        self.make = make


def provide(contract: Callable[..., C], make: Callable[[Any], C]) -> Provided:
    """As a class attribute: provide `contract` by the object that `make(self)` returns.

    For contracts whose operations share names, such as two major versions of one.
    """
    return Provided(contract, make)


class Service:
    """Inherit it first, then the contracts: `class OrderService(Service, Orders)`.

    Annotated attributes are filled in by wiring: a contract becomes a typed client, `Database` this
    service's own database, a `Settings` class its settings, `Clock` time and ids, `TokenIssuer` what
    signs users in, `pathlib.Path` a folder of its own. In a unit test they are keyword arguments:
    `OrderService(payments=fake)`. `open` and `close` are called at start and stop, inside the loop;
    where `open` raises, the start fails, and `close` is not called.
    """

    service_name: ClassVar[str | None] = None

    def __init_subclass__(cls, *, name: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name is not None:
            cls.service_name = name

    def __init__(self, **dependencies: Any) -> None:
        for name, value in dependencies.items():
            setattr(self, name, value)

    async def open(self) -> None:
        """Called once, before the first call; data and dependencies are there."""

    async def close(self) -> None:
        """Called once, after the last call."""
