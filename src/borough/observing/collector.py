"""The way to an OpenTelemetry collector, or whoever else takes OTLP over HTTP as protobuf."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import unquote

from borough.errors import CallError, ConfigurationError, ServiceFailure, Unavailable
from borough.ports import Rejected, Signal
from borough.reliability.retry_after import retry_after_s
from borough.runtime.configuration import Configuration
from borough.services.settings import Secret
from borough.telemetry.plain import plain, shortened
from borough.telemetry.protobuf import Unreadable, fields
from borough.transports.http.client import HttpClient
from borough.transports.http.external import ExternalPlace, place_at
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import rendered_fields

__all__ = ["CollectorSink", "collector_of"]

_PATIENCE_S = 10.0
_LONGEST_WHY = 200
_LATER = frozenset({408, 429, 502, 503, 504})
_PROTOBUF = (b"content-type", b"application/x-protobuf")


class CollectorSink:
    """A `SpanSink` over HTTP. `secrets` are fields of every request."""

    def __init__(self, place: ExternalPlace, secrets: Mapping[str, Secret]) -> None:
        self._place = place
        self._secrets = dict(secrets)
        headers = [
            (name.lower().encode(), secret.reveal().encode("latin-1"))
            for name, secret in secrets.items()
        ]
        limits = ClientLimits(connections_per_origin=2)
        self._client = HttpClient(limits, place.ssl(), headers=headers)

    async def write(self, signal: Signal, data: bytes) -> Rejected | None:
        """See `SpanSink`."""
        place = self._place
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        try:
            answer = await self._client.send(
                (place.host, place.port),
                "POST",
                f"{place.path}/v1/{signal}",
                (_PROTOBUF,),
                data,
                deadline,
                True,
            )
        except CallError as error:
            raise Unavailable(error.detail) from error
        if answer.status in _LATER:
            wait_s = retry_after_s(answer.headers.get("retry-after"))
            raise Unavailable(f"it answered {answer.status}", retry_after_s=wait_s)
        if answer.status >= 300:
            raise ServiceFailure(f"it answered {answer.status} to /v1/{signal}")
        return _rejected(answer.body)

    async def close(self) -> None:
        """See `SpanSink`."""
        await self._client.close()


def _rejected(body: bytes) -> Rejected | None:
    """What the answer says of a part that was not taken (`partial_success`, alike for all signals)."""
    count, why = 0, ""
    try:
        for number, partial in fields(body):
            for inner, value in (
                fields(partial) if number == 1 and isinstance(partial, bytes) else ()
            ):
                if inner == 1 and isinstance(value, int):
                    count = value
                elif inner == 2 and isinstance(value, bytes):
                    why = shortened(plain(value.decode("utf-8", "replace")), _LONGEST_WHY)
    except Unreadable:  # it has said 200, and what else it says is not for us
        return None
    return Rejected(count, why) if count or why else None


def collector_of(configuration: Configuration) -> CollectorSink | None:
    """The collector that borough.toml or the environment names, if any. Raises `ConfigurationError`."""
    options, environment = configuration.options.telemetry, configuration.environment
    url, option = options.endpoint, "telemetry.endpoint"
    if url is None:
        option = "OTEL_EXPORTER_OTLP_ENDPOINT"
        url = environment.get(option)
        protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        if url and protocol != "http/protobuf":
            raise ConfigurationError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, and Borough sends http/protobuf; set "
                "it to that, and the endpoint to the collector's HTTP port (usually 4318)"
            )
    if not url:
        return None
    secrets = configuration.telemetry_headers()
    for pair in environment.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(","):
        name, equals, value = pair.partition("=")
        if equals:
            secrets.setdefault(name.strip().lower(), Secret(unquote(value.strip())))
    try:
        rendered_fields([(name.encode(), each.reveal().encode()) for name, each in secrets.items()])
    except (ValueError, UnicodeError):
        raise ConfigurationError(
            "the headers for the collector hold what no header field can carry; mend telemetry.headers"
        ) from None
    return CollectorSink(place_at(url, option), secrets)
