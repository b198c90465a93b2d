"""Idempotent answers: what was answered under a key is stored with the effects, and replayed.

A call under a key first takes a mark in the service's database, with one statement that also sees
a stored answer. Its run does not wait until the mark is durable: others come after it all the same
(ADR 56). `tx.answer` deletes the mark and inserts the answer in the effects' transaction; a mark
that is gone by then was taken over, and the transaction fails. A crash leaves a mark that runs out.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.contracts.answer import find_fit
from borough.contracts.codec import JSON, Codec, reply_fields
from borough.contracts.marks import IDEMPOTENCY_KEY, Reply
from borough.contracts.problem import Problem, members_of
from borough.contracts.problem_fit import find_misfit
from borough.errors import (
    DeadlineExceeded,
    InvalidRequest,
    KeyInUse,
    ServiceFailure,
    StoreError,
    TransactionMisuse,
)
from borough.ports import Store, StoreTransaction
from borough.reliability.idempotency import (
    LONGEST_MARK_S,
    SALT_LENGTH,
    Marked,
    StoredAnswer,
    decide,
    fingerprint,
    lease_s,
)
from borough.reliability.index_key import index_key
from borough.runtime.reruns import rerun
from borough.services.context import Call
from borough.telemetry.waiting import Waits

__all__ = ["Encoded", "KeyedCalls", "KeyedOperation", "Mark", "store_answer"]

_log = logging.getLogger("borough.calls")

_GIVE_BACK_S = 1.0
_TAKEN_OVER = "Another run has taken this idempotency key over"
_LATER_S = 1.0
"""When to come again where nobody says how long the other run has."""

Encoded = tuple[Literal["value", "problem"], bytes]
"""An answer as it is stored: what it is, and its JSON."""

_TAKE = """
insert into borough_marks (operation, scope, key, owner, until)
select $1, $2, $3, $4, $5 where not exists (
    select 1 from borough_answers where operation = $1 and scope = $2 and key = $3)
on conflict (operation, scope, key) do update set owner = excluded.owner, until = excluded.until
where borough_marks.until <= $6 or borough_marks.until > $7
"""
# Where transactions stand side by side, it may have waited for one that takes away the mark which it saw.
_TAKE_BESIDE = f"""{_TAKE}
returning exists (
    select from borough_marks seen
    where seen.operation = $1 and seen.scope = $2 and seen.key = $3)
"""
_ANSWER = """
select kind, answer, fingerprint from borough_answers
where operation = $1 and scope = $2 and key = $3
"""
_MARK = "select owner, until from borough_marks where operation = $1 and scope = $2 and key = $3"
_DROP = """
delete from borough_marks where operation = $1 and scope = $2 and key = $3 and owner = $4
"""
_STORE = """
insert into borough_answers (operation, scope, key, fingerprint, kind, answer, created_at)
values ($1, $2, $3, $4, $5, $6, $7) on conflict (operation, scope, key) do nothing
"""


class Mark:
    """A running call's hold on its key. `settled` once its answer has committed."""

    __slots__ = (
        "encode", "failure", "fingerprint", "key", "operation", "owner", "run", "scope", "settled", "stored",
    )  # fmt: skip

    def __init__(
        self,
        operation: str,
        scope: str,
        key: str,
        owner: str,
        encode: Callable[[Any], Encoded],
    ) -> None:
        self.operation = operation
        self.scope = scope
        self.key = key
        self.owner = owner
        self.fingerprint = b""
        self.encode = encode
        self.settled = False
        self.stored: Encoded | None = None
        self.failure: StoreError | None = None
        self.run: asyncio.Timeout | None = None

    def lose(self, failure: StoreError) -> None:
        """The database has not kept it: a run that goes on without it ends, as a crash would end it."""
        self.failure = failure
        if self.run is not None:
            self.run.reschedule(-math.inf)


class _Statements(Protocol):
    """What storing an answer needs of a transaction."""

    @property
    def execute(self) -> Callable[..., Awaitable[int]]: ...


