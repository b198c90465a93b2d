"""An OpenAPI schema of a few lines whose parts, each read wherever it is named, would be a million."""

from __future__ import annotations

from typing import Any

__all__ = ["DOUBLED", "doubled_answer", "doubled_schemas"]

_LEVELS = 20
DOUBLED = {"$ref": f"#/components/schemas/S{_LEVELS}"}


class _Bottom(dict[str, Any]):
    """The lowest schema; whoever reads it thousands of times reads each level twice as often as the next."""

    read = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.read += 1
        assert self.read < 1000, "it is read again and again"
        return super().get(key, default)


def doubled_schemas() -> dict[str, Any]:
    """Schemas of which each is the one below it, twice."""
    schemas: dict[str, Any] = {
        "S0": _Bottom({"type": "object", "properties": {"x": {"type": "string"}}})
    }
    for level in range(1, _LEVELS + 1):
        below = {"$ref": f"#/components/schemas/S{level - 1}"}
        schemas[f"S{level}"] = {"allOf": [below, below]}
    return schemas


def doubled_answer() -> dict[str, Any]:
    """An answer of the topmost."""
    return {"200": {"content": {"application/json": {"schema": DOUBLED}}}}
