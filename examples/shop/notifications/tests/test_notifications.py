"""Notifications: what is written, and that it arrives once."""

import asyncio
import email
import email.policy
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from borough import Secret
from borough.testing import Mode, Running, free_port, start
from shop.accounts.contract import AccountOpened, Accounts
from shop.notifications import texts
from shop.notifications.contract import Mail, Notifications
from shop.notifications.delivery import MailboxFolder, SmtpServer, message_of
from shop.orders.contract import Buyer, Line, OrderCancelled, OrderPaid, OrderState

SHOP = Path(__file__).parents[2]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BUYER = Buyer(account_id="ada", name="Ada", email="ada@shop.example")


def mail(recipient: str = "ada@shop.example") -> Mail:
    return Mail(
        mail_id="m-1",
        recipient=recipient,
        subject="Welcome",
        text="Dear Ada,\n",
        about="ada",
        sent_at=NOON,
    )


def read(file: Path) -> EmailMessage:
    return email.message_from_bytes(file.read_bytes(), policy=email.policy.default)


def delivered(shop: Running) -> list[Path]:
    return sorted((shop.data_folder / "notifications" / "mailbox" / "new").iterdir())


async def test_a_new_customer_gets_a_welcome(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["accounts", "notifications"]) as shop:
        ada = await shop.client(Accounts).sign_up("ada@shop.example", "Ada", "correct horse")
        await shop.quiet()
        [noted] = (await shop.client(Notifications, user=ada.account_id).mails()).items
        assert (noted.recipient, noted.about) == ("ada@shop.example", ada.account_id)
        [file] = delivered(shop)
        assert file.name == f"{noted.mail_id}.eml"
        assert read(file).get_content() == noted.text
        assert not (await shop.client(Notifications, user="bob").mails()).items


async def test_mails_over_smtp_when_a_server_is_named(mode: Mode) -> None:
    async with mail_server() as (port, received):
        settings = {
            "services.notifications.settings.smtp_host": "127.0.0.1",
            "services.notifications.settings.smtp_port": port,
        }
        only = ["accounts", "notifications"]
        async with start(SHOP, mode=mode, only=only, settings=settings) as shop:
            await shop.client(Accounts).sign_up("ada@shop.example", "Ada", "correct horse")
            await shop.quiet()
        [message] = received
        assert "To: ada@shop.example" in message


async def test_the_same_mail_twice_is_one_file(tmp_path: Path) -> None:
    mailbox = MailboxFolder(tmp_path)
    await mailbox.deliver(mail())
    await mailbox.deliver(mail())
    [file] = (tmp_path / "new").iterdir()
    assert read(file)["Message-ID"] == "<m-1@shop.example>"
    assert not list((tmp_path / "tmp").iterdir())


@given(st.from_regex(r"[^@\s]+@[^@\s]+\.[^@\s]+", fullmatch=True))
@example(".<a@b.c>")
@example("():@b.c")
@example("().@b.c")
def test_no_address_can_add_a_header_to_a_mail(address: str) -> None:
    try:
        content = bytes(message_of(mail(address)))
    except ValueError:
        return  # refused
    names = [line.split(b":")[0] for line in content.split(b"\n\n")[0].split(b"\n") if b":" in line]
    assert b"Bcc" not in names


def test_a_receipt_lists_what_was_bought() -> None:
    lines = (Line(sku="K-1", name="Kettle", quantity=2, price_cents=4990),)
    letter = texts.receipt(OrderPaid(order_id="o-1", buyer=BUYER, lines=lines, total_cents=9980))
    assert letter.recipient == "ada@shop.example"
    assert "2 x Kettle" in letter.text
    assert "99.80 EUR" in letter.text


def test_a_regret_says_why() -> None:
    for state in (OrderState.DECLINED, OrderState.CANCELLED):
        event = OrderCancelled(order_id="o-1", buyer=BUYER, state=state, reason="no money")
        assert "no money" in texts.regret(event).text


def test_a_welcome_names_the_customer() -> None:
    event = AccountOpened(account_id="ada", email="ada@shop.example", name="Ada")
    assert "Dear Ada," in texts.welcome(event).text


def test_amounts_are_written_as_people_write_them() -> None:
    assert [texts.euros(cents) for cents in (5, 100, 123456)] == [
        "0.05 EUR",
        "1.00 EUR",
        "1,234.56 EUR",
    ]


@asynccontextmanager
async def mail_server() -> AsyncGenerator[tuple[int, list[str]]]:
    """A server that speaks as much SMTP as a sender needs, and keeps what it is sent."""
    received: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            match line.split()[0].upper():
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    received.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    writer.write(b"250 kept\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 yes\r\n")
        writer.close()

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield port, received
    finally:
        server.close()


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(vars(SmtpServer("localhost", 587, "shop", Secret("hunter2"))))
