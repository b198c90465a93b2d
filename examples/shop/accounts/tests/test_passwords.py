"""Password hashes. No service is running, so the threads are this one."""

import pytest

from borough.errors import Unavailable
from shop.accounts.passwords import NOBODY, Passwords


async def test_a_password_fits_its_own_hash_only() -> None:
    passwords = Passwords()
    made = await passwords.hash("correct horse")
    assert await passwords.fits("correct horse", made)
    assert not await passwords.fits("wrong horse", made)
    assert made != await passwords.hash("correct horse")  # salted


async def test_nothing_fits_where_there_is_no_hash() -> None:
    assert not await Passwords().fits("correct horse", None)


async def test_an_unknown_address_costs_what_a_known_one_does() -> None:
    parameters = (await Passwords().hash("correct horse")).split("$")[:4]
    assert parameters == NOBODY.split("$")[:4] == ["", "argon2id", "v=19", "m=19456,t=2,p=1"]


async def test_who_waits_too_long_for_a_turn_is_told_to_come_back() -> None:
    with pytest.raises(Unavailable):
        await Passwords(at_once=0, longest_wait_s=0.01).hash("correct horse")
