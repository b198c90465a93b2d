"""One Apache Kafka broker of our own; `python -m borough.engines.kafka` brings its programs."""

from borough.engines.kafka.server import KafkaServer

__all__ = ["KafkaServer"]
