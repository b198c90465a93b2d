"""The callee's end of the call path: deadline, admission, a context of its own, and honest failures.

Every transport ends here, so that a call means the same however it travelled. The handler runs
with a copied context, in the caller's task; a timer is armed only where the deadline gets shorter.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol, cast
from weakref import ReferenceType, ref

from msgspec.structs import force_setattr

from borough.contracts.answer import find_fit
from borough.contracts.argument import Expected, find_expected
from borough.contracts.operation import Operation
from borough.errors import (
    CallError,
    DeadlineExceeded,
    ServiceFailure,
    TransactionMisuse,
    Unavailable,
)
from borough.reliability.admission import Gate
from borough.services.context import CURRENT, IN_TRANSACTION, NO_DEADLINE, Call, inside_transaction
from borough.telemetry.recorder import Recorder
from borough.telemetry.trace import TraceContext
from borough.transports.failures import Failures
from borough.transports.sight import Sight

__all__ = ["Callee", "KeyedRun", "is_cancelled", "this_task", "unreached"]

_log = logging.getLogger("borough.calls")
_ENDED = object()
_become, _begun = CURRENT.set, IN_TRANSACTION.get  # bound once: they are used for every call


class KeyedRun(Protocol):
    """How a keyed operation finds its stored answer or runs once."""

    async def __call__(
        self, arguments: Sequence[Any], call: Call, proceed: Callable[[], Awaitable[Any]]
    ) -> Any: ...


Rerun = Callable[[Callable[[], Awaitable[Any]]], Coroutine[Any, Any, Any]]
"""Does something again until no other transaction is in its way."""


class Callee:
    """One operation with the object that answers it. `count` and `failures` are plain counters."""

    __slots__ = (
        "_expected",
        "_failures",
        "_fit",
        "_handler",
        "_is_once",
        "_loop",
        "_monotonic",
        "_timeout_s",
        "_usual",
        "count",
        "gate",
        "keyed",
        "operation",
        "rerun",
        "sight",
        "stream_idle_s",
    )

    def __init__(
        self,
        operation: Operation,
        handler: Callable[..., Any],
        gate: Gate,
        monotonic: Callable[[], float],
        *,
        keyed: KeyedRun | None = None,
        rerun: Rerun | None = None,
        stream_idle_s: float = 60.0,
        recorder: Recorder | None = None,
    ) -> None:
        """`rerun` does an idempotent operation without a key again where another transaction was first."""
        self.operation = operation
        self.gate = gate
        self.keyed = keyed
        self.rerun = rerun if operation.mark.idempotent else None
        self._is_once = self.keyed is None and self.rerun is None
        self.count = 0
        self._failures = Failures(operation)
        self.stream_idle_s = stream_idle_s
        self.sight = None if recorder is None else Sight(operation, recorder)
        self._fit = find_fit(operation)
        self._usual = self._fit.first
        self._expected = _expected_alone(operation)
        self._handler = handler
        self._loop: asyncio.AbstractEventLoop | None = None
        self._monotonic = monotonic
        self._timeout_s = operation.mark.timeout_s

    @property
    def looks_itself(self) -> bool:
        """Whether `run` looks at the class of the arguments; else whoever calls in the process does."""
        return self._expected is not None

    @property
    def failures(self) -> int:
        """How many runs have failed, in whatever way is no declared problem."""
        return self._failures.count

    async def run(self, arguments: Sequence[Any], call: Call) -> Any:
        """Run the handler for `call`. Raises its declared problems or a `CallError`, nothing else."""
        expected = self._expected
        if expected is not None and type(arguments[0]) is not expected.kind:
            arguments = (expected.fitted(arguments[0]),)
        gate, sight, monotonic = self.gate, self.sight, self._monotonic
        began = monotonic()
        if began >= call.deadline or gate.in_flight >= gate.limit or self._timeout_s is not None:
            self._admit(call, arguments)
        gate.in_flight += 1
        self.count += 1
        parent = None
        try:
            if sight is not None and (trace := call.trace) is not None and trace.is_sampled:
                parent = trace
                _go_deeper(call, sight.recorder)
            context = copy_context()
            coroutine = self._handler(*arguments) if self._is_once else self._again(arguments, call)
            task = self._arm(call) if call.deadline < call.armed else None
            # No exception carries the result out of the context: StopIteration costs as much as
            # the rest. And what ends without waiting needs no timer.
            result: list[Any] = []
            work = _inside(call, coroutine, result)
            step = context.run(next, work, _ENDED)
            if step is not _ENDED:
                await self._rest(_go_on(context, work, step), call, task)
            answer = result[0]
            if type(answer) is not self._usual:
                answer = self._fitted(answer)
            if sight is not None:
                ended = monotonic()
                took = ended - began
                try:
                    edge = sight.edges[call.caller]
                except KeyError:
                    edge = sight.edge(call)
                edge.recent.append(took)
                if parent is not None:
                    sight.ended(edge, call, parent, (began, ended), arguments)
                elif took >= sight.slow_s or call.partial:
                    sight.passed(edge, call, (began, ended), arguments)
            return answer
        except BaseException as raised:
            error = self._failures.counted(raised, arguments, call)
            if sight is not None:
                sight.failed(call, parent, (began, monotonic()), arguments, error)
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            raise self._failures.seen(error, call) from None
        finally:
            gate.in_flight -= 1

    def _again(self, arguments: Sequence[Any], call: Call) -> Coroutine[Any, Any, Any]:
        """A handler that may run for a second time, or whose answer is stored."""
        if self.keyed is not None and call.key is not None:
            return self._keyed(self.keyed, arguments, call)
        if self.rerun is not None:
            return self.rerun(partial(self._handler, *arguments))
        coroutine: Coroutine[Any, Any, Any] = self._handler(*arguments)
        return coroutine

    def _arm(self, call: Call) -> asyncio.Task[Any] | None:
        """From here on the call has a timer of its own, in this task, should it wait."""
        task = asyncio.current_task(self._running())
        force_setattr(call, "armed", call.deadline)
        force_setattr(call, "armed_in", None if task is None else ref(task))
        return task

    def _rest(
        self, rest: Awaitable[None], call: Call, task: asyncio.Task[Any] | None
    ) -> Awaitable[None]:
        """What is left of a handler that waits, until the deadline; `task` is where it was just armed."""
        loop = self._running()
        # A timer of another task does not reach a call that a handler's own task makes.
        if task is None:
            armed_in, current = call.armed_in, asyncio.current_task(loop)
            if armed_in is None or armed_in() is not current:
                task = current
        return rest if task is None else self._timed(rest, call, task, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop. To ask for it asks the kernel who we are, so it is asked for once."""
        loop = self._loop
        if loop is None or not loop.is_running():
            loop = self._loop = asyncio.get_running_loop()
        return loop

    def _fitted(self, answer: Any) -> Any:
        """An answer whose class is not the usual one, as whoever called would read it from a wire."""
        try:
            return self._fit.answered(answer)
        except ServiceFailure as error:
            self._failures.count += 1
            _log.error("%s", error)
            raise

    def _admit(self, call: Call, arguments: Sequence[Any], *, is_stream: bool = False) -> None:
        """Shorten the deadline to the operation's own; refuse what is too late or too much."""
        now = self._monotonic()
        error: CallError
        if now >= call.deadline:
            error = DeadlineExceeded(f"The deadline of {call.operation} passed before it started")
        elif not self.gate.free:
            name = self.operation.contract.service
            self.gate.refused += 1
            error = Unavailable(f"{name} has too many calls in flight", retry_after_s=1)
        elif is_stream and self.gate.streams >= self.gate.most_streams:
            self.gate.refused += 1
            error = Unavailable(
                f"{self.operation.contract.service} has too many streams open", retry_after_s=1
            )
        else:
            if self._timeout_s is not None and now + self._timeout_s < call.deadline:
                force_setattr(call, "deadline", now + self._timeout_s)
                force_setattr(call, "keeps_to_s", self._timeout_s)
            return
        error.about = self.operation.wire_name
        if self.sight is not None:
            self.sight.refused(call, now, arguments, error)
        raise error

    async def _timed(
        self,
        work: Awaitable[None],
        call: Call,
        task: asyncio.Task[Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        alarm = _Alarm(task)
        timer = loop.call_later(call.deadline - self._monotonic(), alarm.ring)
        try:
            await work
        except asyncio.CancelledError:
            if alarm.is_answered():
                raise DeadlineExceeded(f"{call.operation} did not answer in time") from None
            raise
        except BaseException:
            alarm.is_answered()
            raise
        else:
            alarm.is_answered()
        finally:
            timer.cancel()

    async def _keyed(self, keyed: KeyedRun, arguments: Sequence[Any], call: Call) -> Any:
        async def proceed() -> Any:
            return await self._handler(*arguments)

        return await keyed(arguments, call, proceed)

    def stream(self, arguments: Sequence[Any], call: Call) -> AsyncGenerator[Any]:
        """Run a streaming handler; the deadline covers the first item, then an idle limit each."""
        return self._streamed(arguments, call)

    async def _streamed(self, arguments: Sequence[Any], call: Call) -> AsyncGenerator[Any]:
        self._admit(call, arguments, is_stream=True)
        sight, began, parent = self.sight, self._monotonic(), None
        failure: BaseException | None = None
        if sight is not None and call.trace is not None and call.trace.is_sampled:
            parent = call.trace
            _go_deeper(call, sight.recorder)
        gate, has_begun = self.gate, False
        gate.in_flight += 1
        self.count += 1
        context = copy_context()
        context.run(_enter, call)
        items: Any = None
        left = call.deadline - self._monotonic()
        try:
            items = context.run(self._handler, *arguments)  # a plain `def` may raise at once
            while True:
                limit = asyncio.timeout(left)
                try:
                    async with limit:
                        item = await _driven(context, items.__anext__())
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not limit.expired():  # the handler's own
                        raise
                    raise DeadlineExceeded(f"{call.operation} sent nothing in time") from None
                if context.run(inside_transaction):
                    raise TransactionMisuse(f"{call.operation} yields inside an open transaction")
                if not has_begun:  # from here on it is no call at work: it may go on for hours
                    has_begun = True
                    gate.in_flight -= 1
                    gate.streams += 1
                if type(item) is not self._usual:
                    item = self._fitted(item)
                force_setattr(call, "armed", NO_DEADLINE)
                force_setattr(call, "deadline", NO_DEADLINE)
                left = self.stream_idle_s
                yield item
        except GeneratorExit:
            raise
        except BaseException as raised:
            if isinstance(raised, asyncio.CancelledError) and is_cancelled():
                raise
            failure = self._failures.counted(raised, arguments, call)
            raise self._failures.seen(failure, call) from None
        finally:
            if has_begun:
                gate.streams -= 1
            else:
                gate.in_flight -= 1
            if (close := getattr(items, "aclose", None)) is not None:  # an iterator may have none
                failure = await self._closed(context, close, arguments, call) or failure
            if sight is not None:
                sight.streamed(call, parent, (began, self._monotonic()), arguments, failure)

    async def _closed(
        self,
        context: Context,
        close: Callable[[], Awaitable[Any]],
        arguments: Sequence[Any],
        call: Call,
    ) -> BaseException | None:
        """End the handler of a stream that is over. Nobody reads on, whatever it makes of that: returns it."""
        try:
            await _driven(context, close())
        except (Exception, asyncio.CancelledError, SystemExit) as raised:
            if isinstance(raised, asyncio.CancelledError) and is_cancelled():
                raise
            failure = self._failures.counted(raised, arguments, call)
            self._failures.seen(failure, call)
            return failure
        return None


def _expected_alone(operation: Operation) -> Expected | None:
    """The class of the one argument that must be given, which most operations have."""
    parameters = operation.parameters
    if len(parameters) != 1 or not parameters[0].required:
        return None
    return find_expected(operation, parameters[0])


def unreached(operation: Operation, detail: str) -> Unavailable:
    """A call that never came to a callee: about it, and not about the call within which it was made."""
    error = Unavailable(detail)
    error.about = operation.wire_name
    return error


def this_task() -> ReferenceType[Any] | None:
    """The task that runs here, as a `Call` has it that is armed in it."""
    task = asyncio.current_task()
    return None if task is None else ref(task)


def is_cancelled() -> bool:
    """Whether who called gives up. Else a handler has only awaited something that was cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class _Alarm:
    """A deadline of a task: what `asyncio.timeout` does, for a third of what it costs."""

    __slots__ = ("_cancelling", "_has_rung", "_task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._has_rung = False

    def ring(self) -> None:
        """Time is up."""
        self._has_rung = True
        self._task.cancel()

    def is_answered(self) -> bool:
        """Whether the task was cancelled by this alone. Takes the cancellation back; to be asked once."""
        return self._has_rung and self._task.uncancel() <= self._cancelling


def _go_deeper(call: Call, recorder: Recorder) -> None:
    """A sampled call has a span id of its own, which all that happens in it names as its parent."""
    trace, ids = cast(TraceContext, call.trace), recorder.ids
    own = TraceContext(
        trace.trace_id, ids.pop() if ids else recorder.new_id(), True, trace.state, trace.baggage
    )
    force_setattr(call, "trace", own)


def _enter(call: Call) -> None:
    """The new context is the handler's: its own call, and no transaction of the caller's."""
    _become(call)
    if _begun() is not None:
        IN_TRANSACTION.set(None)


def _steps(
    call: Call, coroutine: Coroutine[Any, Any, Any], result: list[Any]
) -> Generator[Any, Any, None]:
    """The handler's run within its context; the result is put into `result`.

    A call that was made before a transaction may be awaited inside it.
    """
    _become(call)
    if _begun() is not None:
        IN_TRANSACTION.set(None)
    result.append((yield from coroutine))  # type: ignore[misc]


# A generator that may await a coroutine, and that `next` can begin.
_inside = cast(
    Callable[[Call, Coroutine[Any, Any, Any], list[Any]], Generator[Any, Any, None]],
    types.coroutine(_steps),
)


@types.coroutine
def _go_on(
    context: Context, coroutine: Generator[Any, Any, Any], step: Any
) -> Generator[Any, Any, Any]:
    """Drive a coroutine that has made its first step, each step inside `context`."""
    while True:
        try:
            sent = yield step
        except BaseException as error:
            try:
                step = context.run(coroutine.throw, error)
            except StopIteration as done:
                return done.value
        else:
            try:
                step = context.run(coroutine.send, sent)
            except StopIteration as done:
                return done.value


async def _driven(context: Context, awaitable: Awaitable[Any]) -> Any:
    """Await inside `context`, in this task."""
    steps = awaitable.__await__()
    try:
        step = context.run(next, steps)
    except StopIteration as done:
        return done.value
    return await _go_on(context, steps, step)
