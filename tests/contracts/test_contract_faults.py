"""Every fault of a contract as a whole, of its marks, problems and events: found, placed, mendable."""

import importlib
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import Struct, contract, get
from borough.contracts.reading import read_contract, read_contracts, source_place
from borough.errors import DeclarationFaults
from tests.contracts.planted import check_planted, faults_in, lines_of, marked_lines

TWICE = """
from typing import Protocol
from borough import contract, get

@contract("twice", version="1.0")
class Twice(Protocol):
    @get("/name")
    async def name(self) -> str: ...
"""
HEAD = '@contract("shop", version="1.0")'
BUY = '    @post("/buy")\n    async def buy(self) -> None: ...\n'

CONTRACT = [
    (
        "contract Shop is not a Protocol",
        "Write `class Shop(Protocol)`",
        f"{HEAD}  # <-\nclass Shop: ...\n",
    ),
    (
        "contract Shop is generic",
        "Say which types it has",
        f"T = TypeVar('T')\n{HEAD}  # <-\nclass Shop(Protocol[T]):\n{BUY}",
    ),
    (
        "contract _Shop cannot be named on the wire",
        "Use ASCII letters, no _ first",
        f"{HEAD}  # <-\nclass _Shop(Protocol):\n{BUY}",
    ),
    (
        "contract Shop names the service 'The Shop'",
        "Use lower-case letters, digits, - and _",
        f'@contract("The Shop", version="1.0")  # <-\nclass Shop(Protocol):\n{BUY}',
    ),
    (
        "contract Shop has version '1'",
        'Write MAJOR.MINOR, such as "1.0"',
        f'@contract("shop", version="1")  # <-\nclass Shop(Protocol):\n{BUY}',
    ),
    (
        "contract Shop has version 1.2",
        'Write MAJOR.MINOR, such as "1.0"',
        f'@contract("shop", version=1.2)  # <-\nclass Shop(Protocol):\n{BUY}',
    ),
    (
        "contract Shop retains '7 days'",
        'Write "7d", "36h", "latest per key" or "forever"',
        f'@contract("shop", version="1.0", retains="7 days")  # <-\nclass Shop(Protocol):\n{BUY}',
    ),
    (
        "contract Shop retains 7",
        'Write "7d", "36h", "latest per key" or "forever"',
        f'@contract("shop", version="1.0", retains=7)  # <-\nclass Shop(Protocol):\n{BUY}',
    ),
    (
        "contract Shop retains the latest per key and publishes nothing",
        "Remove retains=, or name its events in publishes=[...]",
        '@contract("shop", version="1.0", retains="latest per key")  # <-\n'
        f"class Shop(Protocol):\n{BUY}",
    ),
    (
        "event Sold has no key, and Shop retains the latest per key",
        "Mark one field with Key[...]",
        "class Sold(Event):  # <-\n    sku: str\n"
        '@contract("shop", version="1.0", publishes=[Sold], retains="latest per key")\n'
        f"class Shop(Protocol):\n{BUY}",
    ),
    (
        "Shop.limit is no operation",
        "A contract has only operations; write a method for it",
        f"{HEAD}  # <-\nclass Shop(Protocol):\n    limit: int\n{BUY}",
    ),
    (
        "Shop.size is no operation",
        "A contract has only operations; write a method for it",
        f"{HEAD}  # <-\nclass Shop(Protocol):\n"
        f"    @property\n    def size(self) -> int: ...\n{BUY}",
    ),
    (
        "Shop._buy cannot be named on the wire",
        "Use ASCII letters, no _ first",
        f'{HEAD}\nclass Shop(Protocol):\n    @post("/buy")  # <-\n'
        "    async def _buy(self) -> None: ...\n",
    ),
    (
        "Shop.service_name has the name of what every service does",
        "Rename it; Service.service_name says how a service is called",
        f'{HEAD}\nclass Shop(Protocol):\n    @get("/name")  # <-\n'
        "    async def service_name(self) -> str: ...\n",
    ),
    (
        "Shop.open has the name of what every service does",
        "Rename it; Service.open is called at start or stop",
        f'{HEAD}\nclass Shop(Protocol):\n    @post("/open")  # <-\n'
        "    async def open(self) -> None: ...\n",
    ),
    (
        "contract Shop promises nothing",
        "Give it an operation or an event",
        f"{HEAD}  # <-\nclass Shop(Protocol): ...\n",
    ),
    (
        "Shop.sell and Shop.buy both answer POST /shop/buy",
        "Give one of them another path",
        f'{HEAD}\nclass Shop(Protocol):\n{BUY}    @post("/buy")  # <-\n'
        "    async def sell(self) -> None: ...\n",
    ),
    (
        "Shop.named and Shop.numbered both answer GET /shop/{name}",
        "Give one of them another path",
        f'{HEAD}\nclass Shop(Protocol):\n    @get("/{{number}}")\n'
        '    async def numbered(self, number: int) -> str: ...\n    @get("/{name}")  # <-\n'
        "    async def named(self, name: str) -> str: ...\n",
    ),
    (
        "Stall.buy and Shop.buy both answer POST /shop/buy",
        "Give one of them another path",
        f"{HEAD}\nclass Shop(Protocol):\n{BUY}\n{HEAD}\nclass Stall(Protocol):\n"
        '    @post("/buy")  # <-\n    async def buy(self) -> None: ...\n',
    ),
    (
        "event Sold is published by Shop and Stall",
        "An event belongs to one contract; remove it from the other",
        "class Sold(Event):\n    price: int\n"
        '@contract("shop", version="1.0", publishes=[Sold])\nclass Shop(Protocol): ...\n'
        '@contract("stall", version="1.0", publishes=[Sold])  # <-\nclass Stall(Protocol): ...\n',
    ),
]


