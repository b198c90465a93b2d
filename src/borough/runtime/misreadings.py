"""What a service class says and wiring would pass over: it reads as if it did something, and fails at a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from borough.contracts.marks import OPERATION_MARK, OperationMark
from borough.contracts.operation import REQUIRED, Operation
from borough.contracts.portable import untyped_values
from borough.contracts.reading import contract_mark
from borough.runtime.methods import takes
from borough.services.data import Database
from borough.services.service import Service
from borough.services.settings import Secret, Settings

__all__ = [
    "meant_in",
    "misread",
    "misread_needs",
    "misread_operation",
    "misread_settings",
]

_Judged = tuple[str, str, Any]
_MARK_IT = 'Mark {} with @contract("SERVICE", version="1.0")'


def misread(cls: type[Service]) -> Iterator[_Judged]:
    """What is wrong with a class itself: message, remedy, and the class or function where it stands."""
    seen: set[str] = set()
    for base in cls.__mro__:
        annotated = inspect.get_annotations(base)
        own = {name: value for name, value in vars(base).items() if name not in seen}
        seen.update(own, annotated)  # what a base says of the same name counts no more
        if is_unmarked(base) and not _is_part(base, cls):
            what = f"{cls.__name__} inherits {base.__name__}, which has routes and is no contract"
            yield what, _MARK_IT.format(base.__name__), base
        if base is Service or getattr(base, "_is_protocol", False):
            continue
        for name, value in own.items():
            what = f"{cls.__name__}.{name}"
            if isinstance(getattr(value, OPERATION_MARK, None), OperationMark):
                remedy = "Routes stand in the contract: declare the operation there, and implement it here without"
                yield f"{what} has a route, which nobody serves", remedy, value
            is_own = getattr(value, "__qualname__", "").startswith(f"{base.__qualname__}.")
            if is_filled_in(value) and name not in annotated and not is_own:
                kind = value.__name__
                yield f"{what} is the class {kind} itself", f"Write `{name}: {kind}`", cls

    for name in ("open", "close"):
        function = inspect.getattr_static(cls, name)
        is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
        if not is_async or not takes(function, 1):
            remedy = f"Write `async def {name}(self) -> None`; what it needs is an attribute of the class"
            yield f"{cls.__name__}.{name} has the wrong form", remedy, function


def misread_needs(cls: type[Service], hints: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with an annotated attribute by itself: message, remedy, and its name."""
    for name, kind in hints.items():
        what = f"{cls.__name__}.{name}"
        if is_unmarked(kind):
            stands = (
                f"{what} is annotated with {kind.__name__}, which has routes and is no contract"
            )
            yield stands, _MARK_IT.format(kind.__name__), name
        elif any(hasattr(vars(base).get(name), OPERATION_MARK) for base in cls.__mro__):
            remedy = "Rename the attribute, which would be there in place of the operation"
            yield f"{what} is an attribute and an operation", remedy, name


def misread_operation(cls: type[Service], function: Any, operation: Operation) -> Iterator[_Judged]:
    """What is wrong with the parameters of an operation's method, whose names are right."""
    own = inspect.signature(function).parameters
    what = f"{cls.__name__}.{operation.name}"
    for declared in operation.parameters:
        default = own[declared.name].default
        if default is inspect.Parameter.empty or declared.default is REQUIRED:
            continue
        if default != declared.default and repr(default) != repr(declared.default):
            yield (
                f"{what} has the default {default!r} for {declared.name}, its contract {declared.default!r}",
                "Use the contract's, which every caller is given",
                function,
            )


def misread_settings(kind: type[Settings]) -> Iterator[tuple[str, str, Any, str]]:
    """What is wrong with a class of settings: message, remedy, the class and its field."""
    for name in untyped_values(kind):
        remedy = "Annotate it; with ClassVar[...] where it is no setting"
        yield (
            f"{kind.__name__}.{name} has a value and no type, so it is no setting",
            remedy,
            kind,
            name,
        )
    for field in msgspec.structs.fields(kind):
        if field.default is msgspec.NODEFAULT:
            continue
        try:
            msgspec.convert(field.default, field.type, dec_hook=_own)
        except msgspec.ValidationError as error:
            # A secret is not repeated here.
            is_secret = Secret in (field.type, *get_args(field.type))
            shown = "a secret" if is_secret else repr(field.default)
            what = f"{kind.__name__}.{field.name}: the default {shown} does not fit: {error}"
            yield what, "Mend it, or the type", kind, field.name


def _own(kind: Any, value: Any) -> Any:
    """A value of a class that msgspec does not know, if it is one."""
    if isinstance(value, kind):
        return value
    raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def meant_in(kind: Any) -> Any:
    """What an annotation surely meant alone: a part that by itself is filled in. None where it has no such part."""
    is_wrapping = get_origin(kind) in (Union, UnionType, Final)
    for part in get_args(kind):
        # Any other shape of settings and databases is the class's own affair.
        if is_filled_in(part) and (is_wrapping or contract_mark(part) is not None):
            return part
    return None


def is_unmarked(kind: Any) -> bool:
    """Whether it is written as a contract is, and nobody takes it for one."""
    if not isinstance(kind, type) or not getattr(kind, "_is_protocol", False):
        return False
    is_routed = any(hasattr(value, OPERATION_MARK) for value in vars(kind).values())
    return is_routed and contract_mark(kind) is None


def _is_part(base: type[Any], cls: type[Any]) -> bool:
    """Whether a contract of the class has the operations of that base."""
    return any(contract_mark(each) is not None and base in each.__mro__ for each in cls.__mro__)


def is_filled_in(kind: Any) -> bool:
    """Whether an attribute of just this annotation is filled in."""
    if not isinstance(kind, type):
        return False
    is_settings = issubclass(kind, Settings) and kind is not Settings
    return kind is Database or is_settings or contract_mark(kind) is not None
