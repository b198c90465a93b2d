"""How a mail leaves: as a file in a mailbox folder, or over SMTP.

Both may be told the same mail twice, after a crash. The file then replaces itself; over SMTP the
second copy has the same Message-ID, by which mail programs know it.
"""

import os
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from borough import Secret, in_thread
from shop.notifications.contract import Mail

SENDER = "The shop <shop@shop.example>"


class Delivery(Protocol):
    """Takes mails to where they are read."""

    async def deliver(self, mail: Mail) -> None:
        """Deliver a mail, surely, before this returns."""
        ...


class MailboxFolder:
    """A folder in the manner of Maildir: whole mails appear in `new`, one file each."""

    def __init__(self, folder: Path) -> None:
        self._unfinished = folder / "tmp"
        self._new = folder / "new"
        for part in (self._unfinished, self._new, folder / "cur"):
            part.mkdir(parents=True, exist_ok=True)

    async def deliver(self, mail: Mail) -> None:
        await in_thread(self._write, f"{mail.mail_id}.eml", bytes(message_of(mail)))

    def _write(self, name: str, content: bytes) -> None:
        with (self._unfinished / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (self._unfinished / name).rename(self._new / name)
        folder = os.open(self._new, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name is as durable as the mail
        finally:
            os.close(folder)


class SmtpServer:
    """A mail server, over TLS as soon as there is a password to protect."""

    def __init__(self, host: str, port: int, user: str, password: Secret) -> None:
        self._connect: Callable[[], smtplib.SMTP] = lambda: smtplib.SMTP(host, port, timeout=10)
        self._user = user
        self._password = password

    async def deliver(self, mail: Mail) -> None:
        await in_thread(self._send, message_of(mail))

    def _send(self, message: EmailMessage) -> None:
        with self._connect() as server:
            if self._user:
                server.starttls()
                server.login(self._user, self._password.reveal())
            server.send_message(message)


def message_of(mail: Mail) -> EmailMessage:
    """A mail in the form of RFC 5322. Raises `ValueError` for an address that can stand in none."""
    message = EmailMessage()
    message["From"] = SENDER
    try:
        message["To"] = mail.recipient
        read = [address.addr_spec for address in message["To"].addresses]
    except (AttributeError, IndexError, TypeError) as error:  # what Python's parser stumbles over
        raise ValueError("the recipient's address cannot be read") from error
    if read != [mail.recipient]:
        raise ValueError("the recipient's address is not the one that a mail program reads")
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.sent_at)
    message["Message-ID"] = f"<{mail.mail_id}@shop.example>"
    message.set_content(mail.text)
    return message
