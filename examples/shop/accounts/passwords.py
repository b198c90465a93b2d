"""Password hashes: argon2id with the parameters that OWASP recommends, off the event loop.

A hash takes 19 MiB and some 40 ms of a core, on purpose. At most two run at once, so that a rush
of logins costs neither the memory of the process nor the time of the other services.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

from borough import in_thread
from borough.errors import Unavailable

T = TypeVar("T")

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
AT_ONCE = 2
LONGEST_WAIT_S = 3.0

# The hash of no password: checking against it makes an unknown address cost what a known one does.
NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1"
    "$bm9ib2R5IGlzIGhlcmUuLg$LefwjYPLB6oNMhYtjflEVhBZ2LizCa3lNwTApI3JetY"
)


class Passwords:
    """Makes and checks password hashes, two at a time."""

    def __init__(self, *, at_once: int = AT_ONCE, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._longest_wait_s = longest_wait_s

    async def hash(self, password: str) -> str:
        """A salted hash with its parameters. Raises `Unavailable` when too many are waiting."""
        return await self._in_turn(_hash, password)

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password belongs to the hash; takes as long where there is none."""
        fits = await self._in_turn(_fits, password, password_hash or NOBODY)
        return fits and password_hash is not None

    async def _in_turn(self, function: Callable[..., T], *args: str) -> T:
        try:
            async with asyncio.timeout(self._longest_wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many people are signing in", retry_after_s=1) from None
        work = asyncio.ensure_future(in_thread(function, *args))
        work.add_done_callback(self._ended)
        # A thread cannot be stopped: the turn ends when the work does, not when the caller leaves.
        return await asyncio.shield(work)

    def _ended(self, work: asyncio.Future[Any]) -> None:
        self._slots.release()
        if not work.cancelled():
            work.exception()


# Both run in a thread and import there: the start of the shop does not wait for cryptography.


def _hash(password: str) -> str:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    argon = Argon2id(
        salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return argon.derive_phc_encoded(password.encode())


def _fits(password: str, password_hash: str) -> bool:
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(password.encode(), password_hash)
    except InvalidKey:
        return False
    return True
