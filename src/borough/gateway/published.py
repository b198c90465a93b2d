"""What the services of a fleet publish, fetched from their replicas: one OpenAPI and one AsyncAPI document of all.

The contracts of other processes are known here as descriptors only. Each is fetched once per
fingerprint, from its own service; one of which no replica answers keeps what it published last. What a plain
application says of itself comes as it is, and is joined here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from borough.contracts.descriptor import Descriptor, from_json
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ConfigurationError, NotFound
from borough.gateway.hello import APPLICATIONS
from borough.ports import Discovery, Replica
from borough.transports.http.client import ClientResponse
from borough.transports.http.greeting import CONTRACTS, HELLO, Hello

__all__ = ["AskReplica", "Published"]

AskReplica = Callable[[str, Replica, str], Awaitable[ClientResponse]]
"""Gets a target from one certain replica of a service. Raises a `CallError`."""

_Write = Callable[[Sequence[Descriptor], str, str, Sequence[bytes]], bytes]
"""Writes a document of contracts, with its title and version, and of what applications say of themselves."""
_Key = tuple[tuple[str, ...], tuple[bytes, ...]]

_hello = msgspec.json.Decoder(Hello).decode


class Published:
    """The merged documents of the public operations of `services`, and of their public contracts' events."""

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
        self._applications: dict[str, bytes] = {}
        # What one document forgets when it is written another one may just have learned: one at a time.
        self._writing = asyncio.Lock()
        self._built: dict[_Write, tuple[_Key, bytes]] = {}

    async def document(self) -> bytes:
        """The OpenAPI document as JSON; the same bytes until a replica comes that publishes others."""
        async with self._writing:
            return await self._current(_openapi)

    async def events(self) -> bytes:
        """The AsyncAPI document of the public contracts' events, likewise."""
        async with self._writing:
            return await self._current(_asyncapi)

    async def _current(self, write: _Write) -> bytes:
        await asyncio.gather(*map(self._renew, self._services))
        prints = tuple(sorted({each for found in self._contracts.values() for each in found}))
        said = tuple(each for _, each in sorted(self._applications.items()) if each)
        key = (prints, said)
        built, document = self._built.get(write, (key, b""))
        if key != built or not document:
            self._known = {each: self._known[each] for each in prints}
            found = list(self._known.values())
            document = await asyncio.to_thread(write, found, self._title, self._version, said)
            self._built[write] = key, document
        return document

    async def _renew(self, service: str) -> None:
        """Learn what a service publishes now, where its replicas are others than the last time."""
        replicas = self._discovery.replicas(service)
        if replicas is self._asked.get(service):
            return
        # The newest replica comes last: during a rollout it is the one whose document will stay.
        for replica in reversed(replicas):
            try:
                prints = await self._learn(service, replica)
                # A plain application is all that its service is.
                said = b"" if prints else await self._said(service, replica)
            except (CallError, ConfigurationError, *UNREADABLE):
                continue
            self._contracts[service], self._applications[service] = prints, said
            self._asked[service] = replicas
            return

    async def _learn(self, service: str, replica: Replica) -> tuple[str, ...]:
        """What it publishes of its own; what it says of another service's contracts is not heard."""
        hello = _hello((await self._ask(service, replica, HELLO)).body)
        found: list[str] = []
        for wire_name, contract in sorted(hello.contracts.items()):
            if wire_name.partition(".")[0] != service:
                continue
            key = f"{wire_name} {contract.fingerprint}"
            if key not in self._known:
                answer = await self._ask(service, replica, CONTRACTS + wire_name)
                self._known[key] = from_json(answer.body)
            if self._known[key].service == service:
                found.append(key)
        return tuple(found)

    async def _said(self, service: str, replica: Replica) -> bytes:
        """The documents of the applications of a service as JSON, empty where it has none."""
        from borough.contracts.openapi_joined import Joining

        try:
            body = (await self._ask(service, replica, APPLICATIONS)).body
        except NotFound:
            return b""
        found = [
            each
            for each in msgspec.json.decode(body, type=list[Joining])
            if each.service == service
        ]
        return msgspec.json.encode(found) if found else b""


def _openapi(found: Sequence[Descriptor], title: str, version: str, said: Sequence[bytes]) -> bytes:
    from borough.contracts.openapi import openapi  # only where somebody asks

    document = openapi(found, title=title, version=version, public_only=True)
    if said:
        from borough.contracts.openapi_joined import Joining, joined

        decode = msgspec.json.Decoder(list[Joining]).decode
        document = joined(document, [each for text in said for each in decode(text)])
    return msgspec.json.encode(document)


def _asyncapi(
    found: Sequence[Descriptor], title: str, version: str, _said: Sequence[bytes]
) -> bytes:
    from borough.contracts.asyncapi import asyncapi  # only where somebody asks

    return msgspec.json.encode(asyncapi(found, title=title, version=version, public_only=True))
