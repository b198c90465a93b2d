"""What each table of borough.toml is, and the bounds that its values have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["AtLeastOne", "Port", "Seconds", "Share", "Table"]

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of borough.toml; a key it does not know is an error."""
