"""Every fault of a type: what cannot travel, or not as it is declared."""

from pathlib import Path

import pytest

from tests.contracts.planted import check_planted, faults_in, lines_of, marked_lines

SHOP = """
@contract("shop", version="1.0")
class Shop(Protocol):
    @post("/buy")
    async def buy(self, item: Item) -> None: ...

    @get("/item")
    async def item(self) -> Item: ...
"""


def item(field: str, before: str = "") -> str:
    """A contract that takes and gives an `Item` with this field."""
    return f"{before}\nclass Item(Struct):\n    {field}  # <-\n{SHOP}"


def strange(kind: str, message: str, remedy: str) -> tuple[str, str, str]:
    return f"Item.field: {message}", remedy, item(f"field: {kind}")


STRANGERS = [
    strange("set[str]", "a set does not travel", "Use tuple[T, ...]"),
    strange("frozenset[str]", "a frozenset does not travel", "Use tuple[T, ...]"),
    strange("Any", "Any does not travel", "Say which type it is"),
    strange("object", "a class of your own does not travel", "Use a Struct"),
    strange("tuple[complex, ...]", "a class of your own does not travel", "Use a Struct"),
    strange("None", "None alone does not travel", "Use an optional type, or leave it out"),
    strange(
        "timedelta",
        "timedelta does not travel",
        "Use an int or float, with its unit in the name",
    ),
    strange("datetime", "a datetime without a time zone does not travel", "Write Instant for it"),
    strange(
        "Annotated[datetime, Meta(tz=False)]",
        "a datetime without a time zone does not travel",
        "Write Instant for it",
    ),
    strange(
        "Annotated[tuple[Annotated[int, range(3)], ...], 'a text is read by nobody, and harms nobody']",
        "range(0, 3) in Annotated[...] says nothing here",
        'Write Meta(ge=1), or another of its words; Header("X-Name") and Cookie("name") are called',
    ),
    strange(
        "Key[int]",
        "it is a Key, and only the field of an event keeps an order",
        "Mark a field of the event itself, or remove the mark",
    ),
    strange(
        "Annotated[float, Meta(multiple_of=0.01)]",
        "a float is near a multiple of 0.01, and seldom one",
        "Use Decimal, or whole numbers of the smaller unit",
    ),
    *(
        strange(
            f"Annotated[{kind}, Meta({limits})]", "its limits leave no value", "Mend one of them"
        )
        for kind, limits in (
            ("int", "ge=5, le=4"),
            ("int", "gt=1, lt=2"),
            ("float", "gt=1, le=1"),
            ("float", "ge=1, lt=1"),
            ("str", "min_length=2, max_length=1"),
            ("tuple[int, ...]", "min_length=2, max_length=1"),
        )
    ),
    strange("Reply[int]", "Reply is no value", "Return it from an operation: `-> Reply[T]`"),
    strange("bytearray", "bytearray does not travel", "Use bytes"),
    strange(
        "Mapping[int, str]",
        "a mapping has str keys",
        "Use Mapping[str, T], or a tuple of structs",
    ),
    strange(
        "int | str",
        "a union of anything but structs does not travel",
        "Use one type, an optional type, or structs with tag=True",
    ),
    strange(
        "Literal[True]",
        "a Literal has only text or only whole numbers",
        "Use one kind of values",
    ),
    strange(
        'Literal["a", 1]',
        "a Literal has only text or only whole numbers",
        "Use one kind of values",
    ),
]

DEFAULTS = [
    (
        "Item.count: the default 'one' does not fit: Expected `int`, got `str`",
        "Mend it, or the type",
        item("count: int = 'one'"),
    ),
    (
        "Item.count: the default 0 does not fit: Expected `int` >= 1",
        "Mend it, or the type",
        item("count: Annotated[int, Meta(ge=1)] = 0"),
    ),
    (
        "Item.number: its default is another value each time",
        "Make the field required, or the same",
        item(
            "number: int = field(default_factory=COUNTER)", "COUNTER = itertools.count().__next__"
        ),
    ),
    (
        "Item.name: Unset in the type and UNSET as default belong together",
        "Use both",
        item("name: str | Unset"),
    ),
    (
        "Item.name: Unset in the type and UNSET as default belong together",
        "Use both",
        item("name: str = UNSET"),
    ),
    (
        "Item.name: the example 1 does not fit: Expected `str`, got `int`",
        "Mend the example",
        item("name: Annotated[str, Meta(examples=[1])]"),
    ),
    (
        "Item.names: the example 'A' does not fit: Expected `str` matching regex '^[a-z]+$'",
        "Mend the example",
        item('names: tuple[Annotated[str, Meta(pattern="^[a-z]+$", examples=["A"])], ...]'),
    ),
]

