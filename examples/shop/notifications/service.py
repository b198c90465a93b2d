"""The notifications service.

A mail goes out in the handler of its event, in the form without a transaction: the outside world
cannot roll back. Then it is noted. If a crash comes between the two, the event comes again and so
does the mail, under the same number, which is the event's id. What fails is tried again, parked and
reported like any other event: a queue of mails of its own would only repeat that.
"""

from pathlib import Path
from typing import final

from borough import Clock, Database, Page, Secret, Service, Settings, current_call, on
from shop.accounts.contract import AccountOpened
from shop.notifications import data, texts
from shop.notifications.contract import Mail, Notifications
from shop.notifications.delivery import Delivery, MailboxFolder, SmtpServer
from shop.notifications.texts import Letter
from shop.orders.contract import OrderCancelled, OrderPaid


class MailSettings(Settings):
    """Where mails go: to a mail server where one is named, else into a folder."""

    mailbox: str = ""  # by default a folder beside the databases
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_password: Secret = Secret("")


@final
class NotificationService(Service, Notifications):
    """Tells customers by mail what has happened."""

    settings: MailSettings
    db: Database
    clock: Clock
    folder: Path

    async def open(self) -> None:
        self._delivery = self._chosen_delivery()

    async def mails(self, after: str | None = None, limit: int = 20) -> Page[Mail]:
        found = await data.mails_of(self.db, current_call().user.subject, after, limit + 1)
        more = found[limit - 1].mail_id if len(found) > limit else None
        return Page(items=tuple(found[:limit]), next=more)

    @on(AccountOpened)
    async def say_welcome(self, event: AccountOpened) -> None:
        await self._send(texts.welcome(event))

    @on(OrderPaid)
    async def send_receipt(self, event: OrderPaid) -> None:
        await self._send(texts.receipt(event))

    @on(OrderCancelled)
    async def send_regret(self, event: OrderCancelled) -> None:
        await self._send(texts.regret(event))

    async def _send(self, letter: Letter) -> None:
        mail = Mail(
            mail_id=current_call().event_id or str(self.clock.new_id()),
            recipient=letter.recipient,
            subject=letter.subject,
            text=letter.text,
            about=letter.about,
            sent_at=self.clock.now(),
        )
        await self._delivery.deliver(mail)
        async with self.db.transaction() as tx:
            await data.add(tx, letter.account_id, mail)

    def _chosen_delivery(self) -> Delivery:
        to = self.settings
        if to.smtp_host:
            return SmtpServer(to.smtp_host, to.smtp_port, to.smtp_user, to.smtp_password)
        return MailboxFolder(Path(to.mailbox) if to.mailbox else self.folder / "mailbox")
