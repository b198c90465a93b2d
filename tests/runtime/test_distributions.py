"""A service may be a distribution of its own: named in borough.toml, found by its entry point."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from borough.errors import ConfigurationError, DeclarationFaults
from borough.runtime.distributions import enter_release
from borough.runtime.releases import unpack
from borough.runtime.system import System, service_name
from borough.testing import start
from tests.cli.systems import write_system
from tests.runtime.wheels import search_wheel

_names = (f"finder{number}" for number in itertools.count(os.getpid() * 1000))


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    """The path and the modules as they were."""
    places, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = places
    for name in set(sys.modules) - modules:
        if name.split(".")[0].startswith(("finder", "both")):
            del sys.modules[name]


@pytest.fixture
def package() -> str:
    """The name of a distribution that no other test has installed."""
    return next(_names)


def install(wheel: Path, folder: Path) -> Path:
    """What an installer would do: the wheel's files on the path."""
    place = unpack(wheel, folder)
    sys.path.insert(0, str(place))
    return place


def system_of(folder: Path, distribution: str, more: str = "") -> Path:
    root = folder / "whole-system"
    root.mkdir(exist_ok=True)
    text = f'[services.search]\ndistribution = "{distribution}"\n{more}'
    (root / "borough.toml").write_text(text, encoding="utf-8")
    return root


async def test_a_folder_with_nothing_but_its_configuration_is_a_system(
    tmp_path: Path, package: str
) -> None:
    install(search_wheel(tmp_path, package), tmp_path / "site")
    system = System.load(system_of(tmp_path, package))
    assert [service_name(cls) for cls in system.services] == ["search"]
    contract = sys.modules[f"{package}.contract"].Search
    async with start(system) as running:
        assert await running.client(contract).find("tea") == ("red tea 1.0.0",)


def test_the_version_of_a_service_is_that_of_its_distribution(tmp_path: Path, package: str) -> None:
    install(search_wheel(tmp_path, package, "1.2.3"), tmp_path / "site")
    system = System.load(system_of(tmp_path, package))
    assert system.version_of("search") == "1.2.3"
    assert system.narrowed([]).version_of("search") == "1.2.3"
    assert system.configured(system.configuration).version_of("search") == "1.2.3"


def test_the_version_of_a_service_of_the_folder_is_given_or_the_systems(tmp_path: Path) -> None:
    toml = '[system]\nversion = "4.5"\n'
    assert (
        System.load(write_system(tmp_path / "a", "both_a", toml=toml)).version_of("notes") == "4.5"
    )
    toml += '[services.notes]\nversion = "7"\n'
    assert System.load(write_system(tmp_path / "b", "both_b", toml=toml)).version_of("notes") == "7"


def test_a_distribution_stands_beside_the_services_of_the_folder(
    tmp_path: Path, package: str
) -> None:
    install(search_wheel(tmp_path, package), tmp_path / "site")
    toml = f'[services.search]\ndistribution = "{package}"\n'
    system = System.load(write_system(tmp_path, "both_c", toml=toml))
    assert sorted(service_name(cls) for cls in system.services) == ["notes", "search"]


def test_what_is_merely_installed_is_no_part_of_the_system(tmp_path: Path, package: str) -> None:
    install(search_wheel(tmp_path, package), tmp_path / "site")
    system = System.load(write_system(tmp_path, "both_d"))
    assert [service_name(cls) for cls in system.services] == ["notes"]


