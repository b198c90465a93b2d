"""The rows of the notifications service: what has been sent."""

from borough import Database, Transaction
from shop.notifications.contract import Mail


async def add(tx: Transaction, account_id: str, mail: Mail) -> None:
    """Note that a mail has been sent; noting it again changes nothing."""
    await tx.execute(
        "insert into mails (mail_id, account_id, recipient, subject, text, about, sent_at)"
        " values ($1, $2, $3, $4, $5, $6, $7) on conflict (mail_id) do nothing",
        mail.mail_id,
        account_id,
        mail.recipient,
        mail.subject,
        mail.text,
        mail.about,
        mail.sent_at,
    )


async def mails_of(db: Database, account_id: str, after: str | None, limit: int) -> list[Mail]:
    """A customer's mails, the latest first, those older than `after`."""
    return await db.all(
        Mail,
        "select * from mails where account_id = $1 and ((sent_at, mail_id) <"
        " (select sent_at, mail_id from mails where mail_id = $2) or $2 is null)"
        " order by sent_at desc, mail_id desc limit $3",
        account_id,
        after,
        limit,
    )
