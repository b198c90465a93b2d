"""Names of services inside certificates: `spiffe://SYSTEM/service/NAME`, the only URI of a certificate.

SYSTEM is the trust domain. A client asks for `NAME.SYSTEM` when it connects (SNI), so that a process
with several services shows the certificate of the one that is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from borough.errors import ConfigurationError

__all__ = ["server_name", "service_named_in", "spiffe_id", "trust_domain"]

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")
_SERVICE = re.compile(r"[a-z][a-z0-9_-]*\Z")


def trust_domain(system: str, given: str | None) -> str:
    """The trust domain of a system: `given`, else its name. Raises `ConfigurationError`."""
    domain = system if given is None else given
    if not _DOMAIN.match(domain):
        raise ConfigurationError(
            f"{domain!r} cannot stand in a SPIFFE id: set internal.tls.trust_domain to lower-case "
            "letters, digits, dots, dashes and underscores"
        )
    return domain


def spiffe_id(domain: str, service: str) -> str:
    """The id of a service."""
    return f"spiffe://{domain}/service/{service}"


def server_name(domain: str, service: str) -> str:
    """What a client that calls the service asks for by SNI."""
    return f"{service}.{domain}"


def service_named_in(certificate: Mapping[str, Any], domain: str) -> str:
    """The service of this trust domain that a verified certificate, as `ssl` tells it, is for.

    Raises `ValueError` with the reason where it is for anything else.
    """
    found = [name for kind, name in certificate.get("subjectAltName", ()) if kind == "URI"]
    if len(found) != 1:
        raise ValueError(f"it names {len(found)} URIs, where a SPIFFE id is the only one")
    prefix = spiffe_id(domain, "")
    service = str(found[0]).removeprefix(prefix)
    if service == found[0] or not _SERVICE.match(service):
        raise ValueError(f"it names {found[0]}, and the services of this system are {prefix}NAME")
    return service
