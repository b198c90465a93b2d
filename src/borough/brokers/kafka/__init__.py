"""Apache Kafka carries the events: a topic per contract, order per topic, positions in the consumers' databases."""

from borough.brokers.kafka.broker import KafkaBroker
from borough.brokers.kafka.terms import KafkaTerms

__all__ = ["KafkaBroker", "KafkaTerms"]