async def store_answer(tx: _Statements, mark: Mark, value: Any, now: float) -> None:
    """Store the answer in this transaction. Raises `KeyInUse` when the mark was taken over."""
    kind, answer = encoded = mark.encode(value)
    held = await tx.execute(_DROP, mark.operation, mark.scope, mark.key, mark.owner)
    if not held:
        raise KeyInUse(_TAKEN_OVER, retry_after_s=_LATER_S)
    # The mark may have been taken in the moment in which the run before gave its answer.
    stored = await tx.execute(
        _STORE, mark.operation, mark.scope, mark.key, mark.fingerprint, kind, answer, now
    )
    if not stored:
        raise KeyInUse(
            "Another run has answered under this idempotency key meanwhile", retry_after_s=_LATER_S
        )
    mark.stored = encoded


class KeyedCalls:
    """The keys of one service's database."""

    __slots__ = ("_is_in_doubt", "_one_by_one", "_store", "clock", "waits")

    def __init__(self, store: Store, clock: Clock, waits: Waits | None = None) -> None:
        """`waits` sees how long calls wait until they have their key."""
        self._store = store
        # One transaction after the other: each sees what the one before has done.
        self._one_by_one = store.dialect == "sqlite"
        self._is_in_doubt = False  # whether the last mark could not be kept
        self.clock = clock
        self.waits = waits

    async def begin(
        self,
        operation: str,
        scope: str,
        key: str,
        request: bytes,
        deadline: float,
        encode: Callable[[Any], Encoded],
    ) -> StoredAnswer | Mark:
        """The stored answer, or a mark until `deadline` (monotonic) with which the call may run.

        Raises `KeyReused` when the key has answered another request, `KeyInUse` while another run
        holds it. A `scope` or `key` that does not fit into an index is known by its digest.
        """
        scope, key = index_key(scope), index_key(key)

        async def once() -> StoredAnswer | Mark:
            mark = Mark(operation, scope, key, str(self.clock.new_id()), encode)
            stored: StoredAnswer | None = None
            marked: Marked | None = None
            taken = False
            try:
                async with self._store.transaction(serializable=False) as tx:
                    now, taken = await self._take(tx, mark, deadline)
                    if not taken:
                        stored = await tx.maybe(StoredAnswer, _ANSWER, operation, scope, key)
                        marked = await tx.maybe(Marked, _MARK, operation, scope, key)
                    elif not self._is_in_doubt:  # whoever else asks for it comes after this commit
                        tx.commit_asynchronously(partial(self._lose, mark))
            except asyncio.CancelledError:
                if taken:  # it has committed all the same
                    await self.give_back(mark, deadline)
                raise
            if taken:
                self._is_in_doubt = False
                mark.fingerprint = fingerprint(request, self.clock.token(SALT_LENGTH))
                return mark
            found = decide(stored, marked, request, now)
            if found is None:
                raise KeyInUse(retry_after_s=_LATER_S)
            return found

        return await rerun(once, self.clock)

    async def take_again(self, mark: Mark, deadline: float) -> None:
        """Take what the database has lost. Raises `KeyInUse` where somebody else was first."""
        async with self._store.transaction(serializable=False) as tx:
            _, taken = await self._take(tx, mark, deadline)
        if not taken:
            raise KeyInUse(_TAKEN_OVER, retry_after_s=_LATER_S)
        mark.failure = None

    async def _take(self, tx: StoreTransaction, mark: Mark, deadline: float) -> tuple[float, bool]:
        """The time, and whether the mark is taken, until the deadline."""
        now = self.clock.epoch_s()
        until = now + lease_s(deadline - self.clock.monotonic())
        facts = (mark.operation, mark.scope, mark.key, mark.owner, until, now, now + LONGEST_MARK_S)
        if self._one_by_one:
            return now, await tx.execute(_TAKE, *facts) > 0
        was_marked: bool | None = await tx.maybe(bool, _TAKE_BESIDE, *facts)
        if was_marked and await tx.maybe(StoredAnswer, _ANSWER, *facts[:3]) is not None:
            await self._drop(tx, mark)  # whoever had it has answered meanwhile
            return now, False
        return now, was_marked is not None

    def _lose(self, mark: Mark, failure: StoreError) -> None:
        """The database has not kept it: runs wait for theirs, until one is kept."""
        self._is_in_doubt = True
        _log.warning("%s is interrupted: its mark was not kept, %s", mark.operation, failure)
        mark.lose(failure)

    async def release(self, mark: Mark) -> None:
        """Give the key back after a run that stored no answer; nothing for one that did."""
        if mark.settled:
            return
        async with self._store.transaction(serializable=False) as tx:
            await self._drop(tx, mark)

    async def _drop(self, tx: StoreTransaction, mark: Mark) -> None:
        await tx.execute(_DROP, mark.operation, mark.scope, mark.key, mark.owner)

    async def give_back(self, mark: Mark, deadline: float) -> None:
        """Release it, as long as there is time for that; whoever is cancelled waits for it, too."""
        # Shielded: a cancelled call gives its key back too, or a repeat waits for its deadline.
        release = asyncio.ensure_future(self._released(mark, deadline))
        try:
            await asyncio.shield(release)
        except asyncio.CancelledError:
            await asyncio.wait([release])
            raise

    async def _released(self, mark: Mark, deadline: float) -> None:
        # What the run gave is not held back for long, or its caller hears of the deadline only.
        left_s = deadline - self.clock.monotonic()
        if left_s <= 0:  # it holds its key no longer
            return
        try:
            async with asyncio.timeout(min(_GIVE_BACK_S, left_s / 2)):
                await rerun(lambda: self.release(mark), self.clock)
        except (StoreError, DeadlineExceeded, TimeoutError) as error:
            why = str(error) or "the database did not answer"
            _log.warning(
                "%s keeps its key %r until its deadline: %s", mark.operation, mark.key, why
            )


