"""The callee's end of the call path: deadline, admission, a context of its own, and honest failures.

Every transport ends here, so that a call means the same however it travelled. The handler runs
with a copied context, in the caller's task; a timer is armed only where the deadline gets shorter.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from typing import Any, Protocol

from borough.contracts.operation import Operation
from borough.contracts.problem import Problem
from borough.errors import (
    CallError,
    DeadlineExceeded,
    ServiceFailure,
    StoreUnavailable,
    TransactionConflict,
    TransactionMisuse,
    Unavailable,
)
from borough.reliability.admission import Gate
from borough.services.context import CURRENT, IN_TRANSACTION, Call

__all__ = ["Callee", "KeyedRun"]

_log = logging.getLogger("borough.calls")


class KeyedRun(Protocol):
    """How a keyed operation finds its stored answer or runs once."""

    async def __call__(
        self, arguments: Sequence[Any], call: Call, proceed: Callable[[], Awaitable[Any]]
    ) -> Any: ...


class Callee:
    """One operation with the object that answers it. `count` and `failures` are plain counters."""

    __slots__ = (
        "_handler",
        "_monotonic",
        "_raises",
        "_timeout_s",
        "count",
        "failures",
        "gate",
        "keyed",
        "operation",
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
        stream_idle_s: float = 60.0,
    ) -> None:
        self.operation = operation
        self.gate = gate
        self.keyed = keyed
        self.count = 0
        self.failures = 0
        self.stream_idle_s = stream_idle_s
        self._handler = handler
        self._monotonic = monotonic
        self._raises = operation.mark.raises
        self._timeout_s = operation.mark.timeout_s

    async def run(self, arguments: Sequence[Any], call: Call) -> Any:
        """Run the handler for `call`. Raises its declared problems or a `CallError`, nothing else."""
        self._admit(call)
        try:
            if self.keyed is not None and call.key is not None:
                proceed = self._keyed_step(arguments, call)
                return await self._timed(self.keyed(arguments, call, proceed), call)
            context = copy_context()
            context.run(CURRENT.set, call)
            if call.deadline < call.armed:
                return await self._timed(self._handled(context, arguments), call)
            # The short way, for a call whose deadline is armed already: no extra frame, no timer.
            coroutine = self._handler(*arguments)
            try:
                step = context.run(coroutine.send, None)
            except StopIteration as done:
                return done.value
            return await _go_on(context, coroutine, step)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            raise self._translated(error) from None
        finally:
            self.gate.leave()

    def _admit(self, call: Call) -> None:
        now = self._monotonic()
        if self._timeout_s is not None and now + self._timeout_s < call.deadline:
            call.deadline = now + self._timeout_s
        if now >= call.deadline:
            raise DeadlineExceeded(f"The deadline of {call.operation} passed before it started")
        if not self.gate.enter():
            raise Unavailable(
                f"{self.operation.contract.service} has too many calls in flight", retry_after_s=1
            )
        self.count += 1

    async def _timed(self, work: Awaitable[Any], call: Call) -> Any:
        if call.deadline >= call.armed:
            return await work
        call.armed = call.deadline
        try:
            async with asyncio.timeout(call.deadline - self._monotonic()) as timer:
                return await work
        except TimeoutError:
            if timer.expired():
                raise DeadlineExceeded(f"{call.operation} did not answer in time") from None
            raise

    async def _handled(self, context: Context, arguments: Sequence[Any]) -> Any:
        return await _driven(context, self._handler(*arguments))

    def _keyed_step(self, arguments: Sequence[Any], call: Call) -> Callable[[], Awaitable[Any]]:
        async def proceed() -> Any:
            context = copy_context()
            context.run(CURRENT.set, call)
            return await self._handled(context, arguments)

        return proceed

    def stream(self, arguments: Sequence[Any], call: Call) -> AsyncIterator[Any]:
        """Run a streaming handler; the deadline covers the first item, then an idle limit each."""
        return self._streamed(arguments, call)

    async def _streamed(self, arguments: Sequence[Any], call: Call) -> AsyncIterator[Any]:
        self._admit(call)
        context = copy_context()
        context.run(CURRENT.set, call)
        generator = context.run(self._handler, *arguments)
        left = call.deadline - self._monotonic()
        try:
            while True:
                try:
                    async with asyncio.timeout(left):
                        item = await _driven(context, generator.__anext__())
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise DeadlineExceeded(f"{call.operation} sent nothing in time") from None
                if context.get(IN_TRANSACTION):
                    raise TransactionMisuse(f"{call.operation} yields inside an open transaction")
                call.armed = call.deadline = float("inf")
                left = self.stream_idle_s
                yield item
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            raise self._translated(error) from None
        finally:
            self.gate.leave()
            await _driven(context, generator.aclose())

    def _translated(self, error: BaseException) -> BaseException:
        """What the caller may see of an error: problems it declares, and failures without their insides."""
        name = self.operation.wire_name
        if isinstance(error, self._raises):
            return error
        if not isinstance(error, Exception):
            return error
        if isinstance(error, CallError):
            if error.about is None:
                return error
            return self._nested(error)
        self.failures += 1
        if isinstance(error, (StoreUnavailable, TransactionConflict)):
            _log.warning("%s: %s", name, error)
            return Unavailable(
                f"The database of {self.operation.contract.service} is not available now",
                retry_after_s=1,
            )
        if isinstance(error, Problem):
            _log.error(
                "%s raised %s, which its contract does not declare", name, type(error).__name__
            )
        else:
            _log.error("%s failed", name, exc_info=error)
        return ServiceFailure(f"{name} failed")

    def _nested(self, error: CallError) -> CallError:
        """A call that this handler made gave no answer, and the handler did not deal with it."""
        name = self.operation.wire_name
        if isinstance(error, DeadlineExceeded):
            return DeadlineExceeded(f"{name} ran out of time in {error.about}")
        self.failures += 1
        _log.warning("%s failed in %s: %s", name, error.about, error)
        if isinstance(error, Unavailable):
            # Not retryable here: the caller of this operation cannot know how far it came.
            failure = Unavailable(f"{name} needs {error.about}, which is not available now")
            failure.retryable = False  # type: ignore[misc]
            return failure
        return ServiceFailure(f"{name} failed")


@types.coroutine
def _go_on(
    context: Context, coroutine: Coroutine[Any, Any, Any], step: Any
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
    return await _go_on(context, steps, step)  # type: ignore[arg-type]
