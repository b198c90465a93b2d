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
from tests.contracts.planted import MARK, lines_of, marked_lines, module_of

SHARED = """
class Paid(Event):
    id: Key[int]

class Sent(Event):
    id: int

@contract("pay", version="1.0", publishes=[Paid])
class Pay(Protocol):
    '''Takes money.'''

    @post("/charges")
    async def charge(self, cents: int, note: str = "") -> int: ...

    @get("/log")
    def log(self) -> AsyncIterator[int]: ...

@contract("post", version="1.0", publishes=[Sent])
class Post(Protocol):
    '''Sends letters.'''

    @post("/letters", idempotent_by="number")
    async def send(self, number: int) -> int: ...

class PayService(Service, Pay):
    async def charge(self, cents: int, note: str = "") -> int:
        return cents

    async def log(self) -> AsyncIterator[int]:
        yield 1
"""


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


FAULTS: dict[str, tuple[str, str, str]] = {
    "two services of one name": (
        """
class Other(Service, name="pay"):  # <-
    pass
""",
        "two services are named pay",
        "Rename one",
    ),
    "a missing operation": (
        """
class PostService(Service, Post):  # <-
    db: Database
""",
        "PostService does not implement Post.send",
        "Write `async def send(self, ...)`",
    ),
    "an operation that is no method": (
        """
class PostService(Service, Post):  # <-
    db: Database
    send = None
""",
        "PostService.send is no method, and Post has that operation",
        "Write it as a method, or give the attribute another name",
    ),
    "parameters of another name": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, count: int) -> int:  # <-
        return 1
""",
        "PostService.send takes (count), its contract (number)",
        "Use the contract's parameters",
    ),
    "a parameter that nobody gives": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, number: int, urgent: bool) -> int:  # <-
        return 1
""",
        "PostService.send takes (number, urgent), its contract (number)",
        "Use the contract's parameters",
    ),
    "a parameter that cannot be given by position": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, *, number: int) -> int:  # <-
        return 1
""",
        "PostService.send takes (number), its contract (number)",
        "Use the contract's parameters",
    ),
    "a sync operation": (
        """
class PostService(Service, Post):
    db: Database
    def send(self, number: int) -> int:  # <-
        return 1
""",
        "PostService.send is not `async def`",
        "Make it so",
    ),
    "an awaited stream": (
        """
@contract("news", version="1.0")
class News(Protocol):
    '''Tells.'''
    @get("/all")
    def all(self) -> AsyncIterator[int]: ...

class NewsService(Service, News):
    async def all(self) -> AsyncIterator[int]:  # <-
        return self.charge()
""",
        "NewsService.all is not a plain `def` or an async generator",
        "Make it so",
    ),
    "a dependency that nobody provides": (
        """
ALONE = True
class Asking(Service):  # <-
    post: Post
""",
        "Asking.post needs Post, which no service here provides",
        "Add the service to the system, or run it with --mock",
    ),
    "an optional dependency": (
        """
class Asking(Service):  # <-
    pay: Pay | None
""",
        "Asking.pay is annotated with {module}.Pay | None",
        "Annotate it with the contract itself: a dependency is always there",
    ),
    "an annotation that cannot be read": (
        """
class Asking(Service):  # <-
    clerk: "Clerk"
""",
        "an annotation of Asking cannot be read: name 'Clerk' is not defined",
        "Import the name at the top of its module, and not under TYPE_CHECKING",
    ),
    "an annotation that is no Python": (
        """
class Asking(Service):  # <-
    clerk: "a clerk"
""",
        "an annotation of Asking cannot be read: "
        "Forward reference must be an expression -- got 'a clerk'",
        "Import the name at the top of its module, and not under TYPE_CHECKING",
    ),
    "a service in place of its contract": (
        """
class Asking(Service):  # <-
    pay: PayService
""",
        "Asking.pay is annotated with the service PayService",
        "Annotate it with the contract; only contracts of another service may be used",
    ),
    "an event that no contract publishes": (
        """
class Lost(Event):
    id: int

class Hearing(Service):
    @on(Lost)  # <-
    async def heard(self, event: Lost) -> None: ...
""",
        "Hearing.heard hears Lost, which no contract here publishes",
        "Name it in `publishes=[...]` of the contract that it belongs to",
    ),
    "events of two contracts in one handler": (
        """
