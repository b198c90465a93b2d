"""Teams are told of their alerts: by webhook, signed, or by mail; once, and of the end, too."""

import asyncio
from pathlib import Path

import msgspec

from borough.alerting.alerting import Alerting
from borough.alerting.declared import Route, declared_in
from borough.alerting.facts import OwnFacts
from borough.alerting.telling import Message, Telling
from borough.alerting.view import AlertView
from borough.clock import SystemClock
from borough.services.settings import Secret
from tests.alerting.post_office import PostOffice, post_office
from tests.alerting.till import Watched, till, watched
from tests.runtime.bakery import ENVIRONMENT, cafe

SIGNED = 'alerts = "{url}"\nalerts_secret = "env:BAKERY_SECRET"'


async def settled(shop: Watched) -> None:
    """What is to be told by now has been sent, or refused."""
    await shop.look()
    async with asyncio.timeout(20):
        await shop.alerting.sent()


async def test_a_team_gets_one_signed_message_of_what_fires_and_one_for_the_end(
    tmp_path: Path,
) -> None:
    async with cafe() as (receiver, url):
        system = till(tmp_path, SIGNED.format(url=url), environment=ENVIRONMENT)
        async with watched(system, tmp_path) as shop:
            await shop.place("broken")
            await shop.fired()
            await settled(shop)
            await settled(shop)
            (told,) = receiver.heard
            assert (told["system"], told["team"]) == ("till", "checkout")
            assert [alert["rule"] for alert in told["firing"]] == ["failing-calls"]
            await shop.look(60)
            await shop.look(31)
            await settled(shop)
            ended = receiver.heard[-1]
            assert [alert["rule"] for alert in ended["resolved"]] == ["failing-calls"]
            assert ended["resolved"][0]["state"] == "resolved"
            (route,) = shop.alerting.view().routes
            assert (route.channel, route.last_error) == ("webhook", None)
            assert route.to.startswith("http://127.0.0.1:")
            assert "bread" not in route.to


async def test_a_message_that_is_refused_is_sent_again_later_with_the_same_id(
    tmp_path: Path,
) -> None:
    async with cafe() as (receiver, url):
        receiver.answers = [500, 503]
        system = till(tmp_path, SIGNED.format(url=url), environment=ENVIRONMENT)
        async with watched(system, tmp_path) as shop:
            await shop.place("broken")
            await shop.fired()
            await settled(shop)
            (route,) = shop.alerting.view().routes
            assert route.last_error is not None
            assert route.last_error.endswith("answered 500")
            assert len(receiver.asked) == 1
            for _ in range(2):
                shop.clock.ahead_s += 5
                await settled(shop)
            ids = [request.headers.get("webhook-id") for request in receiver.asked]
            assert len(ids) == 3
            assert len(set(ids)) == 1
            (route,) = shop.alerting.view().routes
            assert route.last_error is None


async def test_a_team_gets_a_mail(tmp_path: Path) -> None:
    async with post_office() as post:
        more = (
            f'[alerts.mail]\nhost = "127.0.0.1"\nport = {post.port}\nsecurity = "none"\n'
            'sender = "alerts@shop.example"\n'
        )
        system = till(tmp_path, 'alerts = "mailto:night@shop.example"', more)
        async with watched(system, tmp_path) as shop:
            await shop.place("broken")
            await shop.fired()
            await settled(shop)
            to, mail = post.mails.get_nowait()
            assert (to, mail["From"]) == ("night@shop.example", "alerts@shop.example")
            assert str(mail["Subject"]).startswith("[till] fires: failing-calls, payments.Payments")
            assert "RuntimeError" in mail.get_content()
            assert "console: /console/#/traces?service=payments&status=error" in mail.get_content()


async def test_what_an_error_says_moves_nobodys_cursor_and_turns_no_line_around(
    tmp_path: Path,
) -> None:
    async with post_office() as post:
        more = f'[alerts.mail]\nhost = "127.0.0.1"\nport = {post.port}\nsecurity = "none"\n'
        system = till(tmp_path, 'alerts = "mailto:night@shop.example"', more)
        async with watched(system, tmp_path) as shop:
            await shop.place("ok", times=1, order="poison\x1b[2J\u202e")
            alert = await shop.once("dead-letters")
            assert "no order poison\ufffd[2J\ufffd0" in alert.summary
            await settled(shop)
            _, mail = post.mails.get_nowait()
            assert "no order poison\ufffd[2J\ufffd0" in mail.get_content()


async def test_what_others_wrote_adds_no_fields_to_a_mail(tmp_path: Path) -> None:
    async with post_office() as post:
        more = f'[alerts.mail]\nhost = "127.0.0.1"\nport = {post.port}\nsecurity = "none"\n'
        configuration = till(tmp_path, "", more).configuration
        telling = Telling(configuration.options, declared_in(configuration, {}), SystemClock())
        message = written("ValueError: =?utf-8?q?=0D=0AX-Eve=3A_hello?=")
        await telling.tell(Route("checkout", "mail", Secret("night@shop.example")), message)
        _, mail = post.mails.get_nowait()
        assert "x-eve" not in mail
        assert mail["Subject"].endswith("ValueError: = ?utf-8?q?=0D=0AX-Eve=3A_hello?=")


