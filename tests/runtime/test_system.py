"""A folder becomes a system, or says in one sentence why it does not."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough import Database
from borough.errors import ConfigurationError, DeclarationFaults
from borough.runtime.system import System, service_name
from borough.runtime.wiring import make_plan
from tests.cli.systems import CONTRACT, write_system

_names = (f"found{number}" for number in itertools.count(os.getpid() * 1000))


@pytest.fixture
def package() -> Iterator[str]:
    """A package name that no other test has imported; forgotten afterwards."""
    name = next(_names)
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    """What a system adds to the import path is taken away again."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def names(system: System) -> list[str]:
    return [service_name(cls) for cls in system.services]


def test_each_folder_with_a_service_module_is_a_service(tmp_path: Path, package: str) -> None:
    system = System.load(write_system(tmp_path, package))
    assert (system.name, names(system)) == (package, ["notes"])


def test_the_current_directory_is_a_system_too(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_system(tmp_path, package))
    assert names(System.load(".")) == ["notes"]


def test_relative_imports_work(tmp_path: Path, package: str) -> None:
    service = """
    from borough import Service
    from .contract import Notes
    from ..ears import service as ears

    class NoteService(Service, Notes):
        async def write(self, text: str): ...
        async def read(self, id: int): ...
        async def internal(self) -> int: return 1
    """
    ears = """
    from borough import Service, on
    from ..notes.contract import Noted

    class Ears(Service):
        @on(Noted)
        async def hear(self, event: Noted) -> None: ...
    """
    files = {"notes/service.py": service, "ears/service.py": ears}
    assert names(System.load(write_system(tmp_path, package, files=files))) == ["ears", "notes"]


def test_packages_need_no_init_module(tmp_path: Path, package: str) -> None:
    root = write_system(tmp_path, package)
    (root / "__init__.py").unlink()
    (root / "notes" / "__init__.py").unlink()
    assert names(System.load(root)) == ["notes"]


def test_a_service_may_stand_in_a_module_of_its_own_name(tmp_path: Path, package: str) -> None:
    toml = f'[services.notes]\nmodule = "{package}.notes.inside"\n'
    root = write_system(tmp_path, package, toml=toml)
    (root / "notes" / "service.py").rename(root / "notes" / "inside.py")
    assert names(System.load(root)) == ["notes"]


def test_a_contract_without_a_service_is_known(tmp_path: Path, package: str) -> None:
    root = write_system(tmp_path, package)
    (root / "notes" / "service.py").unlink()
    system = System.load(root)
    assert (names(system), [cls.__name__ for cls in system.contracts]) == ([], ["Notes"])


@pytest.mark.parametrize(
    ("folder", "advice"),
    [
        ("my-shop", "my_shop"),
        ("shop.v2", "shop_v2"),
        ("class", "rename it"),
        ("2shop", "rename it"),
    ],
)
def test_a_folder_that_is_no_package_name_is_named(
    tmp_path: Path, folder: str, advice: str
) -> None:
    root = write_system(tmp_path, folder)
    with pytest.raises(ConfigurationError) as caught:
        System.load(root)
    assert f"{folder!r} is no name for one" in str(caught.value)
    assert advice in str(caught.value)


def test_a_service_folder_that_is_no_package_name_is_named(tmp_path: Path, package: str) -> None:
    root = write_system(tmp_path, package)
    (root / "notes").rename(root / "good-notes")
    with pytest.raises(ConfigurationError, match="for example to good_notes"):
        System.load(root)


def test_a_folder_named_as_another_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the module json is .*rename the folder"):
        System.load(write_system(tmp_path, "json"))


def test_a_second_folder_of_one_name_is_not_mistaken_for_the_first(
    tmp_path: Path, package: str
) -> None:
    System.load(write_system(tmp_path / "first", package))
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        System.load(write_system(tmp_path / "second", package))


