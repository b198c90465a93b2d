"""Where the replicas of a service listen: told by a supervisor, or written down.

Whoever asks gets the same tuple until something changes, so that a caller can tell by identity that
nothing has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from borough.ports import Replica

__all__ = ["Directory"]


class Directory:
    """What somebody who knows has told last. Empty at first."""

    __slots__ = ("_replicas",)

    def __init__(self, replicas: Mapping[str, Sequence[Replica]] | None = None) -> None:
        self._replicas: dict[str, tuple[Replica, ...]] = {}
        self.update(replicas or {})

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """See `Discovery`."""
        return self._replicas.get(service, ())

    def update(self, replicas: Mapping[str, Sequence[Replica]]) -> None:
        """Take `replicas` as the whole truth: services that it does not name have none."""
        before = self._replicas
        now = {service: tuple(each) for service, each in replicas.items()}
        # What is as it was stays the same object.
        self._replicas = {
            service: before[service] if before.get(service) == each else each
            for service, each in now.items()
        }
