"""Under which name an address is counted, and whose word is believed."""

import pytest

from borough.errors import ConfigurationError
from borough.transports.http.addresses import Proxies, client_of


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_address_counts_for_one_customer(peer: str, client: str) -> None:
    assert client_of(peer) == client


def test_a_proxy_is_known_by_its_network_in_either_form() -> None:
    proxies = Proxies(["10.0.0.0/8", "::ffff:192.0.2.0/120", "2001:db8::/32"])
    for peer in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.9", "2001:db8::1"):
        assert peer in proxies
    for peer in ("11.1.2.3", "192.0.3.9", "2001:db9::1", ""):
        assert peer not in proxies
    assert "10.1.2.3" not in Proxies()
    assert proxies
    assert not Proxies()


def test_who_is_behind_proxies_is_read_from_the_right() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    assert proxies.origin("10.0.0.1", "198.51.100.1, 10.0.0.2") == "198.51.100.1"
    assert proxies.origin("10.0.0.1", "203.0.113.9, 198.51.100.1") == "198.51.100.1"
    assert proxies.origin("198.51.100.1", "203.0.113.9") == "198.51.100.1"
    assert proxies.origin("10.0.0.1", "unknown") == "10.0.0.1"


def test_a_network_that_is_none_says_how_to_write_it() -> None:
    with pytest.raises(ConfigurationError, match=r"write it like \"10\.0\.0\.0/8\""):
        Proxies(["10.0.0.1/8"])
