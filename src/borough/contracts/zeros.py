"""Where arguments hold a text with a zero character, which some databases cannot store.

Asked only when a database has refused one: every contract may take it, and most services can keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from borough.contracts.operation import Parameter
from borough.errors import InvalidRequest

__all__ = ["refused_zero"]

_DETAIL = "a text with a zero character, which the database of the service cannot store"


def refused_zero(
    parameters: Sequence[Parameter], arguments: Sequence[Any]
) -> InvalidRequest | None:
    """The refusal of arguments that hold such a text, naming the first; None where none does."""
    for parameter, value in zip(parameters, arguments, strict=True):
        pointer = _place(msgspec.to_builtins(value, str_keys=True, enc_hook=_nothing))
        if pointer is not None:
            error = {"detail": _DETAIL, "pointer": f"#{pointer}", "parameter": parameter.name}
            return InvalidRequest(
                f"{parameter.name} holds {_DETAIL}, at #{pointer}", errors=[error]
            )
    return None


def _nothing(_value: object) -> None:
    """What is no data holds no text."""


def _place(value: Any) -> str | None:
    if isinstance(value, str):
        return "" if "\0" in value else None
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value).items()
        if any("\0" in key for key, _ in parts):
            return ""
    elif isinstance(value, (list, tuple)):
        parts = enumerate(cast("Sequence[Any]", value))
    for name, part in parts:
        pointer = _place(part)
        if pointer is not None:
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            return f"/{escaped}{pointer}"
    return None
