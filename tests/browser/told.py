"""Live topics as a test says them, in place of what a system tells."""

from collections.abc import Mapping
from typing import Any

import msgspec
from playwright.async_api import Page

AT = 1_764_158_400
WORDS = ["Traceback (most recent call last):", "FileNotFoundError: no index below /srv/index"]


def _service(name: str, *, is_down: bool = False, **more: Any) -> dict[str, Any]:
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
        "events": lately,
        "faring": "quiet",
        "rooms": [],
        "full": [],
        "replicas": [replica],
        "down_since": AT if is_down else None,
        **more,
    }


NAMES = ("accounts", "notifications", "orders", "payments", "search")
SEARCH_IS_DOWN: Mapping[str, Mapping[str, Any]] = {
    "state": {"state": "not ready", "started_at": "2026-11-26T12:00:00Z"},
    "services": {name: _service(name, is_down=name == "search") for name in NAMES},
    "processes": {},
    "operations": {},
}
_BUSY = {"per_s": 40.0, "faults_per_s": 0.0, "p50_ms": 2.0, "p99_ms": 9.0}
_FAILING = {**_BUSY, "per_s": 2.0, "faults_per_s": 1.5}
_THREADS = {"kind": "threads", "busy": 4, "limit": 4, "waiting": 12, "refused": 31}
_OUTSIDE = {
    "kind": "outside",
    "caller": "payments",
    "callee": "cards.example",
    "declared": False,
    "observed": True,
    "count": 3,
    "faults": 0,
    "operations": ["cards.example"],
    "lately": _BUSY,
    "faring": "well",
}
EVENTS_FAIL: Mapping[str, Mapping[str, Any]] = {
    "state": {"state": "ready", "started_at": "2026-11-26T12:00:00Z"},
    "services": {
        **{name: _service(name, lately=_BUSY, faring="well") for name in NAMES},
        "notifications": _service("notifications", events=_FAILING, faring="failing"),
        "payments": _service(
            "payments",
            lately={**_BUSY, "faults_per_s": 0.5},
            faring="ailing",
            rooms=[_THREADS],
            full=["threads"],
        ),
    },
    "alerts": {"firing": 1, "acknowledged": 0, "pending": 0, "by_service": {"search": "firing"}},
    "edges": {"outside payments cards.example": _OUTSIDE},
}
"""Handlers of notifications fail, a few calls of payments do, an alert of search fires; the others are well."""


# A stream of events of which the test says what comes: `tell` reaches all that are open, and each new one at first.
_STREAM = """
window.told = %s;
window.streams = [];
window.EventSource = class extends EventTarget {
  static CLOSED = 2;
  readyState = 1;
  constructor(url) {
    super();
    this.topics = new URL(url, location.href).searchParams.get("topics").split(",");
    streams.push(this);
    setTimeout(() => {
      this.dispatchEvent(new Event("open"));
      this.tell(told);
    });
  }
  tell(topics) {
    for (const [name, changed] of Object.entries(topics)) {
      if (this.readyState === 2 || !this.topics.includes(name)) continue;
      this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify({ whole: true, changed, gone: [] }) }));
    }
  }
  close() { this.readyState = 2; }
};
window.tell = (topics) => {
  Object.assign(told, topics);
  for (const each of streams) each.tell(topics);
};
"""

Topics = Mapping[str, Mapping[str, Any]]


async def telling(page: Page, topics: Topics) -> None:
    """Whoever follows these topics in this window is told this; of others nothing is told."""
    await page.add_init_script(_STREAM % msgspec.json.encode(topics).decode())


async def tell(page: Page, topics: Topics) -> None:
    """From now on it is this; whoever follows is told."""
    await page.evaluate("(topics) => tell(topics)", topics)
