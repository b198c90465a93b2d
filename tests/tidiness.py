"""What tidy means here, as pure functions over source text; test_tidy.py applies them to the tree.

A fault has an identity, "RULE PATH[:NAME]", under which tests/tidy_exceptions.toml may excuse it.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_PARAMETERS = 10
MAX_THEORY_LINES = 10

BANNED_WORDS = frozenset({"Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Info"})
BANNED_MODULES = frozenset({"utils", "util", "helpers", "helper", "constants", "common"})
# Put together, so that this file does not find itself.
PROMISE = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is not tidy."""

    rule: str
    place: str
    detail: str

    @property
    def identity(self) -> str:
        return f"{self.rule} {self.place}"

    def __str__(self) -> str:
        return f"{self.identity}: {self.detail}"


def faults_of(path: str, source: str) -> Iterator[Fault]:
    """Every fault that can be seen in one file; only the package itself needs a theory."""
    tree = ast.parse(source)
    lines = source.splitlines()
    if len(lines) > MAX_FILE_LINES:
        yield Fault("file-size", path, f"{len(lines)} lines, at most {MAX_FILE_LINES}")
    for number, line in enumerate(lines, 1):
        if found := PROMISE.search(line):
            yield Fault("promise", path, f"{found[0]} in line {number}")
    if any(part in BANNED_MODULES for part in path.removesuffix(".py").split("/")):
        yield Fault("module-name", path, "say what is in it")
    if path.startswith("src/"):
        yield from _theory(path, tree)
    for node, name in _named(tree):
        if isinstance(node, ast.ClassDef):
            yield from _class_name(f"{path}:{name}", node.name)
        else:
            yield from _function(f"{path}:{name}", node)


Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _named(tree: ast.AST, outer: str = "") -> Iterator[tuple[Named, str]]:
    """Every class and function, with its dotted name in the file."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, Named):
            name = f"{outer}.{child.name}" if outer else child.name
            yield child, name
            yield from _named(child, name)
        else:
            yield from _named(child, outer)


def _theory(path: str, tree: ast.Module) -> Iterator[Fault]:
    theory = ast.get_docstring(tree)
    if theory is None:
        yield Fault("theory", path, "a module opens with what it is for")
    elif len(theory.splitlines()) > MAX_THEORY_LINES:
        length = len(theory.splitlines())
        yield Fault("theory", path, f"{length} lines, at most {MAX_THEORY_LINES}")


def _class_name(place: str, name: str) -> Iterator[Fault]:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    if bad := BANNED_WORDS.intersection(words):
        yield Fault("class-name", place, f"{', '.join(sorted(bad))} says nothing")
    elif len(words) > 1 and "Base" in (words[0], words[-1]):
        yield Fault("class-name", place, "Base says how it is used, not what it is")


def _function(place: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Fault]:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > MAX_FUNCTION_LINES:
        yield Fault("function-size", place, f"{length} lines, at most {MAX_FUNCTION_LINES}")
    args = node.args
    given = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    count = sum(1 for arg in given if arg is not None and arg.arg not in ("self", "cls"))
    if count > MAX_PARAMETERS:
        yield Fault("parameters", place, f"{count} parameters, at most {MAX_PARAMETERS}")


def dead_modules(sources: Mapping[str, str], entries: frozenset[str]) -> list[str]:
    """Modules of the package that nothing else in it imports, and no entry point names."""
    used: set[str] = set(entries)
    for module, source in sources.items():
        used.update(name for name in _imported(module, source, sources) if name != module)
    packages = {name for name in sources if any(n.startswith(f"{name}.") for n in sources)}
    return sorted(set(sources) - used - packages)


def _imported(module: str, source: str, known: Mapping[str, str]) -> Iterator[str]:
    """The modules a file names: by import statement, or as a dotted string (lazy imports)."""
    is_package = any(name.startswith(f"{module}.") for name in known)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                origin = ".".join([*parts, *([origin] if origin else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.split(":")[0]
