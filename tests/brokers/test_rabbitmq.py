"""RabbitMQ keeps what every broker promises, also when it is restarted, and when others use it."""

from pathlib import Path

import pytest

from borough.brokers.rabbitmq import RabbitmqBroker, RabbitmqTerms
from borough.engines.rabbitmq import RabbitmqServer
from borough.ports import Broker
from borough.services.settings import Secret
from borough.testing.conformance import BrokerConformance
from tests.servers.rabbitmq import rabbitmq

__all__ = ["rabbitmq"]


class TestRabbitmqBroker(BrokerConformance):
    """A quorum queue per handler."""

    @pytest.fixture(autouse=True)
    def on(self, rabbitmq: RabbitmqServer) -> None:
        self.url = rabbitmq.url

    async def make_broker(self, folder: Path) -> Broker:
        return RabbitmqBroker(Secret(self.url), RabbitmqTerms(prefix=folder.name))