def operation(head: str, marks: str = "") -> str:
    """A contract whose operation buys, after the head's declarations."""
    route = f'    @post("/buy", {marks})  # <-\n'
    return f"{head}{HEAD}\nclass Shop(Protocol):\n{route}    async def buy(self) -> None: ...\n"


def problem(body: str, options: str = "") -> str:
    """A contract whose operation raises `Closed`."""
    declared = f"class Closed(Problem{options}):\n{body}\n"
    raising = '    @post("/buy", raises=[Closed])\n    async def buy(self) -> None: ...\n'
    return f"{declared}{HEAD}\nclass Shop(Protocol):\n{raising}"


PROBLEMS = [
    (
        "Shop.buy raises <class 'ValueError'>, which is no Problem",
        "Inherit it from borough.Problem",
        operation("", "raises=[ValueError]"),
    ),
    (
        "Shop.buy raises Problem itself",
        "Declare a class of it, so that it has a name",
        operation("", "raises=[Problem]"),
    ),
    (
        "Shop.buy raises Closed twice",
        "Name it once",
        operation("class Closed(Problem): ...\n", "raises=[Closed, Closed]"),
    ),
    (
        "Shop.buy raises another problem named Closed",
        "Rename one; both would be shop.Closed",
        operation(
            "class Closed(Problem): ...\nFirst = Closed\nclass Closed(Problem): ...\n",
            "raises=[First, Closed]",
        ),
    ),
    (
        "problem Closed has status 200",
        "Use 400 to 599",
        problem("    until: int", ", status=200").replace("=200):", "=200):  # <-"),
    ),
    (
        "problem Closed has a field 'title', which RFC 9457 or Borough uses",
        "Rename it",
        problem("    title: str  # <-"),
    ),
    (
        "problem Closed has a field 'type', which RFC 9457 or Borough uses",
        "Rename it",
        problem("    kind: str = field(name='type')  # <-"),
    ),
    (
        "problem Closed has a field 'args', which every exception has",
        "Rename it",
        problem("    args: str  # <-"),
    ),
    (
        "problem Closed has a `title` of its own",
        "Make it the first line of the docstring",
        problem("    title = 'Shut'").replace("(Problem):", "(Problem):  # <-"),
    ),
    (
        "problem Closed has a `detail` that is not str",
        "Make it str, or rename it",
        problem("    detail: int  # <-"),
    ),
    (
        "Closed.days: a set does not travel",
        "Use tuple[T, ...]",
        problem('    """The shop is closed.\n\n    days: which they are.\n    """\n'
                "    days: set[int]  # <-"),
    ),
]  # fmt: skip


