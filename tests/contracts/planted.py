"""Plants a fault in a module of contracts and reads it: which faults come, and at which lines.

A line that ends with `# <-` is where a fault is expected. Each module is read twice, with and
without postponed annotations, for a contract may be written either way.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from borough.contracts.reading import contract_mark, read_contracts
from borough.errors import DeclarationFaults, Fault

IMPORTS = """
import enum
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID
import msgspec
from borough import *
"""
POSTPONED = "from __future__ import annotations"
MARK = "# <-"
_MODULE = re.compile(r"\bplanted_\d+\.")


@contextmanager
def module_of(text: str, folder: Path, *, postponed: bool = False) -> Iterator[ModuleType]:
    """The module with this text, imported from a file of its own."""
    name = f"planted_{abs(hash((text, postponed)))}"
    path = folder / f"{name}.py"
    path.write_text((POSTPONED if postponed else "") + IMPORTS + text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


def faults_in(text: str, folder: Path, *, postponed: bool = False) -> list[Fault]:
    """The faults of all contracts in the text, read together."""
    with module_of(text, folder, postponed=postponed) as module:
        contracts = [value for value in vars(module).values() if contract_mark(value) is not None]
        try:
            read_contracts(contracts)
        except DeclarationFaults as error:
            return list(error.faults)
        return []


def check_planted(text: str, message: str, remedy: str, folder: Path, *, postponed: bool) -> None:
    """Assert that the text has this one fault, at the marked line."""
    faults = faults_in(text, folder, postponed=postponed)
    assert [_MODULE.sub("", fault.message) for fault in faults] == [message]
    assert [fault.remedy for fault in faults] == [remedy]
    assert lines_of(faults) == marked_lines(text)


def marked_lines(text: str) -> list[str]:
    """The lines that bear the mark."""
    return [line for line in text.splitlines() if line.endswith(MARK)]


def lines_of(faults: list[Fault]) -> list[str]:
    """The text of the lines where the faults stand."""
    found: list[str] = []
    for fault in faults:
        assert fault.file is not None
        assert fault.line is not None
        found.append(Path(fault.file).read_text(encoding="utf-8").splitlines()[fault.line - 1])
    return found
