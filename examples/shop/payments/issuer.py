"""The card issuer: another company's service, asked over HTTP.

A charge has three outcomes, not two: accepted, declined, or no answer, which says nothing. It is
therefore never sent twice, and not at all once it has waited too long for a thread; `find` tells
later what became of it. A refund may be repeated.
"""

import json
import select
from collections import deque
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from socket import socket
from typing import Any
from urllib.parse import quote, urlsplit

from borough import Outside, in_thread
from shop.payments.contract import Money


class Declined(Exception):
    """The issuer refused the card; the first argument is its reason."""


class NoAnswer(Exception):
    """The issuer did not answer in time, or made no sense. What it did is not known."""


class CardIssuer:
    """Asks the issuer. Connections are kept alive and used by one thread at a time."""

    def __init__(
        self, url: str, timeout_s: float, monotonic: Callable[[], float], outside: Outside
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._outside = outside
        self._idle: deque[HTTPConnection] = deque(maxlen=8)

    async def charge(self, order_id: str, amount: Money, card: str) -> str:
        """Charge a card; returns the issuer's id. Raises `Declined` or `NoAnswer`."""
        body = {
            "order_id": order_id,
            "cents": amount.cents,
            "currency": amount.currency,
            "card": card,
        }
        status, answer = await self._ask("POST", "/charges", body)
        if status == 402:
            reason = str(answer.get("reason", "no reason given"))
            raise Declined(reason.replace("_", " "))
        return _id_in(status, answer)

    async def find(self, order_id: str) -> str | None:
        """The issuer's id of a charge, None where it has booked none. Raises `NoAnswer`."""
        path = f"/charges/{quote(order_id, safe='')}"
        status, answer = await self._ask("GET", path)
        return None if status == 404 else _id_in(status, answer)

    async def refund(self, order_id: str) -> str:
        """Give the money of an order back, once; returns the issuer's id. Raises `NoAnswer`."""
        body = {"order_id": order_id}
        return _id_in(*await self._ask("POST", "/refunds", body))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        too_late = self._monotonic() + self._timeout_s
        return await in_thread(self._exchange, method, path, body, too_late)

    def _exchange(
        self, method: str, path: str, body: Any, too_late: float
    ) -> tuple[int, dict[str, Any]]:
        """One request and its answer, blocking."""
        if self._monotonic() > too_late:
            raise NoAnswer("It was not asked: no thread was free in time")
        what = f"{method} /{path.split('/')[1]}"  # without the order's id
        with self._outside.asking(f"{self._host}:{self._port}", what):
            return self._request(method, path, body)

    def _request(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        connection = self._connection()
        try:
            headers = {"Content-Type": "application/json"}
            content = None if body is None else json.dumps(body)
            connection.request(method, self._path + path, content, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            connection.close()
            raise NoAnswer(f"{method} {path}: {error}") from error
        self._idle.append(connection)
        return response.status, answer if isinstance(answer, dict) else {}

    def _connection(self) -> HTTPConnection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            if connection.sock is None or not _can_be_read(connection.sock):
                return connection
            connection.close()


def _can_be_read(idle: socket) -> bool:
    """Before anything was asked, this means that the other end has hung up."""
    poll = select.poll()
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))


def _id_in(status: int, answer: dict[str, Any]) -> str:
    if status not in (200, 201) or not isinstance(answer.get("id"), str):
        raise NoAnswer(f"The issuer answered {status}")
    return str(answer["id"])
