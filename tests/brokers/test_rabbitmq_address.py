"""What may stand for the address of RabbitMQ."""

import pytest

from borough.brokers.rabbitmq import RabbitmqBroker
from borough.errors import ConfigurationError
from borough.services.settings import Secret


@pytest.mark.parametrize(
    "url", ["http://foo", "foo:5672", "amqp://", "amqp://foo:notaport", "amqp://foo:99999"]
)
def test_a_url_that_is_none_of_amqp_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"events\.rabbitmq\.url is no address of"):
        RabbitmqBroker(Secret(url))


@pytest.mark.parametrize("url", ["amqp://foo", "amqps://user:word@foo:5671/place?cafile=x"])
def test_an_address_of_amqp_is_taken(url: str) -> None:
    RabbitmqBroker(Secret(url))
