"""One service's calls to another one: whether at all, whether again.

All decisions stand in `reliability`; here they are carried out over one client, whose connections no other
dependency shares. The raw level: requests go out and answers come back as bytes, whatever they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from borough.clock import Clock
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, DeadlineExceeded, ServiceFailure, Unavailable
from borough.ports import Discovery
from borough.reliability.balance import Candidate, Failure
from borough.reliability.enough_time import enough_s
from borough.reliability.repeats import Repeats
from borough.reliability.retry_after import retry_after_s
from borough.reliability.throttle import Throttle
from borough.services.context import CURRENT, NO_DEADLINE
from borough.telemetry.recorder import Recorder
from borough.telemetry.trace import TraceContext
from borough.telemetry.waiting import Waits
from borough.transports.http.bulkhead import Bulkhead
from borough.transports.http.client import (
    ClientResponse,
    ClientStream,
    HttpClient,
    RequestLine,
    as_told,
    sendable,
)
from borough.transports.http.client_connection import ClientConnection
from borough.transports.http.contacts import Contact, Contacts, Greet, Place
from borough.transports.http.deadlines import EARLY_S
from borough.transports.http.limits import DependencyLimits
from borough.transports.http.pool import OriginPool, Unreachable

__all__ = ["Dependencies", "Dependency", "Opening", "RequestKind"]

Fields = Sequence[tuple[bytes, bytes]]
_MAY_BE_TURNED_AWAY = frozenset({409, 429, 503})


class _Refusal(msgspec.Struct):
    """What is read of the problem document of an answer that may mean that nothing has run."""

    code: str = ""
    retryable: bool = False


_refusal = msgspec.json.Decoder(_Refusal).decode
_BUSY = frozenset({"unavailable", "too-many-requests"})
_NOT_RUN = _BUSY | {"key-in-use"}


class RequestKind(RequestLine):
    """What all requests for one target share: whether they may run twice, and for which operation they are."""

    __slots__ = ("idempotent", "operation")

    def __init__(self, method: str, target: str, idempotent: bool, operation: str) -> None:
        super().__init__(method, target)
        self.idempotent = idempotent
        self.operation = operation


class Opening(AbstractAsyncContextManager[ClientStream]):
    """An answer that is read as it comes. A class: a generator would cost a forwarded call a tenth."""

    __slots__ = ("_bulkhead", "_held", "_reach", "_stream")

    def __init__(
        self,
        bulkhead: Bulkhead,
        reach: Coroutine[Any, Any, ClientStream],
        held: list[Candidate[Contact]],
    ) -> None:
        self._bulkhead = bulkhead
        self._reach = reach
        self._held = held
        self._stream: ClientStream | None = None

    async def __aenter__(self) -> ClientStream:
        self._stream = stream = await self._reach
        return stream

    async def __aexit__(self, *_: object) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._bulkhead.leave()
            self._held[0].in_flight -= 1
            stream.leave()


class Dependency:
    """The calls of `caller` to `service`. `answered` and `repeats.count` are plain counters."""

    __slots__ = (
        "_caller", "_client", "_clock", "_connecting", "_contacts", "_draw", "_monotonic", "_throttle", "answered",
        "bulkhead", "limits", "repeats", "service",
    )  # fmt: skip

    def __init__(
        self,
        service: str,
        discovery: Discovery,
        client: HttpClient,
        clock: Clock,
        limits: DependencyLimits,
        *,
        caller: str = "",
        greet: Greet | None = None,
        place: Place = lambda _service, host, port: (host, port),
        recorder: Recorder | None = None,
    ) -> None:
        """Take over `client`: nobody else uses it, and `close` closes it."""
        self.service = service
        self.limits = limits
        waits = self._connecting = None
        if recorder is not None:
            waits = Waits(recorder, caller, f"room for calls to {service}")
            self._connecting = Waits(recorder, caller, f"a connection to {service}")
        self.bulkhead = Bulkhead(
            limits.calls_in_flight, limits.burst_waiting, limits.burst_s, clock.monotonic, waits
        )
        self.repeats = Repeats(limits.repeats)
        self.answered = 0
        self._contacts = Contacts(service, discovery, client, clock, limits.balance, greet, place)
        self._client = client
        self._clock = clock
        self._monotonic = clock.monotonic
        self._draw = clock.random.random
        self._caller = caller
        self._throttle = Throttle(limits.throttle)

    def exchange(
        self,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        *,
        deadline: float = NO_DEADLINE,
        idempotent: bool = False,
        operation: str = "",
    ) -> Coroutine[Any, Any, ClientResponse]:
        """One request and its whole answer, whatever its status; the time left is among what is sent.

        `deadline` is on the clock's monotonic time. An `idempotent` request may run twice; another one
        is repeated only where it surely did not run. Raises `Unavailable` (not sent), `DeadlineExceeded`
        or `ServiceFailure` (sent, and no usable answer came).
        """
        kind = RequestKind(method, target, idempotent, operation)
        return self.send(kind, sendable(headers), body, deadline)

    def stream(
        self,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        *,
        deadline: float = NO_DEADLINE,
        idempotent: bool = False,
        operation: str = "",
    ) -> AbstractAsyncContextManager[ClientStream]:
        """Like `exchange`, but the body is read as it comes. Nothing is repeated once its head is here.

        `deadline` covers the head and the first chunk. Leaving the block stops the other side.
        """
        kind = RequestKind(method, target, idempotent, operation)
        return self.open(kind, sendable(headers), body, deadline)

    def open(
        self,
        kind: RequestKind,
        fields: bytes,
        body: bytes,
        deadline: float,
        trace: TraceContext | None = None,
    ) -> Opening:
        """Like `stream`, for who has rendered the header fields. What waits here is seen below `trace`."""
        held: list[Candidate[Contact]] = []
        return Opening(self.bulkhead, self._reach(kind, fields, body, deadline, trace, held), held)

    async def close(self) -> None:
        """Close the connections; calls that run fail. Idempotent."""
        await self._client.close()

    def send(
        self,
        kind: RequestKind,
        fields: bytes,
        body: bytes,
        deadline: float,
        trace: TraceContext | None = None,
    ) -> Coroutine[Any, Any, ClientResponse]:
        """Like `exchange`, for who has rendered the header fields. What waits here is seen below `trace`."""
        return self._reach(kind, fields, body, deadline, trace)

    async def _admit(self, deadline: float, trace: TraceContext | None) -> None:
        """Count a call in, or refuse what is too much: for us, or, by its own word, for the callee."""
        bulkhead, throttle = self.bulkhead, self._throttle
        if throttle.is_active:
            now = self._monotonic()
            chance = throttle.chance_of_refusal(now, self.answered)
            if chance and self._draw() < chance:
                throttle.note_refusal(now, self.answered)
                raise Unavailable(
                    f"{self.service} has refused most calls lately; this one was not sent",
                    retry_after_s=1,
                )
        if bulkhead.in_flight < bulkhead.limit:
            bulkhead.in_flight += 1
        elif not await bulkhead.enter(deadline, trace):
            raise Unavailable(
                f"{self._caller or 'This caller'} has {bulkhead.limit} calls to {self.service} in flight, "
                "which is the limit",
                retry_after_s=1,
            )

    async def _reach(
        self,
        kind: RequestKind,
        fields: bytes,
        body: bytes,
        deadline: float,
        trace: TraceContext | None,
        held: list[Candidate[Contact]] | None = None,
    ) -> Any:
        """Send until there is an answer. A stream goes on: it is counted until its reader leaves, and
        whom it counts for is put into `held`.
        """
        bulkhead, contacts, attempts, avoid = self.bulkhead, self._contacts, 0, None
        if bulkhead.in_flight < bulkhead.limit and not self._throttle.is_active:
            bulkhead.in_flight += 1
        else:
            await self._admit(deadline, trace)
        goes_on, is_streaming = False, held is not None
        try:
            while True:
                now = self._monotonic()
                left_s = deadline - now
                if left_s <= 0:
                    raise DeadlineExceeded(f"No time was left to call {self.service}")
                candidate = contacts.choose(kind.operation, now, avoid)
                candidate.in_flight += 1
                try:
                    contact = candidate.peer
                    if not (contact.is_met or await contacts.met(contact, kind.operation, left_s)):
                        continue
                    pool = self._client.pool_of(contact.origin)
                    until, timed = None, fields
                    if left_s != NO_DEADLINE:
                        until = pool.loop.time() + left_s
                        timed = b"%bborough-timeout-ms: %d\r\n" % (fields, int(left_s * 1000) or 1)
                    pool.check_loop()
                    connection = pool.take() or await self._connected(pool, until, trace)
                    answer = await self._client.send_on(
                        pool, connection, kind, kind.followed_by(timed, body), until, is_streaming
                    )
                    if answer.status not in _MAY_BE_TURNED_AWAY:
                        self._note_answer(candidate, now)
                        wait_s = None
                    else:
                        attempts += 1
                        wait_s = await self._turned_away(attempts, candidate, answer, now, deadline)
                    if wait_s is None:
                        if held is not None:
                            held.append(candidate)
                            goes_on = True
                        return answer
                except CallError as error:
                    attempts += 1
                    wait_s = self._wait_after(attempts, candidate, error, kind, now, deadline)
                    if wait_s is None:
                        raise as_told(error) from error.__cause__
                except asyncio.CancelledError:
                    self._note_silence(candidate, now, deadline)
                    raise
                finally:
                    if not goes_on:
                        candidate.in_flight -= 1
                avoid = candidate
                await self._clock.sleep(wait_s)
        finally:
            if not goes_on:
                bulkhead.leave()

    async def _connected(
        self, pool: OriginPool, until: float | None, trace: TraceContext | None
    ) -> ClientConnection:
        """A connection where none is kept; the call is seen waiting for it below `trace`."""
        began = self._monotonic()
        try:
            return await pool.acquire(until)
        finally:
            if self._connecting is not None and trace is not None:
                self._connecting.note(trace, began, self._monotonic())

    # --- what became of it -----------------------------------------------------------------------

    def _note_answer(self, candidate: Candidate[Contact], began: float) -> None:
        self.answered += 1
        if candidate.failures or self._contacts.are_several:
            now = self._monotonic()
            self._contacts.balance.succeeded(candidate, now, now - began)

    async def _turned_away(
        self,
        attempts: int,
        candidate: Candidate[Contact],
        answer: Any,
        began: float,
        deadline: float,
    ) -> float | None:
        """After which time to send again what may have been refused; None where this answer stays."""
        now = self._monotonic()
        body = answer.body if isinstance(answer, ClientResponse) else await answer.peek()
        refusal = _read_refusal(body)
        if refusal is not None and refusal.code in _BUSY:
            if self._was_enough(deadline - began):
                self._contacts.balance.failed(candidate, Failure.REFUSED, now, 0.0)
                self._throttle.note_refusal(now, self.answered)
        else:
            self._note_answer(candidate, began)
            if refusal is None:
                return None
        asked_s = retry_after_s(answer.headers.get("retry-after"))
        # What one replica asks for does not bind another one.
        return self._wait(attempts, deadline - now, None if self._contacts.are_several else asked_s)

    def _was_enough(self, given_s: float) -> bool:
        """Whether a call had so much time that its end says something of who was called."""
        if given_s >= self.limits.enough_s:
            return True
        call = CURRENT.get()  # within which this one was made
        own_s = None if call is None else call.keeps_to_s
        return own_s is not None and given_s >= enough_s(own_s)

    def _note_silence(self, candidate: Candidate[Contact], began: float, deadline: float) -> None:
        """Who called has given up: as its time was over, which its own timer may tell it first."""
        now = self._monotonic()
        if now + EARLY_S >= deadline and self._was_enough(deadline - began):
            self._contacts.balance.failed(candidate, Failure.BROKEN, now, self._draw())

    def _wait_after(
        self,
        attempts: int,
        candidate: Candidate[Contact],
        error: CallError,
        kind: RequestKind,
        began: float,
        deadline: float,
    ) -> float | None:
        """After which time to send again what came to nothing; None: not at all."""
        now = self._monotonic()
        is_unreachable = isinstance(error, Unreachable)
        if is_unreachable:
            self._contacts.lose(candidate.peer)
        is_silent = isinstance(error, DeadlineExceeded) and self._was_enough(deadline - began)
        if is_unreachable or is_silent or isinstance(error, ServiceFailure):
            failure = Failure.UNREACHABLE if is_unreachable else Failure.BROKEN
            self._contacts.balance.failed(candidate, failure, now, self._draw())
        may_repeat = isinstance(error, Unavailable) or (
            kind.idempotent and isinstance(error, ServiceFailure)
        )
        return self._wait(attempts, deadline - now, None) if may_repeat else None

    def _wait(self, attempts: int, left_s: float, asked_s: float | None) -> float | None:
        return self.repeats.wait_s(
            attempts, answered=self.answered, left_s=left_s, chance=self._draw(), asked_s=asked_s
        )


def _read_refusal(body: bytes) -> _Refusal | None:
    """What the answer says, where it says that nothing has run; None for any other one."""
    try:
        refusal = _refusal(body)
    except UNREADABLE:
        return None
    return refusal if refusal.code in _NOT_RUN and refusal.retryable else None


class Dependencies:
    """The dependencies of one caller, each made when it is first asked for."""

    def __init__(
        self,
        discovery: Discovery,
        make_client: Callable[[], HttpClient],
        clock: Clock,
        limits: DependencyLimits | None = None,
        *,
        caller: str = "",
        greet: Greet | None = None,
        place: Place = lambda _service, host, port: (host, port),
        recorder: Recorder | None = None,
    ) -> None:
        """`make_client` is called for each: connections are shared by nobody."""
        self._discovery = discovery
        self._make_client = make_client
        self._clock = clock
        self._limits = limits or DependencyLimits()
        self._caller = caller
        self._greet = greet
        self._place = place
        self._recorder = recorder
        self._made: dict[str, Dependency] = {}

    def of(self, service: str) -> Dependency:
        """The way to this service."""
        made = self._made.get(service)
        if made is None:
            made = self._made[service] = Dependency(
                service,
                self._discovery,
                self._make_client(),
                self._clock,
                self._limits,
                caller=self._caller,
                greet=self._greet,
                place=self._place,
                recorder=self._recorder,
            )
        return made

    async def close(self) -> None:
        """Close all connections."""
        for dependency in self._made.values():
            await dependency.close()
