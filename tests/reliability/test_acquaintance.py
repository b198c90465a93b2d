"""Two versions that meet: judged once, refused only where an operation asked for breaks."""

from collections.abc import Awaitable, Callable

import pytest

from borough import get, post
from borough.contracts.descriptor import Descriptor, describe, fingerprint, to_json
from borough.errors import ServiceFailure
from borough.reliability.acquaintance import Acquaintance, Meeting
from tests.contracts.evolving import contract_of, operation

READ = operation({"n": int}, int, get("/read"))
WRITE = operation({"n": int}, int, post("/write"))
OLD = describe(contract_of("1.0", read=READ, write=WRITE))
GROWN = describe(
    contract_of("1.1", read=READ, write=operation({"n": int, "m": (int, 0)}, int, post("/write")))
)
BROKEN = describe(
    contract_of("1.2", read=READ, write=operation({"n": int, "m": int}, int, post("/write")))
)


class Peer:
    """A peer's descriptor, and how often it was asked for."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.text = to_json(descriptor)
        self.fingerprint = fingerprint(descriptor)
        self.asked = 0

    async def fetch(self) -> bytes:
        self.asked += 1
        return self.text


async def test_the_same_version_is_never_asked_for() -> None:
    peer, mine = Peer(OLD), Acquaintance([OLD])
    assert await mine.check("yard.Yard.write", peer.fingerprint, peer.fetch) is None
    assert (peer.asked, mine.met) == (0, ())


async def test_a_compatible_version_goes_on_and_is_reported_once() -> None:
    reported: list[Meeting] = []
    peer, mine = Peer(GROWN), Acquaintance([OLD], reported.append)
    for name in ("yard.Yard.write", "yard.Yard.read", "yard.Yard.write"):
        assert await mine.check(name, peer.fingerprint, peer.fetch) is None
    assert peer.asked == 1
    assert [(m.contract, m.mine, m.theirs, m.refused) for m in reported] == [
        ("yard.Yard", "1.0", "1.1", {})
    ]
    assert mine.met == tuple(reported)


async def test_only_the_operation_that_breaks_is_refused() -> None:
    peer, mine = Peer(BROKEN), Acquaintance([OLD])
    assert await mine.check("yard.Yard.read", peer.fingerprint, peer.fetch) is None
    refused = await mine.check("yard.Yard.write", peer.fingerprint, peer.fetch)
    assert refused == (
        "the caller has yard.Yard 1.0 and the callee 1.2: yard.Yard.write at /request/m: the callee "
        "requires it, and the caller does not know it (required-field-added). "
        "Give the new field a default"
    )
    assert peer.asked == 1


async def test_versions_are_known_side_by_side() -> None:
    mine, old, broken = Acquaintance([GROWN]), Peer(OLD), Peer(BROKEN)
    for _ in range(2):
        assert await mine.check("yard.Yard.write", old.fingerprint, old.fetch) is None
        assert await mine.check("yard.Yard.write", broken.fingerprint, broken.fetch) is not None
    assert (old.asked, broken.asked) == (1, 1)


async def test_a_contract_that_is_not_ones_own_is_not_judged() -> None:
    peer, mine = Peer(BROKEN), Acquaintance([])
    assert await mine.check("yard.Yard.write", peer.fingerprint, peer.fetch) is None
    assert peer.asked == 0


async def test_a_descriptor_that_cannot_be_read_refuses_the_contract() -> None:
    peer, mine = Peer(BROKEN), Acquaintance([OLD])
    peer.text = b'{"format":99}'
    refused = await mine.check("yard.Yard.read", peer.fingerprint, peer.fetch)
    assert refused is not None
    assert "cannot be held against 1.0 here: The descriptor has format 99" in refused


async def test_a_failed_fetch_is_raised_and_not_remembered() -> None:
    async def fail() -> bytes:
        raise ServiceFailure("gone")

    peer, mine = Peer(GROWN), Acquaintance([OLD])
    fetch: Callable[[], Awaitable[bytes]] = fail
    with pytest.raises(ServiceFailure, match="gone"):
        await mine.check("yard.Yard.read", peer.fingerprint, fetch)
    assert await mine.check("yard.Yard.read", peer.fingerprint, peer.fetch) is None


async def test_what_another_process_answers_is_remembered_as_its_own() -> None:
    peer, mine = Peer(BROKEN), Acquaintance([OLD])
    assert await mine.check("yard.Yard.write", "an earlier one", peer.fetch) is not None
    assert await mine.check("yard.Yard.write", peer.fingerprint, peer.fetch) is not None
    assert peer.asked == 1


async def test_what_is_remembered_has_a_bound() -> None:
    mine = Acquaintance([OLD])
    for number in range(70):
        peer = Peer(describe(contract_of(f"1.{number + 1}", read=READ, write=WRITE)))
        assert await mine.check("yard.Yard.read", peer.fingerprint, peer.fetch) is None
    assert len(mine.met) <= 64
