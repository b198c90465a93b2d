"""How often one client may ask."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.errors import ConfigurationError
from borough.gateway.edge import EdgeSettings
from borough.reliability.rate import Buckets, Rate, read_rate
from tests.gateway.library import Town


@pytest.mark.parametrize(
    ("text", "rate"),
    [("500/s", Rate(500, 1)), (" 30 / m ", Rate(30, 60)), ("1000/h", Rate(1000, 3600))],
)
def test_a_rate_is_read_from_text(text: str, rate: Rate) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("500", "write a number and /s"),
        ("fast", "is no rate"),
        ("-1/s", "is no rate"),
        ("0/s", "lets nothing pass"),
    ],
)
def test_a_text_that_is_no_rate_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rate(text)
    with pytest.raises(ConfigurationError, match=message):
        Town(Path(), EdgeSettings(rate=text))


def test_a_full_bucket_gives_one_period_at_once_and_then_the_rate() -> None:
    buckets = Buckets(Rate(10, 1.0))
    assert [buckets.take("a", 0.0) for _ in range(10)] == [0.0] * 10
    assert buckets.take("a", 0.0) == pytest.approx(0.1)
    assert buckets.take("a", 0.1) == 0.0
    assert buckets.take("a", 0.1) > 0
    assert buckets.take("b", 0.1) == 0.0


def test_being_refused_does_not_lengthen_the_wait() -> None:
    buckets = Buckets(Rate(1, 10.0))
    buckets.take("a", 0.0)
    waits = [buckets.take("a", 1.0) for _ in range(5)]
    assert waits == [pytest.approx(9.0)] * 5


def test_the_number_of_buckets_is_bounded() -> None:
    buckets = Buckets(Rate(1, 60.0), limit=3)
    for name in "abcd":
        assert buckets.take(name, 0.0) == 0.0
    assert len(buckets) == 3
    assert buckets.take("d", 0.0) > 0
    assert buckets.take("a", 0.0) == 0.0


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_no_window_ever_passes_more_than_the_bucket_and_the_rate(
    count: int, period_s: float, pauses: list[float]
) -> None:
    buckets = Buckets(Rate(count, period_s))
    now, passed = 0.0, [0.0 for _ in range(0)]
    for pause in pauses:
        now += pause
        if buckets.take("a", now) == 0.0:
            passed.append(now)
    for index, start in enumerate(passed):
        for last, end in enumerate(passed[index:], 1):
            assert last <= count + (end - start) * count / period_s + 1e-6


async def test_too_many_requests_of_one_address_are_told_when_to_come_again(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="2/m"))
    assert [(await town.get("/library/who")).status for _ in range(3)] == [200, 200, 429]
    seen = await town.get("/library/who")
    assert seen.json["code"] == "too-many-requests"
    assert seen.detail == "More than 2/m came from this client"
    assert seen.headers.get("retry-after") == "30"
    assert (await town.get("/library/who", peer="192.0.2.8")).status == 200
    town.clock.advance(30)
    assert (await town.get("/library/who")).status == 200


async def test_a_signed_in_user_is_counted_wherever_the_requests_come_from(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="2/m"))
    anna, bert = await town.issuer.issue("anna"), await town.issuer.issue("bert")
    for token in (anna, bert):
        await town.get("/library/shelf", token, peer="192.0.2.99")  # seen before, now remembered
    seen = [(await town.get("/library/shelf", anna, peer=f"192.0.2.{n}")).status for n in range(3)]
    assert seen == [200, 200, 429]
    assert (await town.get("/library/shelf", bert)).status == 200


async def test_forged_tokens_count_against_their_address(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="2/m"))
    seen = [(await town.get("/library/shelf", f"a.b.{n}")).status for n in range(3)]
    assert seen == [401, 401, 429]


async def test_addresses_of_ipv6_count_per_network(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/m"))
    peers = ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"]
    assert [(await town.get("/library/who", peer=peer)).status for peer in peers] == [200, 429, 200]


async def test_only_a_trusted_proxy_may_say_whom_it_forwards(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=("10.0.0.0/8",)))

    async def ask(peer: str, forwarded: str) -> int:
        return (
            await town.get("/library/who", peer=peer, headers={"X-Forwarded-For": forwarded})
        ).status

    assert await ask("10.0.0.1", "198.51.100.1") == 200
    assert await ask("10.0.0.2", "203.0.113.9, 198.51.100.1, 10.0.0.1") == 429
    assert await ask("10.0.0.1", "198.51.100.2") == 200
    assert await ask("192.0.2.1", "198.51.100.3") == 200
    assert await ask("192.0.2.1", "198.51.100.4") == 429
    with pytest.raises(ConfigurationError, match="no network of proxies"):
        Town(tmp_path, EdgeSettings(rate="1/m", proxies=("10.0.0.1/8",)))


async def test_a_proxy_that_nobody_has_named_is_told_once_when_its_clients_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=("10.0.0.0/8",)))
    behind = {"X-Forwarded-For": "198.51.100.1"}
    asked = [("10.0.0.1", behind), ("192.0.2.2", {}), *[("192.0.2.1", behind)] * 2]
    for peer, headers in asked * 2:
        await town.get("/library/who", peer=peer, headers=headers)
    told = [record.getMessage() for record in caplog.records if "edge.proxies" in record.msg]
    assert [text.partition(" ")[0] for text in told] == ["192.0.2.1"]


async def test_a_proxy_that_comes_by_a_unix_socket_is_believed_where_that_is_said(
    tmp_path: Path,
) -> None:
    async def ask(town: Town, forwarded: str) -> int:
        headers = {"X-Forwarded-For": forwarded}
        return (await town.get("/library/who", peer="", headers=headers)).status

    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=("unix",)))
    asked = ["198.51.100.1", "198.51.100.2", "203.0.113.9, 198.51.100.1"]
    assert [await ask(town, each) for each in asked] == [200, 200, 429]
    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=("10.0.0.0/8",)))
    assert [await ask(town, each) for each in asked] == [200, 429, 429]


async def test_probes_are_never_refused(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/h"))
    assert {(await town.get("/livez")).status for _ in range(5)} == {200}


async def test_an_ipv4_address_is_the_same_in_ipv6_clothes_and_with_a_port(tmp_path: Path) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=("127.0.0.1/32",)))

    async def ask(peer: str, forwarded: str = "") -> int:
        return (
            await town.get("/library/who", peer=peer, headers={"X-Forwarded-For": forwarded})
        ).status

    assert await ask("::ffff:10.0.0.1") == 200
    assert await ask("10.0.0.1") == 429
    assert await ask("::ffff:10.1.0.1") == 200
    assert await ask("::ffff:127.0.0.1", "9.9.9.1:5555") == 200
    assert await ask("127.0.0.1", "9.9.9.1:6666") == 429
    assert await ask("127.0.0.1", "[2001:db8::1]:443") == 200


@pytest.mark.parametrize("network", ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
async def test_a_proxy_named_in_ipv6_clothes_is_known(
    tmp_path: Path, network: str, peer: str
) -> None:
    town = Town(tmp_path, EdgeSettings(rate="1/m", proxies=(network,)))
    for client in ("9.9.9.1", "9.9.9.2"):
        seen = await town.get("/library/who", peer=peer, headers={"X-Forwarded-For": client})
        assert seen.status == 200
