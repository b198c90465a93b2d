"""The documents of plain applications, joined to that of the contracts below their prefixes.

Names of components, operations and security schemes get the service's name in front, so that two
documents never mean two things by one name; operations that share one are told apart, as no generator takes
them. Schemas of OpenAPI 3.0 are said as 3.1 has them. What is no OpenAPI 3 document adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from borough.contracts.marks import Allow
from borough.contracts.openapi import SECURITY

__all__ = ["Joining", "joined"]

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_COMPONENTS = "#/components/"
_VALUES = frozenset({"const", "default", "enum", "example", "examples"})
_LIMITS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
Json = dict[str, Any]


class Joining(msgspec.Struct, frozen=True):
    """A document of an application: its service, where it is mounted, and who may reach it."""

    service: str
    path: str
    allow: Allow
    document: Mapping[str, Any]


def joined(document: Mapping[str, Any], others: Sequence[Joining]) -> Json:
    """The document with all of the others."""
    whole: Json = {**document}
    for other in others:
        try:
            paths, components = _moved(other)
            tag = _tag(other)
        except (AttributeError, TypeError, ValueError, RecursionError):
            continue  # it is somebody else's, and need not be right
        whole["paths"] = {**whole.get("paths", {}), **paths}
        whole["tags"] = [*whole.get("tags", ()), tag]
        if other.allow.who == "user":
            components.setdefault("securitySchemes", {})["bearer"] = SECURITY["bearer"]
        before: Mapping[str, Json] = whole.get("components", {})
        whole["components"] = {
            kind: {**before.get(kind, {}), **components.get(kind, {})}
            for kind in sorted({*before, *components})
        }
    return whole


def _tag(other: Joining) -> Json:
    title = other.document.get("info", {}).get("title")
    return {"name": other.service, **({"description": title} if isinstance(title, str) else {})}


def _moved(other: Joining) -> tuple[Json, dict[str, Json]]:
    """Its paths and components under their new names. Raises `ValueError` for what is no document of its service's."""
    if not f"{other.path}/".startswith(f"/{other.service}/"):
        raise ValueError("mounted below another service")
    version = str(other.document.get("openapi", ""))
    if not version.startswith("3."):
        raise ValueError("no OpenAPI 3 document")
    document = _modern(other.document) if version.startswith("3.0") else other.document
    general = document.get("security")
    paths: Json = {}
    taken: set[str] = set()
    for path, item in document.get("paths", {}).items():
        if not path.startswith("/"):  # behind what it is mounted at, it would be another service's
            continue
        moved = cast("Json", _renamed(item, other.service))
        for method in sorted(_METHODS & moved.keys()):
            moved[method] = _operation(moved[method], general, other, taken)
        paths[other.path + path] = moved
    components = {
        kind: {
            f"{other.service}.{name}": _renamed(part, other.service) for name, part in parts.items()
        }
        for kind, parts in document.get("components", {}).items()
    }
    return paths, components


def _operation(operation: Json, general: Any, other: Joining, taken: set[str]) -> Json:
    found: Json = {**operation, "tags": [other.service]}
    if "operationId" in found:
        wanted = f"{other.service}.{found['operationId']}"
        others = (f"{wanted}_{number}" for number in range(2, len(taken) + 3))
        found["operationId"] = next(name for name in (wanted, *others) if name not in taken)
        taken.add(found["operationId"])
    if other.allow.who == "user":
        # The edge asks for it, whatever the application asks for besides.
        found["security"] = [{"bearer": list(other.allow.scopes)}]
        return found
    security = found.get("security", general)
    if security is not None:
        found["security"] = [
            {f"{other.service}.{name}": scopes for name, scopes in each.items()}
            for each in security
        ]
    return found


def _renamed(part: Any, service: str) -> Any:
    """The same with every reference to a component leading to its new name."""
    if isinstance(part, dict):
        members = cast("Json", part)
        return {name: _renamed(value, service) for name, value in members.items()}
    if isinstance(part, list):
        return [_renamed(each, service) for each in part]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(part, str) and part.startswith(_COMPONENTS):
        kind, slash, name = part.removeprefix(_COMPONENTS).partition("/")
        return f"{_COMPONENTS}{kind}{slash}{service}.{name}" if slash else part
    return part


def _modern(part: Any) -> Any:
    """The same as OpenAPI 3.1 says it: null is a type, and an exclusive limit a number."""
    if isinstance(part, list):
        return [_modern(each) for each in part]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(part, Mapping):
        return part
    given = cast("Mapping[str, Any]", part)
    found: Json = {
        name: value if name in _VALUES else _modern(value) for name, value in given.items()
    }
    if isinstance(given.get("properties"), Mapping):
        found["properties"] = {name: _modern(each) for name, each in given["properties"].items()}
    for limit, exclusive in _LIMITS:
        if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and limit in found:
            found[exclusive] = found.pop(limit)
    if isinstance(found.get("nullable"), bool) and found.pop("nullable"):
        return _or_null(found)
    return found


def _or_null(schema: Json) -> Json:
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, {"type": "null"}]}
    found: Json = {**schema, "type": [schema["type"], "null"]}
    if None not in found.get("enum", [None]):
        found["enum"] = [*found["enum"], None]
    return found
