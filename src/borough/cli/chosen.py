"""The services that a command is for: named with commas, or all."""

from __future__ import annotations

from collections.abc import Sequence

from borough.errors import ConfigurationError

__all__ = ["chosen_services"]


def chosen_services(given: str | None, known: Sequence[str]) -> list[str]:
    """The named ones, in order, or all that are known. Raises `ConfigurationError` for one that is not there."""
    if given is None:
        return list(known)
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names or [given]:
        if name not in known:
            raise ConfigurationError(
                f"there is no service {name!r}; there are {', '.join(known) or 'none'}"
            )
    return sorted(set(names))
