"""A flash sale as figures: what is asked of the shop in each phase, what was seen, what was promised.

calm (1 replica of search) -> sale (1) -> sale (3) -> calm (1). Others check out all the while.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

NAME = "flash-sale"
SETTINGS = {"BOROUGH_SEARCH_ENGINE_MS": "20", "BOROUGH_SEARCH_ENGINE_SLOTS": "8"}
"""Search waits for an engine instead of for a core, so that two cores can show it."""
SECONDS = 24.0
PAUSE_S = 0.25
"""Between two visits of a customer: checkouts are there to be watched, not to fill the machine."""
LEAST_THROUGHPUT = 2.5
MOST_CHECKOUT = 1.15


class Phase(NamedTuple):
    """So many who search, and so many replicas of search."""

    name: str
    searchers: int
    replicas: int


PHASES = (Phase("calm", 8, 1), Phase("sale", 80, 1), Phase("sale", 80, 3), Phase("calm", 8, 1))


class Seen:
    """What was seen in one phase: the seconds that searches and paid orders took."""

    def __init__(self, phase: Phase, began_s: float) -> None:
        self.phase = phase
        self.searches: list[float] = []
        self.checkouts: list[float] = []
        self._began_s = began_s
        self._ended_s: float | None = None

    def end(self, now_s: float) -> None:
        """It is over; what comes later is of no phase."""
        self._ended_s = now_s

    def report(self, now_s: float) -> dict[str, Any]:
        """A phase of the summary."""
        seconds = (now_s if self._ended_s is None else self._ended_s) - self._began_s
        return {
            "name": self.phase.name,
            "replicas": self.phase.replicas,
            "seconds": round(seconds, 2),
            "searches_per_s": round(len(self.searches) / seconds, 1) if seconds > 0 else 0.0,
            "search_p50_ms": _median_ms(self.searches),
            "checkouts": len(self.checkouts),
            "checkout_p50_ms": _median_ms(self.checkouts),
        }


def verdict(phases: Sequence[Mapping[str, Any]], failed: int) -> dict[str, Any]:
    """The phases, what replicas brought and cost, and whether that is what was promised.

    A checkout of the sale is held against the calm before and after it: a machine has other work.
    """
    throughput = checkout = 0.0
    if len(phases) == len(PHASES):
        before, alone, together, after = phases
        calm_ms = (before["checkout_p50_ms"] + after["checkout_p50_ms"]) / 2
        throughput = together["searches_per_s"] / max(alone["searches_per_s"], 0.1)
        checkout = together["checkout_p50_ms"] / max(calm_ms, 0.01)
    is_met = throughput >= LEAST_THROUGHPUT and 0 < checkout <= MOST_CHECKOUT and not failed
    return {
        "name": NAME,
        "phases": list(phases),
        "throughput_x": round(throughput, 2),
        "throughput_at_least": LEAST_THROUGHPUT,
        "checkout_x": round(checkout, 3),
        "checkout_at_most": MOST_CHECKOUT,
        "failed": failed,
        "met": is_met,
    }


def _median_ms(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2) if seconds else 0.0
