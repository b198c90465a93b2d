"""What a contract says in code. Every decorator only marks; the class or function stays itself.

A mark is a plain value that can be printed; `reading.py` turns marks into a bound `Contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from borough.contracts.problem import Problem
from borough.contracts.struct import Event

__all__ = [
    "ANYONE",
    "IDEMPOTENCY_KEY",
    "USER",
    "Allow",
    "ContractMark",
    "Cookie",
    "Header",
    "OperationMark",
    "Place",
    "RawMark",
    "Reply",
    "Upload",
    "contract",
    "delete",
    "get",
    "patch",
    "post",
    "put",
    "raw",
    "scope",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type[Any])
R = TypeVar("R", bound=Callable[[Any], Any])  # a method without parameters

CONTRACT_MARK = "__borough_contract__"
OPERATION_MARK = "__borough_operation__"
RAW_MARK = "__borough_raw__"

IDEMPOTENCY_KEY = "Idempotency-Key"
"""`idempotent_by=IDEMPOTENCY_KEY`: the key is the caller's `Idempotency-Key` header."""


class Allow(msgspec.Struct, frozen=True):
    """Who may call a public operation: `anyone`, a signed-in `user`, or one with `scopes`."""

    who: Literal["anyone", "user"]
    scopes: tuple[str, ...] = ()


ANYONE = Allow("anyone")
"""Public without sign-in."""

USER = Allow("user")
"""Public for every signed-in user."""


def scope(*names: str) -> Allow:
    """Public for a signed-in user whose token carries every one of these scopes, of which there is one at least."""
    if not names:
        raise TypeError(
            'scope() asks for nothing; write scope("orders:write"), or USER for every signed-in user'
        )
    return Allow("user", names)


class Place(msgspec.Struct, frozen=True):
    """Where a parameter travels when it is neither in the path, the query nor the body."""

    kind: Literal["header", "cookie", "upload"]
    name: str = ""


def Header(name: str) -> Any:
    """`Annotated[str, Header("X-Request-Source")]`: the parameter travels in this header."""
    return msgspec.Meta(extra={"borough": Place("header", name)})


def Cookie(name: str) -> Any:
    """`Annotated[str, Cookie("basket")]`: the parameter travels in this cookie."""
    return msgspec.Meta(extra={"borough": Place("cookie", name)})


Upload = Annotated[bytes, msgspec.Meta(extra={"borough": Place("upload")})]
"""A parameter that takes the raw request body, as `application/octet-stream`."""


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An answer with HTTP details: `-> Reply[Order]`.

    `etag` (unquoted) also answers `If-None-Match` with 304.
    """

    value: T
    headers: Mapping[str, str] = {}
    cookies: Mapping[str, str] = {}
    etag: str | None = None


class ContractMark(msgspec.Struct, frozen=True):
    """What `@contract` said."""

    service: str
    version: str
    publishes: tuple[type[Event], ...] = ()
    public: bool = False
    deprecated: str | None = None
    retains: str = "7d"
    availability: str | None = None
    latency: str | None = None


class OperationMark(msgspec.Struct, frozen=True):
    """What a route decorator said. `idempotent_by` names a parameter or is `IDEMPOTENCY_KEY`."""

    method: str
    path: str
    raises: tuple[type[Problem], ...] = ()
    allow: Allow | None = None
    status: int = 200
    idempotent: bool = False
    idempotent_by: str | None = None
    timeout_s: float | None = None
    deprecated: str | None = None
    example: Mapping[str, Any] | None = None


class RawMark(msgspec.Struct, frozen=True):
    """A raw ASGI application of a service, mounted below this path; public as `allow` says."""

    path: str
    allow: Allow


def contract(
    service: str,
    *,
    version: str,
    publishes: Sequence[type[Event]] = (),
    public: bool = False,
    deprecated: str | None = None,
    retains: str = "7d",
    availability: str | None = None,
    latency: str | None = None,
) -> Callable[[C], C]:
    """Mark a `typing.Protocol` as a contract of `service`.

    `version` is `MAJOR.MINOR`; from major 2 names, topic and paths carry it. `publishes` lists the
    events that belong to this contract. With `public=True` each operation must name `allow=`.
    `deprecated` says since when and what to use instead. `retains` says how long the topic keeps
    its events: `7d`, `36h`, `latest per key` or `forever`. `availability` (`99.9%`) and `latency`
    (`p99 < 250ms`) are what the service aims at; alerts tell when it falls behind.
    """
    _refuse_class("publishes", publishes)
    mark = ContractMark(
        service, version, tuple(publishes), public, deprecated, retains, availability, latency
    )

    def apply(cls: C) -> C:
        setattr(cls, CONTRACT_MARK, mark)
        return cls

    return apply


def _refuse_class(option: str, value: object) -> None:
    if isinstance(value, type):
        name = value.__name__
        raise TypeError(f"{option}={name} is no list; write {option}=[{name}]")


def _route(method: str, path: str, idempotent: bool, **options: Any) -> Callable[[F], F]:
    given: Any = path
    if not isinstance(given, str):  # a mark without parentheses is handed the operation
        name = getattr(given, "__name__", given)
        raise TypeError(
            f'@{method.lower()} of {name} has no path; write @{method.lower()}("/path")'
        )
    _refuse_class("raises", options["raises"])
    options["raises"] = tuple(options["raises"])
    mark = OperationMark(method, path, idempotent=idempotent, **options)

    def apply(function: F) -> F:
        if hasattr(function, OPERATION_MARK):
            raise TypeError(
                f"{function.__name__} has two routes; an operation has one: write another operation"
            )
        setattr(function, OPERATION_MARK, mark)
        return function

    return apply


def get(
    path: str,
    *,
    raises: Sequence[type[Problem]] = (),
    allow: Allow | None = None,
    timeout_s: float | None = None,
    deprecated: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark an operation that reads: safe and idempotent; what is not in the path is the query."""
    return _route(
        "GET",
        path,
        True,
        raises=raises,
        allow=allow,
        timeout_s=timeout_s,
        deprecated=deprecated,
        example=example,
    )


