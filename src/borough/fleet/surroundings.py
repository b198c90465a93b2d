"""What a service that is a command is told, by its environment: by usual names where there are any."""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.runtime.foreign import ForeignService

__all__ = ["LOCAL", "Surroundings"]

LOCAL = "127.0.0.1"
"""Where commands listen: whoever calls them is a process of the same fleet."""


class Surroundings:
    """What all commands of a system are told: where data, tokens, certificates and the collector are."""

    def __init__(
        self, configuration: Configuration, environment: Mapping[str, str], otlp: str | None
    ) -> None:
        """`environment` is that of the fleet; `otlp` takes what services see, where somebody does."""
        self.system = configuration.options.system.name
        self.data = configuration.data_folder
        self._folder = configuration.folder
        self._tls = configuration.options.internal.tls
        self._environment = environment
        self._otlp = otlp or configuration.options.telemetry.endpoint

    @property
    def scheme(self) -> str:
        """How services are spoken to."""
        return "https" if self._tls.is_on else "http"

    def place_of_directory(self, name: str) -> Path:
        """The file in which a replica of that name finds the others."""
        return self.data / "directory" / f"{name}.json"

    def forget_directories(self) -> None:
        """Remove what a fleet has left that was killed: it names processes that are gone."""
        for file in self.place_of_directory("*").parent.glob("*.json"):
            file.unlink(missing_ok=True)

    def variables(self, service: ForeignService, name: str, port: int) -> dict[str, str]:
        """The environment of a replica; what borough.toml says of it comes last."""
        found = {
            **self._environment,
            "HOST": LOCAL,
            "PORT": str(port),
            "BOROUGH_SYSTEM": self.system,
            "BOROUGH_SERVICE": service.name,
            "BOROUGH_SYSTEM_DATA": str(self.data),
            "BOROUGH_TOKENS": str(self.data / "tokens"),
            "BOROUGH_DIRECTORY": str(self.place_of_directory(name)),
            "OTEL_SERVICE_NAME": service.name,
            "OTEL_RESOURCE_ATTRIBUTES": self._attributes(service),
        }
        if self._otlp is not None:
            found["OTEL_EXPORTER_OTLP_ENDPOINT"] = self._otlp
            found["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        for variable, path in (
            ("BOROUGH_TLS_CA", self._tls.ca),
            ("BOROUGH_TLS_CERTIFICATE", self._tls.certificate),
            ("BOROUGH_TLS_KEY", self._tls.key or self._tls.certificate),
        ):
            if path is not None:
                found[variable] = str(self._folder / path.replace("{service}", service.name))
        return {**found, **service.environment}

    def _attributes(self, service: ForeignService) -> str:
        own = {"service.namespace": self.system, "service.version": service.version}
        pairs = [f"{name}={quote(value)}" for name, value in own.items()]
        return ",".join(
            [*pairs, *filter(None, [self._environment.get("OTEL_RESOURCE_ATTRIBUTES")])]
        )

    def ssl(self) -> tls.SSLContext | None:
        """What checks a service's certificate; who asks whether it is ready has none of its own.

        Raises `ConfigurationError` for a CA that cannot be read.
        """
        if self._tls.ca is None:
            return None
        place = self._folder / self._tls.ca
        try:
            context = tls.create_default_context(cafile=place)
        except tls.SSLError:
            raise ConfigurationError(
                f"{place}, which internal.tls.ca names, holds no certificate in PEM; name another"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{place}, which internal.tls.ca names, cannot be read: {error.strerror}; "
                "mend the path, or make it with borough certs"
            ) from None
        context.check_hostname = False  # it is a service of this machine, whichever
        return context
