"""A CA and certificates for development: made once, kept, renewed, and of no use for anything else.

The CA may only sign for its own system on this machine (name constraints), so that a lost key opens
no other door. Who runs a fleet takes certificates from the platform (cert-manager, SPIRE) instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.gateway.secret_file import written_aside
from borough.gateway.spiffe import spiffe_id

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["Kept", "make_certificates"]

_CA_LIFETIME = timedelta(days=3650)
_SKEW = timedelta(
    minutes=5
)  # a certificate counts at once, also where the clock is a little behind
_LEFT = timedelta(days=1)
"""A certificate that has less left is made anew without being asked."""
_MAKER = "borough certs"


class Kept(NamedTuple):
    """One certificate of the folder: whose it is, where it lies, until when it counts, what was done."""

    name: str
    id: str
    certificate: Path
    key: Path
    expires: datetime
    done: str
    """`made`, `renewed` or `kept`."""


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def make_certificates(
    folder: Path,
    domain: str,
    services: Sequence[str],
    clock: Clock,
    *,
    days: int,
    renew: bool = False,
) -> list[Kept]:
    """Have a CA and a certificate for each service in `folder`; blocking. The CA comes first.

    What is there is kept unless it expires within a day, does not count yet, is not of this CA, or `renew` is asked.
    Raises `ConfigurationError` for a CA that was not made here or does not count now, and where nothing can be written.
    """
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("*\n")  # keys do not belong into a repository
        authority, first = _authority(folder, domain, clock)
        return [
            first,
            *(_leaf(folder, domain, each, authority, clock, days, renew) for each in services),
        ]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"certificates cannot be kept in {folder}: {reason}; name another --folder"
        ) from None


def _authority(folder: Path, domain: str, clock: Clock) -> tuple[_Authority, Kept]:
    path, key_path = folder / "ca.pem", folder / "ca.key"
    if path.exists() or key_path.exists():
        done = "kept"
        authority = _read_authority(path, key_path, domain, clock)
    else:
        done = "made"
        authority = _new_authority(domain, clock)
        _write(key_path, _pem_of_key(authority.key), clock)
        _write(path, _pem(authority.certificate), clock)
    expires = authority.certificate.not_valid_after_utc
    return authority, Kept("CA", f"spiffe://{domain}", path, key_path, expires, done)


def _read_authority(path: Path, key_path: Path, domain: str, clock: Clock) -> _Authority:
    """The CA that was made here before. Raises `ConfigurationError` for any other."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        raise _foreign(path) from None
    if (
        not isinstance(key, EllipticCurvePrivateKey)
        or certificate.public_key() != key.public_key()
        or certificate.subject != _name(f"{domain} development CA")
    ):
        raise _foreign(path)
    if certificate.not_valid_after_utc - clock.now() < _LEFT:
        raise ConfigurationError(
            f"{path} expires on {certificate.not_valid_after_utc:%Y-%m-%d}; "
            "remove that folder, and a new CA is made"
        )
    if certificate.not_valid_before_utc > clock.now():
        raise ConfigurationError(
            f"{path} counts only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on: the clock was ahead "
            "when it was made, or is behind now; set the clock, or remove that folder, and a new CA is made"
        )
    return _Authority(certificate, key)


def _foreign(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is no CA that `borough certs` has made for this system, or its key is not there; "
        "it stays as it is: name another --folder"
    )


def _new_authority(domain: str, clock: Clock) -> _Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    key = _new_key()
    name = _name(f"{domain} development CA")
    signer = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    allowed = [
        x509.UniformResourceIdentifier(domain),
        x509.DNSName("localhost"),
        x509.IPAddress(ip_network("127.0.0.0/8")),
        x509.IPAddress(ip_network("::1/128")),
    ]
    builder = (
        _builder(name, name, key, clock, _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.NameConstraints(allowed, None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False
        )
    )
    return _Authority(builder.sign(key, hashes.SHA256()), key)


def _leaf(
    folder: Path,
    domain: str,
    service: str,
    authority: _Authority,
    clock: Clock,
    days: int,
    renew: bool,
) -> Kept:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    path, key_path, uri = (
        folder / f"{service}.pem",
        folder / f"{service}.key",
        spiffe_id(domain, service),
    )
    is_there = path.exists() and key_path.exists()
    if is_there and not renew:
        expires = _kept_until(path, key_path, uri, authority, clock)
        if expires is not None:
            return Kept(service, uri, path, key_path, expires, "kept")
    key = _new_key()
    signer = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    names = [
        x509.UniformResourceIdentifier(uri),
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    ]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    lifetime = min(timedelta(days=days), authority.certificate.not_valid_after_utc - clock.now())
    certificate = (
        _builder(_name(service), authority.certificate.subject, key, clock, lifetime)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    # Between the two a running process finds a key of another certificate, and keeps what it has.
    _write(key_path, _pem_of_key(key), clock)
    _write(path, _pem(certificate), clock)
    done = "renewed" if is_there else "made"
    return Kept(service, uri, path, key_path, certificate.not_valid_after_utc, done)


def _kept_until(
    path: Path, key_path: Path, uri: str, authority: _Authority, clock: Clock
) -> datetime | None:
    """When the certificate that is there expires; None where it cannot stay."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        key = load_pem_private_key(key_path.read_bytes(), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    is_right = names.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
    if not is_right or certificate.public_key() != key.public_key():
        return None
    begins, expires = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return expires if begins <= clock.now() <= expires - _LEFT else None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    clock: Clock,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(clock.token(16), "big") | 1)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _MAKER),
            x509.NameAttribute(NameOID.COMMON_NAME, text[:64]),
        ]
    )


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pem_of_key(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, clock: Clock) -> None:
    """Put the file there whole, for its owner only."""
    with written_aside(path, content, clock.token(8).hex()) as draft:
        draft.replace(path)
