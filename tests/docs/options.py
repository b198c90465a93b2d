"""Writes the tables of docs/reference/configuration.md: `python -m tests.docs.options`.

The sentence below a field in options.py is its entry, so that code and page cannot differ.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from borough.runtime import alert_options, options
from borough.runtime.duration import Duration
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def sentences(cls: type[Any]) -> dict[str, str]:
    """The string below each field of a class."""
    tree = ast.parse(Path(inspect.getfile(cls)).read_text(encoding="utf-8"))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )
    found: dict[str, str] = {}
    for field, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(text, ast.Constant):
                found[field.target.id] = " ".join(str(text.value).split())  # a row is one line
    return found


def rows(cls: type[Any], prefix: str = "") -> Iterator[str]:
    """A table row for each field that holds a value, in the order of the code."""
    said = sentences(cls)
    for field in msgspec.structs.fields(cls):
        if isinstance(field.type, type) and issubclass(field.type, Table):
            yield from rows(field.type, f"{prefix}{field.name}.")
        elif field.name in said:
            yield f"| `{prefix}{field.encode_name}` | {shown(field)} | {said[field.name]} |"


def shown(field: msgspec.structs.FieldInfo) -> str:
    """A default as borough.toml has it; nothing where there is none."""
    if field.required:
        return ""
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if default is None or default == {}:
        return ""
    if isinstance(default, Duration):
        default = str(default)
    if isinstance(default, str | tuple | list):
        text = msgspec.json.encode(default).decode().replace(",", ", ")
    else:
        text = str(default).lower()
    return f"`{text}`"


def table(head: str, lines: Iterator[str]) -> str:
    return "\n".join([f"| {head} | default | |", "|---|---|---|", *lines])


def page() -> str:
    """The page with its tables made anew."""
    facts = [
        *rows(options.TeamFacts, "teams.NAME."),
        *rows(ServiceFacts, "services.NAME."),
        *rows(options.DeployableFacts, "topologies.NAME.DEPLOYABLE."),
        *rows(options.ExternalOptions, "external.NAME."),
        *rows(options.PushOptions, "push.NAME."),
        *rows(alert_options.AlertRuleOptions, "alerts.rules.NAME."),
    ]
    tables = {
        "options": table("option", rows(options.Options)),
        "facts": table("fact", iter(facts)),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, made in tables.items():
        block = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
        found = block.search(text)
        assert found is not None, name
        text = text.replace(found[0], f"{found[1]}{made}\n{found[2]}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
