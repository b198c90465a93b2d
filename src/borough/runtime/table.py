"""What each table of borough.toml is, and the bounds that its values have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["MOST_REPLICAS", "AtLeastOne", "Filled", "Port", "Replicas", "Seconds", "Share", "Table"]

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Filled = Annotated[str, msgspec.Meta(min_length=1)]
"""A text that says something: a variable without a value, as a template leaves it, must not mean all addresses."""
MOST_REPLICAS = 256
"""Of a deployable on one machine. A slip of the finger must not keep a supervisor busy for ever."""
Replicas = Annotated[int, msgspec.Meta(ge=1, le=MOST_REPLICAS)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of borough.toml; a key it does not know is an error."""
