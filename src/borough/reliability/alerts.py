"""Alerts as a state machine: what is breached becomes an alert, fires, is looked after, and is resolved.

    (nothing) --breached--> pending --for long enough--> firing --somebody looks--> acknowledged
    pending --not breached--> (nothing)
    firing | acknowledged --not breached for as long as it is held--> resolved

One that fires again and again is held longer each time, so that it is one alert and not many. Of what nothing
is known, nothing changes. Who is to be told follows from the state, never from a queue: a message that could not
be sent is made anew, of what is so by then. Pure: time is an argument, in seconds since 1970;
where the clock is put, all times that are known are put with it (`move`), so that nothing lasts longer for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from borough.reliability.objectives import Severity

__all__ = ["Alert", "AlertBook", "Kept", "Notice", "Reading", "Silence", "State"]

State = Literal["pending", "firing", "acknowledged", "resolved"]
_HOLD_S = 30.0
_LONGEST_HOLD_S = 900.0
_FLAPPING_S = 3600.0
"""How long it counts that an alert has fired before."""
_MOST_OPEN = 1000
_MOST_KEPT = 100
_MOST_SILENCES = 200
_ORDER: Mapping[State, int] = {"firing": 0, "acknowledged": 1, "pending": 2, "resolved": 3}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says of one subject at one look."""

    rule: str
    subject: str
    """What it is about: a service, an operation, a handler, a replica."""
    service: str | None
    team: str | None
    severity: Severity
    is_breached: bool
    value: float
    threshold: float
    unit: str
    for_s: float
    summary: str
    look: str
    runbook: str | None = None
    is_covered: bool = False
    """Whether another alert tells the same: none begins, and one that is open stays as it is."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; `reading` is the latest that was breached."""

    id: str
    state: State
    reading: Reading
    since: float
    fired_at: float | None = None
    clear_since: float | None = None
    resolved_at: float | None = None
    acknowledged_by: str | None = None
    note: str | None = None
    told_at: float | None = None
    """When its team was told last that it fires."""
    is_tried: bool = False
    """Whether its team may know that it fires: a message was under way, even if no answer came."""
    is_told_resolved: bool = False

    @property
    def is_end_due(self) -> bool:
        """Whether its team may wait to be told that it is resolved."""
        may_know = self.is_tried or self.told_at is not None
        return self.state == "resolved" and may_know and not self.is_told_resolved

    def moved(self, by_s: float) -> Alert:
        """The same, with all its times so much later."""

        def later(at: float | None) -> float | None:
            return None if at is None else at + by_s

        return msgspec.structs.replace(
            self,
            since=self.since + by_s,
            fired_at=later(self.fired_at),
            clear_since=later(self.clear_since),
            resolved_at=later(self.resolved_at),
            told_at=later(self.told_at),
        )

    @property
    def key(self) -> tuple[str, str]:
        """What it is told from others by."""
        return self.reading.rule, self.reading.subject


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is told of what it covers, until then; None covers all."""

    id: str
    rule: str | None
    service: str | None
    until: float
    reason: str
    by: str

    def covers(self, alert: Alert) -> bool:
        """Whether an alert is meant."""
        reading = alert.reading
        return self.rule in (None, reading.rule) and self.service in (None, reading.service)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a team is to be told now, in one message."""

    team: str | None
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]

    @property
    def id(self) -> str:
        """The same for the same facts, so that a receiver knows a message that comes twice."""
        facts = [(alert.id, alert.fired_at, alert.told_at) for alert in self.firing]
        facts += [(alert.id, alert.resolved_at, None) for alert in self.resolved]
        return _digest(repr((self.team, facts)))


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a restart."""

    open: Sequence[Alert] = ()
    history: Sequence[Alert] = ()
    silences: Sequence[Silence] = ()
    fired: Mapping[str, Sequence[float]] = {}

    def moved(self, by_s: float) -> Kept:
        """The same, with all times so much later."""
        return Kept(
            open=[alert.moved(by_s) for alert in self.open],
            history=[alert.moved(by_s) for alert in self.history],
            silences=[
                msgspec.structs.replace(each, until=each.until + by_s) for each in self.silences
            ],
            fired={key: [at + by_s for at in times] for key, times in self.fired.items()},
        )


class AlertBook:
    """All alerts of a system. `changes` grows with each change that is worth keeping."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._take(kept or Kept())
        self.changes = 0

    def _take(self, kept: Kept) -> None:
        self._open = {alert.key: alert for alert in kept.open}
        self.history = list(kept.history)
        """Resolved ones, the newest first."""
        self.silences = {silence.id: silence for silence in kept.silences}
        self._fired = {key: list(times) for key, times in kept.fired.items()}

    @property
    def open(self) -> list[Alert]:
        """Those that are not resolved: firing first, then acknowledged, then pending, the oldest first."""
        return sorted(self._open.values(), key=lambda each: (_ORDER[each.state], each.since))

    def kept(self) -> Kept:
        """What is to outlive a restart."""
        return Kept(
            open=tuple(self._open.values()),
            history=tuple(self.history),
            silences=tuple(self.silences.values()),
            fired=self._fired,
        )

    def join(self, kept: Kept) -> None:
        """Take over what another book has kept; of the same it has the last word."""
        self._open |= {alert.key: alert for alert in kept.open}
        self.history = [*self.history, *kept.history]
        self.history.sort(key=lambda each: each.resolved_at or 0.0, reverse=True)
        self.silences |= {silence.id: silence for silence in kept.silences}
        self._fired |= {key: list(times) for key, times in kept.fired.items()}
        self.changes += 1

    def move(self, by_s: float) -> None:
        """Have all times so much later: the clock by which they were taken was wrong by that."""
        self._take(self.kept().moved(by_s))
        self.changes += 1

    # --- what is seen ------------------------------------------------------------------------------

    def observe(
        self, readings: Iterable[Reading], now: float, is_unknown: Callable[[Alert], bool]
    ) -> None:
        """Take what was read at one look. `is_unknown` says of alerts without a reading that nothing can be said."""
        self._expire(now)
        seen: set[tuple[str, str]] = set()
        for reading in readings:
            key = reading.rule, reading.subject
            seen.add(key)
            if reading.is_breached:
                self._breached(key, reading, now)
            elif key in self._open and not reading.is_covered:
                self._clear(self._open[key], now)
        for alert in [each for key, each in self._open.items() if key not in seen]:
            if not is_unknown(alert):
                self._clear(alert, now)

    def _breached(self, key: tuple[str, str], reading: Reading, now: float) -> None:
        alert = self._open.get(key)
        if alert is None:
            if len(self._open) >= _MOST_OPEN and not self._make_room(reading):
                return
            identity = _digest(repr((key, now)))
            alert = Alert(id=identity, state="pending", reading=reading, since=now)
            self.changes += 1
        if alert.state == "pending" and now - alert.since >= reading.for_s:
            alert = msgspec.structs.replace(alert, state="firing", fired_at=now)
            times = self._fired.setdefault(" ".join(key), [])
            times.append(now)
            del times[:-10]
            self.changes += 1
        self._open[key] = msgspec.structs.replace(alert, reading=reading, clear_since=None)

    def _make_room(self, reading: Reading) -> bool:
        """A page takes the place of a ticket: of one that nobody knows yet, and of the newest."""
        tickets = [each for each in self._open.values() if each.reading.severity == "ticket"]
        if reading.severity != "page" or not tickets:
            return False
        least = min(tickets, key=lambda each: (each.is_tried, -_ORDER[each.state], -each.since))
        del self._open[least.key]
        return True

    def _clear(self, alert: Alert, now: float) -> None:
        if alert.state == "pending":
            del self._open[alert.key]
            self.changes += 1
            return
        since = now if alert.clear_since is None else alert.clear_since
        if now - since < self._hold_s(alert):
            self._open[alert.key] = msgspec.structs.replace(alert, clear_since=since)
            return
        del self._open[alert.key]
        done = msgspec.structs.replace(alert, state="resolved", resolved_at=now, clear_since=None)
        self.history.insert(0, done)
        self._shorten()
        self.changes += 1

    def _shorten(self) -> None:
        """Forget the oldest of those that are resolved; of those whose end is to be told, only what is too much."""
        told = untold = 0
        kept: list[Alert] = []
        for alert in self.history:
            told, untold = told + (not alert.is_end_due), untold + alert.is_end_due
            if (untold <= _MOST_OPEN) if alert.is_end_due else (told <= _MOST_KEPT):
                kept.append(alert)
        self.history = kept

    def _hold_s(self, alert: Alert) -> float:
        """How long it must be clear: doubled with each time that it has fired lately."""
        times = len(self._fired.get(" ".join(alert.key), ()))
        return min(_LONGEST_HOLD_S, _HOLD_S * 2.0 ** max(0, times - 1))

    def _expire(self, now: float) -> None:
        for silence in [each for each in self.silences.values() if each.until <= now]:
            del self.silences[silence.id]
            self.changes += 1
        for key, times in list(self._fired.items()):
            if times[-1] < now - _FLAPPING_S and not any(" ".join(k) == key for k in self._open):
                del self._fired[key]

    # --- what people do ----------------------------------------------------------------------------

    def acknowledge(self, alert_id: str, note: str, by: str) -> Alert | None:
        """Somebody looks after it; None where no such alert fires."""
        for alert in self._open.values():
            if alert.id == alert_id and alert.state != "pending":
                done = msgspec.structs.replace(
                    alert, state="acknowledged", acknowledged_by=by, note=note or None
                )
                self._open[alert.key] = done
                self.changes += 1
                return done
        return None

    def silence(self, silence: Silence) -> bool:
        """Tell nobody of what it covers; False where there are too many."""
        if len(self.silences) >= _MOST_SILENCES:
            return False
        self.silences[silence.id] = silence
        self.changes += 1
        return True

    def end_silence(self, silence_id: str) -> bool:
        """Tell of it again; False where there is no such silence."""
        if self.silences.pop(silence_id, None) is None:
            return False
        self.changes += 1
        return True

    def silenced_until(self, alert: Alert) -> float | None:
        """Until when nobody is told of it."""
        found = [each.until for each in self.silences.values() if each.covers(alert)]
        return max(found, default=None)

    # --- who is to be told -------------------------------------------------------------------------

    def due(self, now: float, repeat_s: float) -> list[Notice]:
        """What each team is to be told now: at most one message each."""
        firing: dict[str | None, list[Alert]] = {}
        resolved: dict[str | None, list[Alert]] = {}
        for alert in self.open:
            is_new = alert.told_at is None or now - alert.told_at >= repeat_s
            if alert.state == "firing" and is_new and self.silenced_until(alert) is None:
                firing.setdefault(alert.reading.team, []).append(alert)
        for alert in self.history:
            if alert.is_end_due and self.silenced_until(alert) is None:
                resolved.setdefault(alert.reading.team, []).append(alert)
        return [
            Notice(
                team=team,
                firing=tuple(firing.get(team, ())),
                resolved=tuple(resolved.get(team, ())),
            )
            for team in dict.fromkeys([*firing, *resolved])
        ]

    def trying(self, notice: Notice) -> None:
        """A team is about to be told: from now on it may know."""
        for alert in notice.firing:
            known = self._open.get(alert.key)
            if known is not None and known.id == alert.id and not known.is_tried:
                self._open[alert.key] = msgspec.structs.replace(known, is_tried=True)
                self.changes += 1

    def told(self, notice: Notice, now: float) -> None:
        """A team has been told."""
        firing = {alert.id for alert in notice.firing}
        resolved = {alert.id for alert in notice.resolved}
        for key, alert in self._open.items():
            if alert.id in firing:
                self._open[key] = msgspec.structs.replace(alert, told_at=now)
        for index, alert in enumerate(self.history):
            if alert.id in resolved:
                self.history[index] = msgspec.structs.replace(alert, is_told_resolved=True)
            elif alert.id in firing:  # resolved while the message was under way
                self.history[index] = msgspec.structs.replace(alert, told_at=now)
        if firing or resolved:
            self._shorten()
            self.changes += 1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
