"""Services elsewhere (`[external.NAME]`): reached at their URL, by the contract that their callers have.

At the start each contract is held against the descriptor or the OpenAPI document that borough.toml
names. A file must be there; a document that cannot be had from the network now keeps nobody from starting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.contracts.operation import Contract, Operation
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ConfigurationError, DeclarationFaults, Fault
from borough.ports import Replica, Send, Transport
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import Directory
from borough.runtime.options import ExternalOptions
from borough.runtime.wiring import Plan
from borough.services.context import Call
from borough.services.settings import Secret
from borough.telemetry.recorder import Recorder
from borough.transports.client_sight import SeenTransport
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.external import ExternalPlace, ExternalTransport, place_at
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import rendered_fields
from borough.transports.http.remote import RemoteTransport

if TYPE_CHECKING:
    from borough.contracts.descriptor import Descriptor

__all__ = ["Externals"]

_log = logging.getLogger("borough.host")
_PATIENCE_S = 5.0
_LARGEST_DOCUMENT = 8 * 1024 * 1024
_GRPC = ("grpc://", "grpcs://")


class Externals:
    """The services elsewhere that services here call. `stand_ins` answer in their place."""

    def __init__(
        self,
        configuration: Configuration,
        plan: Plan,
        stand_ins: Iterable[type[Any]],
        clock: Clock,
        recorder: Recorder | None = None,
    ) -> None:
        """Raises `ConfigurationError` for a URL that is none, and for stand-ins of some contracts only."""
        answered = set(stand_ins)
        self._configuration = configuration
        self._clock = clock
        self._recorder = recorder
        self._contracts: dict[str, list[Contract]] = {}
        self._places: dict[str, ExternalPlace] = {}
        self._secrets: dict[str, dict[str, Secret]] = {}
        self._compiled: dict[str, bytes] = {}
        self._called = {
            contract.service
            for each in plan.services.values()
            for contract in each.clients.values()
        }
        for contract in plan.absent.values():
            external = configuration.options.external.get(contract.service)
            if external is None or contract.cls in answered:
                continue
            _refuse_half(contract, [each for each in plan.absent.values() if each.cls in answered])
            self._contracts.setdefault(contract.service, []).append(contract)
            self._places[contract.service] = _place(contract.service, external)

    @property
    def names(self) -> Collection[str]:
        """The services that are called at their URL: nothing of the system answers for them."""
        return self._contracts.keys()

    def beside(self, transport: Transport) -> Transport:
        """The same transport for one caller, save for services elsewhere."""
        if not self._contracts:
            return transport
        return _Beside(transport, self._transports(), self._clock)

    def _transports(self) -> dict[str, Transport]:
        return {name: self._transport(name, place) for name, place in self._places.items()}

    def _transport(self, name: str, place: ExternalPlace) -> Transport:
        external = self._configuration.options.external[name]
        if external.url.startswith(_GRPC):
            fields = self._fields(name)
            idle_s = self._configuration.options.limits.stream_idle_s
            there = _by_grpc(external, place, self._compiled[name], fields, self._clock, idle_s)
            return there if self._recorder is None else SeenTransport(there, self._recorder)
        limits = self._configuration.options.limits
        dependencies = Dependencies(
            Directory({name: [Replica(name, place.host, place.port)]}),
            lambda: HttpClient(limits.for_client(), place.ssl(), headers=self._fields(name)),
            self._clock,
            limits.for_dependency(),
        )
        return ExternalTransport(RemoteTransport(dependencies, self._recorder), place.path)

    def _fields(self, name: str) -> list[tuple[bytes, bytes]]:
        return [
            (field.lower().encode(), secret.reveal().encode("latin-1"))
            for field, secret in self._secrets.get(name, {}).items()
        ]

    async def check(self) -> None:
        """Read the credentials, then hold every contract against what its service says of itself.

        Raises `ConfigurationError` for credentials that a service here needs, or a file, that cannot be had,
        `DeclarationFaults` with all that the services elsewhere do not offer.
        """
        for name in self._contracts:
            try:
                self._secrets[name] = self._configuration.credentials(name)
            except ConfigurationError:
                if name in self._called:
                    raise
                continue  # nobody here calls it: its credentials are for other processes
            try:
                rendered_fields(self._fields(name))
            except ValueError:
                raise ConfigurationError(
                    f"external.{name}.headers holds what no header field can carry; mend its reference"
                ) from None
        for name in self._contracts:
            await self._compile(name)
        documents = await asyncio.gather(*map(self._document, self._contracts))
        faults = [
            fault
            for name, document in zip(self._contracts, documents, strict=True)
            if document is not None
            for fault in self._judged(name, document)
        ]
        if faults:
            raise DeclarationFaults(faults)

    async def _compile(self, name: str) -> None:
        """Read the compiled file of a gRPC server. Raises `ConfigurationError`."""
        external = self._configuration.options.external[name]
        is_grpc, option = external.url.startswith(_GRPC), f"external.{name}.proto"
        if is_grpc and external.proto is None:
            raise ConfigurationError(
                f"external.{name}.url is that of a gRPC server, and {option} is missing; name the .binpb that "
                "`borough contracts import` has written"
            )
        if external.proto is None:
            return
        if not is_grpc:
            raise ConfigurationError(
                f"{option} is for a gRPC server, and external.{name}.url is none; write grpc://HOST:PORT"
            )
        path = self._configuration.folder / external.proto
        self._compiled[name] = await asyncio.to_thread(_read, option, path)

    def _judged(self, name: str, said: Descriptor | dict[str, Any]) -> list[Fault]:
        external = self._configuration.options.external[name]
        path = self._places[name].path
        remedy = f"Mend the contract, or take the {name} that it is meant for ({_source(external)})"
        found: list[Fault] = []
        for contract in self._contracts[name]:
            file, line = contract.place
            try:
                sentences = _sentences(contract, said, path, external.headers)
            except (AttributeError, TypeError) as error:
                raise ConfigurationError(
                    f"{_source(external)} of external.{name} is not made as OpenAPI is: {error}; mend it"
                ) from None
            found += [Fault(sentence, remedy, file or None, line or None) for sentence in sentences]
        return found

    async def _document(self, name: str) -> Descriptor | dict[str, Any] | None:
        """What the service elsewhere says of itself: one contract, or its OpenAPI document."""
        external = self._configuration.options.external[name]
        if external.descriptor and external.openapi:
            raise ConfigurationError(f"external.{name} has descriptor and openapi; leave one")
        source = external.openapi or external.descriptor
        if not source:
            return None
        option = f"external.{name}.{'openapi' if external.openapi else 'descriptor'}"
        if external.openapi and source.startswith(("http://", "https://")):
            content = await _fetched(option, place_at(source, option))
            if content is None:
                return None
        else:
            content = await asyncio.to_thread(_read, option, self._configuration.folder / source)
        if external.descriptor:
            return _described(option, content, self._contracts[name])
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except UNREADABLE as error:
            raise ConfigurationError(
                f"{option} is no JSON document: {error}; write OpenAPI as JSON"
            ) from None


class _Beside:
    """A transport beside those of services elsewhere."""

    def __init__(self, inner: Transport, elsewhere: dict[str, Transport], clock: Clock) -> None:
        self._inner = inner
        self._elsewhere = elsewhere
        self._monotonic = clock.monotonic

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        there = self._elsewhere.get(operation.contract.service)
        if there is None:
            return self._inner.bind(operation)
        send, timeout_s = there.bind(operation), operation.mark.timeout_s
        return send if timeout_s is None else self._within(timeout_s, send)

    def _within(self, timeout_s: float, send: Send) -> Send:
        # Between services who answers keeps to it; nobody elsewhere does.
        def send_in_time(arguments: Sequence[Any], call: Call) -> Any:
            force_setattr(call, "deadline", min(call.deadline, self._monotonic() + timeout_s))
            return send(arguments, call)

        return send_in_time

    async def close(self) -> None:
        """Close all of them."""
        for transport in (*self._elsewhere.values(), self._inner):
            await transport.close()


def _refuse_half(contract: Contract, stood_in: Iterable[Contract]) -> None:
    """A service is called at its URL or not at all: what is half faked would still reach the real one."""
    for other in stood_in:
        if other.service == contract.service:
            raise ConfigurationError(
                f"{other.wire_name} is faked, and {contract.wire_name} of the same service elsewhere is not; "
                "fake all of its contracts, or none"
            )


def _place(name: str, external: ExternalOptions) -> ExternalPlace:
    option = f"external.{name}.url"
    place = place_at(external.url, option, ("http", "https", "grpc", "grpcs"))
    if external.url.startswith(_GRPC) and place.path:
        raise ConfigurationError(f"{option} has a path, and a gRPC server has none; take it away")
    if place.query:
        raise ConfigurationError(f"{option} has a query (?...); take it away")
    if place.is_exposed and external.headers:
        raise ConfigurationError(
            f"{option} is clear text to another machine, and external.{name}.headers would be read on the way; "
            f"use {'grpcs' if external.url.startswith(_GRPC) else 'https'}"
        )
    return place


def _by_grpc(
    external: ExternalOptions,
    place: ExternalPlace,
    compiled: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    clock: Clock,
    stream_idle_s: float,
) -> Transport:
    """The way to a gRPC server. Raises `ConfigurationError` where the extra is missing."""
    try:
        from borough.transports.grpc.client import GrpcMethods, GrpcTransport
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{external.url} needs {error.name}: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[grpc]'"
        ) from None
    host = f"[{place.host}]" if ":" in place.host else place.host
    return GrpcTransport(
        f"{host}:{place.port}",
        GrpcMethods(compiled, str(external.proto)),
        clock,
        is_secure=place.is_secure,
        stream_idle_s=stream_idle_s,
        fields=[(name.decode(), value.decode("latin-1")) for name, value in fields],
    )


def _source(external: ExternalOptions) -> str:
    return external.openapi or external.descriptor or external.url


async def _fetched(option: str, place: ExternalPlace) -> bytes | None:
    """A document from the network, without credentials; None, and a warning, where there is none now."""
    client = HttpClient(ClientLimits(body_bytes=_LARGEST_DOCUMENT), place.ssl())
    target = (place.path or "/") + (f"?{place.query}" if place.query else "")
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    fields = [(b"accept", b"application/json")]
    try:
        answer = await client.send(
            (place.host, place.port), "GET", target, fields, deadline=deadline, idempotent=True
        )
    except CallError as error:
        _log.warning("%s cannot be read, and is not checked: %s", option, error)
        return None
    finally:
        await client.close()
    if answer.status != 200:
        _log.warning("%s answers %d, and is not checked", option, answer.status)
        return None
    return answer.body


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{option} names {path}, which cannot be read: {error.strerror}; mend the path"
        ) from None


def _described(option: str, content: bytes, contracts: Iterable[Contract]) -> Descriptor:
    """The descriptor of one of these contracts."""
    from borough.contracts.descriptor import from_json

    try:
        descriptor = from_json(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{option}: {error}") from None
    names = [contract.wire_name for contract in contracts]
    if descriptor.wire_name not in names:
        raise ConfigurationError(
            f"{option} describes {descriptor.wire_name}, and {', '.join(names)} is called; name its descriptor"
        )
    return descriptor


def _sentences(
    contract: Contract, said: Descriptor | dict[str, Any], path: str, given: Collection[str]
) -> list[str]:
    """What is not offered of a contract. A descriptor speaks of its own contract alone, types included."""
    from borough.contracts.descriptor import describe
    from borough.contracts.elsewhere import judge_elsewhere

    mine = describe(contract)
    if isinstance(said, dict):
        return judge_elsewhere(mine, said, path, given)
    from borough.contracts.openapi import openapi
    from borough.contracts.verdict import verdict

    if said.wire_name != mine.wire_name:
        return []
    document = openapi([said], title="", version=said.version, public_only=True)
    sentences = judge_elsewhere(mine, document, path, given)
    for operation in mine.operations:
        name = operation.wire_name
        if not any(sentence.startswith(f"{name} ") for sentence in sentences):
            wrong = verdict(mine, said, name, edge=True)
            sentences += [] if wrong is None else [wrong.sentence.removesuffix(".")]
    return sentences
