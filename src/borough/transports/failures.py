"""What callers may see of what a handler raised: problems that it declares, and failures without their insides.

Every transport tells its caller what this makes of an error, so that one means the same however the call travelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from borough.contracts.operation import Operation
from borough.contracts.problem import Problem, made_of
from borough.contracts.problem_fit import as_read
from borough.contracts.zeros import refused_zero
from borough.errors import (
    CallError,
    CommitFailed,
    CommitUnknown,
    ConfigurationError,
    DeadlineExceeded,
    KeyInUse,
    ServiceFailure,
    StoreUnavailable,
    TransactionConflict,
    Unavailable,
    UnstorableText,
)
from borough.services.context import CURRENT, Call

__all__ = ["Failures"]

_log = logging.getLogger("borough.calls")


class Failures:
    """Those of one operation. `count` says how many there were: no problems, and no time that was out."""

    __slots__ = ("_operation", "_raises", "count")

    def __init__(self, operation: Operation) -> None:
        self.count = 0
        self._operation = operation
        self._raises = operation.mark.raises

    def counted(self, error: BaseException, arguments: Sequence[Any], call: Call) -> BaseException:
        """What an error of the handler counts as: itself, mostly.

        A refusal, where its database could not store what the request itself has. A failure, where a problem
        does not hold what it declares.
        """
        if isinstance(error, self._raises):
            here = CURRENT.set(call)
            try:
                return self._carried(error)
            finally:
                CURRENT.reset(here)
        if isinstance(error, UnstorableText):
            return refused_zero(self._operation.parameters, arguments) or error
        return error

    def seen(self, error: BaseException, call: Call) -> BaseException:
        """What the caller may see of what `counted` gave: declared problems, and failures without their insides."""
        name = self._operation.wire_name
        if isinstance(error, self._raises):
            return error
        if not isinstance(error, (Exception, asyncio.CancelledError, SystemExit)):
            return error
        if isinstance(error, CallError):
            if error.about is None or error.about == name:
                error.about = name
                if error.retryable and not self._may_repeat(call):
                    # What refused was within the handler: what it did before, it has done.
                    error.retryable = False  # type: ignore[misc]
                return error
            return self._about(self._nested(error))
        self.count += 1
        here = CURRENT.set(call)  # what is logged of it belongs to this call
        try:
            return self._about(self._failure(error, call))
        finally:
            CURRENT.reset(here)

    def _carried(self, problem: Problem) -> Exception:
        """A declared problem, if a reader on the other side of a wire would find in it what is declared."""
        kind = type(problem)
        try:
            if kind not in self._raises:
                problem = _as_declared(problem, self._raises)
            return as_read(problem)
        except ValueError as error:
            wrong = str(error)
        except Exception as error:  # a class of the service may have made of itself what it likes
            wrong = type(error).__name__
        self.count += 1
        detail = f"{self._operation.wire_name} raised {kind.__name__} out of contract: {wrong}"
        _log.error("%s", detail)
        return self._about(ServiceFailure(detail))

    def _may_repeat(self, call: Call) -> bool:
        """Whether the handler may run again that has begun to run."""
        return self._operation.mark.idempotent or call.key is not None

    def _about(self, error: CallError) -> CallError:
        error.about = self._operation.wire_name
        return error

    def _failure(self, error: BaseException, call: Call) -> CallError:
        name, service = self._operation.wire_name, self._operation.contract.service
        if isinstance(error, (StoreUnavailable, TransactionConflict)):
            _log.warning("%s: %s", name, error)
            what = f"The database of {service} is not available now"
            if isinstance(error, TransactionConflict):
                what = f"Another transaction of {service} was first"
            busy = Unavailable(what, retry_after_s=1)
            # What the handler did before, in another transaction or elsewhere, is done.
            busy.retryable = self._may_repeat(call)  # type: ignore[misc]
            return busy
        if isinstance(error, (CommitFailed, CommitUnknown, ConfigurationError)):
            _log.error("%s: %s", name, error)
            failure = Unavailable(f"{service} cannot keep what it did now", retry_after_s=1)
            # The handler has run; what it did outside of the database is done.
            failure.retryable = False  # type: ignore[misc]
            return failure
        if isinstance(error, Problem):
            _log.error(
                "%s raised %s, which its contract does not declare", name, type(error).__name__
            )
        else:
            _log.error("%s failed", name, exc_info=error)
        return ServiceFailure(f"{name} failed")

    def _nested(self, error: CallError) -> CallError:
        """A call that this handler made gave no answer, and the handler did not deal with it."""
        name = self._operation.wire_name
        if isinstance(error, DeadlineExceeded):
            return DeadlineExceeded(f"{name} ran out of time in {error.about}")
        self.count += 1
        _log.warning("%s failed in %s: %s", name, error.about, error)
        if isinstance(error, (Unavailable, KeyInUse)):
            # Not retryable here: the caller of this operation cannot know how far it came.
            failure = Unavailable(
                f"{name} needs {error.about}, which is not available now",
                retry_after_s=error.retry_after_s or 1,
            )
            failure.retryable = False  # type: ignore[misc]
            return failure
        return ServiceFailure(f"{name} failed")


def _as_declared(problem: Problem, raises: Sequence[type[Problem]]) -> Problem:
    """A problem of a class that its contract does not know, as the declared one from which it inherits."""
    place = type(problem).__mro__.index
    kind = min((each for each in raises if isinstance(problem, each)), key=place)
    return made_of(kind, problem)