def test_an_entry_point_may_name_a_module_alone(tmp_path: Path, package: str) -> None:
    entries = f"[borough.services]\nsearch = {package}.service\n"
    install(search_wheel(tmp_path, package, entries=entries), tmp_path / "site")
    assert len(System.load(system_of(tmp_path, package)).services) == 1


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("[borough.services]\nfind = x.service\n", r"are: find; give it search = "),
        ("[console_scripts]\nx = x:x\n", "are: none; give it search = "),
        ("[borough.services]\nsearch = a.b\nsearch = c.d\n", r"2 entry points search .*leave one"),
        ("[borough.services]\nsearch = a.b:C.d\n", "write module or module:Class"),
    ],
)
def test_what_is_wrong_with_an_entry_point_is_told(
    tmp_path: Path, package: str, entries: str, sentence: str
) -> None:
    install(search_wheel(tmp_path, package, entries=entries), tmp_path / "site")
    with pytest.raises(ConfigurationError, match=sentence):
        System.load(system_of(tmp_path, package))


def test_a_distribution_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"not installed.*pip install shop-nothing"):
        System.load(system_of(tmp_path, "shop-nothing"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{package}.service:Nobody", "Nobody is no service"),
        ("{package}.nowhere", "does not import"),
        ("{package}.other:Other", "leads to the service 'other'"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_told(
    tmp_path: Path, package: str, value: str, sentence: str
) -> None:
    entries = f"[borough.services]\nsearch = {value.format(package=package)}\n"
    place = install(search_wheel(tmp_path, package, entries=entries), tmp_path / "site")
    other = "from borough import Service\nclass Other(Service, name='other'): ...\n"
    (place / package / "other.py").write_text(other, encoding="utf-8")
    with pytest.raises(DeclarationFaults, match=sentence):
        System.load(system_of(tmp_path, package))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('module = "x.y"\n', "has module and distribution"),
        ('asgi = "x:y"\n', "has distribution and asgi"),
        ('version = "1"\n', "remove the option"),
        ('allow = "anyone"\n', "allow is for ASGI applications"),
    ],
)
def test_a_service_is_in_one_place(tmp_path: Path, package: str, more: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        System.load(system_of(tmp_path, package, more))


def test_a_folder_beside_a_distribution_is_refused(tmp_path: Path) -> None:
    toml = '[services.notes]\ndistribution = "notes-elsewhere"\n'
    with pytest.raises(ConfigurationError, match="remove one of the two"):
        System.load(write_system(tmp_path, "both_e", toml=toml))


_ASK = """
import asyncio, sys
from pathlib import Path
from borough.runtime.system import System
from borough.testing import start
system = System.load(sys.argv[1], release=Path(sys.argv[3]))
contract = sys.modules[sys.argv[2] + ".contract"].Search
async def ask():
    async with start(system) as running:
        print(system.version_of("search"), *(await running.client(contract).find("tea")))
asyncio.run(ask())
"""


def test_a_release_goes_before_what_is_installed_and_before_a_checkout(
    tmp_path: Path, package: str
) -> None:
    installed = unpack(search_wheel(tmp_path / "old", package, "1.0.0"), tmp_path / "site")
    release = unpack(search_wheel(tmp_path / "new", package, "2.0.0"), tmp_path / "releases")
    (tmp_path / package).mkdir()  # a checkout beside the system, without a service
    (tmp_path / package / "__init__.py").write_text("", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(system_of(tmp_path, package)), package, str(release)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("2.0.0 red tea 2.0.0", "")


def test_a_wheel_is_unpacked_below_the_data_folder_and_taken(tmp_path: Path, package: str) -> None:
    root = system_of(tmp_path, package)
    System.load(root, release=search_wheel(tmp_path, package, "3.0.0"))
    assert sys.path[0] == str(root / ".borough" / "releases" / f"{package}-3.0.0")


def test_a_release_whose_code_is_imported_already_is_refused(tmp_path: Path, package: str) -> None:
    install(search_wheel(tmp_path / "old", package, "1.0.0"), tmp_path / "site")
    System.load(system_of(tmp_path, package))
    release = unpack(search_wheel(tmp_path / "new", package, "2.0.0"), tmp_path / "releases")
    with pytest.raises(ConfigurationError, match="start a process of its own"):
        enter_release(release)


def test_a_release_is_an_unpacked_wheel(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no unpacked wheel"):
        enter_release(tmp_path)
