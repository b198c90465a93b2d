"""A system that goes wrong, and which alert names it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from borough.alerting.alert_file import AlertFile, Stored
from borough.alerting.facts import OwnFacts, ReplicaFacts, SystemFacts
from borough.clock import SystemClock
from borough.errors import CallError, InvalidRequest, NotFound
from borough.services.context import CURRENT, Call
from tests.alerting.till import OPENED, Orders, PaymentService, Watched, till, watched


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(till(tmp_path), tmp_path) as found:
        yield found


async def test_a_system_that_is_well_has_no_alert(tmp_path: Path) -> None:
    async with watched(till(tmp_path, slow="5s"), tmp_path) as shop:
        await shop.place("ok")
        await shop.process.host.quiet()
        assert await shop.fired() == []
        assert shop.alerting.now().by_service == {}


async def test_a_slow_operation_is_named_and_who_waits_for_it_is_no_second_alert(
    tmp_path: Path,
) -> None:
    async with watched(till(tmp_path, slow="50ms"), tmp_path) as shop:
        await shop.place("slow")
        (alert,) = await shop.fired()
    assert (alert.rule, alert.service, alert.team) == ("slow-calls", "payments", "checkout")
    assert alert.summary.startswith("payments.Payments.charge is slow: of 10 calls in the last")
    assert alert.summary.endswith("; orders waits for it.")
    assert alert.look == "#/traces?service=payments&at_least_ms=50"


async def test_a_peer_that_does_not_answer_is_told_from_a_service_that_fails(
    shop: Watched,
) -> None:
    await shop.place("unanswered")
    (alert,) = await shop.fired()
    assert (alert.rule, alert.service, alert.severity) == ("timeouts", "payments", "page")
    assert alert.summary == (
        "payments gets no answer from whom it needs: 10 of 10 calls of payments.Payments.charge in the "
        "last minute ended so, mostly with OutcomeUnknown (The issuer has not answered)."
    )


async def hurried(shop: Watched, how: str, time_s: float) -> None:
    """Calls of somebody who wants an answer so soon."""
    client, clock = shop.process.host.client(Orders), SystemClock()
    for number in range(5):
        call = Call("", "orders", None, None, clock.monotonic() + time_s, None)
        token = CURRENT.set(call)
        with suppress(CallError):
            await client.place(f"h{number}", how)
        CURRENT.reset(token)


async def test_who_wants_an_answer_sooner_than_anybody_has_one_alerts_nobody(
    shop: Watched,
) -> None:
    await hurried(shop, "slow", 0.02)
    await shop.look()
    shop.clock.ahead_s += 31
    await hurried(shop, "slow", 0.02)
    assert await shop.look() == []


async def test_what_fails_at_once_fails_however_little_time_it_had(shop: Watched) -> None:
    await hurried(shop, "broken", 0.9)
    await shop.look()
    shop.clock.ahead_s += 31
    await hurried(shop, "broken", 0.9)
    assert [alert.rule for alert in await shop.look()] == ["failing-calls"]


async def test_where_calls_have_little_time_by_configuration_it_is_enough(tmp_path: Path) -> None:
    system = till(tmp_path, environment={"BOROUGH_LIMITS_DEFAULT_TIMEOUT_S": "0.08"})
    async with watched(system, tmp_path) as shop:
        await shop.place("slow")
        (alert,) = await shop.fired()
    assert (alert.rule, alert.service) == ("timeouts", "orders")


async def test_an_operation_that_fails_is_named_with_its_error(shop: Watched) -> None:
    await shop.place("broken")
    (alert,) = await shop.fired()
    assert (alert.rule, alert.value, alert.unit) == ("failing-calls", 100.0, "%")
    assert alert.summary == (
        "payments.Payments.charge fails: 10 of 10 calls in the last minute, mostly with RuntimeError."
    )


async def test_what_went_wrong_in_a_moment_that_is_over_is_no_alert(shop: Watched) -> None:
    await shop.place("broken")
    await shop.look()
    assert await shop.look(21) == []
    assert shop.alerting.now().pending == 0


async def test_calls_that_fail_no_more_resolve_their_alert(shop: Watched) -> None:
    await shop.place("broken")
    await shop.fired()
    await shop.look(60)
    await shop.look(31)
    view = shop.alerting.view()
    assert list(view.alerts) == []
    assert [alert.state for alert in view.history] == ["resolved"]


async def test_a_poison_event_is_named_with_its_handler_and_cause(tmp_path: Path) -> None:
    async with watched(till(tmp_path, attempts=1000), tmp_path) as shop:
        await shop.place("ok", 1, "poison")
        alert = await shop.once("failing-events")
        assert alert.service == "orders"
        assert alert.summary.startswith(
            "orders.mark_paid fails at 1 event of payments.Payments, of 1 that it has taken, tried "
        )
        assert alert.summary.endswith("ValueError('no order poison0')")


async def test_dead_letters_are_named_with_their_cause(shop: Watched) -> None:
    await shop.place("ok", 2, "poison")
    alert = await shop.once("dead-letters")
    assert (alert.service, alert.look) == ("orders", "#/events?dead=orders.mark_paid")
    assert "orders.mark_paid has given up" in alert.summary
    assert " that it has taken, the latest with " in alert.summary
    assert "ValueError: no order poison" in alert.summary


async def test_a_handler_that_lags_is_named_with_how_long_its_events_wait(shop: Watched) -> None:
    await shop.place("ok", 3, "late")
    alert = await shop.once("late-events")
    assert alert.service == "orders"
    assert (
        "orders.mark_paid lags behind: 3 events of payments.Payments wait for it" in alert.summary
    )


async def test_threads_that_are_all_taken_are_named(shop: Watched) -> None:
    calls = [asyncio.ensure_future(shop.place("blocking", 1, f"b{each}-")) for each in range(3)]
    alert = await shop.once("full")
    OPENED.set()
    await asyncio.gather(*calls)
    assert alert.summary.startswith("payments has no room left: 2 of 2 threads are taken, 1 wait")
    assert alert.summary.endswith("(limits.threads).")


async def test_calls_refused_for_lack_of_room_are_counted(shop: Watched) -> None:
    calls = [asyncio.ensure_future(shop.place("held", 1, f"h{each}-")) for each in range(6)]
    alert = await shop.once("full")
    payments = cast("PaymentService", shop.process.host.services["payments"].instance)
    payments.opened.set()
    await asyncio.gather(*calls)
    assert alert.service in ("orders", "payments")
    assert "4 of 4 calls are at work" in alert.summary
    assert "(limits.calls_in_flight)" in alert.summary
    assert shop.process.host.services["orders"].gate.refused == 2


async def test_a_process_that_crashes_again_and_again_is_named_with_what_it_said_last(
    shop: Watched,
) -> None:
    def replica(restarts: int) -> ReplicaFacts:
        return ReplicaFacts(
            name="payments.1",
            services=("payments",),
            state="waiting",
            restarts=restarts,
            trouble="payments.1: has ended by itself with status 3",
            last_words=("Traceback (most recent call last):", "KeyError: 'issuer'"),
        )

    class Fleet:
        restarts = 0

        async def look(self) -> SystemFacts:
            answered = {"payments": self.restarts == 0, "orders": True}
            return SystemFacts(processes=(), answered=answered, replicas=(replica(self.restarts),))

    fleet = Fleet()
    shop.alerting.facts = fleet
    await shop.look()
    fleet.restarts = 3
    crashing, unanswered = sorted(await shop.fired(), key=lambda alert: alert.rule)
    assert (crashing.rule, crashing.service, crashing.value) == ("crash-loop", "payments", 3)
    assert crashing.summary == (
        "payments.1, which runs payments, crashes again and again: it has ended by itself 3 times "
        "in 5 minutes (payments.1: has ended by itself with status 3; it said last: \"KeyError: 'issuer'\")."
    )
    assert (unanswered.rule, unanswered.service) == ("not-ready", "payments")
    assert unanswered.summary == (
        "Nobody answers for payments: no process that runs it is ready "
        "(payments.1: has ended by itself with status 3; it said last: \"KeyError: 'issuer'\")."
    )


async def test_a_process_that_stays_down_at_once_is_not_said_to_crash_again_and_again(
    shop: Watched,
) -> None:
    down = ReplicaFacts(
        name="payments.2",
        services=("payments",),
        state="failed",
        restarts=0,
        trouble="payments.2: the port is taken",
    )

    class Fleet:
        async def look(self) -> SystemFacts:
            return SystemFacts(processes=(), answered={"payments": True}, replicas=(down,))

    shop.alerting.facts = Fleet()
    (alert,) = await shop.look()
    assert (alert.rule, alert.service) == ("crash-loop", "payments")
    assert alert.summary == (
        "payments.2, which runs payments, stays down (payments.2: the port is taken)."
    )


async def test_a_process_that_has_begun_again_and_again_after_crashes_says_so_itself(
    tmp_path: Path,
) -> None:
    async with watched(till(tmp_path), tmp_path) as shop:
        file, now = AlertFile(tmp_path / "data"), shop.clock.epoch_s()
        file.write(Stored(is_running=True, crashes=(now - 400, now - 200, now - 100)))
        await shop.alerting.remember()
        (alert,) = await shop.look()
        assert (alert.rule, alert.value, alert.service) == ("crash-loop", 3, None)
        assert alert.summary == (
            "the process of till that has the public door crashes again and again: "
            "it has ended by itself 3 times in 5 minutes."
        )


async def test_a_budget_that_burns_too_fast_is_an_alert_of_its_objective(tmp_path: Path) -> None:
    more = '[services.payments.objectives]\navailability = "99.9%"\nlatency = "p99 < 40ms"\n'
    async with watched(till(tmp_path, more=more), tmp_path) as shop:
        await shop.place("broken", 6)
        await shop.place("slow", 6)
        fired = await shop.look()
        found = {alert.rule: alert for alert in fired if alert.service == "payments"}
        assert {"availability-fast-burn", "latency-fast-burn"} <= found.keys()
        assert "availability-slow-burn" not in found
        fast = found["availability-fast-burn"]
        assert (fast.service, fast.threshold, fast.unit) == ("payments", 14.4, "x")
        assert fast.summary.startswith(
            "payments burns the budget of its objective 99.9% 500 times too fast: 50 % of calls failed"
        )
        view = shop.alerting.view()
        rules = {rule.name: rule.condition for rule in view.rules if rule.service == "payments"}
        assert rules["latency-fast-burn"] == (
            "p99 < 40ms: budget burned > 14.4 times too fast over 1 h and 5 min"
        )


@pytest.mark.parametrize(("bound", "is_late"), [("140ms", False), ("130ms", True)])
async def test_calls_are_late_only_where_they_took_as_long_as_the_bound_of_their_objective(
    tmp_path: Path, bound: str, is_late: bool
) -> None:
    more = f'[services.payments.objectives]\nlatency = "p99 < {bound}"\n'
    async with watched(till(tmp_path, more=more), tmp_path) as shop:
        await shop.place("ok", 1)
        recorder = shop.process.host.recorder
        assert recorder is not None
        (calls,) = (
            each.durations
            for each in recorder.measures.series()
            if (each.name, each.service) == ("rpc.server.call.duration", "payments")
        )
        for _ in range(20):
            calls.add(0.13)
        fired = {alert.rule for alert in await shop.look()}
    assert ("latency-fast-burn" in fired) is is_late


async def test_what_a_contract_aims_at_is_an_objective_unless_borough_toml_says_another(
    tmp_path: Path,
) -> None:
    more = '[services.orders.objectives]\navailability = "90%"\n'
    async with watched(till(tmp_path, more=more), tmp_path) as shop:
        found = {
            (rule.name, rule.source): rule.condition
            for rule in shop.alerting.view().rules
            if rule.service == "orders"
        }
        assert found["latency-fast-burn", "contract"].startswith("p99 < 9s: budget burned")
        assert found["availability-fast-burn", "borough.toml"].startswith("90%: budget burned")
        assert len(found) == 6
    more = '[services.orders.objectives]\nlatency = "p50 < 8s"\n'
    async with watched(till(tmp_path / "other", more=more), tmp_path / "other") as shop:
        said = [rule for rule in shop.alerting.view().rules if rule.service == "orders"]
        assert {(rule.source, rule.condition[:8]) for rule in said} == {
            ("borough.toml", "p50 < 8s")
        }


async def test_alerts_silences_and_what_was_said_of_them_outlive_a_restart(tmp_path: Path) -> None:
    system = till(tmp_path)
    async with watched(system, tmp_path) as shop:
        await shop.place("broken")
        (alert,) = await shop.fired()
        await shop.alerting.acknowledge(alert.id, "I look", "ann")
        await shop.alerting.silence("failing-calls", "payments", 600, "known", "ann")
    async with watched(system, tmp_path) as shop:
        view = shop.alerting.view()
        assert [(each.id, each.note) for each in view.alerts] == [(alert.id, "I look")]
        assert [each.reason for each in view.silences] == ["known"]
        assert view.alerts[0].silenced_until == view.silences[0].until


async def test_a_silence_of_what_there_is_not_is_refused(shop: Watched) -> None:
    with pytest.raises(InvalidRequest, match="no rule failing-call; did you mean failing-calls"):
        await shop.alerting.silence("failing-call", None, 60, "x", "ann")
    with pytest.raises(InvalidRequest, match="no service payment; did you mean payments"):
        await shop.alerting.silence(None, "payment", 60, "x", "ann")
    with pytest.raises(InvalidRequest, match="for_s is a number of seconds"):
        await shop.alerting.silence(None, "payments", 0, "x", "ann")
    with pytest.raises(InvalidRequest, match="reason says why"):
        await shop.alerting.silence(None, "payments", 60, " ", "ann")
    with pytest.raises(NotFound, match="no silence x"):
        await shop.alerting.end_silence("x")
    with pytest.raises(NotFound, match="No alert x fires now"):
        await shop.alerting.acknowledge("x", "", "ann")


async def test_a_handler_whose_database_does_not_say_is_told_as_unknown(shop: Watched) -> None:
    facts = OwnFacts(shop.process, shop.clock.monotonic())
    assert (await facts.tell()).unknown == ()
    for service in shop.process.host.services.values():
        assert service.database is not None
        await service.database.store.close()
    told = await facts.tell()
    assert set(told.unknown) == {"orders.mark_paid payments.Payments", "payments"}
    assert "payments" not in told.outboxes