def delete(
    path: str,
    *,
    raises: Sequence[type[Problem]] = (),
    allow: Allow | None = None,
    status: int = 200,
    idempotent_by: str | None = None,
    timeout_s: float | None = None,
    deprecated: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark an operation that removes: idempotent; what is not in the path is the query."""
    return _route("DELETE", path, True,
        raises=raises, allow=allow, status=status, idempotent_by=idempotent_by,
        timeout_s=timeout_s, deprecated=deprecated, example=example,
    )  # fmt: skip


def post(
    path: str,
    *,
    raises: Sequence[type[Problem]] = (),
    allow: Allow | None = None,
    status: int = 200,
    idempotent_by: str | None = None,
    timeout_s: float | None = None,
    deprecated: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark an operation that changes something.

    `idempotent_by` makes it keyed: by the named parameter (a business fact) or, with
    `IDEMPOTENCY_KEY`, by the caller's header. `timeout_s` bounds one run in seconds.
    """
    return _route("POST", path, False,
        raises=raises, allow=allow, status=status, idempotent_by=idempotent_by,
        timeout_s=timeout_s, deprecated=deprecated, example=example,
    )  # fmt: skip


def put(
    path: str,
    *,
    raises: Sequence[type[Problem]] = (),
    allow: Allow | None = None,
    status: int = 200,
    idempotent_by: str | None = None,
    timeout_s: float | None = None,
    deprecated: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark an operation that replaces: idempotent; parameters as for `post`."""
    return _route("PUT", path, True,
        raises=raises, allow=allow, status=status, idempotent_by=idempotent_by,
        timeout_s=timeout_s, deprecated=deprecated, example=example,
    )  # fmt: skip


def patch(
    path: str,
    *,
    raises: Sequence[type[Problem]] = (),
    allow: Allow | None = None,
    status: int = 200,
    idempotent_by: str | None = None,
    timeout_s: float | None = None,
    deprecated: str | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark an operation that changes a part; parameters as for `post`."""
    return _route("PATCH", path, False,
        raises=raises, allow=allow, status=status, idempotent_by=idempotent_by,
        timeout_s=timeout_s, deprecated=deprecated, example=example,
    )  # fmt: skip


def raw(path: str, *, allow: Allow) -> Callable[[R], R]:
    """Mark a method `(self)` of a service that returns an ASGI application, mounted below `path`."""
    mark = RawMark(path, allow)

    def apply(function: R) -> R:
        setattr(function, RAW_MARK, mark)
        return function

    return apply
