"""Certificates as a company's CA might issue them: for any name, any time, any system."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)
Times = tuple[datetime.datetime, datetime.datetime]


def lasting(begins_in: datetime.timedelta, lasts: datetime.timedelta) -> Times:
    """The times of a certificate, from now."""
    begins = datetime.datetime.now(datetime.UTC) + begins_in
    return begins, begins + lasts


class Company:
    """A CA that signs whatever it is asked to. `times` of None: for an hour, from an hour ago."""

    def __init__(self, folder: Path, name: str = "company") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}-ca.pem"
        made = self._builder(self.name, self.key, None).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        self.path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, times: Times | None
    ) -> x509.CertificateBuilder:
        begins, ends = times or lasting(-HOUR, 2 * HOUR)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )

    def issue(
        self,
        path: Path,
        uris: Sequence[str],
        times: Times | None = None,
        password: bytes | None = None,
        hosts: Sequence[str] = (),
    ) -> Path:
        """Write a certificate for these URIs, and its key, into one file; without any, for localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        others = [x509.DNSName(host) for host in hosts or ([] if names else ["localhost"])]
        made = (
            self._builder(subject, key, times)
            .add_extension(x509.SubjectAlternativeName([*names, *others]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        lock = NoEncryption() if password is None else BestAvailableEncryption(password)
        content = made.public_bytes(Encoding.PEM) + key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, lock
        )
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(path)
        return path
