"""What the internal listener says before any call: which process this is, and its contracts.

Whoever reaches the listener may read it, for contracts are no secrets; a proof that comes along is
looked at all the same, so that it counts for the connection, and a wrong one is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from borough.clock import Clock
from borough.contracts.operation import Contract
from borough.errors import CallError
from borough.gateway.documents import Document
from borough.gateway.segments import Handler
from borough.transports.http.door import problem_response
from borough.transports.http.greeting import CONTRACTS, HELLO, Hello, Offer
from borough.transports.http.message import Request, Response
from borough.transports.http.wire import EDGE

__all__ = ["APPLICATIONS", "HelloPage"]

_BELOW = HELLO.rpartition("/")[0] + "/"
APPLICATIONS = _BELOW + "applications"
"""Where the edge of a fleet is told the documents of the plain applications of a process."""


class HelloPage:
    """Answers `/borough/hello` and `/borough/contracts/WIRE_NAME`, each built once and kept.

    `caller` proves who asks (`InternalIdentity.caller`). `services` have a version each; `contracts`
    are those that this process answers. `tells` has, by path below `/borough/`, what only the edge of
    a fleet is told.
    """

    def __init__(
        self,
        system: str,
        services: Mapping[str, str],
        contracts: Sequence[Contract],
        caller: Callable[[Request], object],
        clock: Clock,
        *,
        tells: Mapping[str, Handler] | None = None,
    ) -> None:
        self._system = system
        self._services = services
        self._contracts = contracts
        self._caller = caller
        self._clock = clock
        self._tells = tells or {}
        self._pages = {HELLO: Document(self._hello, clock)}
        for contract in contracts:
            self._pages[CONTRACTS + contract.wire_name] = Document(_text_of(contract), clock)

    async def answer(self, request: Request) -> Response | None:
        """The response to a request, None where it is not for this."""
        if not request.path.startswith(_BELOW):
            return None
        try:
            if self._caller(request) == EDGE and request.path in self._tells:
                return await self._tells[request.path](request)
            page = self._pages.get(request.path)
            return None if page is None else await page.answer(request)
        except CallError as error:
            return problem_response(error)

    async def _hello(self) -> bytes:
        offers = await asyncio.to_thread(self._offers)
        process = self._clock.token(8).hex()
        return msgspec.json.encode(Hello(process, self._system, self._services, offers))

    def _offers(self) -> dict[str, Offer]:
        # Descriptors are made when somebody asks, not at every start.
        from borough.contracts.descriptor import describe, fingerprint

        found: dict[str, Offer] = {}
        for contract in self._contracts:
            version = contract.mark.version
            found[contract.wire_name] = Offer(version, fingerprint(describe(contract)))
        return found


def _text_of(contract: Contract) -> Callable[[], Awaitable[bytes]]:
    async def text() -> bytes:
        from borough.contracts.descriptor import describe, to_json

        return await asyncio.to_thread(lambda: to_json(describe(contract)))

    return text
