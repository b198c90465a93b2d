"""Writes docs/reference/guarantees.md: `python -m tests.docs.guarantees`.

`--record FILE` takes the outcomes of a run (`pytest --record FILE`) and prints the page that they make: a cell
is red when one of its tests has failed or has not run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tests.guarantees.cells import ADAPTERS, Adapter, Cell, cells_of

__all__ = ["PAGE", "broken_cells", "page", "table"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "guarantees.md"
HOLDS, BROKEN = "🟢", "🔴"
_NOBODY: Mapping[str, Collection[str]] = {}

_HEAD = """\
# Guarantees

<!-- made anew by `python -m tests.docs.guarantees` -->

At-least-once delivery; exactly-once effects in the service's own database while redelivery stays inside the inbox
retention (7 days by default, checked at start against the broker's); effects outside it at least once, with a
stable key. That is one promise for every store and every broker. Here is what it is made of, adapter by adapter, and
the test that proves each part. 🟢: it holds. 🔴: its test fails, or there is none.

- The same suites run on every adapter: `StoreConformance`, `BrokerConformance`, and `PromiseConformance`, which tries
  a small system on a store and a broker together, with processes that are killed in earnest. They are public: with them
  somebody proves [an adapter of their own](testing.md#an-adapter-of-your-own).
- CI runs every store and every broker at least once ({pairs}), `make matrix` every store with every broker.
- The suites are tried themselves: for each adapter a guarantee is switched off from outside, and exactly its cell turns
  red (`tests/guarantees/test_planted.py`; CI does so with those without a server, `make matrix` with all).
"""


def page(broken: Mapping[str, Collection[str]] = _NOBODY) -> str:
    """The page; `broken` names the guarantees that do not hold, by adapter."""
    from tests.guarantees.chosen import PAIRS

    said = ", ".join(f"{pair.store} with {pair.broker}" for pair in PAIRS)
    parts = [_HEAD.format(pairs=said)]
    for adapter in ADAPTERS:
        lines = [f"## {adapter.title}", "", *table(adapter, broken.get(adapter.name, ())), ""]
        lines += [f"Not shown: {what}" for what in adapter.not_shown]
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


def table(adapter: Adapter, broken: Collection[str] = ()) -> Iterator[str]:
    """The lines of an adapter's table."""
    yield "| | guarantee | proved by |"
    yield "|---|---|---|"
    for cell in cells_of(adapter):
        state = BROKEN if cell.id in broken else HOLDS
        yield f"| {state} | `{cell.id}`: {cell.sentence} | {_links(cell)} |"


def _links(cell: Cell) -> str:
    names = dict.fromkeys(test.partition("[")[0].rpartition("::")[2] for test in cell.tests)
    return ", ".join(
        f"[`{name}`](../../{path})" for name, path in zip(names, cell.texts, strict=True)
    )


def broken_cells(outcomes: Mapping[str, str], *, matrix: bool) -> dict[str, set[str]]:
    """By adapter, the guarantees of which a test has not passed; `outcomes` are by test id."""
    passed = {_bare(test) for test, outcome in outcomes.items() if outcome == "passed"}
    failed = {_bare(test) for test, outcome in outcomes.items() if outcome != "passed"}
    broken: dict[str, set[str]] = {}
    for adapter in ADAPTERS:
        for cell in cells_of(adapter, matrix=matrix):
            tests = {_bare(test) for test in cell.tests}
            if not tests or tests & failed or not tests <= passed:
                broken.setdefault(adapter.name, set()).add(cell.id)
    return broken


def _bare(test: str) -> str:
    """A test's id without parameters, unless they name a pair of engines."""
    return test if "::TestPromises::" in test else test.partition("[")[0]


def main(arguments: list[str]) -> int:
    """Write the page, or print the one that a run makes; status 1 when a cell of that is red."""
    if not arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    record = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
    broken = broken_cells(record["outcomes"], matrix=record["matrix"])
    sys.stdout.write(page(broken))
    for adapter, ids in broken.items():
        sys.stderr.write(f"{adapter}: {', '.join(sorted(ids))}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
