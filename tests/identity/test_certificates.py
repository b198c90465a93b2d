"""A development CA and certificates: made once, kept, renewed, and never in place of another's."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from borough.errors import ConfigurationError
from borough.gateway.certificates import Kept, make_certificates
from borough.gateway.credential import CredentialFiles, read_credential
from borough.testing.clock import ManualClock
from tests.identity.company import HOUR, Company, lasting

NOW = datetime.now(UTC).replace(microsecond=0)


def make(
    folder: Path,
    services: list[str],
    *,
    now: datetime = NOW,
    domain: str = "shop",
    days: int = 30,
    renew: bool = False,
) -> dict[str, Kept]:
    """Make them at that time; by name."""
    clock = ManualClock(now, seed=len(list(folder.rglob("*"))))
    made = make_certificates(folder, domain, services, clock, days=days, renew=renew)
    return {each.name: each for each in made}


def files(kept: Kept, folder: Path) -> CredentialFiles:
    return CredentialFiles(folder / "ca.pem", kept.certificate, kept.key)


def test_each_service_has_a_certificate_with_its_id_that_both_ends_take(tmp_path: Path) -> None:
    made = make(tmp_path, ["orders", "search"], days=7)
    assert [each.done for each in made.values()] == ["made"] * 3
    for name in ("orders", "search"):
        kept = made[name]
        assert kept.id == f"spiffe://shop/service/{name}"
        assert kept.expires == NOW + timedelta(days=7)
        credential = read_credential(files(kept, tmp_path), "shop", name)
        assert credential.expires == kept.expires.timestamp()


def test_keys_are_for_their_owner_only_and_for_no_repository(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    made = make(folder, ["orders"])
    assert {stat.S_IMODE(each.key.stat().st_mode) for each in made.values()} == {0o600}
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_stands_is_not_hidden_from_its_repository(tmp_path: Path) -> None:
    make(tmp_path, ["orders"])
    assert not (tmp_path / ".gitignore").exists()


def test_what_is_there_is_kept_until_it_is_renewed(tmp_path: Path) -> None:
    first = make(tmp_path, ["orders"])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = make(tmp_path, ["orders", "search"])
    assert [each.done for each in again.values()] == ["kept", "kept", "made"]
    assert all(path.read_bytes() == content for path, content in before.items())
    renewed = make(tmp_path, ["orders"], renew=True)
    assert [each.done for each in renewed.values()] == ["kept", "renewed"]
    assert first["orders"].certificate.read_bytes() != before[first["orders"].certificate]
    assert (tmp_path / "ca.pem").read_bytes() == before[tmp_path / "ca.pem"]


def test_what_expires_within_a_day_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path, ["orders"], now=NOW - timedelta(days=29.5))
    assert make(tmp_path, ["orders"])["orders"].done == "renewed"


def test_a_certificate_that_is_not_of_this_ca_is_made_anew(tmp_path: Path) -> None:
    made = make(tmp_path, ["orders"])["orders"]
    other = make(tmp_path / "other", ["orders"], now=NOW + HOUR)["orders"]
    made.certificate.write_bytes(other.certificate.read_bytes())
    assert make(tmp_path, ["orders"])["orders"].done == "renewed"
    made.key.write_bytes(other.key.read_bytes())
    assert make(tmp_path, ["orders"])["orders"].done == "renewed"


@pytest.mark.parametrize("case", ["a company's", "another system's", "without its key", "no PEM"])
def test_a_foreign_ca_stays_as_it_is(tmp_path: Path, case: str) -> None:
    ca = tmp_path / "ca.pem"
    if case == "a company's":
        Company(tmp_path).path.rename(ca)
    elif case == "another system's":
        make(tmp_path, [], domain="bank")
    elif case == "without its key":
        make(tmp_path, [])
        (tmp_path / "ca.key").unlink()
    else:
        ca.write_text("something else")
    before = ca.read_bytes()
    with pytest.raises(ConfigurationError, match="it stays as it is: name another --folder"):
        make(tmp_path, ["orders"])
    assert ca.read_bytes() == before
    assert not (tmp_path / "orders.pem").exists()


def test_an_old_ca_says_how_to_get_a_new_one(tmp_path: Path) -> None:
    make(tmp_path, [], now=NOW - timedelta(days=3650))
    with pytest.raises(ConfigurationError, match="remove that folder, and a new CA is made"):
        make(tmp_path, ["orders"])


def test_a_ca_that_was_made_by_a_clock_ahead_is_not_kept_in_silence(tmp_path: Path) -> None:
    make(tmp_path, ["orders"], now=NOW + timedelta(days=2))
    for renew in (False, True):
        with pytest.raises(ConfigurationError, match=r"counts only from .* a new CA is made"):
            make(tmp_path, ["orders"], renew=renew)


def test_a_certificate_that_was_made_by_a_clock_ahead_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path, [])
    make(tmp_path, ["orders"], now=NOW + timedelta(days=2))
    assert make(tmp_path, ["orders"])["orders"].done == "renewed"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="certificates cannot be kept in"):
        make(tmp_path / "file" / "certs", ["orders"])


def test_the_ca_opens_no_door_of_another_system(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    make(tmp_path, [])
    thief = Company(tmp_path, "thief")
    key = load_pem_private_key((tmp_path / "ca.key").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    thief.key = key
    thief.name = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()).subject
    forged = thief.issue(tmp_path / "forged.pem", ["spiffe://bank/service/orders"])
    with pytest.raises(ConfigurationError, match="permitted subtree violation"):
        read_credential(CredentialFiles(tmp_path / "ca.pem", forged, forged), "bank", "orders")


def test_the_strictest_reader_takes_them(tmp_path: Path) -> None:
    made = make(tmp_path, ["orders"])["orders"]
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    strict = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(made.certificate, made.key)
    caller = strict.wrap_bio(back, there, server_hostname="127.0.0.1")
    listener = served.wrap_bio(there, back, server_side=True)
    for end in (caller, listener, caller):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert caller.version() == "TLSv1.3"


# --- reading them ---------------------------------------------------------------------------------

ORDERS = "spiffe://shop/service/orders"


@pytest.mark.parametrize(
    ("uris", "reason"),
    [
        ([], "it names 0 URIs, where a SPIFFE id is the only one"),
        ([ORDERS, "spiffe://shop/service/search"], "it names 2 URIs"),
        (["spiffe://shop/service/search"], f"it names search, and {ORDERS} is wanted"),
        (["spiffe://bank/service/orders"], "it names spiffe://bank/service/orders, and the"),
        (["spiffe://shop/service/orders/x"], "it names spiffe://shop/service/orders/x, and"),
        (["spiffe://shop/service/"], "it names spiffe://shop/service/, and the services"),
        (["https://shop/service/orders"], "it names https://shop/service/orders, and"),
    ],
)
def test_a_certificate_for_something_else_is_not_used(
    tmp_path: Path, uris: list[str], reason: str
) -> None:
    company = Company(tmp_path)
    path = company.issue(tmp_path / "orders.pem", uris)
    with pytest.raises(ConfigurationError) as caught:
        read_credential(CredentialFiles(company.path, path, path), "shop", "orders")
    assert str(caught.value).startswith(f"{path} cannot be used with {company.path}: {reason}")


def test_a_certificate_that_does_not_count_now_is_not_used(tmp_path: Path) -> None:
    company = Company(tmp_path)
    for times, reason in (
        (lasting(-2 * HOUR, HOUR), "certificate has expired"),
        (lasting(HOUR, HOUR), "certificate is not yet valid"),
    ):
        path = company.issue(tmp_path / "orders.pem", [ORDERS], times)
        with pytest.raises(ConfigurationError, match=reason):
            read_credential(CredentialFiles(company.path, path, path), "shop", "orders")


def test_a_certificate_of_another_ca_is_not_used(tmp_path: Path) -> None:
    company, other = Company(tmp_path), Company(tmp_path, "other")
    path = other.issue(tmp_path / "orders.pem", [ORDERS])
    with pytest.raises(ConfigurationError, match="unable to get local issuer certificate"):
        read_credential(CredentialFiles(company.path, path, path), "shop", "orders")


def test_files_that_are_no_certificates_say_which(tmp_path: Path) -> None:
    company = Company(tmp_path)
    path = company.issue(tmp_path / "orders.pem", [ORDERS])
    other = company.issue(tmp_path / "other.pem", [ORDERS])
    locked = company.issue(tmp_path / "locked.pem", [ORDERS], password=b"secret")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for chosen, sentence in (
        (CredentialFiles(empty, path, path), "empty.pem, which internal.tls.ca names, holds no"),
        (CredentialFiles(company.path, empty, path), "are no certificate and its key in PEM"),
        (CredentialFiles(company.path, path, other), "key values mismatch"),
        (CredentialFiles(company.path, locked, locked), "without a password"),
        (CredentialFiles(company.path, path, tmp_path / "gone"), "no such file or directory; `bor"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            read_credential(chosen, "shop", "orders")
