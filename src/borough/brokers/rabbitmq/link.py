"""A connection to RabbitMQ that is made when it is needed, and made anew when it was lost.

There is one for each direction: RabbitMQ stops reading from a connection whose publisher is too
fast, and acknowledgements must not wait behind that. Whatever goes wrong is a `BrokerError`; who
asks again later finds a new connection, once the broker takes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)
from yarl import URL

from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.ending import until_done
from borough.errors import BrokerError, ConfigurationError

__all__ = ["Link", "ended", "spoken"]

_CLOSING_S = 5.0
_OPENING_S = 5.0


class Link:
    """The connection of one process and direction; `purpose` is its name at the broker.

    Raises `ConfigurationError` for a URL that is none of AMQP.
    """

    def __init__(self, url: str, purpose: str, terms: RabbitmqTerms) -> None:
        self._url = _address(url).update_query(heartbeat=str(terms.heartbeat_s), name=purpose)
        self._terms = terms
        self._turn = asyncio.Lock()
        self._connection: Any = None
        self._closed = False

    @property
    def place(self) -> str:
        """Where the broker is, without any secret."""
        return f"{self._url.host}:{self._url.port or 5672}"

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A channel of its own. Raises `BrokerError`, `ConfigurationError` where it is refused for good."""
        async with spoken(self.place, self._terms.patience_s):
            connection = await self._connected()
            channel: AbstractChannel = await connection.channel(
                publisher_confirms=confirms, on_return_raises=True
            )
            return channel

    @asynccontextmanager
    async def spoken_on(self) -> AsyncGenerator[AbstractChannel]:
        """A channel for what is said in the block, closed behind it. Raises as `channel` and `spoken` do."""
        channel = await self.channel()
        try:
            async with spoken(self.place, self._terms.patience_s):
                yield channel
        finally:
            await ended(channel.close())

    async def unblocked(self) -> None:
        """Wait while the broker takes nothing for want of memory or disk. Raises `BrokerError`."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(self._terms.patience_s):
                await connection.ready()
        except TimeoutError:
            raise BrokerError(
                f"RabbitMQ at {self.place} takes no events for now: it is short of memory or disk"
            ) from None

    async def close(self) -> None:
        """End it for good. Idempotent."""
        self._closed = True
        async with self._turn:
            await self._drop()

    async def _connected(self) -> Any:
        async with self._turn:
            if self._closed:
                raise BrokerError("the connection to RabbitMQ is closed")
            if self._connection is None or not self._connection.is_opened:
                await self._drop()
                connection: Any = aiormq.Connection(self._url)
                try:
                    async with asyncio.timeout(_OPENING_S):
                        await connection.connect()
                except BaseException:
                    await ended(connection.close())
                    raise
                self._connection = connection
            return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await ended(connection.close())


def _address(url: str) -> URL:
    try:
        found = URL(url)
    except ValueError:
        found = None
    if found is None or found.scheme not in ("amqp", "amqps") or not found.host:
        # It may have a password, and is not repeated.
        raise ConfigurationError(
            "events.rabbitmq.url is no address of RabbitMQ: give amqp://HOST, or amqps://HOST for TLS"
        )
    return found


async def ended(closing: Coroutine[Any, Any, Any]) -> None:
    """Let the library close something, for a while; how that ends is of no interest.

    Whoever is cancelled waits as well: what was not closed would stay open, and a channel go on reading.
    """
    await until_done(asyncio.ensure_future(_ended(closing)))


async def _ended(closing: Coroutine[Any, Any, Any]) -> None:
    # It is a task of its own: what is closed cancels whoever waits for it.
    task = asyncio.ensure_future(closing)
    await asyncio.wait([task], timeout=_CLOSING_S)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CLOSING_S)
    if task.done() and not task.cancelled():
        task.exception()  # nobody else asks for it


@asynccontextmanager
async def spoken(place: str, patience_s: float) -> AsyncGenerator[None]:
    """What the client library raises in the block becomes a sentence of ours."""
    task = asyncio.current_task()
    try:
        async with asyncio.timeout(patience_s):
            yield
    except asyncio.CancelledError:
        if task is None or task.cancelling():
            raise
        raise BrokerError(f"the connection to RabbitMQ at {place} was closed") from None
    except TimeoutError:
        raise BrokerError(f"RabbitMQ at {place} did not answer in {patience_s:g} s") from None
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise ConfigurationError(
            f"RabbitMQ at {place} refuses the user or the password; set events.rabbitmq.url"
        ) from error
    except ChannelPreconditionFailed as error:
        raise ConfigurationError(
            f"RabbitMQ at {place} has it with other settings: {error}. Undo the change in "
            "[events.rabbitmq], or raise events.rabbitmq.version: handlers then have new queues, "
            "and take what the old ones still hold from its publisher"
        ) from error
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        raise BrokerError(f"RabbitMQ at {place}: {str(error) or type(error).__name__}") from error
    except RuntimeError as error:  # how the library says that a connection has just been closed
        raise BrokerError(f"RabbitMQ at {place}: {error}") from error
