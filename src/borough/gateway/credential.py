"""What one service proves itself with: a certificate, its key and the CA, as files that may change.

What was read is tried before it is used: both ends of a connection are played in memory. So a wrong
key, an expired certificate and one of another CA or service are found when they are read.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from borough.errors import ConfigurationError
from borough.gateway.spiffe import server_name, service_named_in, spiffe_id
from borough.transports.http.handshakes import why_no_tls

__all__ = ["Credential", "CredentialFiles", "Stamp", "read_credential"]

_TURNS = 4  # as often as each end may speak until both have finished
Stamp = tuple[tuple[int, int, int] | None, ...]


class CredentialFiles(NamedTuple):
    """Where they lie; `certificate` and `key` may be one file."""

    ca: Path
    certificate: Path
    key: Path

    def stamp(self) -> Stamp:
        """What changes when one of the files does."""
        return tuple(_stamp(path) for path in self)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Credential(NamedTuple):
    """Contexts for both ends, made of one reading, and when the certificate counts (epoch, seconds)."""

    listening: ssl.SSLContext
    grpc: ssl.SSLContext
    """The listening end of gRPC."""
    calling: ssl.SSLContext
    begins: float
    expires: float


def read_credential(files: CredentialFiles, domain: str, service: str) -> Credential:
    """Read and try them; blocking. Raises `ConfigurationError`."""
    for path in files:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(
                f"{path}, which [internal.tls] names, cannot be read: {reason}; "
                "`borough certs` makes a CA and certificates for development"
            ) from None
    listening = _context(ssl.PROTOCOL_TLS_SERVER, files)
    calling = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    try:
        shown = _shake_hands(calling, listening, server_name(domain, service))
    except ssl.SSLError as error:
        raise _unusable(files, why_no_tls(error)) from None
    certificate = shown.getpeercert() or {}
    try:
        named = service_named_in(certificate, domain)
    except ValueError as error:
        raise _unusable(files, str(error)) from None
    if named != service:
        raise _unusable(files, f"it names {named}, and {spiffe_id(domain, service)} is wanted")
    calling.sslobject_class = _calling(domain)
    begins, expires = (
        float(ssl.cert_time_to_seconds(str(certificate[field])))
        for field in ("notBefore", "notAfter")
    )
    grpc = _context(ssl.PROTOCOL_TLS_SERVER, files)
    grpc.set_alpn_protocols(["h2"])
    return Credential(listening, grpc, calling, begins, expires)


def _unusable(files: CredentialFiles, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{files.certificate} cannot be used with {files.ca}: {reason}; "
        "mend the files, or make new ones with `borough certs --renew`"
    )


def _context(protocol: int, files: CredentialFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = (
        False  # whoever is reached proves a SPIFFE id, not a name of the network
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would stand for a certificate that nobody has looked at again.
    context.options |= ssl.OP_NO_TICKET
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    try:
        context.load_verify_locations(files.ca)
    except (ssl.SSLError, OSError):
        raise ConfigurationError(
            f"{files.ca}, which internal.tls.ca names, holds no certificate in PEM; name another"
        ) from None
    try:
        # A password would be asked for on the terminal; there is none.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not read"
        raise ConfigurationError(
            f"{files.certificate} and {files.key} are no certificate and its key in PEM, without a "
            f"password ({reason.lower().replace('_', ' ')}); mend the files, or make new ones with "
            "`borough certs --renew`"
        ) from None
    return context


def _shake_hands(calling: ssl.SSLContext, listening: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Let two ends meet in memory; returns the listening one. Raises `ssl.SSLError`."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = calling.wrap_bio(back, there, server_hostname=name)
    listener = listening.wrap_bio(there, back, server_side=True)
    for _ in range(_TURNS):
        for end in (caller, listener):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return listener


def _calling(domain: str) -> type[ssl.SSLObject]:
    """A client's `sslobject_class`: the handshake ends well only with the service that was asked for."""

    class CallingHandshake(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            try:
                service = service_named_in(self.getpeercert() or {}, domain)
            except ValueError as error:
                raise ssl.SSLCertVerificationError(1, str(error)) from None
            if server_name(domain, service) != self.server_hostname:
                called = str(self.server_hostname).removesuffix(f".{domain}")
                raise ssl.SSLCertVerificationError(
                    1, f"it is that of {service}, and {called} was called"
                )

    return CallingHandshake
