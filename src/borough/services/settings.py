"""Typed settings of a service: `class MailSettings(Settings): folder: str = "mailbox"`.

Values come from the defaults, then `[services.NAME.settings]` in borough.toml, then
`BOROUGH_NAME_FIELD` in the environment, then flags. A `Secret` is only ever given by reference.
"""

from __future__ import annotations

from borough.contracts.struct import Struct
from borough.telemetry.masking import hide

__all__ = ["Secret", "Settings"]


class Secret:
    """A value that is never shown: masked as text, in logs and in problems; it neither pickles nor copies.

    `reveal()` gives it. Two are compared in constant time.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        hide(self)

    def reveal(self) -> str:
        """The secret itself, to be handed to whatever needs it and to nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # with OpenSSL behind it, a fifteenth of `import borough`

        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret does not leave the process")


class Settings(Struct):
    """Inherit it and annotate a service's attribute with it; each field wants a default unless it must be given."""
