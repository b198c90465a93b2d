"""The reference page tells the truth: its tests exist, its defaults are the code's."""

import re
from pathlib import Path

from borough.stores.sqlite import SqliteOptions

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "reference" / "sqlite.md").read_text(encoding="utf-8")


def test_every_test_that_the_reference_names_exists() -> None:
    known = "\n".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in known] == []


def test_every_option_and_its_default_stand_in_the_reference() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE[PAGE.index("## Limits") :], re.MULTILINE)
    said: dict[str, float] = {}
    units = {"s": 1.0, "ms": 0.001, "MiB": float(1 << 20), "": 1.0}
    for names, values in rows:
        found = re.findall(r"([\d,]*\d)(?: (s|ms|MiB))?(?:, |$)", values)
        for name, (number, unit) in zip(re.findall(r"`(\w+)`", names), found, strict=True):
            said[name] = float(number.replace(",", "")) * units[unit]
    options = SqliteOptions()
    assert said == {name: float(getattr(options, name)) for name in options.__struct_fields__}
