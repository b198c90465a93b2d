"""Services that are distributions of their own, found by the entry-point group `borough.services`.

borough.toml names the distribution of each. What is merely installed is never asked, so that no
package enters a system by being there. The first distribution of a name on the path is the one that counts.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import msgspec

from borough.errors import ConfigurationError

__all__ = ["Place", "enter_release", "place_in"]

_GROUP = "borough.services"
"""The entry-point group: the name is the service's, the value `module` or `module:Class`."""
_NAME = r"[A-Za-z_]\w*"
_VALUE = re.compile(rf"({_NAME}(?:\.{_NAME})*)(?:\s*:\s*({_NAME}))?")


class Place(msgspec.Struct, frozen=True, order=True):
    """Where the class of a service stands. `class_name` is None for the only one of the module.

    `service` is what it must be called, and `version` that of its distribution.
    """

    module: str
    class_name: str | None = None
    service: str | None = None
    version: str | None = None


def place_in(distribution: str, service: str) -> Place:
    """Where the entry point of a service in an installed distribution leads. Raises `ConfigurationError`."""
    from importlib import metadata  # a system of folders need not wait for it

    option = f"services.{service}.distribution"
    try:
        found = metadata.distribution(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        raise ConfigurationError(
            f"{option} names {distribution!r}, which is not installed in this environment; "
            f"install it (pip install {distribution}), or mend the name"
        ) from None
    entries = [entry for entry in found.entry_points if entry.group == _GROUP]
    values = [entry.value for entry in entries if entry.name == service]
    if not values:
        names = ", ".join(sorted({entry.name for entry in entries})) or "none"
        raise ConfigurationError(
            f"{option} names {distribution}, whose entry points in the group {_GROUP} are: {names}; "
            f'give it {service} = "MODULE:CLASS" below [project.entry-points."{_GROUP}"] in its pyproject.toml'
        )
    if len(values) > 1:
        raise ConfigurationError(
            f"{distribution} has {len(values)} entry points {service} in the group {_GROUP} "
            f"({', '.join(values)}); leave one"
        )
    value = _VALUE.fullmatch(values[0].strip())
    if value is None:
        raise ConfigurationError(
            f"the entry point {service} of {distribution} is {values[0]!r}; write module or module:Class"
        )
    return Place(value[1], value[2], service, found.version)


def enter_release(folder: Path) -> None:
    """Let this process take code from an unpacked wheel before all other places.

    To be called before anything of it is imported: raises `ConfigurationError` where something was.
    """
    if not any(folder.glob("*.dist-info/RECORD")):
        raise ConfigurationError(f"{folder} is no unpacked wheel; name one, or unpack it")
    for path in [*folder.glob("*/"), *folder.glob("*.py")]:
        module = sys.modules.get(path.stem)
        origin = getattr(module, "__file__", None)
        if origin and not Path(origin).resolve().is_relative_to(folder.resolve()):
            raise ConfigurationError(
                f"{path.stem} was imported from {origin} before {folder} was named; "
                "start a process of its own for the release"
            )
    sys.path[:] = [str(folder), *(place for place in sys.path if place != str(folder))]
    importlib.invalidate_caches()
