"""Every fault of a wiring is found at its line and told with its remedy, all of them together."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from borough import Clock, Service
from borough.contracts.reading import contract_mark
from borough.errors import DeclarationFaults, Fault
from borough.runtime.system import System
from borough.runtime.wiring import Plan, make_plan
from tests.cli.systems import write_system
from tests.contracts.planted import MARK, lines_of, marked_lines, module_of
from tests.runtime.misreading_faults import MISREADINGS
from tests.runtime.wiring_faults import FAULTS, SHARED


def system_of(module: ModuleType) -> System:
    """The services and the contracts of a module, in the order in which they stand."""
    values = list(vars(module).values())
    services = [
        value
        for value in values
        if isinstance(value, type)
        and issubclass(value, Service)
        and value.__module__ == module.__name__
    ]
    contracts = [value for value in values if contract_mark(value) is not None]
    return System(services, contracts=[] if hasattr(module, "ALONE") else contracts)


def wired(text: str, folder: Path) -> tuple[Plan | None, list[Fault]]:
    with module_of(SHARED + text, folder) as module:
        try:
            return make_plan(system_of(module), resources=[Clock]), []
        except DeclarationFaults as error:
            return None, list(error.faults)


@pytest.mark.parametrize("name", FAULTS | MISREADINGS)
def test_a_fault_is_told_with_its_line_and_remedy(name: str, tmp_path: Path) -> None:
    text, message, remedy = (FAULTS | MISREADINGS)[name]
    _, faults = wired(text, tmp_path)
    found = [fault for fault in faults if fault.remedy.startswith(remedy)]
    module = f"planted_{abs(hash((SHARED + text, False)))}"
    expected = message.replace("{module}", module)
    for service in ("hearing", "waking", "asking"):
        if f"class {service.capitalize()}(" in text:
            expected = expected.replace("{service}", service)
    assert [fault.message for fault in found] == [expected]
    if marked := marked_lines(text):
        assert [f"{line.removesuffix(MARK).rstrip()}  {MARK}" for line in lines_of(found)] == marked


def test_all_faults_of_a_system_come_together(tmp_path: Path) -> None:
    texts = [
        "two services of one name",
        "a missing operation",
        "a service in place of its contract",
    ]
    _, faults = wired("".join(FAULTS[name][0] for name in texts), tmp_path)
    assert {FAULTS[name][1] for name in texts} == {fault.message for fault in faults}


def test_faults_of_contracts_and_of_the_wiring_come_together(tmp_path: Path) -> None:
    broken = """
@contract("broken", version="one")
class Broken(Protocol):
    '''Broken.'''

class Asking(Service):
    broken: Broken
    pay: PayService
"""
    _, faults = wired(broken, tmp_path)
    said = "\n".join(map(str, faults))
    assert "version 'one'" in said
    assert "annotated with the service PayService" in said


def test_a_contract_with_a_fault_is_no_fault_of_whoever_hears_it(tmp_path: Path) -> None:
    broken = """
class Broke(Event):
    id: int

@contract("broken", version="one", publishes=[Broke])
class Broken(Protocol):
    '''Broken.'''

class Hearing(Service):
    @on(Broke)
    async def heard(self, event: Broke) -> None: ...
"""
    _, faults = wired(broken, tmp_path)
    assert [fault.message for fault in faults] == ["contract Broken has version 'one'"]


def test_a_handler_takes_what_its_event_is_or_says_nothing(tmp_path: Path) -> None:
    text = """
class Taking(Protocol):
    async def execute(self, *words: Any) -> int: ...

class Hearing(Service):
    @on(Paid)
    async def one(self, event, tx) -> None: ...

    @on(Paid)
    async def two(self, event: "Paid | Sent", tx: "Transaction | None" = None) -> None: ...

    @on(Paid)
    async def three(self, event: Event, tx: Any) -> None: ...

    @on(Paid)
    async def four(self, event: object, tx: Taking) -> None: ...

    @on(Paid)
    async def five(self, event: "Paid", tx: "OnlyForTypeCheckers") -> None: ...
"""
    plan, faults = wired(text, tmp_path)
    assert [fault.message for fault in faults] == []
    assert plan is not None


def test_on_without_its_parentheses_is_a_type_error(tmp_path: Path) -> None:
    text = """
class Hearing(Service):
    @on
    async def heard(self, event: Any) -> None: ...
"""
    with pytest.raises(TypeError, match=r"@on\(heard\) is no event; write @on\(SomeEvent\)"):
        wired(text, tmp_path)


def test_a_raw_application_is_below_the_path_of_its_service(tmp_path: Path) -> None:
    text = """
from typing import Any
from borough import ANYONE, Service, raw

class AskService(Service, name="ask"):
    @raw("app", allow=ANYONE)
    def first(self) -> Any: ...
"""
    _, faults = wired(text, tmp_path)
    assert [fault.message for fault in faults] == ["AskService.first is mounted at '/askapp'"]


@pytest.mark.parametrize("interval", ["", "1", "0s", "-1s", "1 week", "s"])
def test_an_interval_that_cannot_be_read_is_a_value_error(interval: str, tmp_path: Path) -> None:
    text = f"""
