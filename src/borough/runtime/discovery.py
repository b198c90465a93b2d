"""Where the replicas of a service listen: told by a supervisor, written down, or asked of a name server.

Whoever asks gets the same tuple until something changes, so that a caller can tell by identity that
nothing has.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.ports import Replica
from borough.runtime.options import DiscoveryOptions

__all__ = ["ConfiguredDiscovery", "Directory", "DnsDiscovery", "Resolve", "StaticDiscovery"]

_log = logging.getLogger("borough.discovery")
_ORIGIN = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})")
_RESOLVE_S = 5.0
Resolve = Callable[[str, int], Awaitable[Collection[str]]]
"""Gives the addresses of a host. Raises `OSError`."""


class Directory:
    """What somebody who knows has told last. Empty at first."""

    __slots__ = ("_replicas",)

    def __init__(self, replicas: Mapping[str, Sequence[Replica]] | None = None) -> None:
        self._replicas: dict[str, tuple[Replica, ...]] = {}
        self.update(replicas or {})

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """See `Discovery`."""
        return self._replicas.get(service, ())

    def update(self, replicas: Mapping[str, Sequence[Replica]]) -> None:
        """Take `replicas` as the whole truth: services that it does not name have none."""
        before = self._replicas
        now = {service: tuple(each) for service, each in replicas.items()}
        # What is as it was stays the same object.
        self._replicas = {
            service: before[service] if before.get(service) == each else each
            for service, each in now.items()
        }


class StaticDiscovery:
    """What `[discovery.static]` says: `search = ["10.0.0.5:9001", "[::1]:9001"]`."""

    __slots__ = ("_replicas",)

    def __init__(self, written: Mapping[str, Iterable[str]]) -> None:
        """Raises `ConfigurationError` for an address that cannot be read."""
        self._replicas = {
            service: tuple(
                [_replica(*_origin(text, f"discovery.static.{service}")) for text in each]
            )
            for service, each in written.items()
        }

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """See `Discovery`."""
        return self._replicas.get(service, ())


class DnsDiscovery:
    """All addresses that a name has, asked for again and again: `{service}.shop.svc:9000`.

    All names are asked at once, and none again while its last question is still open: a name server that does not
    answer for one keeps no other waiting. While a name cannot be resolved, what it had last counts.
    """

    def __init__(
        self, pattern: str, clock: Clock, every_s: float = 5.0, resolve: Resolve | None = None
    ) -> None:
        """Raises `ConfigurationError` for a pattern that cannot be read."""
        if "{service}" not in pattern:
            raise ConfigurationError(
                f"discovery.dns is {pattern!r}, which names the same host for each service; "
                'write it like "{service}.shop.svc:9000"'
            )
        host, self._port = _origin(pattern, "discovery.dns")
        self._host = host
        self._clock = clock
        self._every_s = every_s
        self._resolve = resolve or self._addresses
        self._threads: ThreadPoolExecutor | None = None
        self._questions: dict[str, asyncio.Future[Collection[str]]] = {}
        self._directory = Directory()
        self._found: dict[str, tuple[Replica, ...]] = {}
        self._failing: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def open(self, services: Iterable[str]) -> None:
        """Resolve the names of these services, and from now on again."""
        names = tuple(services)
        if not names:
            return
        # A thread of its own for each: those of the loop are few, and others want them.
        self._threads = ThreadPoolExecutor(len(names), "borough-dns")
        await self._look(names)
        self._task = asyncio.create_task(self._keep_looking(names))

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """See `Discovery`; services that were not named at `open` have none."""
        return self._directory.replicas(service)

    async def close(self) -> None:
        """Ask no more; what was found last still counts. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        questions, self._questions = list(self._questions.values()), {}
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_looking(self, services: Sequence[str]) -> None:
        while True:
            await self._clock.sleep(self._every_s)
            await self._look(services)

    async def _look(self, services: Sequence[str]) -> None:
        await asyncio.gather(*map(self._ask, services))

    async def _ask(self, service: str) -> None:
        host = self._host.replace("{service}", service)
        try:
            addresses = await self._answer(service, host)
        except (OSError, UnicodeError) as error:
            if service not in self._failing:
                _log.warning("%s cannot be resolved (%s); the last answer counts", host, error)
            self._failing.add(service)
            return
        self._failing.discard(service)
        self._found[service] = tuple(_replica(each, self._port) for each in sorted(addresses))
        self._directory.update(self._found)

    async def _answer(self, service: str, host: str) -> Collection[str]:
        """The answer to its open question, or to a new one. Raises `TimeoutError`, and what `Resolve` does."""
        question = self._questions.get(service)
        if question is None:
            question = self._questions[service] = asyncio.ensure_future(
                self._resolve(host, self._port)
            )
        await asyncio.wait([question], timeout=_RESOLVE_S)
        if not question.done():
            raise TimeoutError(f"no answer within {_RESOLVE_S:g} s")
        del self._questions[service]
        return question.result()

    async def _addresses(self, host: str, port: int) -> Collection[str]:
        look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return {str(address[0]) for *_, address in found}


class ConfiguredDiscovery:
    """What `[discovery]` says: the list of a service that has one, else the addresses of its name."""

    def __init__(self, options: DiscoveryOptions, clock: Clock) -> None:
        """Raises `ConfigurationError` for what cannot be read."""
        self._static = StaticDiscovery(options.static)
        self._dns = None
        if options.dns is not None:
            self._dns = DnsDiscovery(options.dns, clock, options.dns_every_s)

    def knows(self, service: str) -> bool:
        """Whether it is said where the service is, whoever answers there."""
        return self._dns is not None or bool(self._static.replicas(service))

    async def open(self, services: Iterable[str]) -> None:
        """Resolve the names of those of these services that have no list, and from now on again."""
        if self._dns is not None:
            await self._dns.open([each for each in services if not self._static.replicas(each)])

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """See `Discovery`."""
        listed = self._static.replicas(service)
        return self._dns.replicas(service) if self._dns is not None and not listed else listed

    async def close(self) -> None:
        """Ask no more. Idempotent."""
        if self._dns is not None:
            await self._dns.close()


def _replica(host: str, port: int) -> Replica:
    """One that nobody has named: its address is its name."""
    return Replica(f"{host}:{port}", host, port)


def _origin(text: str, where: str) -> tuple[str, int]:
    found = _ORIGIN.fullmatch(text.strip())
    if found is None or not 0 < int(found[3]) < 65536:
        raise ConfigurationError(
            f'{where} has {text!r}, which is no host with a port; write it like "10.0.0.5:9001"'
        )
    return found[1] or found[2], int(found[3])
