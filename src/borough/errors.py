"""The error tree: whose fault it is, whether to retry, and what it does not mean.

BoroughError
├── DeclarationFaults      the author's: a contract or a wiring is wrong (every fault, with its place)
├── ConfigurationError     the operator's: borough.toml, a flag, a port, a folder
├── OpenFailed             a service's own `open` raised; the start was taken back
├── CallError              a call gave no answer; `status` and `retryable` say more
│   ├── the caller's       400 to 429, from InvalidRequest to TooManyRequests
│   └── the callee's       ServiceFailure 500, ContractMismatch 502, Unavailable 503, DeadlineExceeded 504
└── StoreError             see below; BrokerError, Crashed (a handle of a past incarnation)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

__all__ = [
    "MENDED_BY_NO_RESTART",
    "BoroughError",
    "BrokerError",
    "CallError",
    "CommitFailed",
    "CommitUnknown",
    "ConfigurationError",
    "ConstraintViolated",
    "ContractMismatch",
    "Crashed",
    "DeadlineExceeded",
    "DeclarationFaults",
    "Fault",
    "Forbidden",
    "InvalidRequest",
    "KeyInUse",
    "KeyReused",
    "MethodNotAllowed",
    "MigrationRefused",
    "NotFound",
    "OpenFailed",
    "ProcessStalled",
    "ServiceFailure",
    "StoreError",
    "StoreUnavailable",
    "TooLarge",
    "TooManyRequests",
    "TopicReplaced",
    "TransactionConflict",
    "TransactionMisuse",
    "Unauthenticated",
    "Unavailable",
    "UnstorableText",
    "UnsupportedMediaType",
    "WrongRowCount",
]


class BoroughError(Exception):
    """Anything that Borough itself raises."""


class Fault:
    """One mistake in a declaration: what is wrong, where it stands, and how to mend it."""

    __slots__ = ("file", "line", "message", "remedy")

    def __init__(
        self, message: str, remedy: str, file: str | None = None, line: int | None = None
    ) -> None:
        self.message = message
        self.remedy = remedy
        self.file = file
        self.line = line

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        return f"{place}{self.message}. {self.remedy}" if self.remedy else f"{place}{self.message}."

    def __repr__(self) -> str:
        return f"Fault({str(self)!r})"


class DeclarationFaults(BoroughError):
    """Contracts or wiring are wrong. All faults are here together; nothing has been started."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = "1 fault" if count == 1 else f"{count} faults"
        super().__init__(
            "\n".join([f"{head} in the declarations:", *(f"  {fault}" for fault in self.faults)])
        )


class ConfigurationError(BoroughError):
    """Configuration or environment is wrong: one clear sentence with the remedy. Never a bug of the callee."""


class OpenFailed(BoroughError):
    """A service's own `open` raised something (its `__cause__`). What had been started was stopped again."""


