"""One service's calls to another one: which replica, whether at all, whether again.

All decisions stand in `reliability`; here they are carried out over one client, whose connections no other
dependency shares. The raw level: requests go out and answers come back as bytes, whatever they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec

from borough.clock import Clock
from borough.errors import CallError, DeadlineExceeded, ServiceFailure, Unavailable
from borough.ports import Discovery, Replica
from borough.reliability.admission import Gate
from borough.reliability.balance import Balance, Candidate, Failure
from borough.reliability.repeats import Repeats
from borough.reliability.throttle import Throttle
from borough.services.context import NO_DEADLINE
from borough.transports.http.client import ClientResponse, ClientStream, HttpClient
from borough.transports.http.limits import DependencyLimits
from borough.transports.http.pool import Unreachable
from borough.transports.http.wire import TIMEOUT_MS

__all__ = ["Ask", "Dependencies", "Dependency", "Greet", "Incompatible"]

Fields = Sequence[tuple[bytes, bytes]]
Ask = Callable[[str], Awaitable[ClientResponse]]
"""Gets a target (`/borough/hello`) from one certain replica. Raises a `CallError`."""
Incompatible = Mapping[str, Callable[[], CallError]]
"""Operations, by wire name, that a replica must not be asked for, and the error that says why."""
Greet = Callable[[Replica, Ask], Awaitable[Incompatible]]
"""What is done before the first call to a replica. A `CallError` means that it cannot be called now."""

_TIME_LEFT = TIMEOUT_MS.encode()
_MAY_BE_TURNED_AWAY = frozenset({409, 429, 503})


class _Refusal(msgspec.Struct):
    """What is read of the problem document of an answer that may mean that nothing has run."""

    code: str = ""
    retryable: bool = False


_refusal = msgspec.json.Decoder(_Refusal).decode
_BUSY = frozenset({"unavailable", "too-many-requests"})
_NOT_RUN = _BUSY | {"key-in-use"}


class _Contact:
    """A replica with what was found out at first contact."""

    __slots__ = ("incompatible", "meeting", "origin", "replica")

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.origin = (replica.host, replica.port)
        self.incompatible: Incompatible | None = None
        self.meeting = asyncio.Lock()


class _Request:
    """A request, whichever replica gets it and however often it is sent."""

    __slots__ = (
        "avoid",
        "body",
        "deadline",
        "headers",
        "idempotent",
        "method",
        "operation",
        "target",
        "tries",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Fields,
        body: bytes,
        deadline: float,
        operation: str,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.deadline = deadline
        self.operation = operation
        self.idempotent = False
        self.tries = 0
        self.avoid: Candidate[_Contact] | None = None


class Dependency:
    """The calls of `caller` to `service`. `answered` and `repeats.count` are plain counters."""

    __slots__ = (
        "_balance", "_caller", "_client", "_clock", "_contacts", "_discovery", "_greet", "_known",
        "_throttle", "answered", "gate", "limits", "repeats", "service",
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
    ) -> None:
        """Take over `client`: nobody else uses it, and `close` closes it."""
        self.service = service
        self.limits = limits
        self.gate = Gate(limits.calls_in_flight)
        self.repeats = Repeats(limits.repeats)
        self.answered = 0
        self._discovery = discovery
        self._client = client
        self._clock = clock
        self._caller = caller
        self._greet = greet
        self._throttle = Throttle(limits.throttle)
        self._balance: Balance[_Contact] = Balance(limits.balance)
        self._known: tuple[Replica, ...] = ()
        self._contacts: dict[Replica, _Contact] = {}

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
        request = _Request(method, target, headers, body, deadline, operation)
        request.idempotent = idempotent
        return self._exchange(request)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        *,
        deadline: float = NO_DEADLINE,
        idempotent: bool = False,
        operation: str = "",
    ) -> AsyncGenerator[ClientStream, None]:
        """Like `exchange`, but the body is read as it comes. Nothing is repeated once its head is here.

        `deadline` covers the head and the first chunk. Leaving the block stops the other side.
        """
        request = _Request(method, target, headers, body, deadline, operation)
        request.idempotent = idempotent
        self._admit()
        self.gate.in_flight += 1
        try:
            candidate, stream = await self._reach(request, self._client.open)
            try:
                yield cast(ClientStream, stream)
            finally:
                candidate.in_flight -= 1
                cast(ClientStream, stream).leave()
        finally:
            self.gate.in_flight -= 1

    async def close(self) -> None:
        """Close the connections; calls that run fail. Idempotent."""
        await self._client.close()

    async def _exchange(self, request: _Request) -> ClientResponse:
        self._admit()
        self.gate.in_flight += 1
        try:
            candidate, response = await self._reach(request, self._client.send)
            candidate.in_flight -= 1
            return cast(ClientResponse, response)
        finally:
            self.gate.in_flight -= 1

    def _admit(self) -> None:
        """Refuse at once what is too much: for us, or, by its own word, for the callee."""
        gate, throttle = self.gate, self._throttle
        if gate.in_flight >= gate.limit:
            raise Unavailable(
                f"{self._caller or 'This caller'} has {gate.limit} calls to {self.service} in flight, "
                "which is the limit",
                retry_after_s=1,
            )
        if throttle.is_active:
            now = self._clock.monotonic()
            chance = throttle.chance_of_refusal(now, self.answered)
            if chance and self._clock.random.random() < chance:
                throttle.note_refusal(now, self.answered)
                raise Unavailable(
                    f"{self.service} has refused most calls lately; this one was not sent",
                    retry_after_s=1,
                )

    async def _reach(
        self, request: _Request, send: Callable[..., Awaitable[ClientResponse | ClientStream]]
    ) -> tuple[Candidate[_Contact], ClientResponse | ClientStream]:
        """Send until there is an answer; the candidate's call is then still counted as in flight."""
        while True:
            now = self._clock.monotonic()
            left_s = request.deadline - now
            if left_s <= 0:
                raise DeadlineExceeded(f"No time was left to call {self.service}")
            candidate = self._choose(request, now)
            candidate.in_flight += 1
            is_answered = False
            try:
                if not (self._greet is None or await self._met(candidate.peer, request, left_s)):
                    continue
                headers, until = request.headers, None
                if left_s != NO_DEADLINE:
                    until = asyncio.get_running_loop().time() + left_s
                    headers = [*headers, (_TIME_LEFT, b"%d" % max(1, int(left_s * 1000)))]
                origin = candidate.peer.origin
                answer = await send(
                    origin, request.method, request.target, headers, request.body, until
                )
                wait_s = await self._judged(request, candidate, answer, now)
                if wait_s is None:
                    is_answered = True
                    return candidate, answer
            except CallError as error:
                wait_s = self._wait_after(request, candidate, error)
                if wait_s is None:
                    raise
            finally:
                if not is_answered:
                    candidate.in_flight -= 1
            request.avoid = candidate
            await self._clock.sleep(wait_s)

    # --- whom to call ----------------------------------------------------------------------------

    def _choose(self, request: _Request, now: float) -> Candidate[_Contact]:
        known = self._discovery.replicas(self.service)
        if known is not self._known:
            self._learn(known)
        balance = self._balance
        candidate = balance.choose(now, self._clock.random.random, request.avoid)
        if candidate is None:
            raise Unavailable(f"No replica of {self.service} takes calls now", retry_after_s=1)
        operation = request.operation
        if candidate.peer.incompatible and operation in candidate.peer.incompatible:
            able = [
                each
                for each in balance.candidates
                if operation not in (each.peer.incompatible or ())
            ]
            if not able:
                raise candidate.peer.incompatible[operation]()
            candidate = min(able, key=lambda each: (each.is_out, each.in_flight))
        return candidate

    def _learn(self, known: tuple[Replica, ...]) -> None:
        self._known = known
        before = self._contacts
        self._contacts = {each: before.get(each) or _Contact(each) for each in known}
        self._balance.replace(list(self._contacts.values()))

    async def _met(self, contact: _Contact, request: _Request, left_s: float) -> bool:
        """First contact, once per replica; others wait for it. Returns whether the request suits it."""
        greet = self._greet
        if contact.incompatible is not None or greet is None:
            return True
        until = None if left_s == NO_DEADLINE else asyncio.get_running_loop().time() + left_s

        async def ask(target: str) -> ClientResponse:
            return await self._client.send(contact.origin, "GET", target, (), b"", until, True)

        try:
            async with asyncio.timeout_at(until), contact.meeting:
                if contact.incompatible is None:
                    contact.incompatible = await greet(contact.replica, ask)
        except TimeoutError:
            raise DeadlineExceeded(f"{self.service} did not introduce itself in time") from None
        except ServiceFailure as error:
            raise Unreachable(f"{self.service} did not introduce itself: {error}") from error
        return request.operation not in contact.incompatible

    # --- what became of it -----------------------------------------------------------------------

    async def _judged(
        self,
        request: _Request,
        candidate: Candidate[_Contact],
        answer: ClientResponse | ClientStream,
        began: float,
    ) -> float | None:
        """After which time to send again; None where this answer is the one."""
        now = self._clock.monotonic()
        if answer.status in _MAY_BE_TURNED_AWAY:
            body = answer.body if isinstance(answer, ClientResponse) else await answer.peek()
            refusal = _read_refusal(body)
            if refusal is not None:
                if refusal.code in _BUSY:
                    self._balance.failed(candidate, Failure.REFUSED, now, 0.0)
                    self._throttle.note_refusal(now, self.answered)
                else:
                    self.answered += 1
                after = answer.headers.get("retry-after")
                asked_s = float(after) if after is not None and after.isdigit() else None
                return self._wait(request, now, asked_s)
        self.answered += 1
        self._balance.succeeded(candidate, now, now - began)
        return None

    def _wait_after(
        self, request: _Request, candidate: Candidate[_Contact], error: CallError
    ) -> float | None:
        """After which time to send again what came to nothing; None: not at all."""
        now = self._clock.monotonic()
        is_unreachable = isinstance(error, Unreachable)
        has_run = not isinstance(error, Unavailable)
        if is_unreachable or isinstance(error, (ServiceFailure, DeadlineExceeded)):
            failure = Failure.UNREACHABLE if is_unreachable else Failure.BROKEN
            self._balance.failed(candidate, failure, now, self._clock.random.random())
        if has_run and not (request.idempotent and isinstance(error, ServiceFailure)):
            return None
        return self._wait(request, now, None)

    def _wait(self, request: _Request, now: float, asked_s: float | None) -> float | None:
        request.tries += 1
        # What one replica asks for does not bind another one.
        has_others = len(self._balance.candidates) > 1
        return self.repeats.wait_s(
            request.tries,
            answered=self.answered,
            left_s=request.deadline - now,
            chance=self._clock.random.random(),
            asked_s=None if has_others else asked_s,
        )


def _read_refusal(body: bytes) -> _Refusal | None:
    """What the answer says, where it says that nothing has run; None for any other one."""
    try:
        refusal = _refusal(body)
    except msgspec.DecodeError:
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
    ) -> None:
        """`make_client` is called for each: connections are shared by nobody."""
        self._discovery = discovery
        self._make_client = make_client
        self._clock = clock
        self._limits = limits or DependencyLimits()
        self._caller = caller
        self._greet = greet
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
            )
        return made

    async def close(self) -> None:
        """Close all connections."""
        for dependency in self._made.values():
            await dependency.close()
