"""The first major version of a contract, kept beside the second."""

from typing import Protocol

from borough import contract, get


@contract("tax", version="1.4")
class Tax(Protocol):
    """Reckons, in cents."""

    @get("/rate")
    async def rate(self) -> int: ...
