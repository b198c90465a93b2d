"""Kafka keeps what every broker promises, with one partition and with several."""

from pathlib import Path

import pytest

from borough.engines.kafka import KafkaServer
from borough.ports import Broker
from borough.testing.conformance import BrokerConformance
from tests.servers.kafka import kafka, kafka_broker

__all__ = ["kafka"]


class KafkaConformance(BrokerConformance):
    """On the broker of this process."""

    partitions = 3

    @pytest.fixture(autouse=True)
    def _server(self, kafka: KafkaServer) -> None:
        self.server = kafka

    async def make_broker(self, folder: Path) -> Broker:
        return kafka_broker(self.server, f"{folder.name}-", self.partitions)


class TestKafkaBroker(KafkaConformance):
    """With several partitions, whose events are merged into one order."""


class TestKafkaBrokerWithOnePartition(KafkaConformance):
    """With one partition, whose order is the topic's."""

    partitions = 1
