"""Every fault of an operation: its signature, its parameters, its mark. And what is no fault."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Protocol

import pytest

from borough import (
    IDEMPOTENCY_KEY,
    UNSET,
    Cookie,
    Header,
    Reply,
    Struct,
    Unset,
    Upload,
    contract,
    get,
    patch,
    post,
    put,
)
from borough.contracts.reading import read_contract
from tests.contracts.planted import check_planted

HEAD = '@contract("shop", version="1.0")\nclass Shop(Protocol):\n'


def buy(
    parameters: str, marks: str = "", *, route: str = '@post("/buy"', returns: str = "None"
) -> str:
    """A contract with one operation, its fault at the route."""
    given = f", {parameters}" if parameters else ""
    return f"{HEAD}    {route}{marks})  # <-\n    async def buy(self{given}) -> {returns}: ...\n"


def read(parameters: str, path: str = "/buy") -> str:
    """The same with GET."""
    return buy(parameters, route=f'@get("{path}"')


SIGNATURES = [
    (
        "Shop.buy has no route",
        "Mark it with @get, @post, @put, @patch or @delete",
        f"{HEAD}    async def buy(self) -> None: ...  # <-\n",
    ),
    (
        "Shop.buy does not say what it returns",
        "Annotate the return type, `-> None` for nothing",
        f'{HEAD}    @post("/buy")  # <-\n    async def buy(self): ...\n',
    ),
    (
        "Shop.buy is not `async def`",
        "Operations are `async def`; streams return AsyncIterator[T]",
        f'{HEAD}    @post("/buy")  # <-\n    def buy(self) -> None: ...\n',
    ),
    (
        "Shop.buy returns a stream and is `async def`",
        "Write plain `def` for a stream",
        buy("", returns="AsyncIterator[int]"),
    ),
    (
        "Shop.buy is a stream of Reply",
        "A stream has no headers to set; use T",
        buy("", returns="AsyncIterator[Reply[int]]").replace("async ", ""),
    ),
    (
        "Shop.buy is a stream of nothing",
        "Say what its items are",
        buy("", returns="AsyncIterator[None]").replace("async ", ""),
    ),
    (
        "Shop.buy does not take self",
        "Write `self` as its first parameter",
        f'{HEAD}    @post("/buy")  # <-\n    async def buy(sku: str) -> None: ...\n',
    ),
    ("Shop.buy takes *skus", "Name every parameter", buy("*skus: str")),
    ("Shop.buy takes *more", "Name every parameter", buy("**more: str")),
    ("parameter sku of Shop.buy has no type", "Annotate it", buy("sku")),
]

PARAMETERS = [
    (
        "Shop.buy has {sku} in its path and no such parameter",
        "Add the parameter sku",
        buy("", route='@post("/buy/{sku}"'),
    ),
    (
        "Shop.buy has {sku} twice in its path",
        "Rename one of them",
        buy("sku: str", route='@post("/buy/{sku}/{sku}"'),
    ),
    (
        "parameter sku of Shop.buy has 2 places",
        "Keep one of them",
        buy('sku: Annotated[Annotated[str, Header("X-Sku")] | None, Cookie("sku")] = None'),
    ),
    (
        "parameter sku of Shop.buy: Header in Annotated[...] says nothing here",
        'Write Meta(ge=1), or another of its words; Header("X-Name") and Cookie("name") are called',
        buy("sku: Annotated[str, Header]"),
    ),
    (
        "path parameter skus of Shop.buy is no single value",
        "Use a str, int, UUID or enum",
        buy("skus: tuple[str, ...]", route='@post("/buy/{skus}"'),
    ),
    (
        "parameter sku of Shop.buy has a default, and a path is always there",
        "Remove the default",
        buy("sku: str = 'a'", route='@post("/buy/{sku}"'),
    ),
    (
        "parameter order of Shop.buy has a default, and a body is always there",
        "Remove the default",
        "class Order(Struct):\n    sku: str\n" + buy("order: Order = Order(sku='a')"),
    ),
    (
        "the default of skus in Shop.buy can be changed by whoever gets it",
        "Use a tuple, or None",
        buy("skus: list[str] = ['a']"),
    ),
    (
        "the default of prices in Shop.buy can be changed by whoever gets it",
        "Use a tuple, or None",
        buy("prices: Mapping[str, int] = {}"),
    ),
    (
        "the default of skus in Shop.buy can be changed by whoever gets it",
        "Use a tuple, or None",
        read("skus: list[str] = []"),
    ),
    (
        "parameter count of Shop.buy: the default 'one' does not fit: Expected `int`, got `str`",
        "Mend it, or the type",
        buy("count: int = 'one'"),
    ),
    (
        "parameter count of Shop.buy: the default 0 does not fit: Expected `int` >= 1",
        "Mend it, or the type",
        buy("count: Annotated[int, Meta(ge=1)] = 0"),
    ),
    (
        "parameter count of Shop.buy: the default 1j cannot be written as JSON",
        "Use a portable one",
        buy("count: int = 1j"),
    ),
    (
        "parameter sku of Shop.buy may be Unset in the query",
        "Unset has a meaning in a body only",
        read("sku: str | Unset = UNSET"),
    ),
    (
        "parameter item of Shop.buy may be Unset, and is the body, which is always there",
        "Remove Unset; the fields of the struct may have it",
        "class Item(Struct):\n    n: int\n" + buy("item: Item | Unset = UNSET"),
    ),
    (
        "parameter sku of Shop.buy: Unset in the type and UNSET as default belong together",
        "Use both",
        buy("sku: str | Unset"),
    ),
    (
        "parameter sku of Shop.buy: Unset in the type and UNSET as default belong together",
        "Use both",
        buy("sku: str = UNSET"),
    ),
    (
        "query parameter order of Shop.buy is no single value",
        "Use scalars or tuples of them (default ()), or POST a body",
        "class Order(Struct):\n    sku: str\n" + read("order: Order"),
    ),
    (
        "query parameter sku of Shop.buy may be null, which cannot be written there",
        "Give it the default None",
        read("sku: str | None"),
    ),
    (
        "query parameter sku of Shop.buy may be null, which cannot be written there",
        "Give it the default None",
        read("sku: str | None = 'a'"),
    ),
    (
        "query parameter skus of Shop.buy may be empty, which cannot be written there",
        "Give it the default ()",
        read("skus: tuple[str, ...]"),
    ),
    (
        "query parameter skus of Shop.buy is no single value",
        "Use scalars or tuples of them (default ()), or POST a body",
        read("skus: tuple[str, ...] | None = None"),
    ),
    (
        "header parameter skus of Shop.buy is no single value",
        "Use scalars, or POST a body",
        buy('skus: Annotated[tuple[str, ...], Header("X-Skus")] = ()'),
    ),
    (
        "header parameter sku of Shop.buy has the name 'X Sku'",
        "Use letters, digits and -",
        buy('sku: Annotated[str, Header("X Sku")]'),
    ),
    (
        "header parameter token of Shop.buy is the header Authorization, "
        "which has a meaning already",
        "Rename it",
        buy('token: Annotated[str, Header("Authorization")]'),
    ),
    (
        "Shop.buy takes the header x-sku twice",
        "Keep one of them",
        buy('sku: Annotated[str, Header("X-Sku")], other: Annotated[str, Header("x-sku")]'),
    ),
    (
        "Shop.buy has an upload and other body parameters",
        "Move them to the path, headers or cookies",
        buy("picture: Upload, sku: str"),
    ),
    ("Shop.buy has two uploads", "Use two operations", buy("one: Upload, two: Upload")),
    ("Shop.buy is a GET with an upload", "Use @put or @post", read("picture: Upload")),
    (
        "upload parameter picture of Shop.buy is not bytes",
        "Annotate it as `Upload`",
        buy("picture: Upload | None"),
    ),
    (
        "parameter skus of Shop.buy: a set does not travel",
        "Use tuple[T, ...]",
        buy("skus: set[str]"),
    ),
    (
        "Shop.buy has an annotation that cannot be read: name 'Sku' is not defined",
        "Import the name at the top of the module, not below `if TYPE_CHECKING`",
        buy("sku: 'Sku'"),
    ),
]

MARKS = [
    (
        "Shop.buy has the path 'buy'",
        "Write /segments with {parameter} slots",
        buy("", route='@post("buy"'),
    ),
    (
        "Shop.buy has the path '/buy/'",
        "Write /segments with {parameter} slots",
        buy("", route='@post("/buy/"'),
    ),
    (
        "Shop.buy has the path '/../buy'",
        "Write /segments with {parameter} slots",
        buy("", route='@post("/../buy"'),
    ),
    ("Shop.buy answers 302", "Use 200, 201, 202 or 204", buy("", ", status=302")),
    (
        "Shop.buy answers 204 and returns a value",
        "Return None, or use 200",
        buy("", ", status=204", returns="int"),
    ),
    (
        "Shop.buy is a stream with an idempotency key",
        "Streams have no stored answer",
        buy("", ", idempotent_by=IDEMPOTENCY_KEY", returns="AsyncIterator[int]").replace(
            "async ", ""
        ),
    ),
    (
        "Shop.buy has timeout_s=0",
        "Use a number of seconds above 0",
        buy("", ", timeout_s=0"),
    ),
    (
        "Shop.buy is public and does not say who may call it",
        'Add allow=ANYONE, USER or scope("...")',
        buy("").replace('"1.0"', '"1.0", public=True'),
    ),
    (
        "Shop.buy has allow='user'",
        'Use ANYONE, USER or scope("...")',
        buy("", ", allow='user'"),
    ),
    (
        "Shop.buy asks for the scopes ('shop buy',)",
        "Scopes are words without spaces",
        buy("", ", allow=scope('shop buy')"),
    ),
    (
        "Shop.buy asks for the scopes (['shop', 'buy'],)",
        "Scopes are words without spaces",
        buy("", ", allow=scope(['shop', 'buy'])"),
    ),
    (
        "Shop.buy is idempotent by 'order', which is no scalar parameter of it",
        "Name one of its own, or use IDEMPOTENCY_KEY",
        buy("sku: str", ", idempotent_by='order'"),
    ),
    (
        "Shop.buy is idempotent by 'sku', which is no scalar parameter of it",
        "Name one of its own, or use IDEMPOTENCY_KEY",
        buy("sku: str | None", ", idempotent_by='sku'"),
    ),
    (
        "Shop.buy takes the Idempotency-Key of anyone: strangers would share keys",
        "Allow USER, or name a parameter in idempotent_by=",
        buy("sku: str", ", allow=ANYONE, idempotent_by=IDEMPOTENCY_KEY"),
    ),
    (
        "Shop.buy is idempotent by 'sku', which has a default",
        "Remove the default: calls without it would share one key",
        buy("sku: str = 'a'", ", idempotent_by='sku'"),
    ),
    (
        "the example of Shop.buy has 'item', which it neither takes nor returns",
        'Use the names of its parameters, and "return"',
        buy("sku: str", ", example={'item': 'a'}"),
    ),
    (
        "the example of sku in Shop.buy does not fit: Expected `str`, got `int`",
        "Mend the example",
        buy("sku: str", ", example={'sku': 1}"),
    ),
    (
        "the example of return in Shop.buy does not fit: Expected `int`, got `str`",
        "Mend the example",
        buy("", ", example={'return': 'one'}", returns="int"),
    ),
    (
        "the example of sku in Shop.buy is not JSON: Encoding objects of type complex is "
        "unsupported",
        "Mend it",
        buy("sku: str", ", example={'sku': 1j}"),
    ),
]


@pytest.mark.parametrize("postponed", [False, True], ids=["now", "postponed"])
@pytest.mark.parametrize(("message", "remedy", "text"), SIGNATURES + PARAMETERS + MARKS)
def test_a_planted_fault_is_found_at_its_line_with_its_remedy(
    message: str, remedy: str, text: str, postponed: bool, tmp_path: Path
) -> None:
    check_planted(text, message, remedy, tmp_path, postponed=postponed)


class Item(Struct):
    sku: str


@contract("shop", version="1.0")
class Shop(Protocol):
    @post("/keywords")
    async def keywords(self, *, first: int = 1, second: str) -> None: ...

    @post("/positions")
    async def positions(self, first: str, /, second: int = 2) -> None: ...

    @get("/find")
    async def find(self, words: tuple[str, ...] = (), after: str | None = None) -> int: ...

    @put("/items/{sku}")
    async def store(self, sku: str, item: Item) -> None: ...

    @post("/pairs")
    async def pairs(self, item: Item, count: int) -> None: ...

    @patch("/items/{sku}")
    async def change(self, sku: str, name: str | Unset | None = UNSET) -> None: ...

    @post("/items/{sku}/picture", idempotent_by=IDEMPOTENCY_KEY)
    async def picture(
        self,
        sku: str,
        source: Annotated[str | None, Header("X-Source")] = None,
        basket: Annotated[str, Cookie("basket")] = "",
        *,
        data: Upload,
    ) -> Reply[Item]: ...

    @get("/watch")
    def watch(self) -> AsyncIterator[Item]: ...


def places(operation: str) -> dict[str, str]:
    """Where the parameters of an operation of the shop travel."""
    found = read_contract(Shop).operations[operation]
    return {parameter.name: parameter.place for parameter in found.parameters}


def test_parameters_travel_where_their_names_and_methods_say() -> None:
    assert places("find") == {"words": "query", "after": "query"}
    assert places("store") == {"sku": "path", "item": "body"}
    assert places("pairs") == {"item": "field", "count": "field"}
    assert places("picture") == {
        "sku": "path",
        "source": "header",
        "basket": "cookie",
        "data": "upload",
    }


def test_keyword_only_parameters_may_have_defaults_before_required_ones() -> None:
    request = read_contract(Shop).operations["keywords"].request
    assert request(second="a").first == 1
    assert places("positions") == {"first": "field", "second": "field"}


def test_a_field_may_be_absent_which_is_not_null() -> None:
    request = read_contract(Shop).operations["change"].request
    assert request().name is UNSET
    assert request(name=None).name is None


def test_answers_are_read_from_replies_and_streams() -> None:
    operations = read_contract(Shop).operations
    assert (operations["picture"].result, operations["picture"].is_reply) == (Item, True)
    assert (operations["watch"].result, operations["watch"].stream) == (Item, True)
