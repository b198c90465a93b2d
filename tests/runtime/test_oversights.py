"""What somebody has written and nothing reads is said at the start, with the remedy."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from borough.runtime.data_options import EventOptions
from borough.runtime.options import Options, SystemFacts
from borough.runtime.oversights import oversights
from borough.runtime.system import System
from borough.runtime.wiring import make_plan
from tests.cli.systems import write_system

IDLE = """
    from typing import Protocol, final
    from borough import ANYONE, Service, contract, get

    @contract("idle", version="1.0")
    class Idle(Protocol):
        @get("/nothing")
        async def nothing(self) -> None: ...

    @final
    class IdleService(Service, Idle):
        async def nothing(self) -> None: ...
"""


TABLELESS = """
    from typing import Protocol, final
    from borough import Database, Service, contract, get
    from {package}.idle import data

    @contract("idle", version="1.0")
    class Idle(Protocol):
        @get("/nothing")
        async def nothing(self) -> None: ...

    @final
    class IdleService(Service, Idle):
        db: Database

        async def nothing(self) -> None:
            '''Select rows from nowhere.'''
            await self.db.one(int, "select count(*) from sqlite_master")
            await data.forget(self.db)
"""
FORGETS = """
    from borough import Database

    class Rows:
        @staticmethod
        async def forget(db: Database) -> None:
            async with db.transaction() as tx:
                async def body() -> None:
                    await tx.execute("update Naps set ended = 1 where id = $1", 3)
                await body()

    forget = Rows.forget
"""


UNPUBLISHED = """
    from borough import Event
    class Ended(Event):
        hours: int
    class Rested(Ended):
        pass
