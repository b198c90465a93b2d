"""What a service aims at: a share of calls that do not fail, or that are answered in time.

A contract says it in words (`availability="99.9%"`, `latency="p99 < 250ms"`), borough.toml for a system of its own.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

__all__ = ["Objective", "objectives_of", "read_availability", "read_latency"]

_AVAILABILITY = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?)\s*%\Z", re.ASCII)
_LATENCY = re.compile(
    r"p([0-9]{1,2}(?:\.[0-9]{1,4})?)\s*<\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s)\Z", re.ASCII
)
_LEAST = 50.0


class Objective(msgspec.Struct, frozen=True):
    """What a service aims at. `bound_s` is how long a call may take; None for availability."""

    service: str
    text: str
    share: float
    bound_s: float | None = None

    @property
    def kind(self) -> Literal["availability", "latency"]:
        """`availability` or `latency`."""
        return "availability" if self.bound_s is None else "latency"

    def rate(self, bad_share: float) -> float:
        """How many times too fast the budget burns while that share of calls is bad."""
        return bad_share / (1.0 - self.share)


def read_availability(service: str, text: str) -> Objective:
    """`99.9%`. Raises `ValueError`."""
    found = _AVAILABILITY.match(str(text).strip())
    percent = float(found[1]) if found else 0.0
    if not _LEAST <= percent < 100.0:
        raise ValueError(
            f'{text!r} is no availability; write a share from 50 % up and below 100 %, such as "99.9%"'
        )
    return Objective(service, f"{percent:g}%", percent / 100.0)


def read_latency(service: str, text: str) -> Objective:
    """`p99 < 250ms`. Raises `ValueError`."""
    found = _LATENCY.match(str(text).strip())
    percent = float(found[1]) if found else 0.0
    bound = float(found[2]) * (1e-3 if found[3] == "ms" else 1.0) if found else 0.0
    if found is None or not _LEAST <= percent < 100.0 or bound <= 0:
        raise ValueError(
            f'{text!r} is no latency; write a quantile from p50 up and its bound, such as "p99 < 250ms"'
        )
    return Objective(service, f"p{percent:g} < {found[2]}{found[3]}", percent / 100.0, bound)


def objectives_of(
    service: str, availability: str | None, latency: str | None
) -> tuple[Objective, ...]:
    """Both, as far as they are given. Raises `ValueError`."""
    found = () if availability is None else (read_availability(service, availability),)
    return found if latency is None else (*found, read_latency(service, latency))