UNREADABLE = "Use the portable types (a union of structs needs tag=True on each)"
CLASSES = [
    (
        "Item: the type cannot be read: name 'Sku' is not defined",
        "Import the name at the top of the module, not below `if TYPE_CHECKING`",
        f'class Item(Struct):  # <-\n    sku: "Sku"\n{SHOP}',
    ),
    (
        "Part: the type cannot be read: name 'Sku' is not defined",
        "Import the name at the top of the module, not below `if TYPE_CHECKING`",
        'class Part(Struct):  # <-\n    sku: "Sku"\n'
        f"class Item(Struct):\n    parts: tuple[Part, ...]\n{SHOP}",
    ),
    (
        "Item: the type cannot be read: If a type union contains multiple Struct types, all "
        "Struct types must be tagged (via `tag` or `tag_field` kwarg) - type `Cat | Dog` is not "
        "supported",
        UNREADABLE,
        "class Cat(Struct):\n    age: int\nclass Dog(Struct):\n    age: int\n"
        f"class Item(Struct):  # <-\n    pet: Cat | Dog\n{SHOP}",
    ),
    (
        "Item: the type cannot be read: If a type union contains multiple Struct types, all "
        "Struct types must have unique `tag` values - type `Cat | Dog` is not supported",
        UNREADABLE,
        "class Cat(Struct, tag='a'):\n    age: int\nclass Dog(Struct, tag='a'):\n    age: int\n"
        f"class Item(Struct):  # <-\n    pet: Cat | Dog\n{SHOP}",
    ),
    (
        "Item: the type cannot be read: Enums must contain either all str or all int values - "
        "type `<enum 'Size'>` is not supported",
        UNREADABLE,
        "class Size(enum.Enum):\n    S = 's'\n    M = 2\n"
        f"class Item(Struct):  # <-\n    size: Size\n{SHOP}",
    ),
    (
        "Item: the type cannot be read: Integer bounds constraints (`ge`, `le`, ...) that don't "
        "fit in an int64 are currently not supported. If you need this feature, please open an "
        "issue on GitHub",
        UNREADABLE,
        f"class Item(Struct):  # <-\n    n: Annotated[int, Meta(ge=2**63)]\n{SHOP}",
    ),
    (
        "Item: the type cannot be read: Can only set `ge` on a numeric type - type "
        "`typing.Annotated[decimal.Decimal, msgspec.Meta(ge=1)]` is invalid",
        UNREADABLE,
        f"class Item(Struct):  # <-\n    n: Annotated[Decimal, Meta(ge=1)]\n{SHOP}",
    ),
    (
        "Size: open enum Size has no member UNKNOWN",
        'Add UNKNOWN = "unknown"',
        f"class Size(OpenEnum):  # <-\n    S = 's'\nclass Item(Struct):\n    size: Size\n{SHOP}",
    ),
    (
        "Item: Item is declared with array_like=True",
        "Remove it, so that it may grow",
        f"class Item(Struct, array_like=True):  # <-\n    n: int\n{SHOP}",
    ),
    (
        "Item: Item is declared with omit_defaults=True",
        "Remove it: a reader of another version has another default",
        f"class Item(Struct, omit_defaults=True):  # <-\n    n: int = 3\n{SHOP}",
    ),
    (
        "Size: enum Size has a member 'class', which is no name in code",
        "Rename it; its value may be any text",
        "class Size(enum.Enum):  # <-\n    S = 's'\n    vars()['class'] = 'c'\n"
        f"class Item(Struct):\n    size: Size\n{SHOP}",
    ),
    (
        "Item: Item is declared with forbid_unknown_fields=True",
        "Remove it, so that it may grow",
        f"class Item(Struct, forbid_unknown_fields=True):  # <-\n    n: int\n{SHOP}",
    ),
    (
        "Box: Box is generic and stands alone",
        "Write Box[...] with its types",
        "T = TypeVar('T')\nclass Box(Struct, Generic[T]):  # <-\n    what: T\n"
        f"class Item(Struct):\n    box: Box\n{SHOP}",
    ),
    (
        "Item contains itself without end",
        "Make a field optional, or a tuple",
        f'class Item(Struct):  # <-\n    more: "Item"\n{SHOP}',
    ),
]


@pytest.mark.parametrize("postponed", [False, True], ids=["now", "postponed"])
@pytest.mark.parametrize(("message", "remedy", "text"), STRANGERS + DEFAULTS + CLASSES)
def test_a_planted_fault_is_found_at_its_line_with_its_remedy(
    message: str, remedy: str, text: str, postponed: bool, tmp_path: Path
) -> None:
    check_planted(text, message, remedy, tmp_path, postponed=postponed)


def test_a_fault_of_a_shared_class_is_reported_once(tmp_path: Path) -> None:
    text = item("tags: set[str]")
    assert lines_of(faults_in(text, tmp_path)) == marked_lines(text)