class Waking(Service):
    @every({interval!r})
    async def wake(self) -> None: ...
"""
    with pytest.raises(ValueError, match="is no interval"):
        wired(text, tmp_path)


def test_a_plan_says_what_a_service_provides_and_needs(tmp_path: Path) -> None:
    text = """
class Terms(Settings):
    days: int = 14

class PostService(Service, Post):
    db: Database
    pay: Pay
    terms: Terms
    clock: Clock
    note: str

    async def send(self, number: int) -> int:
        return 1

    @on(Paid)
    async def heard(self, event: Paid, tx: Transaction) -> None: ...

    @on(Sent, name="own")
    async def own_letter(self, event: Sent) -> None: ...

    @every("90s")
    async def wake(self, tx: Transaction) -> None: ...

    @raw("/", allow=USER)
    def app(self) -> Any: ...
"""
    plan, faults = wired(text, tmp_path)
    assert faults == []
    assert plan is not None
    post = plan.services["post"]
    assert [contract.wire_name for contract, _ in post.provides] == ["post.Post"]
    assert {name: contract.wire_name for name, contract in post.clients.items()} == {
        "pay": "pay.Pay"
    }
    assert post.databases == ("db",)
    assert list(post.settings) == ["terms"]
    assert list(post.resources) == ["clock"]
    assert {(h.name, h.takes_transaction, len(h.events)) for h in post.handlers} == {
        ("post.heard", True, 1),
        ("post.own", False, 1),
    }
    assert [(s.name, s.interval_s, s.takes_transaction) for s in post.schedules] == [
        ("post.wake", 90.0, True)
    ]
    assert [mount.path for mount in post.mounts] == ["/post"]
    assert post.folder == tmp_path
    assert not plan.services["pay"].needs_database
    assert plan.absent == {}


RIGHT = {
    "an option by name beside the contract's parameters": """
class Selling(Service, Sale):
    async def sell(self, price: float = 1, *, loudly: bool = False) -> int: ...
""",
    "a default that equals the contract's": """
class Selling(Service, Sale):
    async def sell(self, price: float = 1.0) -> int: ...
""",
    "an open and a close that need nothing": """
class Selling(Service):
    async def open(self, tries: int = 3) -> None: ...
    async def close(self, *, patience_s: float = 1.0) -> None: ...
""",
    "an open that is wrapped": """
def timed(function: Any) -> Any:
    @functools.wraps(function)
    def run(*args: Any) -> Any:
        return function(*args)
    return run

class Selling(Service):
    @timed
    async def open(self) -> None: ...
""",
    "what a base says of another kind, and the service says itself": """
class Till:
    db = Database
    def close(self) -> None: ...

class Selling(Till, Service):
    db: Database
    async def close(self) -> None: ...
""",
    "routes that a contract inherits": """
class Stocked(Protocol):
    @get("/left")
    async def left(self) -> int: ...

@contract("store", version="1.0")
class Store(Stocked, Protocol): ...

class Storing(Service, Store):
    async def left(self) -> int:
        return 1

class Selling(Service):
    store: Store
""",
    "an attribute that is called as an operation of another object": """
class Others:
    def __init__(self, selling: object) -> None: ...
    async def sell(self, price: float = 1) -> int:
        return 1

class Selling(Service):
    sell: Database
    sale = provide(Sale, Others)
""",
    "attributes that the class fills itself": """
class Selling(Service):
    made: Callable[[], Wishes]
    kind: type[Wishes]
    all: list[Wishes]
""",
}
SALE = """
import functools
from collections.abc import Callable

class Wishes(Settings):
    pause_s: float = 3

@contract("selling", version="1.0")
class Sale(Protocol):
    '''Sells.'''

    @get("/sales")
    async def sell(self, price: float = 1) -> int: ...
"""


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_call_can_do_with_is_no_fault(name: str, tmp_path: Path) -> None:
    assert wired(SALE + RIGHT[name], tmp_path)[1] == []


def test_a_parents_close_that_nobody_calls_is_no_fault(tmp_path: Path) -> None:
    text = """
class Connection:
    def close(self) -> None: ...

class Asking(Service, Connection):
    async def open(self, patiently: bool = True) -> None: ...
"""
    _, faults = wired(text, tmp_path)
    assert faults == []


def test_a_service_that_was_copied_is_told_apart_from_its_copy(tmp_path: Path) -> None:
    root = write_system(tmp_path, "copied_notes")
    copy = root / "memos"
    copy.mkdir()
    (copy / "service.py").write_text((root / "notes" / "service.py").read_text())
    with pytest.raises(DeclarationFaults) as caught:
        make_plan(System.load(root))
    one, two = "copied_notes.notes.service.NoteService", "copied_notes.memos.service.NoteService"
    assert f"{one} and {two} both provide Notes" in str(caught.value)
    assert f"two services are named notes ({two}, {one})" in str(caught.value)
