"""Whom the calls to a service may go to: its replicas, and what was found out of each at first contact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from borough.clock import Clock
from borough.errors import CallError, DeadlineExceeded, ServiceFailure, Unavailable
from borough.ports import Discovery, Replica
from borough.reliability.balance import Balance, BalanceTerms, Candidate
from borough.services.context import NO_DEADLINE
from borough.transports.http.client import ClientResponse, HttpClient, Origin
from borough.transports.http.pool import Unreachable

__all__ = ["Ask", "Contact", "Contacts", "Greet", "Incompatible", "Place"]

Ask = Callable[[str], Awaitable[ClientResponse]]
"""Gets a target (`/borough/hello`) from one certain replica. Raises a `CallError`."""
Incompatible = Mapping[str, Callable[[], CallError]]
"""Operations, by wire name, that a replica must not be asked for, and the error that says why."""
Greet = Callable[[Ask], Awaitable[Incompatible]]
"""What is done before the first call to a replica. A `CallError` means that it cannot be called now."""
Place = Callable[[str, str, int], Origin]
"""The origin of a service's replica at a host and port, with whatever a client needs to know of it."""

_REFUSED_FOR_S = 5.0
"""After so long a replica that must not be asked for something is met anew: another version may stand there."""


class Contact:
    """A replica with what was found out at first contact."""

    __slots__ = ("incompatible", "is_met", "meeting", "met_at", "origin")

    def __init__(self, origin: Origin, *, is_met: bool) -> None:
        self.origin = origin
        self.is_met = is_met
        self.met_at = 0.0
        self.incompatible: Incompatible = {}
        self.meeting = asyncio.Lock()


class Contacts:
    """The replicas that discovery knows of one service. `balance` says whose turn it is."""

    __slots__ = (
        "_client", "_contacts", "_discovery", "_draw", "_greet", "_known", "_monotonic", "_place", "_service",
        "are_several", "balance",
    )  # fmt: skip

    def __init__(
        self,
        service: str,
        discovery: Discovery,
        client: HttpClient,
        clock: Clock,
        terms: BalanceTerms,
        greet: Greet | None,
        place: Place,
    ) -> None:
        self._service = service
        self._discovery = discovery
        self._client = client
        self._monotonic = clock.monotonic
        self._draw = clock.random.random
        self._greet = greet
        self._place = place
        self._known: tuple[Replica, ...] = ()
        self._contacts: dict[Replica, Contact] = {}
        self.balance: Balance[Contact] = Balance(terms)
        self.are_several = False

    def choose(
        self, operation: str, now: float, avoid: Candidate[Contact] | None
    ) -> Candidate[Contact]:
        """Whose turn it is, `avoid` last. Raises `Unavailable` where there is none, or why none may be asked."""
        known = self._discovery.replicas(self._service)
        if known is not self._known:
            self._learn(known)
        balance = self.balance
        candidate = balance.choose(now, self._draw, avoid)
        if candidate is None:
            raise Unavailable(f"No replica of {self._service} takes calls now", retry_after_s=1)
        unfit = candidate.peer.incompatible
        if unfit and operation in unfit:
            able = [each for each in balance.candidates if operation not in each.peer.incompatible]
            if not able:
                if now - candidate.peer.met_at < _REFUSED_FOR_S:
                    raise unfit[operation]()
                candidate.peer.is_met = False
                return candidate
            candidate = min(able, key=lambda each: (each.is_out, each.in_flight))
        return candidate

    def _learn(self, known: tuple[Replica, ...]) -> None:
        self._known = known
        before = self._contacts
        is_met = self._greet is None
        self._contacts = {
            each: before.get(each)
            or Contact(self._place(self._service, each.host, each.port), is_met=is_met)
            for each in known
        }
        self.balance.replace(list(self._contacts.values()))
        self.are_several = len(self._contacts) > 1

    async def met(self, contact: Contact, operation: str, left_s: float) -> bool:
        """First contact, once per replica; others wait for it. Returns whether the operation suits it."""
        until = None if left_s == NO_DEADLINE else asyncio.get_running_loop().time() + left_s

        async def ask(target: str) -> ClientResponse:
            return await self._client.send(contact.origin, "GET", target, (), b"", until, True)

        greet = cast(Greet, self._greet)
        try:
            async with asyncio.timeout_at(until), contact.meeting:
                if not contact.is_met:
                    contact.incompatible = await greet(ask)
                    contact.is_met = True
                    contact.met_at = self._monotonic()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._service} did not introduce itself in time") from None
        except (ServiceFailure, Unavailable) as error:
            raise Unreachable(f"{self._service} did not introduce itself: {error}") from error
        return operation not in contact.incompatible

    def lose(self, contact: Contact) -> None:
        """It could not be reached: another process may take its place, and is met anew."""
        contact.is_met = self._greet is None
