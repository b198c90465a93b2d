"""Values of one type made again and again, as `msgspec.convert` makes them.

msgspec keeps what it has found out about a type with a struct alone: of `list[Item]`, `Annotated[int, Meta(ge=1)]` or
`str | None` it finds it out anew at each call, which takes several times as long as to convert.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_origin

import msgspec

__all__ = ["conversion"]

_PLACE = "`$.value"


def conversion(kind: Any, *, strict: bool = True) -> Callable[[Any], Any]:
    """What makes a `kind` of a value. It raises `msgspec.ValidationError`, as `msgspec.convert` does."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return partial(msgspec.convert, type=kind, strict=strict)
    holder = msgspec.defstruct("Holder", [("value", kind)])

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert({"value": value}, holder, strict=strict).value  # type: ignore[attr-defined]
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(_told(str(error))) from error.__cause__

    return convert


def _told(message: str) -> str:
    """A message about the value, without its holder."""
    text, place, rest = message.rpartition(_PLACE)
    if not place:
        return message
    is_itself = rest == "`" and text.endswith(" - at ")
    return text.removesuffix(" - at ") if is_itself else f"{text}`${rest}"
