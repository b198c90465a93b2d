"""Events for receivers that are no services of Borough: sent to their URL, signed, until they say 2xx.

A receiver is a consumer like others, above the broker: a leased role in the publisher's database, in order
per key, with retries, parked and dead events. What is its own is here: one request per event, CloudEvents
in structured mode with the signature of Standard Webhooks, and what the answers mean. While a receiver
cannot be reached, its events wait in the topic and no attempt counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from borough.clock import Clock
from borough.errors import (
    BoroughError,
    CallError,
    ConfigurationError,
    InvalidRequest,
    TooLarge,
    Unavailable,
)
from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.webhook import (
    Received,
    judge_status,
    signature_fields,
    wait_asked_s,
)
from borough.runtime.configuration import Configuration
from borough.runtime.event_handler import EventHandler, EventRefused, EventSpared
from borough.runtime.options import PushOptions
from borough.runtime.push_plan import PushPlan, plan_pushes
from borough.runtime.wiring import Plan
from borough.services.context import current_call
from borough.services.settings import Secret
from borough.transports.http.client import ClientResponse, HttpClient
from borough.transports.http.external import place_at
from borough.transports.http.limits import ClientLimits

__all__ = ["PushFailed", "Pushes", "Receiver"]

_log = logging.getLogger("borough.push")
_LOOK = Backoff(0.1, 3.0)
"""How long a receiver that cannot be reached is left alone."""
_ENTER_S = 5.0
"""What an event may take beside its request: its inbox row."""
_ANSWER_BYTES = 64 * 1024
_KIND = (b"content-type", b"application/cloudevents+json; charset=utf-8")


class PushFailed(BoroughError):
    """The receiver has not taken the event over; it is sent again."""


class Receiver:
    """Where events of one `[push.NAME]` go."""

    def __init__(
        self, name: str, options: PushOptions, keys: Sequence[bytes], connect_s: float, clock: Clock
    ) -> None:
        """Raises `ConfigurationError` for a URL that is none, or that others could listen to."""
        place = place_at(options.url, f"push.{name}.url")
        if place.is_exposed:
            raise ConfigurationError(
                f"push.{name}.url is clear text to another machine, where events would be read on the way; "
                "use https"
            )
        parts = urlsplit(options.url)
        self._name = name
        self._origin = place.host, place.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._keys = keys
        self._timeout_s = options.timeout_s
        self._clock = clock
        limits = ClientLimits(
            connections_per_origin=options.at_once, connect_s=connect_s, body_bytes=_ANSWER_BYTES
        )
        self._client = HttpClient(limits, place.ssl())
        self._away_until = 0.0
        self._looks = 0
        self.sent = 0
        """Requests that were answered, whatever the answer."""

    async def deliver(self, document: bytes) -> None:
        """Send one event. Raises `EventRefused`, `EventSpared` or `PushFailed` where it was not taken."""
        left_s = self._away_until - self._clock.monotonic()
        if left_s > 0:
            raise EventSpared(f"{self._name} takes no events now", left_s)
        answer = await self._sent(document)
        self.sent += 1
        verdict = judge_status(answer.status)
        if verdict is Received.AWAY:
            raise self._is_away(
                f"it answers {answer.status}", wait_asked_s(answer.headers.get("retry-after"))
            )
        self._is_back()
        said = f"{self._name} answered {answer.status}{_first_words(answer.body)}"
        if verdict is Received.REFUSED:
            raise EventRefused(said)
        if verdict is Received.FAILED:
            raise PushFailed(said)

    async def _sent(self, document: bytes) -> ClientResponse:
        call = current_call()
        event_id, trace = call.event_id or "", call.trace
        fields = [
            _KIND,
            *signature_fields(self._keys, event_id, int(self._clock.epoch_s()), document),
        ]
        if trace is not None:
            fields.append((b"traceparent", trace.traceparent.encode()))
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            return await self._client.send(
                self._origin, "POST", self._target, fields, document, deadline, idempotent=True
            )
        except Unavailable as error:
            raise self._is_away(str(error)) from error
        except (InvalidRequest, UnicodeEncodeError) as error:  # an id that no header can carry
            raise EventRefused(f"event {event_id!r} cannot be sent: {error}") from error
        except TooLarge as error:
            raise PushFailed(f"{self._name} answers with too much: {error}") from error
        except CallError as error:
            raise PushFailed(f"{self._name}: {error}") from error

    def _is_away(self, why: str, asked_s: float | None = None) -> EventSpared:
        now = self._clock.monotonic()
        if now >= self._away_until:  # those that were under way with the first one say nothing new
            if not self._looks:
                _log.warning("%s takes no events now, and they wait: %s", self._name, why)
            self._looks += 1
            own_s = _LOOK.delay_s(self._looks, self._clock.random.random())
            self._away_until = now + max(asked_s or 0.0, own_s)  # many who are busy say 0
        return EventSpared(f"{self._name} takes no events now: {why}", self._away_until - now)

    def _is_back(self) -> None:
        if self._looks:
            _log.info("%s takes events again", self._name)
        self._looks = 0

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._client.close()


class Pushes:
    """The receivers of what the services of this process publish."""

    def __init__(self, configuration: Configuration, plan: Plan, clock: Clock) -> None:
        """Raises `ConfigurationError` for what borough.toml wants and cannot have."""
        self._configuration = configuration
        self._clock = clock
        self._plans = [
            each
            for each in plan_pushes(configuration.options, plan.contracts.values())
            if each.service in plan.services and not configuration.options.push[each.target].paused
        ]
        self._secrets: list[Secret] = []
        self._receivers: dict[str, Receiver] = {}

    def open(self) -> None:
        """Read what signs. Raises `ConfigurationError` for a secret or a URL that cannot be used."""
        options = self._configuration.options
        for target in sorted({plan.target for plan in self._plans}):
            push, option = options.push[target], f"push.{target}.secret"
            secret, keys = self._configuration.signing_keys(option, push.secret)
            self._secrets.append(secret)  # it is hidden from logs as long as it lives
            self._receivers[target] = Receiver(
                target, push, keys, options.limits.connect_s, self._clock
            )

    def of(
        self, service: str, inbox: InboxTerms
    ) -> list[tuple[PushPlan, EventHandler, InboxTerms]]:
        """The handlers that send what a service publishes, and how each works; `inbox` is how others do."""
        found: list[tuple[PushPlan, EventHandler, InboxTerms]] = []
        for plan in self._plans:
            if plan.service != service:
                continue
            push = self._configuration.options.push[plan.target]
            terms = msgspec.structs.replace(
                inbox, at_once=push.at_once, deadline_s=push.timeout_s + _ENTER_S
            )
            deliver = self._receivers[plan.target].deliver
            handler = EventHandler(
                plan.name, service, deliver, False, plan.events, takes_document=True
            )
            found.append((plan, handler, terms))
        return found

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        for receiver in self._receivers.values():
            await receiver.close()


def _first_words(body: bytes) -> str:
    """What an answer says, as far as it goes on a line."""
    text = " ".join(body[:400].decode(errors="replace").split())
    return f": {text[:200]}" if text else ""
