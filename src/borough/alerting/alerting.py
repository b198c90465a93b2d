"""Alerts of one running system: looked for by its rules, kept over restarts, told to the team that owns the service.

One loop looks, judges, keeps and tells. A team is sent one message at a time, of what is so when it is sent;
where its receiver does not take it, the next one waits longer.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from borough.alerting.alert_file import AlertFile, Stored
from borough.alerting.bounds import Bounds
from borough.alerting.declared import Declared, Route
from borough.alerting.facts import ReplicaFacts, SystemFacts
from borough.alerting.judging import Judging
from borough.alerting.measuring import Measuring
from borough.alerting.pace import Paces
from borough.alerting.telling import Message, NotTold, Telling
from borough.alerting.urgency import RANKS, most_urgent
from borough.alerting.view import (
    AlertsNow,
    AlertsView,
    AlertView,
    RouteView,
    RuleView,
    SilenceView,
    State,
)
from borough.clock import Clock
from borough.contracts.objective import Objective
from borough.errors import BoroughError, InvalidRequest, NotFound
from borough.reliability.alert_rules import Rule
from borough.reliability.alerts import Alert, AlertBook, Notice, Reading, Silence
from borough.reliability.backoff import Backoff
from borough.reliability.objectives import BURNS, Burn
from borough.runtime.options import Options
from borough.telemetry.masking import masked
from borough.telemetry.plain import plain, shortened

__all__ = ["Alerting", "Facts"]

_log = logging.getLogger("borough.alerts")
_SHARE = 40
"""At most a fortieth of the time is spent with looking."""
_LONGEST_PAUSE_S = 5.0
_STEP_S = 1.0
"""By so much more than time has gone on, the wall clock was put."""
_AGAIN = Backoff(2.0, 300.0)
_CRASHES_S = 300.0
_SPENT_KEPT_S = 300.0
"""So old is what was kept of budgets at most, where nothing else is to be kept."""
_STALE_S = 15.0
"""What was seen so long ago is not what is so now."""
_LONGEST_SILENCE_S = 30 * 86_400.0
_LONGEST_TEXT = 500
_NOBODY = Route("", "none")


class Facts(Protocol):
    """Where a look comes from: one process, or the door of a fleet."""

    async def look(self) -> SystemFacts:
        """The system now. Raises a `BoroughError` where nothing can be said."""
        ...


class _Post:
    """How telling a team goes."""

    __slots__ = ("again_at", "failures", "last_error", "last_sent", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.failures = 0
        self.again_at = float("-inf")
        self.last_error: str | None = None
        self.last_sent: float | None = None


class Alerting:
    """See above. `start` and `close` belong to a running loop."""

    def __init__(
        self, options: Options, declared: Declared, facts: Facts, clock: Clock, folder: Path
    ) -> None:
        self._options = options
        self._declared = declared
        self.facts = facts
        self._clock = clock
        self._file = AlertFile(folder)
        self._book = AlertBook()
        self._measuring = Measuring(declared.objectives)
        self._judging = Judging(declared.rules, declared.team)
        self._telling = Telling(options, declared, clock)
        self._posts: dict[str, _Post] = {}
        self._crashes: tuple[float, ...] = ()
        self._epoch_ahead_s = clock.epoch_s() - clock.monotonic()
        self._kept_changes = -1
        self._kept_at = float("-inf")
        self._writing = asyncio.Lock()
        self._write: asyncio.Future[bool] | None = None
        self._remembered = asyncio.Event()
        self._is_keeper = False
        self._running: asyncio.Task[None] | None = None

    # --- the loop ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Look from now on, unless alerts are switched off."""
        if self._options.alerts.enabled:
            self._running = asyncio.create_task(self._run(), name="alerts")

    async def _run(self) -> None:
        is_failing = False
        while True:
            began = self._clock.monotonic()
            try:
                if not self._remembered.is_set():
                    await self.remember()
                await self.look()
                is_failing = False
            except BoroughError as error:
                if not is_failing:
                    _log.warning("alerts cannot be judged now: %s", error)
                is_failing = True
            except Exception:
                if not is_failing:
                    _log.exception("alerts cannot be judged")
                is_failing = True
            took = self._clock.monotonic() - began
            pause_s = max(self._options.alerts.every_s, min(_LONGEST_PAUSE_S, took * _SHARE))
            await self._clock.sleep(pause_s)

    async def remember(self) -> None:
        """Go on with what was kept before the process began, unless another one has it."""
        self._is_keeper = await asyncio.to_thread(self._file.hold)
        if self._is_keeper:
            stored = await self._read()
            self._book = AlertBook(stored.kept)
            ahead_s = self._epoch_ahead_s + max(0.0, stored.written_at - self._now())
            self._measuring.restore(stored.spent, -ahead_s)
            if stored.is_running:
                self._crashes = (*self._crashes, self._now())
        else:
            _log.info(
                "another process keeps the alerts of this data folder; those here are not kept"
            )
        self._remembered.set()
        await self._keep()

    async def _read(self) -> Stored:
        """What was kept, by the clock as it is now."""
        stored = await asyncio.to_thread(self._file.read)
        now = self._now()
        ahead_s = max(0.0, stored.written_at - now)  # so far was the clock when it was written
        crashes = [at - ahead_s for at in stored.crashes]
        self._crashes = tuple(at for at in crashes if now - at < _CRASHES_S)
        return msgspec.structs.replace(stored, kept=stored.kept.moved(-ahead_s))

    async def _take_over(self) -> None:
        """Keep the alerts from now on, where the process that kept them has gone."""
        self._is_keeper = await asyncio.to_thread(self._file.hold)
        if self._is_keeper:
            self._book.join((await self._read()).kept)

    def _now(self) -> float:
        """Seconds since 1970. Where the clock was put, all that is known is put with it."""
        now = self._clock.epoch_s()
        ahead_s = now - self._clock.monotonic()
        step_s = ahead_s - self._epoch_ahead_s
        if abs(step_s) > _STEP_S:
            self._epoch_ahead_s = ahead_s
            self._book.move(step_s)
            self._crashes = tuple(at + step_s for at in self._crashes)
        return now

    async def look(self) -> None:
        """Look once, and tell what is to be told."""
        if self._remembered.is_set() and not self._is_keeper:
            await self._take_over()
        facts = await self.facts.look()
        now, steady_now = self._now(), self._clock.monotonic()
        replicas = (*facts.replicas, self._own_replica(now))
        facts = msgspec.structs.replace(facts, replicas=replicas)
        self._measuring.take(facts, steady_now)
        readings: list[Reading] = []
        for some in self._judging.readings(self._measuring, steady_now):
            readings += some
            await asyncio.sleep(0)  # this loop serves calls
        before: dict[str, State] = {alert.id: alert.state for alert in self._book.open}
        told = {service for process in facts.processes for service in process.services}
        unknown = {subject for process in facts.processes for subject in process.unknown}

        def is_unknown(alert: Alert) -> bool:
            service, subject = alert.reading.service, alert.reading.subject
            return subject in unknown or (service in facts.answered and service not in told)

        self._book.observe(readings, now, is_unknown)
        self._log_changes(before)
        await self._keep()
        self._tell(now)

    def _own_replica(self, now: float) -> ReplicaFacts:
        """This process itself: that its forerunners crashed is known from what they left."""
        recent = sum(now - at < _CRASHES_S for at in self._crashes)
        return ReplicaFacts(
            name=f"the process of {self._options.system.name} that has the public door",
            services=(),
            state="ready",
            restarts=len(self._crashes),
            trouble=None,
            lately=recent,
        )

    def _log_changes(self, before: Mapping[str, State]) -> None:
        for alert in self._book.open:
            if alert.state == "firing" and before.get(alert.id) != "firing":
                _log.warning("alert %s fires: %s", alert.reading.rule, alert.reading.summary)
        for alert in self._book.history:
            if alert.id not in before:
                break
            _log.info("alert %s is resolved: %s", alert.reading.rule, alert.reading.summary)

    async def _keep(self, *, is_running: bool = True) -> None:
        async with self._writing:
            steady_now = self._clock.monotonic()
            is_old = bool(self._measuring.spent) and steady_now - self._kept_at >= _SPENT_KEPT_S
            is_kept = self._kept_changes == self._book.changes and is_running and not is_old
            if is_kept or not self._is_keeper:
                return
            changes, written_at = self._book.changes, self._now()
            stored = Stored(
                kept=self._book.kept(),
                spent=[
                    (objective, spent.kept(self._epoch_ahead_s))
                    for objective, spent in self._measuring.spent.items()
                ],
                written_at=written_at,
                is_running=is_running,
                crashes=self._crashes,
            )
            if self._write is not None:  # of somebody who was cancelled: a thread goes on
                await asyncio.wait([self._write])
            self._write = asyncio.ensure_future(asyncio.to_thread(self._file.write, stored))
            if await asyncio.shield(self._write):
                self._kept_changes, self._kept_at = changes, steady_now

    async def close(self) -> None:
        """Look and tell no more. Idempotent."""
        running, self._running = self._running, None
        if running is not None:
            posts = [post.task for post in self._posts.values() if post.task is not None]
            for task in (running, *posts):
                task.cancel()
            await asyncio.wait([running, *posts])
            await self._keep(is_running=False)
            await self._telling.close()
        self._file.release()

    # --- telling -----------------------------------------------------------------------------------

    def _tell(self, now: float) -> None:
        for notice in self._book.due(now, self._options.alerts.repeat_after.seconds):
            route = self._declared.routes.get(notice.team or "", _NOBODY)
            post = self._posts.setdefault(route.team, _Post())
            if route.channel == "none":  # it is told once there is a way, but of no old end
                self._book.told(msgspec.structs.replace(notice, firing=()), now)
            elif post.task is None and self._clock.monotonic() >= post.again_at:
                task = asyncio.create_task(self._send(route, post, notice), name="alerts message")
                post.task = task

    async def _send(self, route: Route, post: _Post, notice: Notice) -> None:
        message = Message(
            id=notice.id,
            system=self._options.system.name,
            team=route.team,
            firing=[self._shown(alert) for alert in notice.firing],
            resolved=[self._shown(alert) for alert in notice.resolved],
        )
        self._book.trying(notice)
        try:
            await self._keep()
            await self._telling.tell(route, message)
        except Exception as error:  # whatever it is, the next attempt waits, and people see why
            post.failures += 1
            said = plain(masked(str(error)))  # a mail server repeats whose mail it refuses
            post.last_error = shortened(said, _LONGEST_TEXT) or type(error).__name__
            wait_s = _AGAIN.delay_s(post.failures, self._clock.random.random())
            post.again_at = self._clock.monotonic() + wait_s
            if post.failures == 1:
                fault = None if isinstance(error, NotTold) else error
                text = "%s cannot be told of alerts now: %s"
                _log.warning(text, route.team, post.last_error, exc_info=fault)
        else:
            post.failures, post.last_error = 0, None
            post.last_sent = self._now()
            self._book.told(notice, post.last_sent)
            await self._keep()
        finally:
            post.task = None

    async def sent(self) -> None:
        """Wait until no message is under way."""
        tasks = [post.task for post in self._posts.values() if post.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    # --- what people do ----------------------------------------------------------------------------

    async def _open_to_changes(self) -> None:
        """Wait until what was kept is there. Raises `InvalidRequest` where nothing is watched."""
        if not self._options.alerts.enabled:
            raise InvalidRequest(
                "alerts are switched off in this process (alerts.enabled = false); ask the one that watches"
            )
        await self._remembered.wait()

    async def acknowledge(self, alert_id: str, note: str, by: str) -> AlertView:
        """Somebody looks after it. Raises `NotFound`, `InvalidRequest`."""
        await self._open_to_changes()
        done = self._book.acknowledge(alert_id, _text("note", note), _text("by", by))
        if done is None:
            raise NotFound(f"No alert {alert_id} fires now")
        await self._keep()
        return self._shown(done)

    async def silence(
        self, rule: str | None, service: str | None, for_s: float, reason: str, by: str
    ) -> SilenceView:
        """Tell nobody of these for so long; None is all of them. Raises `InvalidRequest`."""
        await self._open_to_changes()
        names = [each.name for each in self._rules_shown()]
        _known("rule", rule, names)
        services = {*self._measuring.facts.answered, *self._declared.teams}
        _known("service", service, services)
        if not 0 < for_s <= _LONGEST_SILENCE_S:
            raise InvalidRequest(f"for_s is a number of seconds, at most {_LONGEST_SILENCE_S:.0f}")
        if not reason.strip():
            raise InvalidRequest("reason says why nobody is to be told")
        made = Silence(
            id=self._clock.token(8).hex(),
            rule=rule,
            service=service,
            until=self._now() + for_s,
            reason=_text("reason", reason),
            by=_text("by", by),
        )
        if not self._book.silence(made):
            raise InvalidRequest("There are too many silences; end some first")
        await self._keep()
        return _silence(made)

    async def end_silence(self, silence_id: str) -> None:
        """Tell of them again. Raises `NotFound`, `InvalidRequest`."""
        await self._open_to_changes()
        if not self._book.end_silence(silence_id):
            raise NotFound(f"There is no silence {silence_id}")
        await self._keep()

    # --- what is shown -----------------------------------------------------------------------------

    def view(self) -> AlertsView:
        """Everything."""
        return AlertsView(
            alerts=[
                self._shown(alert) for alert in most_urgent(self._book.open, self._declared.rules)
            ],
            history=[self._shown(alert) for alert in self._book.history],
            rules=list(self._rules_shown()),
            silences=[_silence(each) for each in self._book.silences.values()],
            routes=[self._route(route) for route in self._declared.routes.values()],
        )

    def now(self) -> AlertsNow:
        """How many there are, and of which services."""
        states = [alert.state for alert in self._book.open]
        by_service: dict[str, State] = {}
        for alert in self._book.open:
            service = alert.reading.service
            if (
                service is not None
                and RANKS[alert.state] > RANKS[by_service.get(service, "resolved")]
            ):
                by_service[service] = alert.state
        return AlertsNow(
            firing=states.count("firing"),
            acknowledged=states.count("acknowledged"),
            pending=states.count("pending"),
            by_service=by_service,
        )

    def bounds(self) -> Bounds:
        """How much may fail or be taken, as is declared now."""
        return Bounds(self._declared.rules, self._measuring.spent)

    def paces(self) -> Paces:
        """How handlers get on; nothing where nobody looks, or nobody has for long."""
        seen = self._measuring
        if seen.looked_at is None or self._clock.monotonic() - seen.looked_at > _STALE_S:
            return Paces()
        consumers = {key: seen.pace(key) for key in seen.handlers}
        return Paces(consumers=consumers, topics=seen.published_per_s())

    def _shown(self, alert: Alert) -> AlertView:
        reading = alert.reading
        return AlertView(
            id=alert.id,
            rule=reading.rule,
            service=reading.service,
            team=reading.team,
            severity=reading.severity,
            state=alert.state,
            summary=reading.summary,
            value=reading.value,
            threshold=reading.threshold,
            unit=reading.unit,
            since=alert.since,
            fired_at=alert.fired_at,
            resolved_at=alert.resolved_at,
            acknowledged_by=alert.acknowledged_by,
            note=alert.note,
            silenced_until=self._book.silenced_until(alert),
            runbook=reading.runbook,
            look=reading.look,
        )

    def _route(self, route: Route) -> RouteView:
        post = self._posts.get(route.team)
        return RouteView(
            team=route.team,
            channel=route.channel,
            to=route.shown,
            last_error=None if post is None else post.last_error,
            last_sent=None if post is None else post.last_sent,
        )

    def _rules_shown(self) -> Iterator[RuleView]:
        for rule in self._declared.rules:
            for service in rule.services or (None,):
                yield self._rule(rule, service)
        for objective in self._measuring.spent:
            for burn in BURNS:
                yield self._burn(objective, burn)

    def _rule(self, rule: Rule, service: str | None) -> RuleView:
        return RuleView(
            name=rule.name,
            service=service,
            team=None if service is None else self._declared.team(service),
            severity=rule.severity,
            condition=rule.condition,
            source=rule.source,
            runbook=rule.runbook,
        )

    def _burn(self, objective: Objective, burn: Burn) -> RuleView:
        return RuleView(
            name=f"{objective.kind}-{burn.name}-burn",
            service=objective.service,
            team=self._declared.team(objective.service),
            severity=burn.severity,
            condition=burn.condition(objective),
            source="borough.toml" if objective in self._declared.objectives else "contract",
            runbook=None,
        )


def _silence(silence: Silence) -> SilenceView:
    return SilenceView(**msgspec.structs.asdict(silence))


def _text(name: str, given: str) -> str:
    if len(given) > _LONGEST_TEXT:
        raise InvalidRequest(f"{name} has at most {_LONGEST_TEXT} characters")
    return " ".join(given.split())


def _known(what: str, given: str | None, names: Iterable[str]) -> None:
    known = sorted(set(names))
    if given is not None and given not in known:
        close = difflib.get_close_matches(given, known, 1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise InvalidRequest(f"there is no {what} {given}; {meant}")
