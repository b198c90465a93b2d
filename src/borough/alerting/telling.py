"""How a team is told: one message to its webhook, signed as Standard Webhooks have it, or one mail."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit

import msgspec

from borough.alerting.declared import Declared, Route
from borough.alerting.mail import deliver
from borough.alerting.view import AlertView
from borough.clock import Clock
from borough.errors import BoroughError, CallError
from borough.reliability.webhook import Received, judge_status, signature_fields
from borough.runtime.options import Options
from borough.services.settings import Secret
from borough.telemetry.plain import plain, shortened
from borough.transports.http.client import HttpClient
from borough.transports.http.external import place_at
from borough.transports.http.limits import ClientLimits

__all__ = ["Message", "NotTold", "Telling"]

_TIMEOUT_S = 10.0
_ANSWER_BYTES = 64 * 1024
_KIND = (b"content-type", b"application/json; charset=utf-8")
_LONGEST_SUBJECT = 150


class NotTold(BoroughError):
    """The message was not taken; it is sent again."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook gets. `id` is the same where the same is sent again."""

    id: str
    system: str
    team: str
    firing: Sequence[AlertView]
    resolved: Sequence[AlertView]

    @property
    def subject(self) -> str:
        """All of it in a line."""
        first = (*self.firing, *self.resolved)[0]
        more = len(self.firing) + len(self.resolved) - 1
        state = "fires" if self.firing else "resolved"
        line = f"[{self.system}] {state}: {first.rule}, {first.summary}"
        line = shortened(line, _LONGEST_SUBJECT)
        return plain(f"{line} (and {more} more)" if more else line)

    @property
    def text(self) -> str:
        """All of it for people."""
        blocks = [_block("FIRES", alert) for alert in self.firing]
        blocks += [_block("RESOLVED", alert) for alert in self.resolved]
        return "\n\n".join(blocks) + f"\n\n-- \nalerts of {self.system} for {self.team}\n"


class Telling:
    """Sends messages for one system. Connections are opened when first needed."""

    def __init__(self, options: Options, declared: Declared, clock: Clock) -> None:
        self._options = options
        self._declared = declared
        self._clock = clock
        self._clients: dict[str, HttpClient] = {}

    async def tell(self, route: Route, message: Message) -> None:
        """Send a message. Raises `NotTold`."""
        if route.address is None:
            return
        if route.channel == "mail":
            password = self._declared.password
            try:
                await deliver(
                    self._mail(route.address.reveal(), message),
                    self._options.alerts.mail,
                    None if password is None else password.reveal(),
                    _TIMEOUT_S,
                )
            except (OSError, smtplib.SMTPException, ValueError) as error:
                raise NotTold(f"the mail was not taken: {error}") from error
            return
        await self._post(route, route.address, message)

    async def _post(self, route: Route, address: Secret, message: Message) -> None:
        url = address.reveal()
        place, parts = place_at(url, f"teams.{route.team}.alerts"), urlsplit(url)
        client = self._clients.get(route.team)
        if client is None:
            limits = ClientLimits(
                connections_per_origin=1,
                connect_s=self._options.limits.connect_s,
                body_bytes=_ANSWER_BYTES,
            )
            client = self._clients[route.team] = HttpClient(limits, place.ssl())
        body = msgspec.json.encode(message)
        fields = [_KIND]
        if route.keys:
            fields += signature_fields(route.keys, message.id, int(self._clock.epoch_s()), body)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        deadline = asyncio.get_running_loop().time() + _TIMEOUT_S
        try:
            answer = await client.send(
                (place.host, place.port), "POST", target, fields, body, deadline, idempotent=True
            )
        except CallError as error:
            raise NotTold(f"{route.shown}: {error}") from error
        if judge_status(answer.status) is not Received.DONE:
            raise NotTold(f"{route.shown} answered {answer.status}")

    def _mail(self, to: str, message: Message) -> EmailMessage:
        mail = EmailMessage()
        # An encoded word would be read as what it stands for, line breaks and all: others wrote parts of this.
        mail["Subject"] = message.subject.replace("=?", "= ?")
        mail["From"] = self._options.alerts.mail.sender
        mail["To"] = to
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = f"<{message.id}@{self._options.alerts.mail.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        for client in self._clients.values():
            await client.close()


def _block(state: str, alert: AlertView) -> str:
    lines: Mapping[str, str | None] = {
        "service": alert.service,
        "rule": f"{alert.rule} ({alert.severity})",
        "runbook": alert.runbook,
        "console": f"/console/{alert.look}",
    }
    said = "\n".join(f"  {name}: {plain(text)}" for name, text in lines.items() if text)
    return f"{state}: {plain(alert.summary)}\n{said}"
