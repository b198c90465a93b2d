"""Alerts: `GET /console/api/alerts`; `POST /alerts/ID/acknowledge`, `/alerts/silences`, `/alerts/silences/ID/end`.

Live is the topic `alerts`, with the keys of `AlertsNow`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from borough.alerting.alerting import Alerting
from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.live import Source
from borough.transports.http.message import Response

__all__ = ["endpoints", "sources"]

_CONSOLE = "the console"


class _Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    note: str = ""
    by: str = _CONSOLE


class _Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    for_s: float
    reason: str
    rule: str | None = None
    service: str | None = None
    by: str = _CONSOLE


def endpoints(alerting: Alerting) -> Iterable[Endpoint]:
    """Those of alerts."""

    async def show(_: Asked) -> Response:
        return json_answer(alerting.view())

    async def acknowledge(asked: Asked) -> Response:
        given = asked.body(_Acknowledgement)
        return json_answer(await alerting.acknowledge(asked.path["id"], given.note, given.by))

    async def silence(asked: Asked) -> Response:
        given = asked.body(_Silence)
        made = await alerting.silence(
            given.rule, given.service, given.for_s, given.reason, given.by
        )
        return json_answer(made, 201)

    async def end(asked: Asked) -> Response:
        await alerting.end_silence(asked.path["id"])
        return json_answer({})

    yield Endpoint("GET", "/alerts", show)
    yield Endpoint("POST", "/alerts/{id}/acknowledge", acknowledge)
    yield Endpoint("POST", "/alerts/silences", silence)
    yield Endpoint("POST", "/alerts/silences/{id}/end", end)


def sources(alerting: Alerting) -> Sequence[Source]:
    """What of it is live."""

    async def read() -> Mapping[str, Mapping[str, Any]]:
        return {"alerts": msgspec.structs.asdict(alerting.now())}

    return (Source(("alerts",), read),)
