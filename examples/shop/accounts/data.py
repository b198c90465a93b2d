"""The rows of the accounts service."""

from datetime import datetime

from borough import Database, Struct, Transaction
from shop.accounts.contract import Account


class Credentials(Struct):
    """What a login is checked against."""

    account_id: str
    name: str
    password_hash: str


async def add(tx: Transaction, account: Account, password_hash: str, now: datetime) -> None:
    """Add an account. Raises `ConstraintViolated` where the address has one."""
    await tx.execute(
        "insert into accounts (account_id, email, name, password_hash, opened_at)"
        " values ($1, $2, $3, $4, $5)",
        account.account_id,
        account.email,
        account.name,
        password_hash,
        now,
    )


async def account(db: Database, account_id: str) -> Account | None:
    """One account."""
    return await db.maybe(
        Account, "select account_id, email, name from accounts where account_id = $1", account_id
    )


async def credentials(db: Database, email: str) -> Credentials | None:
    """What belongs to a mail address."""
    return await db.maybe(
        Credentials,
        "select account_id, name, password_hash from accounts where email = $1",
        email,
    )
