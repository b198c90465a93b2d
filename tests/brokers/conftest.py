"""One RabbitMQ node for all tests of a worker."""

from tests.servers.rabbitmq import rabbitmq

__all__ = ["rabbitmq"]
