"""The tree is tidy: sizes, names, theories and no dead modules.

An exception stands in tidy_exceptions.toml with its reason, and must go when no longer needed.
"""

import tomllib
from pathlib import Path

import pytest

from tests.tidiness import Fault, dead_modules, faults_of

ROOT = Path(__file__).parent.parent
CHECKED = ("src", "examples", "tests", "benchmarks", "rigs")
EXCEPTIONS = ROOT / "tests" / "tidy_exceptions.toml"


def package_sources() -> dict[str, str]:
    """Module name to source, for the whole package."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def entry_points() -> frozenset[str]:
    """Modules that are run, not imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    scripts = (target.split(":")[0] for target in project["scripts"].values())
    return frozenset({"borough", *scripts, *public_modules()})


def public_modules() -> set[str]:
    """Modules that only a user imports: the rooms themselves and every `__main__`."""
    return {
        name for name in package_sources() if name.count(".") == 1 or name.endswith(".__main__")
    }


def tree_faults() -> list[Fault]:
    """Every fault of the tree as it stands."""
    faults: list[Fault] = []
    for folder in CHECKED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            faults += faults_of(path.relative_to(ROOT).as_posix(), source)
    dead = dead_modules(package_sources(), entry_points())
    return faults + [Fault("dead-module", name, "nothing imports it") for name in dead]


def excused(faults: list[Fault], exceptions: dict[str, str]) -> list[str]:
    """What remains to be done: faults without an exception, exceptions without need or reason."""
    identities = {fault.identity for fault in faults}
    left = [str(fault) for fault in faults if fault.identity not in exceptions]
    left += [f"{key}: no longer needed, remove it" for key in exceptions if key not in identities]
    left += [f"{key}: give a reason" for key, why in exceptions.items() if len(why.split()) < 3]
    return left


def test_the_tree_is_tidy() -> None:
    exceptions = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    left = excused(tree_faults(), exceptions)
    if left:
        pytest.fail("\n".join(["not tidy:", *left]), pytrace=False)


THEORY = '"""What it is for."""\n'
PLANTED = [
    ("file-size", "src/borough/a.py", THEORY + "x = 1\n" * 500),
    ("function-size", "src/borough/a.py", THEORY + "def f() -> None:\n" + "    pass\n" * 70),
    ("parameters", "src/borough/a.py", THEORY + "def f(a, b, c, d, e, *, g, h, i, j, k, l): ...\n"),
    ("parameters", "src/borough/a.py", THEORY + "def f(a, b, c, d, e, g, h, i, j, *k, **l): ...\n"),
    ("class-name", "src/borough/a.py", THEORY + "class CallManager: ...\n"),
    ("class-name", "src/borough/a.py", THEORY + "class HTTPUtils: ...\n"),
    ("class-name", "src/borough/a.py", THEORY + "class BaseStore: ...\n"),
    ("class-name", "src/borough/a.py", THEORY + "def f():\n    class StoreBase: ...\n"),
    ("module-name", "src/borough/utils.py", THEORY),
    ("module-name", "examples/shop/common/a.py", THEORY),
    ("promise", "tests/a.py", "# TO" + "DO: later\n"),
    ("promise", "tests/a.py", "# FIX" + "ME\n"),
    ("theory", "src/borough/a.py", "x = 1\n"),
    ("theory", "src/borough/a.py", '"""One.\n' + "more\n" * 10 + '"""\n'),
]


@pytest.mark.parametrize(("rule", "path", "source"), PLANTED)
def test_a_planted_fault_is_found(rule: str, path: str, source: str) -> None:
    assert [fault.rule for fault in faults_of(path, source)] == [rule]


FINE = [
    ("src/borough/a.py", THEORY + "x = 1\n" * 499),
    ("src/borough/a.py", '"""One.\n' + "more\n" * 9 + '"""\n'),
    ("src/borough/a.py", THEORY + "def f() -> None:\n" + "    pass\n" * 69),
    ("src/borough/a.py", THEORY + "class A:\n    def f(self, a, b, c, d, e, f, g, h, i, j): ...\n"),
    ("src/borough/a.py", THEORY + "class Database: ...\nclass Information: ...\n"),
    ("tests/a.py", "x = 1\n"),
]


@pytest.mark.parametrize(("path", "source"), FINE)
def test_the_limit_itself_is_fine(path: str, source: str) -> None:
    assert not list(faults_of(path, source))


def test_a_module_that_nothing_imports_is_dead() -> None:
    sources = {
        "p": "from p.used import x\nfrom . import also",
        "p.used": "",
        "p.also": "",
        "p.lazy": "",
        "p.dead": "import p.dead",
        "p.room": "",
        "p.room.face": "from .leaf import y\nLAZY = 'p.lazy:main'",
        "p.room.leaf": "",
    }
    assert dead_modules(sources, frozenset({"p"})) == ["p.dead", "p.room.face"]
    assert dead_modules(sources, frozenset({"p", "p.room.face"})) == ["p.dead"]


def test_an_exception_excuses_its_fault_and_no_other() -> None:
    fault = Fault("file-size", "src/a.py", "501 lines")
    other = Fault("file-size", "src/b.py", "501 lines")
    why = {"file-size src/a.py": "a table of 500 status codes"}
    assert excused([fault], why) == []
    assert excused([fault, other], why) == [str(other)]


def test_an_exception_must_be_needed_and_have_a_reason() -> None:
    fault = Fault("file-size", "src/a.py", "501 lines")
    assert excused([], {"theory src/a.py": "has no need of one"}) == [
        "theory src/a.py: no longer needed, remove it"
    ]
    assert excused([fault], {fault.identity: ""}) == [f"{fault.identity}: give a reason"]
