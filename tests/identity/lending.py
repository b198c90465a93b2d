"""Three services: readers lends from the library on behalf of a user, the bank has declared nothing."""

import contextlib
from typing import Protocol, final

from borough import USER, Service, contract, current_call, post
from tests.gateway.library import Caller, Library, LibraryService

__all__ = ["BankService", "LibraryService", "Readers", "ReadersService"]


@contract("readers", version="1.0")
class Readers(Protocol):
    """Lends on behalf of readers."""

    @post("/loans", allow=USER)
    async def lend(self, title: str) -> Caller: ...

    @post("/greed", allow=USER)
    async def greed(self, title: str) -> Caller: ...


@final
class ReadersService(Service, Readers):
    library: Library

    async def lend(self, title: str) -> Caller:
        return await self.library.burn(title)

    async def greed(self, title: str) -> Caller:
        """Tries to be more than it was called as."""
        call = current_call()
        for name, value in (("principal", None), ("caller", "library")):
            with contextlib.suppress(AttributeError):
                setattr(call, name, value)
        with contextlib.suppress(TypeError):
            call.user.claims["role"] = "librarian"  # type: ignore[index]
        return await self.library.burn(title)


@contract("bank", version="1.0")
class Bank(Protocol):
    """Knows nobody."""

    @post("/money")
    async def money(self) -> int: ...


@final
class BankService(Service, Bank):
    async def money(self) -> int:
        return 0
