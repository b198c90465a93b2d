"""Which name a thing has in a generated Python module, and what the module imports for it.

A contract may call a type or a field as Borough or Python calls something else (`date: date`). What is
imported then gets another name, never what the contract declares.
"""

from __future__ import annotations

from collections.abc import Iterator

from borough.contracts.descriptor import Descriptor
from borough.contracts.shapes import StructShape

__all__ = ["PythonNames"]


class PythonNames:
    """The names of one module, beside those in `taken`."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._used: dict[str, set[str]] = {}

    @classmethod
    def of(cls, descriptor: Descriptor) -> PythonNames:
        """Those of a contract's module."""
        return cls(set(_declared(descriptor)))

    def use(self, module: str, name: str) -> str:
        """The name under which a thing of a module stands here."""
        local = name
        while local in self._taken:
            local += "_"
        if module != "builtins" or local != name:
            self._used.setdefault(module, set()).add(
                name if local == name else f"{name} as {local}"
            )
        return local

    def imports(self) -> Iterator[str]:
        """The import lines, Borough's last."""
        for module in sorted(self._used, key=lambda name: (name == "borough", name)):
            if module == "borough":
                yield ""
            names = sorted(self._used[module], key=lambda name: (not name.isupper(), name))
            line = f"from {module} import {', '.join(names)}"
            if len(line) <= 100:
                yield line
            else:
                yield f"from {module} import ("
                yield from (f"    {name}," for name in names)
                yield ")"


def _declared(descriptor: Descriptor) -> Iterator[str]:
    yield descriptor.name
    yield from descriptor.types
    for named in descriptor.types.values():
        if isinstance(named, StructShape):
            yield from (field.name for field in named.fields)
    for operation in descriptor.operations:
        yield operation.name
        yield from (parameter.name for parameter in operation.parameters)
