"""Compares the five databases with each other and with three ledgers outside of them.

    python -m shop.demo.ledger FOLDER

The ledgers are the customers' acknowledged answers, the card issuer's, and the mailbox. Prints what
is lost or doubled, and exits with 1 when something is.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shop.demo.evidence import read_evidence
from shop.demo.places import Places
from shop.demo.rules import Breach, judge

MOST_SHOWN = 40


def compare(folder: Path) -> list[Breach]:
    """Everything that is lost or doubled in what a demo has left in its folder."""
    return judge(read_evidence(Places(folder)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shop.demo.ledger")
    parser.add_argument("folder", type=Path, help="what `borough demo --data FOLDER` has left")
    folder = parser.parse_args(arguments).folder
    if not (folder / "data").is_dir():
        print(f"{folder} is no demo's folder: it has no `data` in it", file=sys.stderr)
        return 2
    breaches = compare(folder)
    for breach in breaches[:MOST_SHOWN]:
        print(breach)
    if len(breaches) > MOST_SHOWN:
        print(f"and {len(breaches) - MOST_SHOWN} more")
    lost = sum(breach.rule.kind == "lost" for breach in breaches)
    print(f"lost {lost}, doubled {len(breaches) - lost}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
