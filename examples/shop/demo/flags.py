"""Options of borough.toml as the flags of `borough run`."""

from collections.abc import Mapping

__all__ = ["as_flags", "of_services"]


def of_services(options: Mapping[str, str]) -> dict[str, str]:
    """Those about one service, which no environment variable can say."""
    return {name: value for name, value in options.items() if name.startswith("services.")}


def as_flags(options: Mapping[str, str]) -> list[str]:
    """`--set NAME=VALUE` for each."""
    return [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
