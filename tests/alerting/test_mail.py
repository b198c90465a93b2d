"""A mail is delivered, or it is known in time that it is not, whatever its server does."""

import asyncio
import smtplib
import threading
from email.message import EmailMessage

import msgspec
import pytest

from borough.alerting.mail import deliver
from borough.runtime.alert_options import AlertMailOptions
from tests.alerting.post_office import PostOffice, post_office


def options(post: PostOffice) -> AlertMailOptions:
    return AlertMailOptions(host="127.0.0.1", port=post.port, security="none")


def mail() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@shop.example", "b@shop.example", "tea"
    made.set_content("It is cold.")
    return made


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "alert mail"]


async def test_a_server_that_trickles_is_left_in_time_and_its_thread_ends() -> None:
    async with post_office() as post:
        post.trickles = True
        with pytest.raises(TimeoutError, match=r"no end after 0\.2 s"):
            await deliver(mail(), options(post), None, 0.2)
        for thread in threads():
            await asyncio.to_thread(thread.join, 5)
        assert threads() == []


async def test_a_server_that_is_silent_to_tls_is_left_in_time_and_its_thread_ends() -> None:
    async with post_office() as post:
        post.greeting = b""
        encrypted = msgspec.structs.replace(options(post), security="tls")
        with pytest.raises(TimeoutError, match=r"no end after 0\.2 s"):
            await deliver(mail(), encrypted, None, 0.2)
        for thread in threads():
            await asyncio.to_thread(thread.join, 5)
        assert threads() == []


async def test_who_is_cancelled_does_not_wait_for_a_server_that_trickles() -> None:
    async with post_office() as post:
        post.trickles = True
        telling = asyncio.create_task(deliver(mail(), options(post), None, 60))
        await post.came.wait()
        telling.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([telling])
        assert telling.cancelled()


async def test_a_mail_that_was_taken_is_told_however_the_server_says_goodbye() -> None:
    async with post_office() as post:
        post.goodbye = b"421 closing\r\n"
        await deliver(mail(), options(post), None, 10)
        assert post.mails.qsize() == 1


async def test_a_mail_that_was_taken_is_told_where_the_server_says_no_goodbye() -> None:
    async with post_office() as post:
        post.goodbye = b""
        await deliver(mail(), options(post), None, 2)
        assert post.mails.qsize() == 1


async def test_a_mail_that_was_refused_is_not_told() -> None:
    async with post_office() as post:
        post.greeting = b"554 not today\r\n"
        with pytest.raises(smtplib.SMTPConnectError, match="not today"):
            await deliver(mail(), options(post), None, 10)
