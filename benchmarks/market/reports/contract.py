"""What reports promises: slow answers."""

from typing import Protocol

from borough import contract, post


@contract("reports", version="1.0")
class Reports(Protocol):
    """Asks its database for what takes long."""

    @post("/scans")
    async def scan(self, rows: int) -> int:
        """One slow query outside of a transaction."""
        ...

    @post("/audits")
    async def audit(self, rows: int) -> int:
        """The same query inside of a transaction."""
        ...
