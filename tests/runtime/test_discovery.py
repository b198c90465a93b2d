"""Who answers for a service: the last word counts, and the same tuple comes until something changes."""

import asyncio
from collections.abc import Collection

import pytest

from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.ports import Replica
from borough.runtime.discovery import Directory, DnsDiscovery, StaticDiscovery

ONE, TWO = Replica("search-1", "127.0.0.1", 9001), Replica("search-2", "127.0.0.1", 9002)


def test_the_directory_gives_what_it_was_told_last() -> None:
    directory = Directory({"search": [ONE]})
    directory.update({"search": [ONE, TWO], "orders": []})
    assert directory.replicas("search") == (ONE, TWO)
    assert directory.replicas("orders") == directory.replicas("nobody") == ()
    directory.update({})
    assert directory.replicas("search") == ()


def test_the_tuple_is_the_same_object_until_something_changes() -> None:
    directory = Directory({"search": [ONE], "orders": [TWO]})
    before = directory.replicas("search")
    directory.update({"search": [ONE], "orders": []})
    assert directory.replicas("search") is before
    directory.update({"search": [TWO]})
    assert directory.replicas("search") == (TWO,)


def test_a_written_list_is_read_with_ports_and_with_addresses_of_ipv6() -> None:
    found = StaticDiscovery({"search": ["10.0.0.5:9001", "[::1]:9002", "search.shop:80"]})
    assert [(each.host, each.port) for each in found.replicas("search")] == [
        ("10.0.0.5", 9001),
        ("::1", 9002),
        ("search.shop", 80),
    ]
    assert found.replicas("search") is found.replicas("search")
    assert found.replicas("orders") == ()


@pytest.mark.parametrize("text", ["search", "search:", ":80", "a b:80", "host:0", "host:65536", ""])
def test_an_address_that_cannot_be_read_is_told_with_its_place(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"discovery\.static\.search has .*10.0.0.5:9001"):
        StaticDiscovery({"search": [text]})


@pytest.mark.parametrize("pattern", ["{service}.shop.svc", "search.shop.svc:9000", "{service}:x"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"discovery\.dns"):
        DnsDiscovery(pattern, SystemClock())


class Names:
    """A name server; `asked` is set when all names were asked for once more."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str] | OSError] = {}
        self.turns = asyncio.Semaphore(0)

    async def resolve(self, host: str, port: int) -> Collection[str]:
        self.turns.release()
        found = self.addresses[host]
        if isinstance(found, OSError):
            raise found
        return found

    async def asked(self) -> None:
        """Wait until two more turns have begun, so that one has ended."""
        async with asyncio.timeout(5):
            for _ in range(2):
                await self.turns.acquire()


async def test_names_are_resolved_at_the_start_and_again() -> None:
    names = Names()
    names.addresses["search.svc"] = ["10.0.0.2", "10.0.0.1"]
    found = DnsDiscovery("{service}.svc:9000", SystemClock(), 0.001, names.resolve)
    await found.open(["search"])
    try:
        first = found.replicas("search")
        assert [(each.host, each.port) for each in first] == [
            ("10.0.0.1", 9000),
            ("10.0.0.2", 9000),
        ]
        await names.asked()
        assert found.replicas("search") is first
        names.addresses["search.svc"] = ["10.0.0.3"]
        names.turns = asyncio.Semaphore(0)
        await names.asked()
        assert [each.host for each in found.replicas("search")] == ["10.0.0.3"]
    finally:
        await found.close()


async def test_while_a_name_cannot_be_resolved_its_last_answer_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = Names()
    names.addresses["search.svc"] = ["10.0.0.1"]
    found = DnsDiscovery("{service}.svc:9000", SystemClock(), 0.001, names.resolve)
    await found.open(["search"])
    names.addresses["search.svc"] = OSError("no such host")
    names.turns = asyncio.Semaphore(0)
    await names.asked()
    await names.asked()
    await found.close()
    assert [each.host for each in found.replicas("search")] == ["10.0.0.1"]
    assert [record.getMessage() for record in caplog.records] == [
        "search.svc cannot be resolved (no such host); the last answer counts"
    ]


async def test_the_machines_own_name_server_is_asked() -> None:
    found = DnsDiscovery("{service}:9000", SystemClock())
    await found.open(["localhost"])
    await found.close()
    assert {each.host for each in found.replicas("localhost")} & {"127.0.0.1", "::1"}


async def test_a_name_without_an_answer_keeps_no_other_waiting() -> None:
    every_name_is_asked = asyncio.Barrier(3)

    async def resolve(host: str, port: int) -> Collection[str]:
        async with asyncio.timeout(60):
            await every_name_is_asked.wait()
        return [host]

    found = DnsDiscovery("{service}.svc:9000", SystemClock(), 60, resolve)
    await found.open(["a", "b", "c"])
    assert [each.host for name in "abc" for each in found.replicas(name)] == [
        "a.svc", "b.svc", "c.svc",
    ]  # fmt: skip
    await found.close()
