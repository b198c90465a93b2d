"""Where a contract is taken from: a system's folder, a file of descriptors, or a running system's URL.

A running system tells its contracts at the internal listener (`/borough/hello`), not at the edge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ConfigurationError

if TYPE_CHECKING:
    from borough.contracts.descriptor import Descriptor
    from borough.transports.http.client import HttpClient
    from borough.transports.http.external import ExternalPlace

__all__ = ["find_descriptor", "read_descriptors", "read_text"]

_PATIENCE_S = 10.0
_LARGEST = 8 * 1024 * 1024


def find_descriptor(source: str, name: str) -> Descriptor:
    """The one contract of this name (its own, its service's or its wire name).

    Raises `ConfigurationError` where there is none or several, or where the source cannot be read.
    """
    found = read_descriptors(source)
    fitting = [d for d in found if name in (d.wire_name, d.name, d.service)]
    if len(fitting) == 1:
        return fitting[0]
    exact = [each for each in fitting if each.wire_name == name]
    if exact:
        return exact[0]
    if fitting:
        names = ", ".join(each.wire_name for each in fitting)
        raise ConfigurationError(f"{name} may be {names} in {source}; write which of them")
    names = ", ".join(sorted(each.wire_name for each in found)) or "none"
    raise ConfigurationError(f"there is no contract {name} in {source}; it has {names}")


def read_descriptors(source: str) -> list[Descriptor]:
    """Every contract of a source. Raises `ConfigurationError` where it cannot be read."""
    if source.startswith(("http://", "https://")):
        return asyncio.run(_fetched(source))
    if Path(source).is_dir():
        return _of_system(source)
    return _texts(read_text(source), source)


def read_text(path: str) -> bytes:
    """The bytes of a file. Raises `ConfigurationError` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}; name a file or a folder"
        ) from None


def _of_system(folder: str) -> list[Descriptor]:
    from borough.contracts.descriptor import describe
    from borough.contracts.reading import read_contracts
    from borough.runtime.system import System, contract_classes

    system = System.load(folder)
    classes = [cls for service in system.services for cls in contract_classes(service)]
    contracts = read_contracts(dict.fromkeys([*classes, *system.contracts]))
    return [describe(contract) for contract in contracts]


def _texts(content: bytes, source: str) -> list[Descriptor]:
    """One descriptor, or a list of them as `contracts show --json` prints it."""
    from borough.contracts.descriptor import from_json

    if content.lstrip()[:1] != b"[":
        return [from_json(content)]
    try:
        return [
            from_json(bytes(text)) for text in msgspec.json.decode(content, type=list[msgspec.Raw])
        ]
    except UNREADABLE as error:
        raise ConfigurationError(
            f"{source} is no JSON: {error}; write `borough contracts show --json` into it"
        ) from None


async def _fetched(url: str) -> list[Descriptor]:
    from borough.transports.http.client import HttpClient
    from borough.transports.http.external import place_at
    from borough.transports.http.limits import ClientLimits

    place = place_at(url, url)
    client = HttpClient(ClientLimits(body_bytes=_LARGEST), place.ssl())
    try:
        if place.path:
            return _texts(await _get(client, place, place.path), url)
        return await _published(client, place, url)
    except CallError as error:
        raise ConfigurationError(
            f"{url} does not answer: {error}; is the system running?"
        ) from None
    finally:
        await client.close()


async def _published(client: HttpClient, place: ExternalPlace, url: str) -> list[Descriptor]:
    """What a running process says that it provides."""
    from borough.transports.http.greeting import CONTRACTS, HELLO, Hello

    try:
        hello = msgspec.json.decode(await _get(client, place, HELLO), type=Hello)
    except UNREADABLE:
        raise ConfigurationError(
            f"{url} is no internal listener of a Borough system; `borough run` prints its address"
        ) from None
    texts: Sequence[bytes] = [
        await _get(client, place, CONTRACTS + name) for name in sorted(hello.contracts)
    ]
    return [each for text in texts for each in _texts(text, url)]


async def _get(client: HttpClient, place: ExternalPlace, path: str) -> bytes:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    answer = await client.send(
        (place.host, place.port), "GET", path, deadline=deadline, idempotent=True
    )
    if answer.status != 200:
        raise ConfigurationError(
            f"{path} answers {answer.status} at {place.host}:{place.port}; name the internal listener "
            "of a running system, or the URL of a descriptor"
        )
    return answer.body