def event(body: str, publishes: str = "[Sold]") -> str:
    """A contract that publishes `Sold`."""
    return (
        f"class Sold(Event):\n{body}\n"
        f'@contract("shop", version="1.0", publishes={publishes})\nclass Shop(Protocol): ...\n'
    )


EVENTS = [
    (
        "Shop publishes <class 'int'>, which is no Event",
        "Inherit it from borough.Event",
        event("    price: int", "[Sold, int]").replace("int])", "int])  # <-"),
    ),
    (
        "Shop publishes Event itself",
        "Declare a class of it, so that it has a name",
        event("    price: int", "[Event]").replace("[Event])", "[Event])  # <-"),
    ),
    (
        "Shop publishes Sold twice",
        "Name it once",
        event("    price: int", "[Sold, Sold]").replace("Sold])", "Sold])  # <-"),
    ),
    (
        "the key item of event Sold may be null",
        "An event without a key has no order",
        event("    price: int\n    item: Key[str] | None  # <-"),
    ),
    (
        "the key items of event Sold is no single value",
        "Use a str, int, UUID or enum",
        event("    items: Key[tuple[str, ...]]  # <-"),
    ),
    (
        "event Sold has 2 keys",
        "Mark one field with Key[...]",
        event("    item: Key[str]\n    buyer: Key[str]").replace("(Event):", "(Event):  # <-"),
    ),
    (
        "Sold.price: Any does not travel",
        "Say which type it is",
        event("    price: Any  # <-"),
    ),
    (
        "event Sold has version 0",
        "Write a whole number, 1 or more",
        event("    price: int").replace("(Event):", "(Event, version=0):  # <-"),
    ),
    (
        "event Sold is version 3, and nothing upcasts version 2",
        "Write `@staticmethod @upcast(2) def name(data)`, one for each",
        event(
            "    price: int\n    @staticmethod\n    @upcast(1)\n    def one(data): return data"
        ).replace("(Event):", "(Event, version=3):  # <-"),
    ),
    (
        "Sold.two takes version 2 of an event that is version 1",
        "Take a version below that of the event",
        event("    price: int\n    @upcast(2)  # <-\n    def two(data): return data"),
    ),
    (
        "event Sold has two upcasts of version 1",
        "Keep one",
        event(
            "    price: int\n    @upcast(1)\n    def one(data): return data\n"
            "    @upcast(1)  # <-\n    def two(data): return data"
        ).replace("(Event)", "(Event, version=2)"),
    ),
    (
        "Sold.one does not take data alone and return it",
        "Write `@staticmethod def name(data: dict[str, Any]) -> dict[str, Any]`",
        event("    price: int\n    @upcast(1)  # <-\n    def one(self, data): return data").replace(
            "(Event)", "(Event, version=2)"
        ),
    ),
]


@pytest.mark.parametrize("postponed", [False, True], ids=["now", "postponed"])
@pytest.mark.parametrize(("message", "remedy", "text"), CONTRACT + PROBLEMS + EVENTS)
def test_a_planted_fault_is_found_at_its_line_with_its_remedy(
    message: str, remedy: str, text: str, postponed: bool, tmp_path: Path
) -> None:
    check_planted(text, message, remedy, tmp_path, postponed=postponed)


def test_a_class_without_a_mark_is_no_contract() -> None:
    class Shop(Protocol):
        async def buy(self) -> None: ...

    with pytest.raises(DeclarationFaults, match="Shop is no contract") as caught:
        read_contract(Shop)
    assert caught.value.faults[0].file == __file__


def test_a_mark_is_not_inherited() -> None:
    @contract("shop", version="1.0")
    class Shop(Protocol):
        @get("/name")
        async def name(self) -> str: ...

    class Stall(Shop, Protocol): ...

    with pytest.raises(DeclarationFaults, match="Stall is no contract"):
        read_contract(Stall)


def test_two_contracts_of_one_name_are_named_with_their_places() -> None:
    def first() -> type[Any]:
        @contract("shop", version="1.0")
        class Shop(Protocol):
            @get("/name")
            async def name(self) -> str: ...

        return Shop

    def second() -> type[Any]:
        @contract("shop", version="1.1")
        class Shop(Protocol):
            @get("/size")
            async def size(self) -> int: ...

        return Shop

    shop, other = first(), second()
    with pytest.raises(DeclarationFaults) as caught:
        read_contracts([shop, other])
    (fault,) = caught.value.faults
    assert fault.message == "two contracts are named shop.Shop"
    assert fault.line == source_place(other)[1]
    assert fault.remedy == f"Rename one; the other is {__file__}:{source_place(shop)[1]}"


