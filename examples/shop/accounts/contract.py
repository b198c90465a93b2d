"""What the accounts service promises."""

from typing import Annotated, Protocol

from borough import ANYONE, USER, Event, Key, Meta, Problem, Struct, contract, get, post

# What stands between the dots: no space, no control character, none of RFC 5322's special ones, and no
# question mark: a mail program takes `=?utf-8?q?...?=` for what it stands for, line breaks and all.
_ATOM = r'[^@\s\x00-\x1f\x7f-\x9f"(),.:;<>?\[\\\]]+'
Email = Annotated[
    str,
    Meta(
        pattern=rf"^{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})+$",
        max_length=254,
        examples=["ada@shop.example"],
    ),
]
Name = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=100, examples=["Ada Lovelace"])
]
Password = Annotated[str, Meta(min_length=8, max_length=200, examples=["correct horse"])]


class Account(Struct):
    """A customer, without anything secret."""

    account_id: str
    email: str
    name: str


class Session(Struct):
    """Proof of who is calling: send `token` as `Authorization: Bearer ...`."""

    token: str
    account_id: str
    name: str


class EmailTaken(Problem, status=409):
    """There is an account with this mail address already."""


class WrongPassword(Problem, status=401):
    """Mail address and password do not belong together."""


class UnknownAccount(Problem, status=404):
    """There is no such account."""


class AccountOpened(Event):
    """A customer has signed up."""

    account_id: Key[str]
    email: str
    name: str


@contract("accounts", version="1.0", publishes=[AccountOpened])
class Accounts(Protocol):
    """Knows who a customer is."""

    @post("/", allow=ANYONE, status=201, raises=[EmailTaken])
    async def sign_up(self, email: Email, name: Name, password: Password) -> Account:
        """Open an account."""
        ...

    @post("/sessions", allow=ANYONE, status=201, raises=[WrongPassword])
    async def login(self, email: str, password: str) -> Session:
        """Begin a session. An unknown address is answered exactly like a wrong password."""
        ...

    @get("/me", allow=USER, raises=[UnknownAccount])
    async def profile(self) -> Account:
        """The account of the signed-in customer."""
        ...

    @get("/{account_id}", raises=[UnknownAccount])
    async def account(self, account_id: str) -> Account:
        """Any account, for other services."""
        ...
