"""A TOML file as people save it: in UTF-8, with a byte order mark or without; what is wrong with it is one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from borough.errors import ConfigurationError

__all__ = ["read_toml"]


def read_toml(path: Path) -> dict[str, Any]:
    """What the file holds. Raises `ConfigurationError`."""
    if path.is_fifo():
        raise ConfigurationError(
            f"{path} is a pipe, from which it would be read only once; put a file there"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path} is not in UTF-8, as TOML is: see line {line}. Save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}. Mend that line") from None
    except ValueError:
        raise ConfigurationError(f"{path} holds a number of too many digits; mend it") from None
    except RecursionError:
        raise ConfigurationError(
            f"{path} is nested too deeply; open fewer brackets within each other"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
