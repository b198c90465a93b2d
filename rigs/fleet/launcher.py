"""Starts a fleet whose processes are `rigs.fleet.member`, and may be announced at other ports.

`python -m rigs.fleet.launcher PLAN run PATH --topology NAME ...`. As in `rigs/planted.py`, functions
of this process are replaced before the product starts; the product has no branch for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from borough.cli import main as product
from borough.fleet import child
from borough.fleet.member import Member

PLAN = "RIG_PLAN"


class Plan(msgspec.Struct, frozen=True):
    """What is unlike the product. `fault` is one of `rigs.planted` or of `rigs.fleet.member`."""

    reports: str
    """The folder in which processes tell about themselves."""
    fault: str = ""
    doors: dict[str, int] = {}
    """Members by name that others find at this port, and not at their own."""


def announce_at(doors: Mapping[str, int]) -> None:
    """Tell everybody that a member is where its proxy listens."""
    peers: Any = Member.peers

    def elsewhere(self: Member) -> Any:
        found = peers(self)
        port = doors.get(self.name)
        if port is None:
            return found
        return {
            service: msgspec.structs.replace(peer, port=port) for service, peer in found.items()
        }

    setattr(Member, "peers", elsewhere)  # noqa: B010


def main(arguments: list[str]) -> int:
    """Replace, then run the product."""
    plan = msgspec.json.decode(arguments[0], type=Plan)
    os.environ[PLAN] = arguments[0]
    setattr(child, "_MODULE", "rigs.fleet.member")  # noqa: B010
    announce_at(plan.doors)
    return product(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
