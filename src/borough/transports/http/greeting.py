"""First contact over HTTP: which contracts does a process answer, and can this one live with them.

`GET /borough/hello` tells the fingerprint of each contract; only where it differs from one's own is
the descriptor asked for, `GET /borough/contracts/WIRE_NAME`. What cannot be lived with is refused
before it is sent, operation by operation; all else goes on and is reported once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from borough.contracts.operation import Contract
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ContractMismatch, ServiceFailure
from borough.transports.http.client import ClientResponse

if TYPE_CHECKING:  # what judges is not needed before somebody is met
    from borough.reliability.acquaintance import Acquaintance, Meeting

__all__ = ["CONTRACTS", "HELLO", "Greeting", "Hello", "Offer"]

_log = logging.getLogger("borough.contracts")

HELLO = "/borough/hello"
CONTRACTS = "/borough/contracts/"

Ask = Callable[[str], Awaitable[ClientResponse]]
"""Gets a target from one certain process. Raises a `CallError`."""


class Offer(msgspec.Struct, frozen=True):
    """A contract that a process answers."""

    version: str
    fingerprint: str


class Hello(msgspec.Struct, frozen=True):
    """What a process says of itself: its own id and the system's name, services with their versions,
    contracts by wire name."""

    process: str
    system: str
    services: Mapping[str, str]
    contracts: Mapping[str, Offer]


_hello = msgspec.json.Decoder(Hello).decode


class Greeting:
    """What is done before the first call to a process; one for all calls of this one.

    `contracts` gives those that this process calls; it is asked once, at the first contact.
    """

    def __init__(self, contracts: Callable[[], Iterable[Contract]]) -> None:
        self._contracts = contracts
        self._acquaintance: Acquaintance | None = None

    @property
    def met(self) -> tuple[Meeting, ...]:
        """The versions that differ from those of this process."""
        return self._acquaintance.met if self._acquaintance is not None else ()

    async def greet(self, ask: Ask) -> Mapping[str, Callable[[], CallError]]:
        """The operations, by wire name, that the process must not be asked for, and the error for each.

        A peer that has no `/borough/hello` is taken as it is. Raises a `CallError` where it cannot
        be asked, `ServiceFailure` where what it says cannot be read.
        """
        response = await ask(HELLO)
        if response.status == 404:
            return {}
        hello = _read(response)
        # Descriptors are made when somebody is met, not at every start, nor on the loop.
        known = self._acquaintance
        if known is None:
            known = self._kept(await asyncio.to_thread(self._introduced))
        refused: dict[str, str] = {}
        for name in known.contracts:
            offer = hello.contracts.get(name)
            if offer is not None:
                refused.update(await _refused(known, name, offer.fingerprint, ask))
        return {
            operation: partial(ContractMismatch, sentence)
            for operation, sentence in refused.items()
        }

    def _kept(self, made: Acquaintance) -> Acquaintance:
        if self._acquaintance is None:  # another greeting may have been quicker
            self._acquaintance = made
        return self._acquaintance

    def _introduced(self) -> Acquaintance:
        from borough.contracts.descriptor import describe
        from borough.reliability.acquaintance import Acquaintance

        return Acquaintance([describe(contract) for contract in self._contracts()], _report)


async def _refused(
    known: Acquaintance, contract: str, fingerprint: str, ask: Ask
) -> Mapping[str, str]:
    found = known.known(contract, fingerprint)
    if found is None:
        text = await _descriptor(ask, contract)
        found = known.remember(await asyncio.to_thread(known.judged, contract, fingerprint, text))
    return found


def _read(response: ClientResponse) -> Hello:
    try:
        return _hello(response.body)
    except UNREADABLE as error:
        raise ServiceFailure(f"{HELLO} answered {response.status}, not a hello: {error}") from None


async def _descriptor(ask: Ask, contract: str) -> bytes:
    response = await ask(CONTRACTS + contract)
    if response.status != 200:
        raise ServiceFailure(f"{CONTRACTS}{contract} answered {response.status}")
    return response.body


def _report(meeting: Meeting) -> None:
    if meeting.refused:
        _log.warning(
            "%s %s meets %s here: %d operations are refused there: %s",
            meeting.contract, meeting.theirs, meeting.mine, len(meeting.refused),
            "; ".join(dict.fromkeys(meeting.refused.values())),
        )  # fmt: skip
    else:
        _log.info(
            "%s %s meets %s here, and they are compatible",
            meeting.contract, meeting.theirs, meeting.mine,
        )  # fmt: skip
