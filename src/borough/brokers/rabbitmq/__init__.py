"""RabbitMQ as a broker: an exchange per topic, a quorum queue per handler and topic."""

from borough.brokers.rabbitmq.broker import RabbitmqBroker
from borough.brokers.rabbitmq.terms import RabbitmqTerms

__all__ = ["RabbitmqBroker", "RabbitmqTerms"]
