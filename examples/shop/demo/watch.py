"""Looks at a running server from outside, through its databases and its log of events.

What a service in another language has to do still is seen at its publishers, where they push events to
it; else in its inbox, which is held against the history that they keep.
"""

from collections.abc import Iterable, Sequence

from shop.demo.event_log import count_of, end_of
from shop.demo.places import SERVICES, TOPICS, Places, rows_of
from shop.demo.rules import MAILED


class Watch:
    """Looks at a running server from outside: what it has done, and what it has still to do."""

    def __init__(self, places: Places, services: Sequence[str] = SERVICES) -> None:
        self._places = places
        all_rows = {name: rows_of(places, name) for name in services}
        self._rows = {name: rows for name, rows in all_rows.items() if rows.is_boroughs}
        self._foreign = {name: all_rows[name] for name in all_rows.keys() - self._rows.keys()}

    def unfinished(self) -> list[str]:
        """What is under way, in words; nothing when all is quiet."""
        found: list[str] = []
        for service, rows in self._rows.items():
            if rows("select 1 from borough_outbox limit 1"):
                found.append(f"{service} has events in its outbox")
            for handler, topic, position, sequence in rows(
                "select handler, topic, position, sequence from borough_positions"
            ):
                if position < end_of(self._places, topic) or sequence < self._last(topic):
                    found.append(f"{handler} has not heard all of {topic}")
            if rows("select 1 from borough_parked where due is not null limit 1"):
                found.append(f"{service} has parked events")
        for service, rows in self._foreign.items():
            if rows("select count(*) from inbox")[0][0] < self._kept(MAILED):
                found.append(f"{service} has not heard all")
        if self._rows["orders"](
            "select 1 from orders where state not in ('paid', 'declined', 'cancelled') limit 1"
        ):
            found.append("an order is on its way")
        if self._rows["payments"]("select 1 from payments where state = 'pending' limit 1"):
            found.append("a payment has no outcome")
        return found

    def counts(self) -> tuple[int, int]:
        """How many events have been published, and how many were handled."""
        published, handled = sum(count_of(self._places, topic) for topic in TOPICS), 0
        for rows in self._rows.values():
            # Where the broker keeps no history, the publisher does.
            published += rows("select count(*) from borough_history")[0][0]
            # A push is handled by who takes it, in his own inbox.
            own = "select count(*) from borough_inbox where handler not like '%.push-%'"
            handled += rows(own)[0][0]
        handled += sum(rows("select count(*) from inbox")[0][0] for rows in self._foreign.values())
        return published, handled

    def _last(self, topic: str) -> int:
        """The number of the last event, where the publisher keeps the history; else 0."""
        sql = "select topic, max(sequence) from borough_history group by topic"
        publisher = self._rows.get(topic.partition(".")[0])
        return dict(publisher(sql)).get(topic, 0) if publisher is not None else 0

    def _kept(self, names: Iterable[str]) -> int:
        """How many events of these names their publishers keep the history of; else 0."""
        ends = " or ".join(f"type like '%.{name}'" for name in names)
        sql = f"select count(*) from borough_history where {ends}"
        return sum(rows(sql)[0][0] for rows in self._rows.values())

    def close(self) -> None:
        """Release the files."""
        for rows in (*self._rows.values(), *self._foreign.values()):
            rows.close()
