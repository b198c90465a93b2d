"""Contracts made by a seed, with values that fit them: what stands at an edge of a type more often than not."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["Made", "Operation", "made"]

Value = Callable[[], Any]

_HEAD = """
import enum
from collections.abc import AsyncIterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Protocol
from uuid import UUID
from borough import *

class Choice(enum.Enum):
    NULL = "null"
    TRUE = "true"
    EMPTY = ""

class Grade(OpenEnum):
    FIRST = 1
    UNKNOWN = 0
"""
_TEXTS = (
    *("", "a", "null", "NULL", "true", "1", " a ", "é", "\U0001f600", "a/b", "a%2Fb", "%", "+", "&x=1", "#"),
    *("?", ";", ",", '"', "\\", "\n", "\0", "\x7f", "\x85", "\u2028", "..", ".", "\ufeff", "x" * 2000),
)  # fmt: skip
_BERLIN = ZoneInfo("Europe/Berlin")
_SCALARS: Mapping[str, Sequence[Any]] = {
    "int": (0, -1, 2**53 + 1, 2**63 - 1, -(2**63)),
    "float": (0.0, -0.0, 1.5, 1e308, 5e-324, 1e16, 3, -7),
    "str": _TEXTS,
    "bool": (True, False),
    "bytes": (b"", b"\0", b"\xff\xff\xff", b"\x9e\xe9e", bytes(range(256))),
    "Decimal": tuple(map(Decimal, ("0", "-0", "-0.00", "1.50", "1E+10", "-1E-6144", "1E6144"))),
    "UUID": (UUID(int=0), UUID(int=2**128 - 1)),
    "date": (date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)),
    "Instant": (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2026, 10, 25, 2, 30, tzinfo=_BERLIN, fold=1),
        datetime(2026, 10, 25, 2, 30, tzinfo=_BERLIN),
    ),
    "Annotated[int, Meta(ge=1, le=9)]": (1, 9),
    "Annotated[str, Meta(pattern='^[a-z]+$')]": ("a", "null"),
    "Literal['a', 'null', 'b c']": ("a", "null", "b c"),
    "Literal[1, 2, -3]": (1, -3),
}  # fmt: skip


class Operation(msgspec.Struct):
    """One operation: the arguments it may be given, and an answer."""

    name: str
    is_stream: bool
    arguments: dict[str, Value]
    optional: set[str]
    answer: Value


class Made(msgspec.Struct):
    """A contract and the service that answers it: what came to it is in `seen`, and it gives what is `told`."""

    contract: Any
    service: Any
    operations: list[Operation]
    problem: Value
    seen: list[Any]
    told: list[Any]


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.classes: list[str] = []
        self.taken = 0
        self.module = types.ModuleType(f"contracts_at_random_{seed}")

    def scalar(self) -> tuple[str, Value]:
        name = self.random.choice([*_SCALARS, "Choice", "Grade"])
        if name in _SCALARS:
            return name, lambda: self.random.choice(_SCALARS[name])
        return name, lambda: self.random.choice(list(getattr(self.module, name)))

    def kind(self, depth: int) -> tuple[str, Value]:
        form = self.random.choice(
            ["scalar", "struct", "optional", "tuple", "pair", "list", "map", "union"]
        )
        if depth == 0 or form == "scalar":
            return self.scalar()
        if form == "struct":
            return self.struct(depth, "")
        if form == "union":
            one, two = (self.struct(depth, f", tag='{tag}'") for tag in "ab")
            return f"{one[0]} | {two[0]}", lambda: self.random.choice([one, two])[1]()
        name, value = self.kind(depth - 1)
        if form == "optional":
            return f"({name}) | None", lambda: self.random.choice([None, value]) and value()
        if form == "pair":
            other, second = self.kind(depth - 1)
            return f"tuple[{name}, {other}]", lambda: (value(), second())
        if form == "map":
            return f"Mapping[str, {name}]", lambda: {
                self.random.choice(_TEXTS): value() for _ in self.some()
            }
        whole, make = (f"tuple[{name}, ...]", tuple) if form == "tuple" else (f"list[{name}]", list)
        return whole, lambda: make(value() for _ in self.some())

    def some(self) -> range:
        return range(self.random.choice([0, 1, 3]))

    def struct(self, depth: int, options: str) -> tuple[str, Value]:
        own = f"Struct{self.taken}"
        self.taken += 1
        fields = [(f"field_{n}", *self.kind(depth - 1)) for n in range(self.random.randrange(4))]
        lines = [f"    {name}: {kind}" for name, kind, _ in fields]
        lines.append(f"    again: '{own} | None' = None")
        lines.append("    note: str | Unset = UNSET")
        lines.append("    renamed: int = field(name='other-name', default=7)")
        text = f"class {own}(Struct, rename='camel'{options}):\n" + "\n".join(lines)
        self.classes.append(text)

        def value(levels: int = 2) -> Any:
            given = {name: make() for name, _, make in fields}
            if levels and self.random.random() < 0.5:
                given.update(again=value(levels - 1), note="", renamed=-1)
            return getattr(self.module, own)(**given)

        return own, value

    def operation(self, number: int) -> tuple[str, str, Operation]:
        method = self.random.choice(["get", "post", "put", "delete"])
        is_stream, is_query = self.random.random() < 0.25, method in ("get", "delete")
        path, needed, defaulted = f"/{number}", "", ""
        arguments: dict[str, Value] = {}
        optional: set[str] = set()
        for index in range(self.random.randrange(4)):
            name = f"given_{index}"
            place = self.random.choice(["path", "header", "cookie", "other", "other"])
            kind, arguments[name] = (
                self.kind(2) if place == "other" and not is_query else self.scalar()
            )
            if place == "path":
                path += f"/{{{name}}}"
            elif place in ("header", "cookie"):
                kind = f"Annotated[{kind}, {place.title()}('x-{name.replace('_', '-')}')]"
            elif is_query and self.random.random() < 0.5:
                optional.add(name)
                defaulted += f", {name}: ({kind}) | None = None"
                continue
            needed += f", {name}: {kind}"
        answer, value = self.kind(3)
        kind = f"AsyncIterator[{answer}]" if is_stream else answer
        signature = f"operation_{number}(self{needed}{defaulted}) -> {kind}"
        mark = f"    @{method}('{path}', raises=[Torn])\n    "
        body = f"({', '.join(arguments)}{',' if arguments else ''})"
        run = f"    async def {signature}:\n        SEEN.append({body})\n"
        run += (
            "        for each in TOLD: yield tell(each)\n"
            if is_stream
            else "        return tell(TOLD[0])\n"
        )
        promise = mark + ("def " if is_stream else "async def ") + signature + ": ...\n"
        return promise, run, Operation(f"operation_{number}", is_stream, arguments, optional, value)


def made(seed: int, count: int = 5) -> Made:
    """A contract of so many operations."""
    maker = _Maker(seed)
    fields = [(f"field_{n}", *maker.kind(2)) for n in range(3)]
    found = [maker.operation(number) for number in range(count)]
    problem = "class Torn(Problem, status=409):\n    '''It is torn.'''\n"
    problem += "".join(f"    {name}: {kind}\n" for name, kind, _ in fields)
    tell = "SEEN, TOLD = [], []\ndef tell(given):\n    if isinstance(given, Problem): raise given\n    return given\n"
    text = "\n".join([_HEAD, *maker.classes, problem, tell])
    text += (
        "@contract('random', version='1.0')\nclass Random(Protocol):\n    '''Made by a seed.'''\n"
    )
    text += "".join(promise for promise, _, _ in found)
    text += "class RandomService(Service, Random):\n" + "".join(run for _, run, _ in found)
    module = maker.module
    module.__file__ = __file__
    sys.modules[module.__name__] = module
    exec(compile(text, __file__, "exec", dont_inherit=True), module.__dict__)
    of: Any = module
    return Made(
        of.Random,
        of.RandomService,
        [each for _, _, each in found],
        lambda: of.Torn(**{name: value() for name, _, value in fields}),
        of.SEEN,
        of.TOLD,
    )
