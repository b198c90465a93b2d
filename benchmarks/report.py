"""What a benchmark says: series with one value per round, ratios of neighbours, and bars held or missed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

__all__ = ["JUDGED_ROUNDS", "Bar", "Report", "Series"]

JUDGED_ROUNDS = 7
"""A bar is judged by the median of at least so many rounds."""


class Series(msgspec.Struct):
    """One value per round of one candidate."""

    name: str
    unit: str
    values: list[float] = msgspec.field(default_factory=list[float])

    @property
    def median(self) -> float:
        """The figure that is quoted."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{_short(self.median)} [{_short(low)}-{_short(high)}] {self.unit}"

    def over(self, other: Series, name: str) -> Series:
        """This one as a multiple of another, round by round."""
        pairs = zip(self.values, other.values, strict=True)
        return Series(name, "x", [mine / theirs for mine, theirs in pairs])


class Bar(msgspec.Struct):
    """A promise about a series: at most, or at least, so much."""

    series: Series
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the median keeps it."""
        value = self.series.median
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "MISSED"
        if len(self.series.values) < JUDGED_ROUNDS:
            verdict += f" so far ({len(self.series.values)} rounds)"
        sign, limit = (">=", self.at_least) if self.at_most is None else ("<=", self.at_most)
        return f"{sign} {_short(limit or 0)}: {verdict}"


class Report(msgspec.Struct):
    """All series of one benchmark."""

    name: str
    what: str
    series: list[Series] = msgspec.field(default_factory=list[Series])
    bars: list[Bar] = msgspec.field(default_factory=list[Bar])

    def new(self, name: str, unit: str) -> Series:
        """A further series, empty."""
        self.series.append(Series(name, unit))
        return self.series[-1]

    def add(self, series: Series) -> Series:
        """A further series, complete."""
        self.series.append(series)
        return series

    def hold(
        self, series: Series, *, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        """Promise something of a series."""
        self.bars.append(Bar(series, at_most, at_least))

    def lines(self) -> Sequence[str]:
        """The report as a table."""
        width = max(len(series.name) for series in self.series)
        bars = {id(bar.series): str(bar) for bar in self.bars}
        rows = [
            f"  {series.name:<{width}}  {series!s:<32} {bars.get(id(series), '')}".rstrip()
            for series in self.series
        ]
        return [f"{self.name}: {self.what}", *rows]


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
