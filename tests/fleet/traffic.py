"""Clients that ask again and again, each over a connection of its own, and never a second time."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.cli.terminal import PATIENCE_S

__all__ = ["Asked", "Traffic", "traffic"]

Asked = tuple[str, str, object]
"""Method, path and body."""


class Traffic:
    """What was answered so far, by method and path: bodies in order, and what was no success."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.failures: Counter[str] = Counter()

    def kinds(self, key: str, field: str) -> Counter[Any]:
        """How often `field` of the answers had which value."""
        return Counter(answer.get(field) for answer in self.answers.get(key, ()))

    def ask(self, connection: http.client.HTTPConnection, asked: Asked) -> None:
        """One request; a connection that breaks is a failure, and begun anew."""
        method, path, body = asked
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures[f"{method} {path}: {error!r}"] += 1
            connection.close()
            return
        if response.status >= 300:
            self.failures[f"{method} {path}: {response.status} {text.decode()}"] += 1
        else:
            self.answers.setdefault(f"{method} {path}", []).append(json.loads(text))


@contextmanager
def traffic(url: str, asked: Sequence[Asked], clients: int = 1) -> Iterator[Traffic]:
    """So many clients for each of these requests, until the block is left."""
    found, over = Traffic(), threading.Event()
    host = urlsplit(url).netloc

    def go_on(each: Asked) -> None:
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
        while not over.is_set():
            found.ask(connection, each)
        connection.close()

    threads = [
        threading.Thread(target=go_on, args=(each,)) for each in asked for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_S)
