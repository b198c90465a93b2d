"""Whether a process answers for its services, as Prometheus is told."""

from pathlib import Path

from borough.observing.gathering import points_of
from borough.runtime.host import Host
from tests.alerting.till import till, watched


async def ready(host: Host) -> dict[str, float]:
    points = [point async for point in points_of(host)]
    return {each.service: each.value for each in points if each.name == "borough.ready"}


async def test_a_process_that_stops_still_tells_and_says_that_it_is_not_ready(
    tmp_path: Path,
) -> None:
    async with watched(till(tmp_path), tmp_path) as shop:
        host = shop.process.host
        assert await ready(host) == {"payments": 1, "orders": 1}
        host.state = "stopping"
        assert await ready(host) == {"payments": 0, "orders": 0}
        host.state = "ready"
