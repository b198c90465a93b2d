"""Plain values as YAML: mappings, lists and scalars. Texts are always quoted, so that none is read as another kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Node", "yaml_text"]

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What stands in a document of YAML only as an escape, and JSON leaves as it is."""
Node = Mapping[str, "Node"] | Sequence["Node"] | str | int | float | bool | None


def yaml_text(node: Node, head: str = "") -> str:
    """A document; each line of `head` stands above it as a comment."""
    comments = [f"# {line}".rstrip() for line in head.splitlines()]
    return "\n".join([*comments, *_lines(node)]) + "\n"


def _lines(node: Node) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if _is_plain(value):
                yield f"{key}: {_scalar(value)}"
            else:
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(value))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for each in node:
            first, *others = [_scalar(each)] if _is_plain(each) else _lines(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(node)


def _scalar(value: Node) -> str:
    if isinstance(value, str) and '"' in value and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    text = json.dumps(
        value, ensure_ascii=False
    )  # an escape of JSON is half of an emoji, not so in YAML
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_plain(node: Node) -> bool:
    return isinstance(node, str) or not isinstance(node, (Mapping, Sequence)) or not node
