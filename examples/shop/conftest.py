"""What the shop's tests share: the four ways to run it, and a card issuer."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from borough.testing import MODES, Mode, free_port
from shop.demo.issuer import Counter, Issuer
from shop.demo.journal import IssuerEntry, read_journal


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each test that asks for it runs in the process, encoded, over the wire, and in many processes."""
    chosen: Mode = request.param
    return chosen


class WatchedIssuer(Issuer):
    """The demo's, which tells when something is in its ledger."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(ledger)
        self.booked = asyncio.Event()

    async def _write(self, entry: IssuerEntry) -> None:
        await super()._write(entry)
        self.booked.set()


class RunningIssuer(NamedTuple):
    """A card issuer that listens, and the settings by which payments finds it.

    With `hurried` ones payments soon waits no longer for an issuer that is silent, and asks it later. With
    `hopeless` ones a charge that the issuer then does not know has failed.
    """

    settings: dict[str, object]
    hurried: dict[str, object]
    hopeless: dict[str, object]
    ledger: Path
    booked: asyncio.Event

    def entries(self) -> list[IssuerEntry]:
        """What it has done so far."""
        return list(read_journal(self.ledger, IssuerEntry))


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncGenerator[RunningIssuer]:
    """The issuer of the demo, in this process."""
    async with running_issuer(tmp_path) as found:
        yield found


@asynccontextmanager
async def running_issuer(
    folder: Path, make: Callable[[Path], WatchedIssuer] = WatchedIssuer
) -> AsyncGenerator[RunningIssuer]:
    """Start an issuer that keeps its ledger in a folder, and stop it in the end."""
    ledger, port = folder / "issuer.jsonl", free_port()
    answering = make(ledger)
    counter = Counter(answering)
    server = await asyncio.start_server(counter.serve, "127.0.0.1", port)
    try:
        hurried = payment_settings(port, answer_within_s=0.3)
        hopeless = payment_settings(port, answer_within_s=0.3, give_up_after_s=0.0)
        yield RunningIssuer(payment_settings(port), hurried, hopeless, ledger, answering.booked)
    finally:
        server.close()
        await counter.close()
        await answering.close()


def payment_settings(
    port: int, *, answer_within_s: float = 10.0, give_up_after_s: float = 60.0
) -> dict[str, object]:
    """Settings of payments that do not let a test wait for reconciliation.

    On a busy machine a charge that is still asked must not be given up by it.
    """
    settings = {
        "issuer_url": f"http://127.0.0.1:{port}",
        "answer_within_s": answer_within_s,
        "ask_again_after_s": 0.0,
        "give_up_after_s": give_up_after_s,
    }
    return {f"services.payments.settings.{name}": value for name, value in settings.items()}
