"""Accounts: signing up, signing in, and what is told of it."""

from pathlib import Path

import pytest

from borough.testing import Mode, start
from shop.accounts.contract import Accounts, EmailTaken, UnknownAccount, WrongPassword

SHOP = Path(__file__).parents[2]
PASSWORD = "correct horse"


async def test_a_customer_signs_up_signs_in_and_sees_the_profile(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["accounts"]) as shop:
        accounts = shop.client(Accounts)
        opened = await accounts.sign_up("ada@shop.example", "Ada", PASSWORD)
        session = await accounts.login("ada@shop.example", PASSWORD)
        assert session.token
        assert (session.account_id, session.name) == (opened.account_id, "Ada")
        assert await shop.client(Accounts, user=opened.account_id).profile() == opened
        assert await accounts.account(opened.account_id) == opened


async def test_an_address_opens_one_account_however_it_is_written(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["accounts"]) as shop:
        accounts = shop.client(Accounts)
        await accounts.sign_up("ada@shop.example", "Ada", PASSWORD)
        with pytest.raises(EmailTaken):
            await accounts.sign_up("ADA@shop.example", "Another", PASSWORD)
        assert (await accounts.login("Ada@Shop.Example", PASSWORD)).name == "Ada"


async def test_an_unknown_address_is_answered_like_a_wrong_password(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["accounts"]) as shop:
        accounts = shop.client(Accounts)
        await accounts.sign_up("ada@shop.example", "Ada", PASSWORD)
        with pytest.raises(WrongPassword) as wrong:
            await accounts.login("ada@shop.example", "wrong horse")
        with pytest.raises(WrongPassword) as unknown:
            await accounts.login("bob@shop.example", PASSWORD)
        assert wrong.value == unknown.value


async def test_an_account_that_is_not_there_is_said_to_be_unknown(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["accounts"]) as shop:
        with pytest.raises(UnknownAccount):
            await shop.client(Accounts, user="nobody").profile()
