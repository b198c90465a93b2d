"""What a service is called at a shared broker is one system's, also where the broker comes later than the system."""

import pytest

from borough.brokers.claims import Claims
from borough.errors import BrokerError, ConfigurationError


async def test_a_broker_that_is_away_at_the_start_is_asked_before_it_is_used() -> None:
    claimed: list[str] = []
    answers: list[Exception] = [BrokerError("away"), ConfigurationError("of another")]

    async def claim(service: str) -> None:
        if answers:
            raise answers.pop(0)
        claimed.append(service)

    claims = Claims(claim)
    await claims.begin(["orders", "mail"])
    assert claims.wait
    with pytest.raises(ConfigurationError):
        await claims.settle()
    assert claims.wait
    await claims.settle()
    assert (claimed, claims.wait) == (["mail", "orders"], False)
