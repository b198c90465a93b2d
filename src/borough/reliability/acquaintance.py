"""What a process thinks of the other versions that it meets: judged once per fingerprint, then known.

Two versions of a contract may differ and work together; only what an operation asked for breaks
counts against it, and the others go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from borough.contracts.descriptor import Descriptor, fingerprint, from_json
from borough.contracts.verdict import verdict
from borough.errors import ConfigurationError

__all__ = ["Acquaintance", "Fetch", "Meeting"]

Fetch = Callable[[], Awaitable[bytes]]
"""Gets the peer's descriptor of the contract, as canonical JSON."""

_MOST = 64
_NOTHING: Mapping[str, str] = {}


class Meeting(msgspec.Struct, frozen=True):
    """A version of a contract that differs from one's own. `mine` and `theirs` are versions.

    `refused` says, by the wire name of each operation that cannot be called, why not.
    """

    contract: str
    mine: str
    theirs: str
    fingerprint: str
    refused: Mapping[str, str]


class Acquaintance:
    """Own contracts held against those of peers. Fingerprints forget words, and so do verdicts.

    `report` is told of each version that differs, once; `met` lists them.
    """

    def __init__(
        self, mine: Iterable[Descriptor], report: Callable[[Meeting], None] = lambda _: None
    ) -> None:
        self._mine = {descriptor.wire_name: descriptor for descriptor in mine}
        self._fingerprints = {name: fingerprint(each) for name, each in self._mine.items()}
        self._met: dict[tuple[str, str], Meeting] = {}
        self._report = report

    @property
    def contracts(self) -> Iterable[str]:
        """The own contracts, by wire name."""
        return self._mine.keys()

    @property
    def met(self) -> tuple[Meeting, ...]:
        """The versions that differ from the own ones."""
        return tuple(self._met.values())

    async def check(self, operation: str, their_fingerprint: str, fetch: Fetch) -> str | None:
        """Why a peer must not be asked for this operation, by wire name; None where it may be.

        `fetch` is asked once per version. What it raises is raised, and nothing is remembered.
        """
        contract = operation.rpartition(".")[0]
        return (await self.refused(contract, their_fingerprint, fetch)).get(operation)

    async def refused(
        self, contract: str, their_fingerprint: str, fetch: Fetch
    ) -> Mapping[str, str]:
        """The operations of a contract that a peer must not be asked for, and why; see `check`.

        A contract that is not one's own has none.
        """
        known = self.known(contract, their_fingerprint)
        if known is None:
            known = self.remember(self.judged(contract, their_fingerprint, await fetch()))
        return known

    def known(self, contract: str, their_fingerprint: str) -> Mapping[str, str] | None:
        """The same where nothing needs to be fetched, else None."""
        if self._fingerprints.get(contract, their_fingerprint) == their_fingerprint:
            return _NOTHING
        met = self._met.get((contract, their_fingerprint))
        return met.refused if met is not None else None

    def remember(self, meeting: Meeting) -> Mapping[str, str]:
        """Know a version from now on, and report it if it is new; returns what it refuses."""
        # Another process may have taken the address between hello and descriptor; then this is its one.
        key = meeting.contract, meeting.fingerprint
        if key not in self._met:
            if len(self._met) >= _MOST:
                self._met.clear()
            self._met[key] = meeting
            self._report(meeting)
        return meeting.refused

    def judged(self, contract: str, their_fingerprint: str, text: bytes) -> Meeting:
        """Hold a peer's descriptor against one's own. A millisecond for each operation: on an event
        loop, rather in a thread."""
        mine = self._mine[contract]
        try:
            theirs = from_json(text)
            refused = {
                operation.wire_name: wrong.sentence
                for operation in mine.operations
                if (wrong := verdict(mine, theirs, operation.wire_name)) is not None
            }
            version, their_fingerprint = theirs.version, fingerprint(theirs)
        except (ConfigurationError, ValueError) as error:
            sentence = (
                f"the callee's {contract} cannot be held against {mine.version} here: {error}"
            )
            refused = {operation.wire_name: sentence for operation in mine.operations}
            version = "unknown"
        return Meeting(contract, mine.version, version, their_fingerprint, refused)