class Hearing(Service):
    @on(Paid, Sent)  # <-
    async def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard hears events of several contracts, between which there is no order",
        "Write one handler for each contract",
    ),
    "a handler of no event": (
        """
class Hearing(Service):
    @on()  # <-
    async def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard hears no event",
        "Name one: @on(Event)",
    ),
    "a sync handler": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler without an event": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler that wants too much": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Any, tx: Any, more: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler whose transaction has no position": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Any, *, tx: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a schedule that wants too much": (
        """
class Waking(Service):
    @every("1h")  # <-
    async def wake(self, tx: Any, more: Any) -> None: ...
""",
        "Waking.wake has the wrong form",
        "Write `async def wake(self) or (self, tx)`",
    ),
    "two handlers of one name": (
        """
class Hearing(Service):
    @on(Paid, name="money")
    async def first(self, event: Any) -> None: ...
    @on(Paid, name="money")  # <-
    async def second(self, event: Any) -> None: ...
""",
        "two handlers are named {service}.money",
        "Give one `name=`",
    ),
    "two schedules of one name": (
        """
class Waking(Service):
    @every("1h", name="hourly")
    async def first(self) -> None: ...
    @every("1h", name="hourly")  # <-
    async def second(self) -> None: ...
""",
        "two schedules are named {service}.hourly",
        "Give one `name=`",
    ),
    "equal routes of two contracts": (
        """
@contract("pay", version="1.0")  # <-
class Fees(Protocol):
    '''Takes fees.'''
    @post("/charges")
    async def fee(self) -> int: ...
""",
        "pay.Fees.fee and pay.Pay.charge both answer POST /pay/charges",
        "Give one of them another path",
    ),
    "a keyed operation without a database": (
        """
class PostService(Service, Post):  # <-
    async def send(self, number: int) -> int:
        return 1
""",
        "post.Post.send is idempotent by a key, and PostService has no database to keep the answer",
        "Add `db: Database`, and end the operation with `tx.answer(...)`",
    ),
    "an event of two contracts": (
        """
@contract("copies", version="1.0", publishes=[Paid])  # <-
class Copies(Protocol):
    '''Copies.'''
""",
        "the event Paid is published by Pay and Copies",
        "An event belongs to one contract; give each its own",
    ),
    "two contracts of one name": (
        """
FIRST = Post
@contract("post", version="1.1")
class Post(Protocol):
    '''Sends parcels.'''
    @post("/parcels")
    async def send(self) -> int: ...
""",
        "two contracts are named post.Post",
        "Rename one",
    ),
    "a contract of two services": (
        """
class Second(Service, Pay, name="pay2"):  # <-
    async def charge(self, cents: int, note: str = "") -> int:
        return cents
    async def log(self) -> AsyncIterator[int]:
        yield 1
""",
        "Second and PayService both provide Pay",
        "Keep one",
    ),
    "contracts of two services in one": (
        """
class PostService(Service, Post, name="mail"):  # <-
    db: Database
    async def send(self, number: int) -> int:
        return 1
""",
        "PostService is the service 'mail' and provides Post of 'post'",
        "Name the same service in both",
    ),
    "a service with an odd name": (
        """
class Asking(Service, name="../Asking"):  # <-
    pass
""",
        "Asking is the service '../Asking'",
        "Use lower-case letters, digits, - and _; `class X(Service, name=...)` gives a name",
    ),
    "two settings classes": (
        """
class One(Settings):
    a: int = 1

class Two(Settings):
    b: int = 1

class Asking(Service):  # <-
    one: One
    two: Two
""",
        "Asking.two is a second settings class",
        "Write one class with all of its settings",
    ),
    "two raw applications at one path": (
        """
class Asking(Service):
    @raw("/app", allow=ANYONE)
    def first(self) -> Any: ...
    @raw("/app", allow=ANYONE)  # <-
    def second(self) -> Any: ...
""",
        "two raw applications are mounted at /{service}/app",
        "Move one",
    ),
    "a raw application below a slot": (
        """
class Asking(Service):
    @raw("/{id}/app", allow=ANYONE)  # <-
    def first(self) -> Any: ...
""",
        "Asking.first is mounted at '/{service}/{id}/app'",
        "Write /segments without slots",
    ),
    "a raw application that is awaited": (
        """
class Asking(Service):
    @raw("/app", allow=ANYONE)  # <-
    async def first(self) -> Any: ...
""",
        "Asking.first has the wrong form",
        "Write `def first(self)`, which returns the ASGI application",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_line_and_remedy(name: str, tmp_path: Path) -> None:
    text, message, remedy = FAULTS[name]
    _, faults = wired(text, tmp_path)
    found = [fault for fault in faults if fault.remedy == remedy]
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


def test_on_without_its_parentheses_is_a_type_error(tmp_path: Path) -> None:
    text = """
class Hearing(Service):
    @on
    async def heard(self, event: Any) -> None: ...
"""
    with pytest.raises(TypeError, match=r"@on\(heard\) is no event; write @on\(SomeEvent\)"):
        wired(text, tmp_path)


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
