"""A generated system of many services, the same for the same seed: who calls and who hears whom.

`written` makes a folder of it that `borough run` starts; its first service has an `@every` that sets
calls and events going through all the others.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

__all__ = ["Crowd", "crowd", "written"]

_WORDS = (
    "basket", "price", "stock", "order", "parcel", "refund", "review", "coupon", "ledger", "invoice", "route",
    "depot",
)  # fmt: skip
_KINDS = ("store", "desk", "watch", "engine", "office")
_SERVICE = '''"""{name}, generated."""

from typing import final

from borough import Database, Service, Transaction, every, on
{imports}
from crowd.{module}.contract import {cls}, {cls}Done


@final
class {cls}Service(Service, {cls}):
    """Does what it is asked."""

    db: Database
{clients}
    async def work(self, job: str, hops: int) -> str:
        async with self.db.transaction() as tx:
            tx.publish({cls}Done(job=job))
        if hops > 0:
{calls}            pass
        return job
{hearings}{beat}'''
_CONTRACT = '''"""What {name} promises."""

from typing import Protocol

from borough import Event, Key, contract, post


class {cls}Done(Event):
    """{name} has done a job."""

    job: Key[str]


@contract("{name}", version="1.0", publishes=[{cls}Done])
class {cls}(Protocol):
    """Does the work of {name}."""

    @post("/jobs")
    async def work(self, job: str, hops: int) -> str:
        """Do a job, and have so many others take part."""
        ...
'''


class Crowd(NamedTuple):
    """Services with their teams, and pairs of caller and provider, publisher and subscriber."""

    teams: dict[str, str]
    calls: list[tuple[str, str]]
    hearings: list[tuple[str, str]]


def crowd(count: int = 60, seed: int = 7) -> Crowd:
    """So many services, five to a team; later ones are called by earlier ones."""
    chance = random.Random(seed)
    names = [
        f"{_WORDS[n % len(_WORDS)]}-{_KINDS[n // len(_WORDS) % len(_KINDS)]}" for n in range(count)
    ]
    teams = {name: f"team-{_WORDS[n // 5 % len(_WORDS)]}" for n, name in enumerate(names)}
    calls: list[tuple[str, str]] = []
    hearings: list[tuple[str, str]] = []
    for n, name in enumerate(names[:-1]):
        later = names[n + 1 : n + 20]
        calls += [
            (name, each)
            for each in sorted(chance.sample(later, min(len(later), chance.randint(1, 2))))
        ]
        if chance.random() < 0.5:
            hearings.append((name, chance.choice(later)))
    return Crowd(teams, calls, hearings)


def written(folder: Path, found: Crowd) -> Path:
    """The system in a folder named `crowd`; returns it."""
    root = folder / "crowd"
    facts = ['[system]\nname = "crowd"\n']
    for name, team in found.teams.items():
        _write_service(root, name, found)
        facts.append(f'[services.{name}]\nteam = "{team}"\ncapability = "Knows all of {name}"\n')
    (root / "__init__.py").write_text("")
    (root / "borough.toml").write_text("\n".join(facts))
    return root


def _write_service(root: Path, name: str, found: Crowd) -> None:
    providers = [other for caller, other in found.calls if caller == name]
    publishers = [other for other, hearing in found.hearings if hearing == name]
    folder = root / _module(name)
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "contract.py").write_text(_CONTRACT.format(name=name, cls=_class(name)))
    is_first = name == next(iter(found.teams))
    text = _SERVICE.format(
        name=name,
        module=_module(name),
        cls=_class(name),
        imports="".join(
            [f"from crowd.{_module(each)}.contract import {_class(each)}\n" for each in providers]
            + [
                f"from crowd.{_module(each)}.contract import {_class(each)}Done\n"
                for each in publishers
            ]
        ),
        clients="".join(f"    {_module(each)}: {_class(each)}\n" for each in providers),
        calls="".join(
            f"            await self.{_module(each)}.work(job, hops - 1)\n" for each in providers
        ),
        hearings="".join(
            f"\n    @on({_class(each)}Done)\n    async def on_{_module(each)}(self, event: "
            f"{_class(each)}Done, tx: Transaction) -> None:\n        pass\n"
            for each in publishers
        ),
        beat='\n    @every("1s")\n    async def beat(self) -> None:\n        await self.work("beat", 6)\n'
        if is_first
        else "",
    )
    (folder / "service.py").write_text(text)


def _module(name: str) -> str:
    return name.replace("-", "_")


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))
