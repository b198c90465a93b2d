"""What commands are given: services, named with commas, or all; ports."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from borough.errors import ConfigurationError

__all__ = ["chosen_services", "port_number"]

_HIGHEST_PORT = 65_535


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


def port_number(text: str) -> int:
    """The port that an option names. Raises `argparse.ArgumentTypeError`."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= _HIGHEST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port, from 0 to {_HIGHEST_PORT}")