def written(summary: str) -> Message:
    """A message of one alert that says this."""
    alert = AlertView(
        id="a",
        rule="crash-loop",
        service="orders",
        team="checkout",
        severity="page",
        state="firing",
        summary=summary,
        value=3,
        threshold=2,
        unit="",
        since=1,
        fired_at=1,
        resolved_at=None,
        acknowledged_by=None,
        note=None,
        silenced_until=None,
        runbook=None,
        look="#/service/orders",
    )
    return Message(id="m", system="till", team="checkout", firing=[alert], resolved=[])


def test_a_message_shows_what_others_wrote_as_plain_text() -> None:
    message = written("it ended (\x1b]0;all is well\x07)")
    assert "it ended (\ufffd]0;all is well\ufffd)" in message.subject
    assert message.text.startswith("FIRES: it ended (\ufffd]0;all is well\ufffd)\n")


async def why_no_mail_went(post: PostOffice, folder: Path) -> str:
    """What is said of a route by mail after an alert has fired, and its mail was not taken."""
    more = f'[alerts.mail]\nhost = "127.0.0.1"\nport = {post.port}\n'
    system = till(folder, 'alerts = "mailto:night@shop.example"', more)
    async with watched(system, folder) as shop:
        await shop.place("broken")
        await shop.fired()
        await settled(shop)
        (route,) = shop.alerting.view().routes
        assert route.last_error is not None
        return route.last_error


async def test_a_mail_never_goes_in_clear_text_where_tls_is_wanted(tmp_path: Path) -> None:
    async with post_office() as post:
        assert "STARTTLS" in await why_no_mail_went(post, tmp_path)
        assert post.mails.empty()


async def test_what_a_mail_server_says_of_an_address_does_not_show_it(tmp_path: Path) -> None:
    async with post_office() as post:
        post.greeting = b"554 nobody writes to night@shop.example\r\n"
        assert "nobody writes to ***" in await why_no_mail_went(post, tmp_path)


def under_way() -> list[str]:
    return [name for each in asyncio.all_tasks() if (name := each.get_name()) == "alerts message"]


async def test_whatever_goes_wrong_with_a_message_is_shown_and_it_is_tried_again_later(
    tmp_path: Path,
) -> None:
    system = till(tmp_path)
    async with watched(system, tmp_path) as shop:
        declared = declared_in(system.configuration, shop.process.host.services)
        nowhere = {"checkout": Route("checkout", "webhook", Secret("nowhere"))}
        shop.alerting = Alerting(
            system.configuration.options,
            msgspec.structs.replace(declared, routes=nowhere),
            OwnFacts(shop.process, shop.clock.monotonic()),
            shop.clock,
            tmp_path / "others",
        )
        await shop.look()
        await shop.place("broken")
        await shop.fired()
        await settled(shop)
        (route,) = shop.alerting.view().routes
        assert route.last_error is not None
        assert route.last_error.startswith("teams.checkout.alerts is no URL")
        await shop.look()
        assert under_way() == []
        await shop.look(5)
        assert under_way() == ["alerts message"]
        await shop.alerting.sent()


async def test_nobody_is_told_of_what_is_silenced(tmp_path: Path) -> None:
    async with cafe() as (receiver, url):
        system = till(tmp_path, SIGNED.format(url=url), environment=ENVIRONMENT)
        async with watched(system, tmp_path) as shop:
            silence = await shop.alerting.silence(None, "payments", 3600, "known", "ann")
            await shop.place("broken")
            await shop.fired()
            await settled(shop)
            assert receiver.asked == []
            await shop.alerting.end_silence(silence.id)
            await settled(shop)
            assert len(receiver.asked) == 1


async def test_what_fired_while_its_team_had_no_address_is_told_once_it_has_one(
    tmp_path: Path,
) -> None:
    async with watched(till(tmp_path), tmp_path) as shop:
        await shop.place("broken")
        assert len(await shop.fired()) == 1
        await settled(shop)
    async with cafe() as (receiver, url):
        system = till(tmp_path, SIGNED.format(url=url), environment=ENVIRONMENT)
        async with watched(system, tmp_path) as shop:
            await settled(shop)
            assert [alert["rule"] for alert in receiver.heard[0]["firing"]] == ["failing-calls"]


async def test_a_team_that_could_not_answer_is_told_of_the_end(tmp_path: Path) -> None:
    async with cafe() as (receiver, url):
        receiver.answers = [500, 500]
        system = till(tmp_path, SIGNED.format(url=url), environment=ENVIRONMENT)
        async with watched(system, tmp_path) as shop:
            await shop.place("broken")
            await shop.fired()
            await settled(shop)
            for pause_s in (60, 31):
                shop.clock.ahead_s += pause_s
                await settled(shop)
            assert [alert["rule"] for alert in receiver.heard[-1]["resolved"]] == ["failing-calls"]
            assert receiver.heard[-1]["firing"] == []
