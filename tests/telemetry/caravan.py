"""A small system for tests of what is seen: a front that calls a depot and publishes, and a crier that hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, final

from borough import (
    ANYONE,
    Database,
    Event,
    Key,
    Problem,
    Service,
    System,
    Transaction,
    contract,
    current_call,
    every,
    get,
    on,
    post,
)
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Span
from borough.telemetry.waiting import WAITING_FOR
from borough.testing import Mode, start
from borough.testing.running import Running


class Lost(Problem, status=404):
    """It is not there."""


class Placed(Event):
    order_id: Key[str]
    how: str


@contract("front", version="1.0", publishes=[Placed])
class Front(Protocol):
    @post("/orders/{order_id}", allow=ANYONE, raises=[Lost])
    async def place(self, order_id: str, how: str = "well") -> str: ...


@contract("depot", version="1.0")
class Depot(Protocol):
    @get("/things/{thing_id}", raises=[Lost])
    async def fetch(self, thing_id: str, how: str = "well") -> dict[str, str]: ...

    @get("/counts")
    def count(self) -> AsyncIterator[int]: ...


@final
class FrontService(Service, Front):
    depot: Depot
    db: Database

    async def place(self, order_id: str, how: str = "well") -> str:
        try:
            await self.depot.fetch(f"t-{order_id}", how)
        except Exception:
            if how != "mended":
                raise
        async with self.db.transaction() as tx:
            await tx.one(str, "select upper($1)", order_id)
            tx.publish(Placed(order_id=order_id, how=how))
        return order_id

    @every("1h")
    async def sweep(self) -> None:
        await self.depot.fetch("swept")


@final
class DepotService(Service, Depot):
    async def fetch(self, thing_id: str, how: str = "well") -> dict[str, str]:
        if how in ("badly", "mended"):
            raise RuntimeError("the shelf broke")
        if how == "lost":
            raise Lost
        if how == "late":
            await asyncio.sleep(0.05)
        trace = current_call().trace
        assert trace is not None
        return {"state": trace.state, "baggage": trace.baggage, "trace": trace.traceparent}

    async def count(self) -> AsyncIterator[int]:
        for number in range(3):
            yield number


@contract("crier", version="1.0")
class Crier(Protocol):
    @get("/heard")
    async def heard(self) -> int: ...


@final
class CrierService(Service, Crier):
    db: Database
    depot: Depot

    async def open(self) -> None:
        self.attempts = 0

    async def heard(self) -> int:
        return self.attempts

    @on(Placed)
    async def cry(self, event: Placed, tx: Transaction) -> None:
        self.attempts += 1
        if event.how == "twice" and self.attempts == 1:
            raise RuntimeError("hoarse")


class Seen:
    """A started caravan, and the spans of its process."""

    def __init__(self, running: Running, recorder: Recorder) -> None:
        self.running = running
        self.recorder = recorder
        self._kept: list[Span] = []

    def front(self) -> Front:
        """A client from outside of any service."""
        return self.running.client(Front)

    def spans(self) -> Sequence[Span]:
        """Every span so far, both sides of local calls, in the order of their beginnings.

        Without waits, which depend on what else the machine does.
        """
        for span in self.recorder.take():
            self._kept += [each for each in span.both() if WAITING_FOR not in each.attributes]
        return sorted(self._kept, key=lambda span: span.began)

    def of(self, name: str, kind: int | None = None) -> Span:
        """The one span of that name and kind."""
        found = [
            span
            for span in self.spans()
            if span.shape.name == name and (kind is None or span.shape.kind == kind)
        ]
        assert len(found) == 1, [(span.shape.name, span.shape.kind) for span in self.spans()]
        return found[0]

    def tree(self) -> list[str]:
        """Each span of the caravan's own doing as the path of names that leads to it."""
        spans = {span.trace.span_id: span for span in self.spans()}

        def path(span: Span) -> str:
            above = spans.get(span.parent)
            own = f"{span.shape.service}:{span.shape.kind.name.lower()}:{span.shape.name}"
            return own if above is None else f"{path(above)} > {own}"

        return sorted(path(span) for span in spans.values())


@asynccontextmanager
async def caravan(mode: Mode = "local", **options: object) -> AsyncIterator[Seen]:
    """The three services in one process; `options` are those of `[telemetry]`."""
    settings = {f"telemetry.{name}": value for name, value in options.items()}
    system = System([FrontService, DepotService, CrierService])
    async with start(system, mode=mode, settings=settings, edge=True) as running:
        recorder = running.recorder
        assert recorder is not None
        yield Seen(running, recorder)


def shapes(spans: Sequence[Span]) -> list[tuple[str, str]]:
    """Kind and name of each."""
    return [(span.shape.kind.name, span.shape.name) for span in spans]


__all__ = ["Crier", "Depot", "Front", "Lost", "Placed", "Seen", "caravan", "shapes"]