class CallError(BoroughError):
    """A call gave no answer. It does not say that nothing happened: see `retryable`.

    `status` is the HTTP status, `code` the stable name on the wire, `retryable` whether the same
    call may be sent again because the handler surely did not run.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "call-error"
    title: ClassVar[str] = "The call failed"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.about: str | None = None
        """The operation that was called, once the error has come back to a caller; None while it is about this one."""


class InvalidRequest(CallError):
    """The request does not fit the contract; `errors` names each place by JSON pointer (RFC 6901)."""

    status = 400
    code = "invalid-request"
    title = "The request does not fit the contract"


class Unauthenticated(CallError):
    """Nobody has proven who is calling, or the proof has expired."""

    status = 401
    code = "unauthenticated"
    title = "Who is calling has not been proven"
    has_token = False
    """Whether a token came that does not count."""


class Forbidden(CallError):
    """The caller is known and may not do this; asking again will not help."""

    status = 403
    code = "forbidden"
    title = "The caller may not do this"
    scopes: tuple[str, ...] = ()
    """Those that a token needs for it, where one lacks them."""


class NotFound(CallError):
    """No such route. It does not speak of rows: a missing thing is a problem that a contract declares."""

    status = 404
    code = "no-such-route"
    title = "There is nothing at this address"


class MethodNotAllowed(CallError):
    """The route exists with other methods, named in the `Allow` header."""

    status = 405
    code = "method-not-allowed"
    title = "This address does not take that method"

    def __init__(self, detail: str = "", *, allowed: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.allowed = tuple(allowed)


class KeyInUse(CallError):
    """A call with the same idempotency key is running now; its answer can be had later."""

    status = 409
    code = "key-in-use"
    title = "A call with this idempotency key is still running"
    retryable = True


class TooLarge(CallError):
    """The body or head is above its limit; nothing of it was handled."""

    status = 413
    code = "too-large"
    title = "The request is too large"


class UnsupportedMediaType(CallError):
    """The body says that it is something else than this operation reads; nothing of it was handled."""

    status = 415
    code = "unsupported-media-type"
    title = "The body is not of a kind that this operation reads"


class KeyReused(CallError):
    """The idempotency key was used before with another request."""

    status = 422
    code = "key-reused"
    title = "The idempotency key belongs to another request"


class TooManyRequests(CallError):
    """The caller's rate is above its limit; nothing was run."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"
    retryable = True


class ServiceFailure(CallError):
    """The callee raised something that its contract does not declare, or answered out of contract."""

    status = 500
    code = "service-failure"
    title = "The service failed"


class ContractMismatch(CallError):
    """The callee has a version of the contract that does not fit the caller's; it was not asked.

    Asking the same process again will not help. It is no fault of either version: they may not be
    used together, for the change that the detail names with both.
    """

    status = 502
    code = "contract-mismatch"
    title = "The versions of the contract do not fit"


class Unavailable(CallError):
    """The callee cannot take the call now; the handler did not run."""

    status = 503
    code = "unavailable"
    title = "The service cannot take calls now"
    retryable = True


class DeadlineExceeded(CallError):
    """Time ran out. The handler may have run, in part or whole."""

    status = 504
    code = "deadline-exceeded"
    title = "The deadline has passed"


class StoreError(BoroughError):
    """A service's own database refused or failed."""


class CommitFailed(StoreError):
    """COMMIT failed: nothing of this transaction is kept, nothing of it was released."""


class CommitUnknown(StoreError):
    """COMMIT was sent and its answer never came: all of the transaction is kept, or nothing.

    What is repeated under the same key finds out.
    """


class TransactionConflict(StoreError):
    """Another transaction was first; running the whole body again may succeed."""


class ConstraintViolated(StoreError):
    """A unique, foreign key, check or not-null constraint; `constraint` names it where the engine does."""

    def __init__(self, message: str, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class UnstorableText(StoreError):
    """The database has no text with a zero character in it; a caller whose request had one is told so (400)."""


class WrongRowCount(StoreError):
    """`one` found no row or several, or `maybe` found several."""


class TransactionMisuse(StoreError):
    """The body did what a transaction does not allow; the author's fault, never retried."""


class StoreUnavailable(StoreError):
    """The database could not be had in time (held by another process, disk full, read-only); nothing ran."""


class ProcessStalled(StoreUnavailable):
    """The process stood still while a transaction was open, which was undone: too little CPU, a pause, or
    a body that blocked it."""


class MigrationRefused(StoreError):
    """An applied migration was changed or is missing, or one failed; the database is as it was."""


class BrokerError(BoroughError):
    """The broker did not take or give events; the outbox keeps them and the relay tries again."""


class TopicReplaced(BrokerError):
    """The topic that is read was deleted, and made anew: no place in the one is a place in the other."""


class Crashed(BoroughError):
    """A handle of a past incarnation was used (simulation only); no effect happened."""


MENDED_BY_NO_RESTART = (DeclarationFaults, ConfigurationError, MigrationRefused)
"""What ends a start so that another one would end in the same way: its exit status is 2, that of all else 1."""
