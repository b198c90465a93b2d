"""A service with a contract, called by the applications beside it."""

from __future__ import annotations

from typing import Protocol, final

from borough import Service, Struct, TokenIssuer, contract, current_call, post


class Entry(Struct):
    text: str
    caller: str | None
    user: str | None
    trace: str
    left_s: float | None


@contract("ledger", version="1.0")
class Ledger(Protocol):
    """Writes down who asked."""

    @post("/entries")
    async def write(self, text: str) -> Entry: ...


@final
class LedgerService(Service, Ledger):
    tokens: TokenIssuer

    async def write(self, text: str) -> Entry:
        call = current_call()
        user = call.principal.subject if call.principal is not None else None
        trace = call.trace.traceparent.split("-")[1] if call.trace is not None else ""
        left_s = None if call.deadline == float("inf") else call.deadline
        return Entry(text=text, caller=call.caller, user=user, trace=trace, left_s=left_s)
