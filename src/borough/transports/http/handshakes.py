"""What TLS says when two sides do not come together, in words; and a server that says it to the other side.

An event loop drops a server's connection as soon as its handshake fails, and with it the alert that
would have told the client why. `TellingHandshake` stays until the alert is written and the client has left.
"""

from __future__ import annotations

import ssl

__all__ = ["TellingHandshake", "refused_certificate", "why_no_tls"]

_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it was shown none",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it was shown none, or there is no common way to speak TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not come from the CA that is trusted there",
    "TLSV1_ALERT_DECRYPT_ERROR": "it does not come from the CA that is trusted there",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired, or does not count yet",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not count",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not count",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is of a kind that does not count",
    "TLSV1_ALERT_ACCESS_DENIED": "it may not be used",
}
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate was shown",
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
    "HTTP_REQUEST": "the other side speaks in clear text",
    "RECORD_LAYER_FAILURE": "the other side does not speak TLS",
}
_STRANGE = frozenset(
    {
        "unable to get local issuer certificate",
        "unable to get issuer certificate",
        "self-signed certificate",
        "self-signed certificate in certificate chain",
    }
)
_ABOUT_CERTIFICATES = frozenset({"CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"})


def refused_certificate(error: BaseException | None) -> str | None:
    """Why the other side did not take our certificate; None where it was something else."""
    return _ALERTS.get(error.reason) if isinstance(error, ssl.SSLError) else None


def why_no_tls(error: ssl.SSLError) -> str:
    """Why a handshake failed, as far as this side can know."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # One that we raise ourselves has no message of its own.
        said = getattr(error, "verify_message", None) or error.strerror
        if said in _STRANGE:
            said = f"it does not come from the CA that is trusted here ({said})"
        return f"the certificate of the other side does not count: {said}"
    alert = refused_certificate(error)
    if alert is not None:
        return f"the other side refuses our certificate: {alert}"
    reason = error.reason or error.strerror or str(error)
    return _REASONS.get(reason, reason.lower().replace("_", " "))


class TellingHandshake(ssl.SSLObject):
    """A server's `sslobject_class`. `failed` is told of each handshake that fails."""

    _failure: ssl.SSLError | None = None

    def failed(self, error: ssl.SSLError) -> None:
        """Called once, with the reason."""

    def do_handshake(self) -> None:
        """See `ssl.SSLObject`. Raises the failure when it is called again, at the latest in `header_s`."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failed(error)
            if error.reason not in _ABOUT_CERTIFICATES:
                raise
            self._failure = error
            # The loop writes what waits, the alert, before it waits for the client's next word.
            raise ssl.SSLWantReadError from None
