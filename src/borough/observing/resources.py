"""What each service of a process is called in what it tells: OpenTelemetry's resource attributes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from borough.telemetry.otlp import Resource
from borough.telemetry.span import Value

__all__ = ["Resources"]


class Resources:
    """The resource of each service of one process, made when first asked for.

    `instance` is the process's own id; `version_of` knows what runs here.
    """

    def __init__(
        self,
        system: str,
        instance: str,
        version_of: Callable[[str], str],
        environment: Mapping[str, str],
    ) -> None:
        self._version_of = version_of
        self._known: dict[str, Resource] = {}
        self._shared: dict[str, Value] = {
            "service.namespace": system,
            "service.instance.id": instance,
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
            "telemetry.sdk.name": "borough",
            "telemetry.sdk.language": "python",
        }
        for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
            name, equals, value = pair.partition("=")
            if equals and name.strip() != "service.name":  # each service has its own
                self._shared[name.strip()] = unquote(value.strip())

    def __call__(self, service: str) -> Resource:
        """That of a service."""
        found = self._known.get(service)
        if found is None:
            attributes: dict[str, Value] = {"service.name": service}
            if version := self._version_of(service):
                attributes["service.version"] = version
            found = self._known[service] = Resource({**attributes, **self._shared})
        return found
