"""What a peer may ask of us, and we of others: sizes, counts and times, all on by default.

Times are watched by one sweep per server, so they are kept to within one `sweep_s`.
"""

from __future__ import annotations

import msgspec

from borough.reliability.balance import BalanceTerms
from borough.reliability.repeats import RepeatTerms
from borough.reliability.throttle import ThrottleTerms

__all__ = ["ClientLimits", "DependencyLimits", "ServerLimits"]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may ask of a server."""

    head_bytes: int = 16 * 1024
    """Request line and header fields together; above it 431."""
    url_bytes: int = 8 * 1024
    """The request target; above it 414."""
    fields: int = 100
    """How many header fields; above it 431."""
    body_bytes: int = 1024 * 1024
    """The body, announced or counted; above it 413."""
    chunk_line_bytes: int = 1024
    """A line that announces a chunk, its extensions included; above it 400."""
    framing_bytes: int = 128 * 1024
    """What frames one chunked body, besides its data: sizes, extensions, line ends; above it 413."""
    trailer_bytes: int = 8 * 1024
    """The trailers of a chunked body, which are read and dropped; above it 431."""
    header_s: float = 5.0
    """To the end of a head, from its first byte, for the first from the accept; then 408."""
    body_idle_s: float = 10.0
    """A body may stand still that long; then 408."""
    body_bytes_per_s: int = 1024
    """The rate a body must keep on average after `body_idle_s`; below it 408."""
    keep_alive_s: float = 75.0
    """A connection may stay open without a request that long."""
    write_idle_s: float = 30.0
    """A client may leave an answer unread that long; then its connection is dropped."""
    write_bytes_per_s: int = 1024
    """The rate at which an answer must be read on average after `write_idle_s`; below it, the same."""
    unread_stream_s: float | None = None
    """In place of `write_idle_s` for a stream, whose client may have enough to do with what it has read; None is
    no longer."""
    held_bytes: int = 64 * 1024 * 1024
    """Bodies not yet complete and answers not yet read, of all connections together; above it the
    connection that has been slow for longest is dropped."""
    linger_s: float = 2.0
    """How long what a refused client still sends is read and thrown away, so that it sees why."""
    connections: int = 10_000
    """Open connections, or what the file limit of the process leaves; one more is told 503."""
    connections_per_address: int = 1_024
    """Open connections of one address (IPv6: of one /64), save trusted proxies; one more is told 429."""
    backlog: int = 1_024
    """Connections that the kernel may hold until they are accepted."""
    sweep_s: float = 1.0
    """How often the times above are looked at."""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks of others, and what it bears from them."""

    connections_per_origin: int = 128
    """Open connections to one host and port."""
    waiters_per_origin: int = 1_024
    """Calls that may wait for a connection to come free; one more is `Unavailable`."""
    connect_s: float = 3.0
    """How long opening a connection may take, TLS included."""
    idle_s: float = 55.0
    """An unused connection is closed after that time, before the server would do it."""
    head_bytes: int = 32 * 1024
    """Status line and header fields of an answer."""
    body_bytes: int = 16 * 1024 * 1024
    """The body of an answer that is not a stream."""
    stream_buffer_bytes: int = 64 * 1024
    """What a stream may have ready before the server is held back."""
    stream_idle_s: float = 60.0
    """How long a stream may be silent between two chunks."""


class DependencyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one service asks of another one that it calls."""

    calls_in_flight: int = 256
    """Calls under way; one more waits here in a burst, and is refused under overload."""
    burst_waiting: int = 128
    """How many wait in a burst; one more is refused."""
    burst_s: float = 1.0
    """How long a burst lasts, and each call waits in it; never longer than a tenth of its time."""
    enough_s: float = 1.0
    """What comes of a call that has less time says nothing of who was called."""
    repeats: RepeatTerms = RepeatTerms()
    throttle: ThrottleTerms = ThrottleTerms()
    balance: BalanceTerms = BalanceTerms()
