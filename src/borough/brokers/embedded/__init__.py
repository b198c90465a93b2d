"""The embedded broker: no server, one log per topic in files, for all processes of one machine."""

from borough.brokers.embedded.broker import EmbeddedBroker

__all__ = ["EmbeddedBroker"]
