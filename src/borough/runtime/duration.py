"""A length of time as an operator writes it: a number and `s`, `m`, `h` or `d`."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["Duration", "read_duration"]

_WRITTEN = re.compile(r"([1-9][0-9]{0,8})([smhd])\Z", re.ASCII)
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(str):
    """`7d`, `24h`, `90m`, `30s`; as text it stays as it was written."""

    __slots__ = ("seconds",)
    seconds: float

    def __new__(cls, text: str) -> Duration:
        """Raises `ValueError` for anything else."""
        found = _WRITTEN.match(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no length of time; write a number above zero and s, m, h or d, "
                'such as "7d"'
            )
        made = super().__new__(cls, text)
        made.seconds = int(found[1]) * _UNITS[found[2]]
        return made


def read_duration(kind: type[Any], value: Any) -> Any:
    """A `dec_hook` of msgspec, for options. Raises `ValueError` or `NotImplementedError`."""
    if kind is Duration:
        return Duration(str(value))
    raise NotImplementedError(f"an option cannot be of type {kind.__name__}")
