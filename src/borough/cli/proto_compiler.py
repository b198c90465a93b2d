"""A `.proto` file, compiled by grpcio-tools: the descriptor set of it and of all that it imports."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from borough.errors import ConfigurationError

__all__ = ["compiled_proto", "proto_files"]

_REMARK = re.compile(r"WARNING: All log messages|[IW]\d{4} ")
"""What the compiler's own logging says beside its errors."""


def compiled_proto(path: Path, include: Sequence[Path] = ()) -> bytes:
    """The descriptor set of a file; `include` are further folders in which imports are looked for.

    Raises `ConfigurationError` where the compiler is missing, or refuses the file.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        raise ConfigurationError(
            "reading a .proto file needs its compiler; install it with `pip install grpcio-tools`"
        )
    if not path.is_file():
        raise ConfigurationError(f"{path} cannot be read: no such file; name a .proto file")
    roots = [*include, path.parent]
    # The compiler knows a file by its path below the first root that has it.
    root = next(
        (each for each in roots if path.resolve().is_relative_to(each.resolve())), path.parent
    )
    with tempfile.TemporaryDirectory(prefix="borough-proto-") as folder:
        out = Path(folder) / "set.binpb"
        words = [f"-I{each}" for each in dict.fromkeys([root, *roots])]
        words += [f"--descriptor_set_out={out}", "--include_imports", "--include_source_info"]
        done = subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", *words, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = [
                line.removeprefix(f"{path}:").strip(". ")
                for line in done.stderr.splitlines()
                if not _REMARK.match(line)
            ]
            said = "; ".join(lines[:3])
            raise ConfigurationError(
                f"{path} is refused by the compiler: {said}; mend it, or add --include"
            )
        return out.read_bytes()


def proto_files(descriptor_set: bytes) -> list[dict[str, Any]]:
    """The files of a descriptor set in their JSON form, imports first."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.json_format import MessageToDict

    found: list[dict[str, Any]] = MessageToDict(FileDescriptorSet.FromString(descriptor_set))[
        "file"
    ]
    return found
