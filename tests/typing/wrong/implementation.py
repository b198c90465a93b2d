"""A service that does not do what its contract says."""

from collections.abc import AsyncIterator
from typing import Protocol, final

from borough import Service, contract, get, post


@contract("orders", version="1.0")
class Orders(Protocol):
    @post("/")
    async def place(self, sku: str, count: int = 1) -> str: ...

    @get("/")
    def follow(self) -> AsyncIterator[int]: ...


@final
class OtherParameter(Service, Orders):
    # expect-mypy: override  # expect-pyright: reportIncompatibleMethodOverride
    async def place(self, sku: int, count: int = 1) -> str:
        return ""

    async def follow(self) -> AsyncIterator[int]:
        yield 1


@final
class OtherResult(Service, Orders):
    # expect-mypy: override  # expect-pyright: reportIncompatibleMethodOverride
    async def place(self, sku: str, count: int = 1) -> int:
        return 1

    # expect-mypy: override  # expect-pyright: reportIncompatibleMethodOverride
    async def follow(self) -> AsyncIterator[str]:
        yield ""


@final
class NotAsync(Service, Orders):
    # expect-mypy: override  # expect-pyright: reportIncompatibleMethodOverride
    def place(self, sku: str, count: int = 1) -> str:
        return ""

    async def follow(self) -> AsyncIterator[int]:
        yield 1


@final
class ParameterMissing(Service, Orders):
    # expect-mypy: override  # expect-pyright: reportIncompatibleMethodOverride
    async def place(self, sku: str) -> str:
        return ""

    async def follow(self) -> AsyncIterator[int]:
        yield 1


@final
# expect-mypy: misc  # expect-pyright: reportGeneralTypeIssues
class OperationMissing(Service, Orders):
    async def place(self, sku: str, count: int = 1) -> str:
        return ""
