"""What the services of a fleet publish, fetched from their replicas: one OpenAPI document of all.

The contracts of other processes are known here as descriptors only. Each is fetched once per
fingerprint; a service of which no replica answers keeps what it published last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from borough.contracts.descriptor import Descriptor, from_json
from borough.errors import CallError, ConfigurationError
from borough.ports import Discovery, Replica
from borough.transports.http.client import ClientResponse
from borough.transports.http.greeting import CONTRACTS, HELLO, Hello

__all__ = ["AskReplica", "Published"]

AskReplica = Callable[[str, Replica, str], Awaitable[ClientResponse]]
"""Gets a target from one certain replica of a service. Raises a `CallError`."""


_hello = msgspec.json.Decoder(Hello).decode


class Published:
    """The merged OpenAPI document of the public operations of `services`."""

    def __init__(
        self,
        services: Sequence[str],
        discovery: Discovery,
        ask: AskReplica,
        *,
        title: str,
        version: str,
    ) -> None:
        self._services = services
        self._discovery = discovery
        self._ask = ask
        self._title = title
        self._version = version
        self._asked: dict[str, tuple[Replica, ...]] = {}
        self._contracts: dict[str, tuple[str, ...]] = {}
        self._known: dict[str, Descriptor] = {}
        self._built: tuple[str, ...] = ()
        self._document = b""

    async def document(self) -> bytes:
        """The document as JSON; the same bytes until a replica comes that publishes others."""
        await asyncio.gather(*map(self._renew, self._services))
        prints = tuple(sorted({each for found in self._contracts.values() for each in found}))
        if prints != self._built or not self._document:
            self._known = {each: self._known[each] for each in prints}
            found = list(self._known.values())
            self._document = await asyncio.to_thread(self._encoded, found)
            self._built = prints
        return self._document

    def _encoded(self, found: Sequence[Descriptor]) -> bytes:
        from borough.contracts.openapi import openapi  # only where somebody asks

        document = openapi(found, title=self._title, version=self._version, public_only=True)
        return msgspec.json.encode(document)

    async def _renew(self, service: str) -> None:
        """Learn what a service publishes now, where its replicas are others than the last time."""
        replicas = self._discovery.replicas(service)
        if replicas is self._asked.get(service):
            return
        # The newest replica comes last: during a rollout it is the one whose document will stay.
        for replica in reversed(replicas):
            try:
                self._contracts[service] = await self._learn(service, replica)
            except (CallError, ConfigurationError, msgspec.DecodeError):
                continue
            self._asked[service] = replicas
            return

    async def _learn(self, service: str, replica: Replica) -> tuple[str, ...]:
        hello = _hello((await self._ask(service, replica, HELLO)).body)
        prints: list[str] = []
        for wire_name, contract in sorted(hello.contracts.items()):
            if contract.fingerprint not in self._known:
                answer = await self._ask(service, replica, CONTRACTS + wire_name)
                self._known[contract.fingerprint] = from_json(answer.body)
            if self._known[contract.fingerprint].service == service:
                prints.append(contract.fingerprint)
        return tuple(prints)
