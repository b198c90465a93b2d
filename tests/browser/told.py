"""Live topics as a test says them, in place of what a system tells."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from playwright.async_api import Page, Route

AT = 1_764_158_400
WORDS = ["Traceback (most recent call last):", "FileNotFoundError: no index below /srv/index"]


def _service(name: str, *, is_down: bool) -> dict[str, Any]:
    """What is told of a service."""
    replica = {
        "name": f"{name}.1",
        "services": [name],
        "state": "waiting" if is_down else "ready",
        "restarts": 4 if is_down else 0,
        "why": "has ended by itself with status 70" if is_down else None,
        "ended_at": AT if is_down else None,
        "last_words": WORDS if is_down else [],
    }
    lately = {"per_s": 0.0, "faults_per_s": 0.0, "p50_ms": None, "p99_ms": None}
    counts = dict.fromkeys(
        ("calls", "failures", "published", "handled", "retries", "duplicates"), 0
    )
    return {
        **counts,
        "in_flight": None,
        "waiting": None,
        "processes": [] if is_down else [{"pid": 7, "version": "1.0"}],
        "lately": lately,
        "replicas": [replica],
        "down_since": AT if is_down else None,
    }


NAMES = ("accounts", "notifications", "orders", "payments", "search")
SEARCH_IS_DOWN: Mapping[str, Mapping[str, Any]] = {
    "state": {"state": "not ready", "started_at": "2026-11-26T12:00:00Z"},
    "services": {name: _service(name, is_down=name == "search") for name in NAMES},
    "processes": {},
    "operations": {},
}


async def tell(page: Page, topics: Mapping[str, Mapping[str, Any]]) -> None:
    """Whoever follows these topics is told this; of others nothing is told."""

    async def answer(route: Route) -> None:
        (wanted,) = parse_qs(urlsplit(route.request.url).query)["topics"]
        body = b"".join(
            b"event: %b\ndata: %b\n\n"
            % (name.encode(), msgspec.json.encode({"whole": True, "changed": values, "gone": []}))
            for name, values in topics.items()
            if name in wanted.split(",")
        )
        await route.fulfill(body=b"retry: 60000\n\n" + body, content_type="text/event-stream")

    await page.route("**/console/api/live*", answer)
