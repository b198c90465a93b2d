"""The accounts service."""

from typing import Any, final

from borough import Clock, Database, Service, TokenIssuer, current_call
from borough.errors import ConstraintViolated
from shop.accounts import data
from shop.accounts.contract import (
    Account,
    AccountOpened,
    Accounts,
    EmailTaken,
    Session,
    UnknownAccount,
    WrongPassword,
)
from shop.accounts.passwords import Passwords


@final
class AccountService(Service, Accounts):
    """Knows who a customer is."""

    db: Database
    tokens: TokenIssuer
    clock: Clock

    def __init__(self, **dependencies: Any) -> None:
        super().__init__(**dependencies)
        self._passwords = Passwords()

    async def sign_up(self, email: str, name: str, password: str) -> Account:
        password_hash = await self._passwords.hash(password)
        account = Account(account_id=str(self.clock.new_id()), email=email.lower(), name=name)
        try:
            async with self.db.transaction() as tx:
                await data.add(tx, account, password_hash, self.clock.now())
                tx.publish(
                    AccountOpened(account_id=account.account_id, email=account.email, name=name)
                )
        except ConstraintViolated:
            raise EmailTaken() from None
        return account

    async def login(self, email: str, password: str) -> Session:
        known = await data.credentials(self.db, email.lower())
        fits = await self._passwords.fits(password, known.password_hash if known else None)
        if known is None or not fits:
            raise WrongPassword()
        token = await self.tokens.issue(known.account_id, claims={"name": known.name})
        return Session(token=token, account_id=known.account_id, name=known.name)

    async def profile(self) -> Account:
        return await self.account(current_call().user.subject)

    async def account(self, account_id: str) -> Account:
        found = await data.account(self.db, account_id)
        if found is None:
            raise UnknownAccount()
        return found
