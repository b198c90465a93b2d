"""`borough contracts client`: write what a caller in another repository, or in another language, needs."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borough.errors import ConfigurationError

if TYPE_CHECKING:
    from borough.contracts.descriptor import Descriptor

__all__ = ["add_client", "python_package", "run_client", "write_files"]

_EXAMPLE = """examples:
  borough contracts client examples/shop orders --lang python --out ../warehouse
  borough contracts client orders.json orders.Orders --lang typescript --out web/src
  borough contracts client http://127.0.0.1:8001 orders --lang typescript --out web/src"""


def add_client(actions: Any) -> None:
    """Add the action to `borough contracts`."""
    client = actions.add_parser(
        "client",
        help="write a typed client in Python or TypeScript",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    client.add_argument(
        "source",
        nargs="?",
        default=".",
        help="a system's folder (default: here), a file of descriptors, or the URL of a running system",
    )
    client.add_argument("contract", help="the contract, by its name or that of its service")
    client.add_argument(
        "--lang", choices=("python", "typescript"), required=True, help="in which language"
    )
    client.add_argument(
        "--out", metavar="FOLDER", help="write files there instead of standard output"
    )


def run_client(options: argparse.Namespace) -> int:
    """Run the action. Raises `ConfigurationError`."""
    from borough.cli.contract_source import find_descriptor

    descriptor = find_descriptor(options.source, options.contract)
    if options.lang == "typescript":
        from borough.contracts.typescript_client import typescript_client

        name = f"{_stem(descriptor, '-')}.ts"
        write_files({name: typescript_client(descriptor)}, options.out)
    else:
        write_files(python_package(descriptor), options.out)
    return 0


def python_package(
    descriptor: Descriptor, source: str = "the descriptor"
) -> dict[str, str | bytes]:
    """A distribution of a contract's package: its module comes first."""
    from borough.contracts.python_client import python_client

    package = f"{descriptor.service.replace('-', '_')}_contract"
    return {
        f"{package}/{_stem(descriptor, '_')}.py": python_client(descriptor, source),
        f"{package}/__init__.py": f'"""What {descriptor.service} promises."""\n',
        f"{package}/py.typed": "",
        "pyproject.toml": _PYPROJECT.format(
            name=package.replace("_", "-"),
            version=f"{descriptor.version}.0",
            service=descriptor.service,
            package=package,
        ),
    }


_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "What {service} promises"
requires-python = ">=3.11"
dependencies = ["borough"]

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""


def _stem(descriptor: Descriptor, joint: str) -> str:
    """How the file of a contract is called: `orders`, `orders-v2`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", joint, descriptor.name).lower()
    major = descriptor.version.partition(".")[0]
    return name if major == "1" else f"{name}{joint}v{major}"


def write_files(files: Mapping[str, str | bytes], out: str | None) -> None:
    """Write files below a folder, or the first of them to standard output.

    A `pyproject.toml` that is there is its owner's, and stays. Raises `ConfigurationError`.
    """
    if out is None:
        sys.stdout.write(str(next(iter(files.values()))))
        return
    folder = Path(out)
    try:
        for name, content in files.items():
            path = folder / name
            if path.name == "pyproject.toml" and path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            print(path, file=sys.stderr)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"{folder} cannot be written: {reason}; name another folder"
        ) from None
