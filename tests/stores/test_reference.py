"""The reference pages tell the truth: their tests exist, their defaults are the code's."""

import re
from pathlib import Path
from typing import Any

import pytest

from borough.stores.postgres import PostgresLimits
from borough.stores.sqlite import SqliteOptions

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "docs" / "reference"


@pytest.mark.parametrize(("page", "least"), [("sqlite", 20), ("postgres", 10)])
def test_every_test_that_the_reference_names_exists(page: str, least: int) -> None:
    places = [*HERE.glob("test_*.py"), *(HERE.parent / "runtime").glob("test_*.py")]
    known = "\n".join(path.read_text(encoding="utf-8") for path in places)
    named = re.findall(r"`(test_\w+)`", (REFERENCE / f"{page}.md").read_text(encoding="utf-8"))
    assert len(named) > least
    assert [name for name in named if f"def {name}(" not in known] == []


@pytest.mark.parametrize(
    ("page", "options"), [("sqlite", SqliteOptions()), ("postgres", PostgresLimits())]
)
def test_every_option_and_its_default_stand_in_the_reference(page: str, options: Any) -> None:
    text = (REFERENCE / f"{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", text[text.index("## Limits") :], re.MULTILINE)
    said: dict[str, float] = {}
    units = {"s": 1.0, "ms": 0.001, "MiB": float(1 << 20), "": 1.0}
    for names, values in rows:
        found = re.findall(r"([\d,]*\d)(?: (s|ms|MiB))?(?:, |$)", values)
        for name, (number, unit) in zip(re.findall(r"`(\w+)`", names), found, strict=True):
            said[name] = float(number.replace(",", "")) * units[unit]
    assert said == {name: float(getattr(options, name)) for name in options.__struct_fields__}
