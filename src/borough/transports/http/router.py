"""From method and path to what answers there.

Static paths are one dictionary look-up; paths with slots walk a small tree, static segments first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote

from borough.errors import MethodNotAllowed, NotFound
from borough.transports.http.paths import decoded, refuse_odd

__all__ = ["Router", "split_target"]

T = TypeVar("T")
_NONE: Mapping[str, str] = {}


class _Node(Generic[T]):
    __slots__ = ("children", "methods", "names", "slot")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.slot: _Node[T] | None = None
        self.methods: dict[str, T] = {}
        self.names: dict[str, tuple[str, ...]] = {}


class Router(Generic[T]):
    """Routes added as templates (`/orders/{order_id}`), found by request paths."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._static: dict[str, dict[str, T]] = {}
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: str, target: T) -> None:
        """Add a route. Equal method and path have been refused by wiring."""
        if "{" not in template:
            self._static.setdefault(template, {})[method] = target
            return
        node = self._root
        names: list[str] = []
        for segment in template[1:].split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                if node.slot is None:
                    node.slot = _Node()
                node = node.slot
            else:
                node = node.children.setdefault(segment, _Node())
        node.methods[method] = target
        node.names[method] = tuple(names)

    def find(self, method: str, path: str) -> tuple[T, Mapping[str, str]]:
        """The target and its slots, decoded. Raises `NotFound`, `MethodNotAllowed` or `InvalidRequest`."""
        methods = self._static.get(path)
        if methods is not None:
            target = methods.get(method)
            if target is None and method == "HEAD":
                target = methods.get("GET")
            if target is not None:
                return target, _NONE
        refuse_odd(path, strict=self._strict)
        segments = path[1:].split("/")
        allowed = set(methods or ())
        for node, values in self._walk(self._root, segments, 0, []):
            found = node.methods.get(method)
            named = method
            if found is None and method == "HEAD":
                found, named = node.methods.get("GET"), "GET"
            if found is not None:
                return found, dict(zip(node.names[named], values, strict=True))
            allowed.update(node.methods)
        if allowed:
            if "GET" in allowed:
                allowed.add("HEAD")
            raise MethodNotAllowed(f"{path} does not take {method}", allowed=sorted(allowed))
        raise NotFound(f"There is nothing at {path}")

    def _walk(
        self, node: _Node[T], segments: list[str], index: int, values: list[str]
    ) -> list[tuple[_Node[T], list[str]]]:
        if index == len(segments):
            return [(node, values)] if node.methods else []
        found: list[tuple[_Node[T], list[str]]] = []
        child = node.children.get(segments[index])
        if child is not None:
            found += self._walk(child, segments, index + 1, values)
        if node.slot is not None and segments[index]:
            found += self._walk(node.slot, segments, index + 1, [*values, decoded(segments[index])])
        return found


def split_target(template: str, target: str) -> tuple[dict[str, str], str]:
    """The slots of a target made from this template, and its query."""
    path, _, query = target.partition("?")
    slots: dict[str, str] = {}
    for expected, segment in zip(template.split("/"), path.split("/"), strict=True):
        if expected.startswith("{"):
            slots[expected[1:-1]] = unquote(segment)
    return slots, query
