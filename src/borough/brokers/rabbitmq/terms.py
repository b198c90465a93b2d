"""The bounds and waits of events on RabbitMQ."""

from __future__ import annotations

import msgspec

__all__ = ["RabbitmqTerms"]


class RabbitmqTerms(msgspec.Struct, frozen=True):
    """`docs/reference/rabbitmq.md` says why each is what it is."""

    system: str = "system"
    """Whose exchanges and queues these are."""
    prefix: str = "borough"
    """How the names of all exchanges and queues begin."""
    version: int = 1
    """Of the queues: another one means other queues."""
    prefetch: int = 1000
    """Deliveries that a handler holds at once, at most; more than one publisher sends before a confirm."""
    delivery_limit: int = 100
    """How often RabbitMQ gives a message to a process that dies; then it comes by the side door."""
    queue_events: int = 10_000_000
    queue_bytes: int = 8 << 30
    unused_for_s: float = 30 * 86_400.0
    """A queue that no handler reads for so long is deleted."""
    window: int = 500
    """Events sent before the broker has confirmed the first of them, at most."""
    heartbeat_s: int = 20
    patience_s: float = 15.0
    """How long a connection, a declaration or a confirm may take."""