def test_two_types_of_one_name_are_a_fault(tmp_path: Path) -> None:
    text = f"""
class Item(Struct):
    n: int
First = Item
class Item(Struct):
    n: str
class Pair(Struct):
    first: First
    second: Item  # <-
{SHOP.replace("-> Item", "-> Pair")}
"""
    (fault,) = faults_in(text, tmp_path)
    assert fault.message.startswith("Pair.first: two types are named Item: planted_")


def test_a_generic_struct_of_a_type_with_and_without_limits_is_a_fault_that_tells_both(
    tmp_path: Path,
) -> None:
    text = (
        """
class Item(Struct):
    first: Page[str]
    second: Page[Annotated[str, Meta(max_length=3)]]  # <-
"""
        + SHOP
    )
    (fault,) = faults_in(text, tmp_path)
    assert "Page[str] and borough.contracts.struct.Page[typing.Annotated[str," in fault.message
    assert fault.remedy == "Write one of them everywhere, or a Struct of its own for one"


def test_a_request_made_of_fields_may_not_take_the_name_of_a_type(tmp_path: Path) -> None:
    text = """
class BuyRequest(Struct):
    n: int
@contract("shop", version="1.0")
class Shop(Protocol):
    @post("/buy")  # <-
    async def buy(self, request: BuyRequest, count: int) -> None: ...
"""
    (fault,) = faults_in(text, tmp_path)
    assert "two types are named BuyRequest" in fault.message
    assert fault.remedy == "Rename one of them; a contract has one type of a name"
    assert lines_of([fault]) == marked_lines(text)


def test_an_operation_of_a_generic_parent_says_which_type_is_missing(tmp_path: Path) -> None:
    text = """
T = TypeVar("T")
class Readable(Protocol[T]):
    @get("/one")  # <-
    async def one(self) -> T: ...
@contract("shop", version="1.0")
class Shop(Readable[int], Protocol): ...
"""
    faults = faults_in(text, tmp_path)
    assert [fault.message for fault in faults] == ["the result of Shop.one is the type variable ~T"]
    assert lines_of(faults) == marked_lines(text)


def test_a_type_that_cannot_be_named_on_the_wire_is_a_fault(tmp_path: Path) -> None:
    text = "class Größe(Struct):\n    n: int\nclass Item(Struct):\n    size: Größe  # <-\n" + SHOP
    faults = faults_in(text, tmp_path)
    assert [fault.message for fault in faults] == ["Item.size: Größe cannot be named on the wire"]
    assert lines_of(faults) == marked_lines(text)


def test_a_value_without_a_type_is_told_as_no_field(tmp_path: Path) -> None:
    inside = "    @property\n    def twice(self) -> int: ...\n    limit: ClassVar[int] = 3\n"
    text = item(f"sku: str\n{inside}    count = 1", "from typing import ClassVar")
    faults = faults_in(text, tmp_path)
    assert [fault.message for fault in faults] == [
        "Item.count: it has a value and no type, so it is no field"
    ]
    assert lines_of(faults) == marked_lines(text)


def test_a_value_without_a_type_is_no_default_of_a_field_of_a_base(tmp_path: Path) -> None:
    text = item("count = 1", "class Counted(Struct):\n    count: int = 0\n").replace(
        "Item(Struct)", "Item(Counted)"
    )
    assert lines_of(faults_in(text, tmp_path)) == marked_lines(text)


def test_what_is_beside_the_fields_and_reads_like_none_is_no_fault(tmp_path: Path) -> None:
    before = "@dataclass(frozen=True)\nclass Doc:\n    documentation: str\nclass Stored:\n    table = 'items'\n"
    text = item("count: Annotated[int, Doc('how many')] = 1", before).replace("  # <-", "")
    assert faults_in(text.replace("Item(Struct)", "Item(Stored, Struct)"), tmp_path) == []


@pytest.mark.parametrize(
    "kind",
    [
        "Annotated[int, Meta(ge=4, le=4)]",
        "Annotated[int, Meta(gt=1, lt=3)]",
        "Annotated[float, Meta(ge=1, le=1)]",
        "Annotated[float, Meta(gt=1, lt=2)]",
        "Annotated[float, Meta(multiple_of=0.25)]",
        "Annotated[str, Meta(min_length=2, max_length=2)]",
    ],
)
def test_limits_that_leave_a_value_are_right(tmp_path: Path, kind: str) -> None:
    assert faults_in(item(f"field: {kind}"), tmp_path) == []


def test_a_flag_does_not_travel_since_its_members_add_up(tmp_path: Path) -> None:
    text = f"class Item(enum.Flag):  # <-\n    NEW = 1\n    GIFT = 2\n{SHOP}"
    faults = faults_in(text, tmp_path)
    assert [fault.message for fault in faults] == [
        "Item: Item is a Flag, whose members add up to values that are none of them"
    ]
    assert lines_of(faults) == marked_lines(text)