"""


def said(folder: Path, package: str, toml: str = "", **files: str) -> list[str]:
    """What a start of the system says, without its name and path."""
    beside = {
        name if name.endswith(".py") else name.replace("__", "/") + ".sql": text
        for name, text in files.items()
    }
    toml = f'[system]\nname = "{package}"\n{toml}'
    root = write_system(folder, package, toml=toml, files={"idle/service.py": IDLE, **beside})
    system = System.load(root)
    found = oversights(make_plan(system), system.configuration.options)
    return [sentence.replace(str(root), ".") for sentence in found]


def test_systems_without_a_name_are_not_told_apart_at_a_broker(tmp_path: Path) -> None:
    root = write_system(tmp_path, "nameless", toml="", files={"idle/service.py": IDLE})
    plan = make_plan(System.load(root))
    for broker, sentences in (("embedded", 0), ("rabbitmq", 1), ("kafka", 1)):
        events = EventOptions(broker=broker)  # type: ignore[arg-type]
        assert len(list(oversights(plan, Options(events=events)))) == sentences
        named = Options(system=SystemFacts(name="shop"), events=events)
        assert list(oversights(plan, named)) == []


def test_what_is_imported_from_the_inside_of_another_service_is_named(tmp_path: Path) -> None:
    data = "class Row: ...\ndef find() -> None: ...\nLIMIT = 3\n"
    peeking = (
        "from peeking.notes import data\nfrom peeking.notes.data import Row\n"
        "from peeking.notes.contract import Notes\nfrom peeking.common import Money\n"
    )
    found = said(
        tmp_path,
        "peeking",
        **{
            "notes/data.py": data,
            "common.py": "class Money: ...\n",
            "idle/service.py": f"{peeking}{textwrap.dedent(IDLE)}",
        },
    )
    rest = (
        "is from peeking.notes.data, the inside of the service notes, and is not there where that one runs "
        "elsewhere; import of another service its contract alone"
    )
    assert found == [f"./idle/service.py: {word} {rest}" for word in ("Row", "data")]


def test_a_package_by_which_a_contract_is_come_to_is_no_inside_and_nothing_is_made_by_looking(
    tmp_path: Path,
) -> None:
    by_package = """
        from byways import notes
        import byways.idle.made_later
        import byways.notes.contract as promises

        assert notes.contract.Notes is promises.Notes
    """
    made_later = """
        class Later:
            @property
            def __class__(self):
                raise RuntimeError("it is not configured yet")

        settings = Later()
    """
    found = said(
        tmp_path,
        "byways",
        **{
            "notes/__init__.py": "",
            "idle/made_later.py": textwrap.dedent(made_later),
            "idle/service.py": f"{textwrap.dedent(by_package)}{textwrap.dedent(IDLE)}",
        },
    )
    assert found == []


@pytest.mark.parametrize(
    ("package", "toml", "files", "folder"),
    [
        ("tableless", "", {}, "sqlite"),
        ("tables_empty", "", {"idle/migrations/sqlite/README": ""}, "sqlite"),
        ("tables_postgres", '[services.idle]\nstore = "postgres"\n', {}, "postgres"),
        ("tables_made", "", {"idle/made.sql": "", "idle/migrations/sqlite/0001_x.sql": ""}, None),
        ("tables_alembic", "", {"idle/migrations/alembic/env.py": ""}, None),
        (
            "tables_by_code",
            "",
            {"idle/data.py": FORGETS + "    MADE = 'create table naps (id)'"},
            None,
        ),
    ],
)
def test_a_table_that_no_migration_makes_is_told_before_the_first_statement_fails(
    tmp_path: Path, package: str, toml: str, files: dict[str, str], folder: str | None
) -> None:
    service = TABLELESS.replace("{package}", package)
    contents = {"idle/service.py": service, "idle/data.py": FORGETS, **files}
    toml = f'[system]\nname = "{package}"\n{toml}'
    root = write_system(tmp_path, package, toml=toml, files=contents)
    system = System.load(root)
    told = list(oversights(make_plan(system), system.configuration.options))
    place = root / "idle" / "migrations" / str(folder) / "0001_naps.sql"
    sentence = (
        f"{root / 'idle' / 'data.py'}:8: the table Naps is asked for, and idle has no migrations that make one; "
        f"write {place}, with `create table Naps (...)`"
    )
    assert told == ([] if folder is None else [sentence])


def test_what_is_read_is_not_spoken_of(tmp_path: Path) -> None:
    queries = {f"idle__{name}__find": "select 1;" for name in ("integrations", "operations")}
    assert said(tmp_path, "fine_system", '[services.notes]\nteam = "people"\n', **queries) == []


@pytest.mark.parametrize(
    ("package", "toml", "files", "sentence"),
    [
        (
            "beside",
            "",
            {"notes__migrations__0002_more": "select 1;"},
            "./notes/migrations/0002_more.sql is applied to nothing, since sqlite is beside it; move it there",
        ),
        (
            "deeper",
            "",
            {"notes__migrations__sqlite__more__0002_more": "select 1;"},
            "./notes/migrations/sqlite/more/0002_more.sql is applied to nothing, since it is in a folder of its own; "
            "move it up, or elsewhere",
        ),
        (
            "misnamed",
            "",
            {"idle__migration__0001_x": "select 1;"},
            "./idle/migration is applied to nothing: the folder of migrations is ./idle/migrations; rename it",
        ),
        (
            "without",
            "",
            {"idle__migrations__sqlite__0001_x": "select 1;"},
            "./idle/migrations is applied to nothing: IdleService has no database; add `db: Database` to it, "
            "or remove the folder",
        ),
        (
            "unset",
            "[services.idle.settings]\nhost = 'x'\n",
            {},
            "services.idle.settings is there, and IdleService has no Settings class to read it; annotate an "
            "attribute with one, or remove the table",
        ),
        (
            "left_out",
            "",
            {
                "idle/contract.py": IDLE.partition("    @final")[0]
                .replace("Idle", "Busy")
                .replace("/nothing", "/busy")
            },
            "./idle/contract.py:5: idle.Busy is answered by nobody: IdleService does not inherit it; add it to its "
            "bases, or remove the contract",
        ),
        (
            "unpublished",
            "",
            {"idle/service.py": UNPUBLISHED + IDLE},
            "./idle/service.py:5: no contract publishes the event Rested; name it in publishes=[...], or remove it",
        ),
        (
            "patient",
            "",
            {
                "idle/service.py": IDLE.replace(
                    '"/nothing"', '"/nothing", allow=ANYONE, timeout_s=30'
                )
            },
            "idle.Idle.nothing has timeout_s=30, and a call from outside that asks for no time has "
            "limits.default_timeout_s (10 s); raise that, or let its callers send Borough-Timeout-Ms",
        ),
        (
            "endless",
            "[limits]\ndefault_timeout_s = 40\n",
            {
                "idle/service.py": IDLE.replace(
                    '"/nothing"', '"/nothing", allow=ANYONE, timeout_s=90'
                )
            },
            "idle.Idle.nothing has timeout_s=90, and no call from outside has more than limits.longest_timeout_s "
            "(60 s); raise that, or lower it",
        ),
        (
            "peopel",
            "[teams.people]\nsize = 2\n[services.idle]\nteam = 'peopel'\n",
            {},
            'services.idle.team is "peopel", which no table names; did you mean people?',
        ),
    ],
)
def test_what_nothing_reads_is_said_with_its_remedy(
    tmp_path: Path, package: str, toml: str, files: dict[str, str], sentence: str
) -> None:
    assert said(tmp_path, f"system_{package}", toml, **files) == [sentence]