class KeyedOperation:
    """A keyed operation's way through its key.

    Replay what is stored, or run and give the key back.
    """

    __slots__ = ("_calls", "_codec", "_decode_reply", "_fit", "_from_header", "_name", "_warned")

    def __init__(self, calls: KeyedCalls, codec: Codec) -> None:
        operation = codec.operation
        self._calls = calls
        self._codec = codec
        self._fit = find_fit(operation)
        self._name = operation.wire_name
        self._warned = False
        self._from_header = operation.mark.idempotent_by == IDEMPOTENCY_KEY
        self._decode_reply: Callable[[bytes], Any] | None = None
        if operation.is_reply:
            of: Any = Reply  # parametrized by a value: its type is known at run time only
            self._decode_reply = msgspec.json.Decoder(of[operation.result]).decode

    async def __call__(
        self, arguments: Sequence[Any], call: Call, proceed: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Answer `call`, whose key is set.

        Raises what the operation raises, `KeyReused` or `KeyInUse`.
        """
        assert call.key is not None
        waits, clock = self._calls.waits, self._calls.clock
        began = clock.monotonic()
        found = await self._calls.begin(
            self._name,
            self._scope(call),
            call.key,
            self._request(arguments),
            call.deadline,
            self._encode,
        )
        if waits is not None and call.trace is not None:
            waits.note(call.trace, began, clock.monotonic())
        if isinstance(found, StoredAnswer):
            return self._replay(found)
        force_setattr(call, "mark", found)
        try:
            answer = await self._outcome(found, proceed, call.deadline)
        finally:
            force_setattr(call, "mark", None)
            if not found.settled:
                await self._calls.give_back(found, call.deadline)
        if not found.settled:
            self._warn_unanswered()
        return answer

    def _request(self, arguments: Sequence[Any]) -> bytes:
        """What is known again. Within the process nobody has written the arguments before."""
        try:
            return self._codec.canonical(arguments)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"The arguments cannot be written: {error}") from None

    def _warn_unanswered(self) -> None:
        """Say once that the handler stores no answer, so that repeats run again."""
        if not self._warned:
            self._warned = True
            _log.warning(
                "%s returned without tx.answer(...): its key binds nothing, a repeat runs again",
                self._name,
            )

    async def _outcome(
        self, mark: Mark, proceed: Callable[[], Awaitable[Any]], deadline: float
    ) -> Any:
        """What the run gave; what it stored, where that is something else: repeats get that."""
        given: Encoded | None
        try:
            answer = await self._run(mark, proceed, deadline)
        except Problem as problem:
            if mark.settled and mark.stored != (given := self._encoded_or_none(problem)):
                return self._stored_instead(mark, given)
            raise
        if mark.settled and mark.stored != (given := self._encoded_or_none(answer)):
            return self._stored_instead(mark, given)
        return answer

    def _encoded_or_none(self, value: Any) -> Encoded | None:
        try:
            return self._encode(value)
        except (ServiceFailure, TransactionMisuse, TypeError, ValueError):
            return None

    def _stored_instead(self, mark: Mark, given: Encoded | None) -> Any:
        assert mark.stored is not None
        _log.error(
            "%s stored one answer and gave another (%s); the stored one is sent",
            self._name,
            "unreadable" if given is None else given[0],
        )
        return self._replay(StoredAnswer(mark.stored[0], mark.stored[1], mark.fingerprint))

    async def _run(self, mark: Mark, proceed: Callable[[], Awaitable[Any]], deadline: float) -> Any:
        async def run() -> Any:
            if mark.failure is not None:
                await self._calls.take_again(mark, deadline)
            answer: Any = None
            interruption = asyncio.timeout(None)
            try:
                async with interruption as mark.run:
                    answer = await proceed()
            except Exception as error:
                # Its own failure may have taken the mark along; then it has ended before it could be interrupted.
                has_lost_its_key = isinstance(error, KeyInUse) and error.about is None
                if mark.failure is None or not (has_lost_its_key or interruption.expired()):
                    raise
            finally:
                mark.run = None
            if mark.failure is not None:  # however it has taken the interruption
                raise mark.failure
            return answer

        return await rerun(run, self._calls.clock, unless=lambda: mark.settled)

    def _scope(self, call: Call) -> str:
        """A client's key is the client's own; a business fact is one for everybody."""
        if not self._from_header:
            return ""
        if call.principal is not None:
            return f"user {call.principal.subject}"
        return f"service {call.caller or ''}"

    def _encode(self, value: Any) -> Encoded:
        if isinstance(value, Problem):
            code = self._codec.code_of(value)
            if code is None:
                raise TransactionMisuse(
                    f"{self._name} answered {type(value).__name__}, "
                    "which its contract does not raise"
                )
            wrong = find_misfit(value)
            if wrong is not None:
                raise ServiceFailure(
                    f"{self._name} answered {type(value).__name__} out of contract: {wrong}"
                )
            return "problem", JSON.encode({**members_of(value), "code": code})
        value = self._fit.answered(value)
        if self._decode_reply is not None:
            reply_fields(value)  # which refuses what no header can carry
        written = self._codec.write_result(value)  # which refuses what no reader could take
        return "value", written if self._decode_reply is None else JSON.encode(value)

    def _replay(self, stored: StoredAnswer) -> Any:
        if stored.kind == "problem":
            code = msgspec.json.decode(stored.answer)["code"]
            problem = self._codec.read_problem(code, stored.answer)
            if problem is None:
                raise ServiceFailure(f"{self._name} once answered {code} and no longer declares it")
            raise problem
        if self._decode_reply is not None:
            try:
                return self._decode_reply(stored.answer)
            except msgspec.ValidationError:  # an earlier version has stored the bare value
                return self._codec.read_result(stored.answer)
        return self._codec.read_result(stored.answer)
