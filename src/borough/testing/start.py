"""Starts services of a system inside a test, in one of several modes, and stops them after it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

from borough.clock import Clock
from borough.contracts.reading import contract_mark, read_contract
from borough.engines.ports import free_port
from borough.errors import ConfigurationError
from borough.gateway.process import Process
from borough.runtime.host import MakeTransport
from borough.runtime.system import System, contract_classes, service_name
from borough.services.service import Service
from borough.services.settings import Secret
from borough.testing.fakes import contract_of, misfit
from borough.testing.running import Running
from borough.transports.honest import Hardship, HonestTransport

__all__ = ["MODES", "Mode", "start"]

Mode = Literal["local", "honest", "wire", "processes"]
MODES: tuple[Mode, ...] = get_args(Mode)


@asynccontextmanager
async def start(
    system: System | str | os.PathLike[str],
    *,
    mode: Mode = "local",
    only: Sequence[str] | None = None,
    fakes: Mapping[Callable[..., Any], object] | None = None,
    settings: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    data: str | os.PathLike[str] | None = None,
    edge: bool = False,
    hardship: Hardship | None = None,
) -> AsyncGenerator[Running]:
    """Start services and stop them at the end of the block.

    `only` names the services to run, all by default; `fakes` maps contracts to objects that answer
    them in place of their services, which are then not run; `settings` maps option paths
    (`services.payments.settings.issuer_url`) to values, secrets by `env:NAME` or `file:PATH`; `data`
    keeps the databases in a folder of yours; `edge=True` opens the public listener on a free port;
    `hardship` makes honest calls slow or fail. Raises `DeclarationFaults` or `ConfigurationError`.
    """
    if mode not in MODES:
        raise ConfigurationError(f"mode {mode!r} is none of {', '.join(MODES)}")
    if isinstance(only, str):
        raise ConfigurationError(f'only is a text; write only=["{only}"]')
    if hardship is not None and mode != "honest":
        raise ConfigurationError(f'hardship is for mode="honest", not {mode!r}')
    if mode == "processes" and clock is not None:
        raise ConfigurationError(
            'a clock of the test\'s cannot be had in mode="processes": each process has its own'
        )
    if mode == "processes" and isinstance(system, System):
        raise ConfigurationError(
            'mode="processes" starts other processes, which need the folder of the system and not a System'
        )
    _refuse_unfit(fakes or {})
    for path, value in (settings or {}).items():
        if isinstance(value, Secret):
            raise ConfigurationError(
                f'settings has a Secret for {path}; write "env:NAME" or "file:PATH" instead'
            )
    chosen = _without_faked(_chosen(system, only, settings or {}), fakes or {})
    with tempfile.TemporaryDirectory(prefix="borough-test-", ignore_cleanup_errors=True) as folder:
        if mode == "processes":
            from borough.testing.fleet import start_fleet

            flags = {**(settings or {}), **({"edge.port": free_port()} if edge else {})}
            async with start_fleet(
                chosen,
                fakes=fakes or {},
                flags=flags,
                environment=_environment(),
                data=Path(data or folder),
                has_door=edge,
            ) as fleet:
                yield fleet
            return
        process = Process(
            chosen,
            clock=clock,
            stand_ins=fakes,  # type: ignore[arg-type]
            make_transport="wire" if mode == "wire" else _honest(hardship, mode),
            data_folder=Path(data or folder),
            edge_port=free_port() if edge else None,
            internal_port=free_port() if mode == "wire" else None,
        )
        await process.start()
        try:
            yield Running(process)
        finally:
            await process.stop()


def _chosen(
    system: System | str | os.PathLike[str], only: Sequence[str] | None, settings: Mapping[str, Any]
) -> System:
    if isinstance(system, System):
        whole = system.configured(system.configuration.with_flags(settings)) if settings else system
    else:
        whole = System.load(system, flags=settings, environment=_environment())
    if only is None:
        return whole
    names = {service_name(cls): cls for cls in whole.services}
    for name in only:
        if name not in names:
            raise ConfigurationError(
                f"there is no service {name!r}; there are {', '.join(sorted(names))}"
            )
    return whole.narrowed([names[name] for name in only])


def _environment() -> dict[str, str]:
    """What references (`env:NAME`) may name: all that is no option, which a test says itself."""
    own = ("BOROUGH_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _refuse_unfit(fakes: object) -> None:
    """Refuse what answers no contract: all that is wrong with the fakes together."""
    if not isinstance(fakes, Mapping):
        raise ConfigurationError(
            f"fakes is a {type(fakes).__name__}; write fakes={{Contract: object}}"
        )
    found = [_unfit(*each) for each in cast("Mapping[Any, object]", fakes).items()]
    wrong = [sentence for sentence in found if sentence is not None]
    if wrong:
        raise ConfigurationError("; ".join(wrong))


def _unfit(faked: Callable[..., Any], answering: object) -> str | None:
    if contract_mark(faked) is None:
        return f"fakes has {faked!r}, which is no contract: write fakes={{Contract: object}}"
    kind = type(answering).__name__
    if isinstance(answering, type):
        name = answering.__name__
        return f"fakes has the class {name} and no object of it; write {name}()"
    contract = read_contract(faked)  # type: ignore[arg-type]
    made_for = contract_of(answering)
    if made_for is not None and made_for.cls is not faked:
        return f"fakes has for {contract.name} a fake of {made_for.name}"
    operations = contract.operations
    there = [each for each in operations if callable(getattr(answering, each, None))]
    if operations and not there:
        return (
            f"fakes has for {contract.name} an object of {kind}, which has none of its operations: "
            f"{', '.join(operations)}"
        )
    found = [misfit(getattr(answering, each), operations[each]) for each in there]
    wrong = [why for why in found if why is not None]
    return (
        f"fakes has for {contract.name} an object of {kind}, where {'; '.join(wrong)}"
        if wrong
        else None
    )


def _without_faked(system: System, fakes: Mapping[Callable[..., Any], object]) -> System:
    """The system without the services whose contracts are all faked."""
    kept: list[type[Service]] = []
    for cls in system.services:
        faked = [contract in fakes for contract in contract_classes(cls)]
        if any(faked) and not all(faked):
            raise ConfigurationError(
                f"{service_name(cls)} has contracts that are faked and others that are not; "
                "fake all of them, or none"
            )
        if not any(faked):
            kept.append(cls)
    return system if len(kept) == len(system.services) else system.narrowed(kept)


def _honest(hardship: Hardship | None, mode: Mode) -> MakeTransport | None:
    if mode != "honest":
        return None
    return lambda host, _caller: HonestTransport(host.callees, host.clock, hardship)
