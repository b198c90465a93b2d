"""Each operation that was answered in the last minute, put together once a look out of who called it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from borough.alerting.measuring import Calls, Measuring

__all__ = [
    "LATE",
    "LEAST_CALLS",
    "SHARE",
    "Operation",
    "Operations",
    "is_slow",
    "lost_kinds",
    "lost_of",
]

LATE = "deadline-exceeded"
LEAST_CALLS = 3
"""Of fewer that fail or are slow nothing is said."""
SHARE = 0.95
"""As many are to be answered within the bound of the rule."""
_ENOUGH_CALLS = 20
"""Of fewer, 5 % is less than one."""
_LEAST_OF_FEW = 5
_NO_ANSWER = frozenset({502, 504})


class Operation:
    """An operation's last minute, whoever called it. `lost` counts those who got no answer from whom they needed."""

    __slots__ = ("callers", "calls", "lost", "name", "recent", "recently_lost", "service")

    def __init__(self, service: str, name: str) -> None:
        self.service = service
        self.name = name
        self.callers: set[str] = set()
        self.calls = Calls()
        self.recent = Calls()
        self.lost = 0
        self.recently_lost = 0


class Operations:
    """All of them, as they were at one look."""

    def __init__(self, seen: Measuring) -> None:
        self.by_name: dict[str, Operation] = {}
        self._called: list[tuple[str, Operation, Calls]] = []
        self._by_caller: dict[str, list[tuple[Operation, Calls]]] | None = None
        for line, calls in seen.calls.items():
            if line.side != "server":
                continue
            found = self.by_name.get(line.operation)
            if found is None:
                found = self.by_name[line.operation] = Operation(line.service, line.operation)
            recent = seen.recent[line]
            found.callers.add(line.caller)
            found.calls.add(calls)
            found.recent.add(recent)
            found.lost += lost_of(seen, calls)
            found.recently_lost += lost_of(seen, recent)
            self._called.append((line.caller, found, calls))

    def called_by(self, service: str) -> Sequence[tuple[Operation, Calls]]:
        """What a service calls, with its calls of the last minute."""
        if self._by_caller is None:
            self._by_caller = {}
            for caller, operation, calls in self._called:
                self._by_caller.setdefault(caller, []).append((operation, calls))
        return self._by_caller.get(service, ())

    def callers_of(self, service: str) -> set[str]:
        """Who calls any operation of a service."""
        found: set[str] = set()
        for operation in self.by_name.values():
            if operation.service == service:
                found |= operation.callers
        return found

    def explained(self, bad: set[str], of: Callable[[Calls], int]) -> Callable[[Operation], bool]:
        """Whether at least half of what is wrong with an operation is wrong with what its service calls."""
        below: dict[str, int] = {}
        itself: dict[str, int] = {}
        for caller, called, calls in self._called:
            if called.name in bad:
                wrong = of(calls)
                below[caller] = below.get(caller, 0) + wrong
                if caller == called.service:
                    itself[called.name] = itself.get(called.name, 0) + wrong

        def is_explained(operation: Operation) -> bool:
            others = below.get(operation.service, 0) - itself.get(operation.name, 0)
            return others > 0 and others * 2 >= of(operation.calls)

        return is_explained


def is_slow(calls: Calls, bound_s: float) -> bool:
    """Whether that can be said of so many calls: of few most must be slow, or one at a start would make it true."""
    if calls.count < _ENOUGH_CALLS:
        return calls.quantile_s(0.5) > bound_s and calls.slower_than(bound_s) >= _LEAST_OF_FEW
    return calls.quantile_s(SHARE) > bound_s and calls.slower_than(bound_s) >= LEAST_CALLS


def lost_of(seen: Measuring, calls: Calls) -> int:
    """How many ended because somebody else did not answer, as HTTP has it: 502 and 504."""
    return sum(lost_kinds(seen, calls).values())


def lost_kinds(seen: Measuring, calls: Calls) -> dict[str, int]:
    """The same by what they ended with."""
    return {
        kind: count
        for kind, count in calls.kinds.items()
        if kind == LATE or (kind in seen.problems and seen.problems[kind].status in _NO_ANSWER)
    }