def test_one_file_that_was_loaded_under_two_names_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "twicesys" / "twice"
    folder.mkdir(parents=True)
    (folder / "contract.py").write_text(TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "twicesys")
    short, long = "twice.contract", "twicesys.twice.contract"
    try:
        loaded = [importlib.import_module(name).Twice for name in (long, short)]
        with pytest.raises(DeclarationFaults) as caught:
            read_contracts(loaded)
    finally:
        for name in [name for name in sys.modules if name.startswith("twice")]:
            del sys.modules[name]
    (fault,) = caught.value.faults
    assert fault.message == f"the contract twice.Twice was loaded as `{short}` and `{long}`"
    assert fault.remedy == f"Import it as `{long}` everywhere"


def test_a_contract_with_three_faults_reports_three(tmp_path: Path) -> None:
    text = """
class Item(Struct):
    tags: set[str]  # <-

@contract("shop", version="1.0", public=True)
class Shop(Protocol):
    @get("/items/{sku}", allow=ANYONE)
    async def item(self, sku: str) -> Item: ...

    @get("/items", allow=ANYONE)
    async def items(self) -> tuple[Item, ...]: ...

    @post("/items")  # <-
    async def add(self, item: Item) -> None: ...

    async def remove(self, sku: str) -> None: ...  # <-
"""
    faults = faults_in(text, tmp_path)
    assert sorted(lines_of(faults)) == sorted(marked_lines(text))
    with pytest.raises(DeclarationFaults) as caught:
        raise DeclarationFaults(faults)
    report = str(caught.value).splitlines()
    assert report[0] == "3 faults in the declarations:"
    assert all(line.startswith(f"  {tmp_path}") for line in report[1:])


def test_the_faults_of_several_contracts_come_together(tmp_path: Path) -> None:
    one = f"{HEAD}\nclass Shop(Protocol):\n    async def buy(self) -> None: ...  # <-\n"
    two = '@contract("stall", version="one")  # <-\nclass Stall(Protocol): ...\n'
    faults = faults_in(one + two, tmp_path)
    assert lines_of(faults) == marked_lines(one + two)


def test_a_fault_of_an_inherited_operation_stands_in_the_file_of_its_parent(tmp_path: Path) -> None:
    text = """
class Readable(Protocol):
    async def read(self) -> str: ...  # <-

@contract("shop", version="1.0")
class Shop(Readable, Protocol):
    @post("/write")
    async def write(self, text: str) -> None: ...
"""
    faults = faults_in(text, tmp_path)
    assert [fault.message for fault in faults] == ["Shop.read has no route"]
    assert lines_of(faults) == marked_lines(text)


def test_operations_are_inherited_from_a_protocol() -> None:
    class Named(Protocol):
        @get("/name")
        async def name(self) -> str: ...

    @contract("shop", version="2.0")
    class Shop(Named, Protocol):
        @get("/size")
        async def size(self) -> int: ...

    @contract("stall", version="1.0")
    class Stall(Named, Protocol): ...

    shop, stall = read_contracts([Shop, Stall])
    assert sorted(shop.operations) == ["name", "size"]
    assert shop.operations["name"].path == "/shop/v2/name"
    assert shop.operations["name"].wire_name == "shop.Shop.v2.name"
    assert stall.operations["name"].path == "/stall/name"


def test_a_contract_knows_its_place() -> None:
    @contract("shop", version="1.0")
    class Shop(Protocol):
        @get("/name")
        async def name(self) -> str: ...

    file, line = read_contract(Shop).place
    assert (file, line > 0) == (__file__, True)


def test_a_struct_inside_a_contract_is_no_fault() -> None:
    @contract("shop", version="1.0")
    class Shop(Protocol):
        class Size(Struct):
            square_metres: int

        @get("/size")
        async def size(self) -> Size: ...

    assert list(read_contract(Shop).operations) == ["size"]
