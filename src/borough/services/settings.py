"""Typed settings of a service: `class MailSettings(Settings): folder: str = "mailbox"`.

Values come from the defaults, then `[services.NAME.settings]` in borough.toml, then
`BOROUGH_NAME_FIELD` in the environment, then flags. A `Secret` is only ever given by reference.
"""

from __future__ import annotations

from borough.contracts.struct import Struct

__all__ = ["Secret", "Settings"]


class Secret:
    """A value that is never shown: its text and repr are masked, it does not pickle. `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, to be handed to whatever needs it and to nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret does not leave the process")


class Settings(Struct):
    """Inherit it and annotate a service's attribute with it; each field wants a default unless it must be given."""
