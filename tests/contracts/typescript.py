"""TypeScript as tests compile it: strictly, for browsers and for Node."""

from __future__ import annotations

from pathlib import Path

from tests.node.tools import MODULES, require_node, run_node

_STRICT = (
    "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noUnusedLocals",
    "--noUnusedParameters", "--noImplicitOverride", "--noPropertyAccessFromIndexSignature",
    "--erasableSyntaxOnly", "--target", "es2022", "--module", "nodenext",
)  # fmt: skip
_LIBRARIES = {
    "browser": ("--lib", "es2022,dom,dom.iterable", "--typeRoots", "/nowhere"),
    "node": ("--lib", "es2022", "--types", "node"),
}


def compiled(files: list[Path], library: str, out: Path | None = None) -> None:
    """Compile files, below `out` or only to see what is wrong, which fails the test."""
    node = require_node("typescript", "@types/node")
    words = list(_LIBRARIES[library])
    if library == "node":
        words += ["--typeRoots", str(MODULES / "node_modules" / "@types")]
    words += ["--noEmit"] if out is None else ["--outDir", str(out)]
    run_node(node, MODULES / "node_modules/typescript/bin/tsc", *_STRICT, *words, *files)
