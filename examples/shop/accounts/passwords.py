"""Password hashes: argon2id with the parameters that OWASP recommends, off the event loop.

A hash takes 19 MiB and some 40 ms of a core, on purpose. At most two run at once, so that a rush
of logins costs neither the memory of the process nor the time of the other services.
"""

import asyncio
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from borough import in_thread
from borough.errors import Unavailable

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

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """A salted hash with its parameters. Raises `Unavailable` when too many are waiting."""
        async with _Turn(self._slots):
            return await in_thread(_hash, password)

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password belongs to the hash; takes as long where there is none."""
        async with _Turn(self._slots):
            fits = await in_thread(_fits, password, password_hash or NOBODY)
        return fits and password_hash is not None


class _Turn:
    """One of the slots, had within a bounded time."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("Too many people are signing in", retry_after_s=1) from None

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()


def _hash(password: str) -> str:
    argon = Argon2id(
        salt=os.urandom(16), length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return argon.derive_phc_encoded(password.encode())


def _fits(password: str, password_hash: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode(), password_hash)
    except InvalidKey:
        return False
    return True