def test_facts_of_a_service_that_is_not_there_are_refused(tmp_path: Path, package: str) -> None:
    root = write_system(tmp_path, package, toml='[services.nots]\nteam = "front"\n')
    with pytest.raises(ConfigurationError, match=r"services\.nots .* did you mean notes\?"):
        System.load(root)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"notes/service.py": "import borough\n"}, "defines 0 services (none)"),
        (
            {
                "notes/service.py": "from borough import Service\nclass A(Service): ...\nclass B(Service): ...\n"
            },
            "defines 2 services (A, B)",
        ),
        ({"notes/service.py": "x = = 1\n"}, "SyntaxError"),
        ({"notes/service.py": "x = 1\n1 / 0\n"}, "service.py:2: "),
        ({"notes/contract.py": "import nowhere\n"}, "No module named 'nowhere'"),
        ({"notes/contract.py": f"{CONTRACT}\nraise RuntimeError('no')\n"}, "RuntimeError: no"),
        ({"__init__.py": "import nowhere\n"}, "__init__.py:1: "),
        ({"notes/service.py": "import sys\nsys.exit(5)\n"}, "service.py:2: "),
    ],
)
def test_a_module_that_cannot_be_used_is_a_fault_with_its_place(
    tmp_path: Path, package: str, files: dict[str, str], expected: str
) -> None:
    with pytest.raises(DeclarationFaults) as caught:
        System.load(write_system(tmp_path, package, files=files))
    assert expected in str(caught.value)
    assert all(fault.file and fault.line for fault in caught.value.faults)


def test_text_in_every_script_is_welcome(tmp_path: Path, package: str) -> None:
    toml = '[system]\nname = "Läden · 店"\n[services.notes]\ncapability = "Merkt sich Größe ✓"\n'
    system = System.load(write_system(tmp_path / "mit Leerzeichen · 店", package, toml=toml))
    assert system.name == "Läden · 店"


BREAKS = {
    "a version": ('version="1.0", publishes', 'version="1", publishes', "has version '1'"),
    "a type": ("text: str\n\nclass Noted", "text: set[str]\n\nclass Noted", "set"),
    "no type of the answer": ("async def internal(self) -> int:", "async def internal(self):", "internal"),
    "no coroutine": ("async def internal", "def internal", "internal"),
    "a path parameter": ('"/notes/{id}"', '"/notes/{number}"', "number"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("who", ["legacy", "notes"])
def test_a_fault_of_a_contract_is_not_hidden_by_whoever_needs_it(
    tmp_path: Path, package: str, broken: str, who: str
) -> None:
    before, after, told = BREAKS[broken]
    toml = f'[services.{who}]\nneeds = ["notes.Notes"]\n'
    files = {"notes/contract.py": CONTRACT.replace(before, after)}
    if who == "legacy":
        toml += 'asgi = "nowhere:app"\nallow = "anyone"\n'
    else:  # here the class says the same as the facts
        files["notes/service.py"] = f"""
        from borough import Service
        from {package}.notes.contract import Notes

        class Reader(Service):
            notes: Notes
        """
    root = write_system(tmp_path, package, toml=toml, files=files)
    with pytest.raises(DeclarationFaults) as caught:
        make_plan(System.load(root), resources=[Database])
    faults = [fault for fault in caught.value.faults if fault.file and "contract.py" in fault.file]
    assert any(told in str(fault) and fault.line for fault in faults)
    assert "no contract here" not in str(caught.value)


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ('@every("2 parsecs")', "@every('2 parsecs') is no interval"),
        ("@every", "is no interval"),
        ("@on(Notes)", "@on(Notes) is no event"),
    ],
)
def test_a_mark_that_is_refused_is_told_at_the_line_that_wrote_it(
    tmp_path: Path, package: str, mark: str, told: str
) -> None:
    service = f"""
    from borough import Service, every, on
    from {package}.notes.contract import Notes

    class Waking(Service):
        {mark}
        async def wake(self): ...
    """
    root = write_system(tmp_path, package, files={"notes/service.py": service})
    with pytest.raises(DeclarationFaults) as caught:
        System.load(root)
    (fault,) = caught.value.faults
    assert told in fault.message
    assert (fault.file, fault.line) == (str(root / "notes/service.py"), 6)


def test_what_a_library_refuses_is_told_once_and_at_the_line_that_called_it(
    tmp_path: Path, package: str
) -> None:
    contract = f"{CONTRACT}\nimport re\nPATTERN = re.compile('[')\n"
    root = write_system(tmp_path, package, files={"notes/contract.py": contract})
    with pytest.raises(DeclarationFaults) as caught:
        System.load(root)
    (fault,) = caught.value.faults  # the service imports the contract, and fails by the same line
    assert "unterminated character set" in fault.message
    assert fault.file == str(root / "notes/contract.py")
    assert fault.line is not None
    line = (root / "notes/contract.py").read_text().splitlines()[fault.line - 1]
    assert line == "PATTERN = re.compile('[')"
