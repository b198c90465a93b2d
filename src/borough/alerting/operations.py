"""Each operation that was answered in the last minute, put together once a look out of who called it."""

from __future__ import annotations

from collections.abc import Callable

from borough.alerting.measuring import Calls, Measuring

__all__ = ["LATE", "Operation", "Operations", "lost_of"]

LATE = "deadline-exceeded"
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


def lost_of(seen: Measuring, calls: Calls) -> int:
    """How many ended because somebody else did not answer, as HTTP has it: 502 and 504."""
    return sum(
        count
        for kind, count in calls.kinds.items()
        if kind == LATE or (kind in seen.problems and seen.problems[kind].status in _NO_ANSWER)
    )
