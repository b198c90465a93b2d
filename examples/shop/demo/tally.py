"""What a run has come to: counts, and latencies in a histogram that never grows."""

import math
from typing import Any

STEPS_PER_DOUBLING = 16
STEPS = STEPS_PER_DOUBLING * 24  # 10 microseconds to some three minutes
SHORTEST_S = 1e-5
MOST_SENTENCES = 20


class Latencies:
    """Durations, kept to within 4.4 % of their length."""

    def __init__(self) -> None:
        self._counts = [0] * STEPS
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        step = int(math.log2(max(seconds, SHORTEST_S) / SHORTEST_S) * STEPS_PER_DOUBLING)
        self._counts[min(step, STEPS - 1)] += 1
        self.count += 1

    def quantile_ms(self, share: float) -> float:
        """The duration that this share of all stays below, in milliseconds."""
        wanted = math.ceil(self.count * share)
        seen = 0
        for step, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return round(SHORTEST_S * 2 ** ((step + 0.5) / STEPS_PER_DOUBLING) * 1000, 2)
        return 0.0


class Tally:
    """What customers have seen. What is counted here stands in the ledger already."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.orders = self.paid = self.declined = self.sold_out = self.cancelled = 0
        self.repeats = self.doubled = self.errors = 0
        self.sentences: list[str] = []
        """The first errors, in words."""
        self._started_s = 0.0
        self._ended_s: float | None = None
        self._requests = 0

    def start(self, now_s: float) -> None:
        """The measured part begins."""
        self._started_s = now_s
        self.latencies = Latencies()

    def end(self, now_s: float) -> None:
        """The measured part is over; what follows counts no longer in the rate."""
        self._ended_s = now_s
        self._requests = self.latencies.count

    def fail(self, sentence: str) -> None:
        """Count an error."""
        self.errors += 1
        if len(self.sentences) < MOST_SENTENCES:
            self.sentences.append(sentence)

    def report(self, now_s: float) -> dict[str, Any]:
        """All of it, for a line of JSON."""
        requests = self.latencies.count if self._ended_s is None else self._requests
        elapsed = (now_s if self._ended_s is None else self._ended_s) - self._started_s
        return {
            "orders": self.orders,
            "paid": self.paid,
            "declined": self.declined,
            "sold_out": self.sold_out,
            "cancelled": self.cancelled,
            "repeats": self.repeats,
            "doubled": self.doubled,
            "errors": self.errors,
            "requests": requests,
            "seconds": round(elapsed, 3),
            "requests_per_s": round(requests / elapsed, 1) if elapsed > 0 else 0.0,
            "p50_ms": self.latencies.quantile_ms(0.50),
            "p99_ms": self.latencies.quantile_ms(0.99),
        }
