"""What differs between two versions of a contract, and for whom it breaks."""

import enum
from typing import Annotated, Any, get_args

import pytest

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    UNSET,
    USER,
    Cookie,
    Event,
    Header,
    Key,
    Meta,
    OpenEnum,
    Problem,
    Reply,
    Struct,
    Unset,
    Upload,
    get,
    post,
    put,
    scope,
)
from borough.contracts.change import Kind
from borough.contracts.descriptor import Descriptor, describe, from_json, to_json
from borough.contracts.difference import changes
from borough.contracts.reading import read_contract
from borough.contracts.upcasting import upcast
from borough.contracts.verdict import RULES, judge, verdict, verdict_on_event
from tests.contracts.bazaar import Bazaar
from tests.contracts.evolving import contract_of, operation, struct_of


class Gone(Problem, status=404):
    """It is gone."""

    sku: str


class Lost(Problem, status=404):
    """It is gone."""

    sku: str


class Size(enum.Enum):
    SMALL = "S"


class Sizes(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Little(enum.Enum):
    TINY = "S"


class State(OpenEnum):
    NEW = "new"
    UNKNOWN = "unknown"


class States(OpenEnum):
    NEW = "new"
    SOLD = "sold"
    UNKNOWN = "unknown"


class Status(enum.Enum):
    NEW = "new"
    UNKNOWN = "unknown"


class Cat(Struct, tag="cat"):
    lives: int = 9


class Dog(Struct, tag="dog"):
    barks: bool = True


class Kitten(Struct, tag="kitten"):
    lives: int = 9


class Tagless(Struct):
    lives: int = 9


def box(**fields: Any) -> Any:
    """A body with these fields."""
    return operation({"box": struct_of("Box", fields)})


def gives(kind: Any, **more: Any) -> Any:
    """An operation that answers this."""
    return operation({}, kind, post("/swap", **more))


def told(function: Any) -> Descriptor:
    """The contract with this operation, as it comes over the wire."""
    return from_json(to_json(describe(contract_of(swap=function))))


INT = {"n": int}
NOBODY, OLD, NEW, BOTH = "nobody", "the old caller", "the new caller", "both"
AT_THE_EDGE = "at the edge "

CASES: list[tuple[Any, Any, set[str], str]] = [
    # how it is called
    (post("/a"), put("/a"), {"method-changed", "idempotency-promised"}, BOTH),
    (put("/a"), post("/a"), {"method-changed", "idempotency-dropped"}, BOTH),
    (post("/a"), post("/b"), {"path-changed"}, BOTH),
    (post("/a"), post("/a", status=202), {"status-changed"}, AT_THE_EDGE + BOTH),
    (post("/a"), post("/a", timeout_s=2), {"timeout-changed"}, NOBODY),
    (post("/a"), post("/a", deprecated="use b"), {"deprecation-changed"}, NOBODY),
    (post("/a"), post("/a", allow=USER), {"access-widened"}, AT_THE_EDGE + NEW),
    (post("/a", allow=ANYONE), post("/a", allow=USER), {"access-narrowed"}, AT_THE_EDGE + OLD),
    (post("/a", allow=USER), post("/a", allow=scope("x")), {"access-narrowed"}, AT_THE_EDGE + OLD),
    (post("/a", allow=scope("x", "y")), post("/a", allow=scope("y")), {"access-widened"}, AT_THE_EDGE + NEW),
    (post("/a", allow=scope("x")), post("/a", allow=scope("y")), {"access-changed"}, AT_THE_EDGE + BOTH),
    (post("/a", raises=[]), post("/a", raises=[Gone]), {"problem-added"}, NOBODY),
    (post("/a", raises=[Gone]), post("/a"), {"problem-removed"}, NOBODY),
    (post("/a", raises=[Gone]), post("/a", raises=[Lost]), {"problem-renamed"}, BOTH),
]  # fmt: skip


def cases_of_routes() -> list[tuple[Any, Any, set[str], str]]:
    return [(operation({}, None, a), operation({}, None, b), k, w) for a, b, k, w in CASES]


def keyed(key: str | None) -> Any:
    return operation({"order_id": str, "n": int}, None, post("/a", idempotent_by=key))


FULL = operation({"n": int, "m": int}, None, get("/a"))
BODIES: list[tuple[Any, Any, set[str], str]] = [
    (keyed(None), keyed("order_id"), {"key-promised"}, NEW),
    (keyed("order_id"), keyed(None), {"key-dropped"}, OLD),
    (keyed("order_id"), keyed(IDEMPOTENCY_KEY), {"key-changed"}, BOTH),
    (keyed("order_id"), keyed("n"), {"key-changed"}, BOTH),
    # parameters
    (operation(INT, None, get("/{n}")), operation({"m": int}, None, get("/{m}")), {"name-changed"}, NOBODY),
    (
        operation({"a": str, "b": str}, None, get("/{a}/{b}")),
        operation({"a": str, "b": str}, None, get("/{b}/{a}")), {"path-changed"}, BOTH,
    ),
    (operation(INT, None, get("/{n}")), operation({"n": str}, None, get("/{n}")), {"type-changed"}, BOTH),
    (operation(INT, None, get("/a")), FULL, {"required-field-added"}, "the old caller, at the edge both"),
    (FULL, operation(INT, None, get("/a")), {"required-field-removed"}, "the new caller, at the edge both"),
    (operation(INT), operation({"n": (int, 5)}), {"field-optional"}, NEW),
    (operation({"n": (int, 5)}), operation({"n": (int, 6)}), {"default-changed"}, NOBODY),
    (operation({"n": (int, 1)}), operation({"n": (bool, True)}), {"default-changed", "type-changed"}, BOTH),
    (
        operation({"n": Annotated[int, Header("x-n")]}), operation({"n": Annotated[int, Cookie("n")]}),
        {"field-moved"}, BOTH,
    ),
    (
        operation({"n": Annotated[int, Header("x-n")]}), operation({"n": Annotated[int, Header("x-m")]}),
        {"field-renamed"}, BOTH,
    ),
    (operation({}), operation({"n": (Annotated[int, Header("x-n")], 1)}), {"optional-field-added"}, NOBODY),
    (operation(INT, None, post("/a")), operation({"n": Annotated[int, Header("n")]}, None, post("/a")),
     {"field-moved", "required-field-removed"}, BOTH),
    # bodies
    (operation({}), operation({"n": (int, 1)}), {"optional-field-added"}, AT_THE_EDGE + NEW),
    (operation({}), operation(INT), {"required-field-added"}, "the old caller, at the edge both"),
    (operation({"n": (int, 1)}), operation({}), {"optional-field-removed"}, AT_THE_EDGE + OLD),
    (operation({"n": (int, 1)}), box(n=(int, 1)), {"field-required", "type-renamed"}, OLD),
    (operation({"n": bytes}), operation({"n": Upload}), {"body-kind-changed", "field-moved"}, BOTH),
    (box(a=int), box(a=int, b=int), {"required-field-added"}, "the old caller, at the edge both"),
    (box(a=int), box(a=int, b=(int, 0)), {"optional-field-added"}, AT_THE_EDGE + NEW),
    (box(a=int, b=(int, 0)), box(a=int), {"optional-field-removed"}, AT_THE_EDGE + OLD),
    (box(a=(int, 0)), box(a=int), {"field-required"}, OLD),
    (box(a=(str | None, None)), box(a=(str | Unset | None, UNSET)), {"unset-added"}, NEW),
    (box(a=(str | Unset | None, UNSET)), box(a=(str | None, None)), {"unset-removed"}, OLD),
    # answers
    (gives(None), gives(int), {"result-added"}, NEW),
    (gives(int), gives(None), {"result-removed"}, OLD),
    (gives(int), gives(Reply[int]), {"reply-changed"}, NOBODY),
    (gives(int), gives(int | None), {"null-added"}, OLD),
    (gives(int | None), gives(int), {"null-removed"}, NEW),
    (gives(int), gives(Annotated[int, Meta(ge=0)]), {"limit-narrowed"}, NEW),
    (gives(Annotated[int, Meta(gt=0)]), gives(Annotated[int, Meta(ge=1)]), set(), NOBODY),
    (gives(Annotated[str, Meta(max_length=5)]), gives(Annotated[str, Meta(max_length=9)]), {"limit-widened"}, OLD),
    (gives(Annotated[str, Meta(pattern="^a")]), gives(Annotated[str, Meta(pattern="^b")]), {"limit-changed"}, BOTH),
    (gives(Size), gives(Sizes), {"value-added", "type-renamed"}, OLD),
    (gives(Sizes), gives(Size), {"value-removed", "type-renamed"}, NEW),
    (gives(Size), gives(Little), {"name-changed", "type-renamed"}, NOBODY),
    (gives(State), gives(States), {"open-value-added", "type-renamed"}, NOBODY),
    (gives(States), gives(State), {"open-value-removed", "type-renamed"}, NOBODY),
    (gives(Status), gives(State), {"choice-opened", "type-renamed"}, NOBODY),
    (gives(State), gives(Status), {"choice-closed", "type-renamed"}, NOBODY),
    (gives(Size), gives(str), {"type-widened"}, OLD),
    (gives(str), gives(Size), {"type-narrowed"}, NEW),
    (gives(float), gives(str), {"type-changed"}, BOTH),
    (gives(Cat), gives(Cat | Dog), {"member-added"}, OLD),
    (gives(Cat | Dog), gives(Cat), {"member-removed"}, NEW),
    (gives(Tagless), gives(Cat), {"tag-added", "type-renamed"}, NOBODY),
    (gives(Cat), gives(Tagless), {"tag-removed", "type-renamed"}, NOBODY),
    (gives(Cat), gives(Kitten), {"tag-changed", "type-renamed"}, BOTH),
]  # fmt: skip


def broken_for(old: Descriptor, new: Descriptor, *, edge: bool) -> str:
    found = changes(old, new)
    asked: tuple[Any, Any] = ("old", "new")
    broken = [bool(judge(found, user, edge=edge)) for user in asked]
    # The verdict of a caller that holds the new one is that of the same change the other way round.
    name = "yard.Yard.swap"
    assert broken[0] == (verdict(old, new, name, edge=edge) is not None)
    assert broken[1] == (verdict(new, old, name, edge=edge) is not None)
    return BOTH if all(broken) else OLD if broken[0] else NEW if broken[1] else NOBODY


@pytest.mark.parametrize(("before", "after", "kinds", "whom"), cases_of_routes() + BODIES)
def test_a_change_is_told_and_breaks_for_whom_it_must(
    before: Any, after: Any, kinds: set[str], whom: str
) -> None:
    old, new = told(before), told(after)
    assert {change.kind for change in changes(old, new)} == kinds
    inside, _, outside = whom.rpartition("at the edge ")
    inside = inside.rstrip(", ")
    if not outside or whom == outside:
        inside, outside = whom, whom
    assert broken_for(old, new, edge=False) == (inside or NOBODY)
    assert broken_for(old, new, edge=True) == outside


def test_a_status_of_a_problem_matters_to_strangers_only() -> None:
    def raising(status: int) -> Descriptor:
        class Refused(Problem, status=status):
            """No."""

        return told(gives(None, raises=[Refused]))

    assert {c.kind for c in changes(raising(402), raising(409))} == {"problem-status-changed"}
    assert broken_for(raising(402), raising(409), edge=False) == NOBODY
    assert broken_for(raising(402), raising(409), edge=True) == BOTH


def test_a_problem_with_another_field_is_told_at_its_place() -> None:
    def raising(**fields: Any) -> Descriptor:
        kind = struct_of("Refused", fields, Problem)
        return told(gives(None, raises=[kind]))

    (change,) = changes(raising(why=str), raising(why=str, who=str))
    assert (change.kind, change.flow) == ("required-field-added", "answer")
    assert change.at == "/problems/yard.Refused/who"
    assert broken_for(raising(why=str), raising(why=str, who=str), edge=True) == NEW


def test_a_contract_tells_its_own_changes_and_its_operations() -> None:
    old = describe(contract_of("1.2", swap=gives(int), ask=operation({}, None, get("/ask"))))
    new = describe(contract_of("1.3", swap=gives(int), tell=operation({}, None, post("/t"))))
    found = {(change.kind, change.subject, change.old, change.new) for change in changes(old, new)}
    assert found == {
        ("version-changed", "yard.Yard", "1.2", "1.3"),
        ("operation-removed", "yard.Yard.ask", "yard.Yard.ask", None),
        ("operation-added", "yard.Yard.tell", None, "yard.Yard.tell"),
    }
    assert verdict(old, new, "yard.Yard.swap") is None
    refused = verdict(old, new, "yard.Yard.ask")
    assert refused is not None
    assert refused.sentence == (
        "the caller has yard.Yard 1.2 and the callee 1.3: yard.Yard.ask: the callee does not have it "
        "(operation-removed). Keep the old one beside it, or go to a new major version"
    )


def test_a_sentence_names_the_change_its_place_both_versions_and_the_remedy() -> None:
    old = describe(contract_of("1.2", swap=box(amount=struct_of("Money", {"cents": int}))))
    money = struct_of("Money", {"cents": int, "currency": str})
    new = describe(contract_of("1.3", swap=box(amount=money)))
    refused = verdict(old, new, "yard.Yard.swap")
    assert refused is not None
    assert refused.sentence == (
        "the caller has yard.Yard 1.2 and the callee 1.3: yard.Yard.swap at /request/amount/currency: "
        "the callee requires it, and the caller does not know it (required-field-added). "
        "Give the new field a default"
    )
    assert verdict(new, old, "yard.Yard.swap") is None


def test_two_contracts_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"bazaar\.Bazaar\.v2 and yard\.Yard are two contracts"):
        changes(describe(read_contract(Bazaar)), told(gives(int)))


def test_a_contract_does_not_differ_from_itself() -> None:
    bazaar = describe(read_contract(Bazaar))
    assert changes(bazaar, from_json(to_json(bazaar))) == ()


def test_a_stream_is_not_an_answer() -> None:
    bazaar = describe(read_contract(Bazaar))
    text = to_json(bazaar).replace(b'"stream":true', b'"stream":false')
    (change,) = changes(bazaar, from_json(text))
    assert (change.kind, change.subject) == ("stream-changed", "bazaar.Bazaar.v2.visitors")
    assert judge([change], "old")
    assert judge([change], "new")


class Tree(Struct):
    children: "tuple[Tree, ...]" = ()


class Bush(Struct):
    name: str
    children: "tuple[Bush, ...]" = ()


def test_a_recursive_type_is_compared_once_and_to_its_end() -> None:
    found = changes(told(gives(Tree)), told(gives(tuple[Bush, ...])))
    assert {change.kind for change in found} == {"type-changed"}
    found = changes(told(gives(tuple[Tree, ...])), told(gives(tuple[Bush, ...])))
    assert [(change.kind, change.at) for change in found] == [
        ("type-renamed", "/answer/*"),
        ("required-field-added", "/answer/*/name"),
    ]


def test_steps_beyond_what_a_float_tells_apart_are_told_apart() -> None:
    old = told(gives(Annotated[int, Meta(multiple_of=10**17 + 1)]))
    found = changes(old, told(gives(Annotated[int, Meta(multiple_of=10)])))
    assert [change.kind for change in found] == ["limit-changed"]


# --- events ---------------------------------------------------------------------------------------


class Sold(Event):
    sku: Key[str]
    price: int


def publishing(event: Any, version: str = "1.0", retains: str = "7d") -> Descriptor:
    events = [] if event is None else [event]
    return describe(contract_of(version, events, retains, swap=gives(int)))


def sold(**options: Any) -> Any:
    fields = {"sku": Key[str], "price": int, **options.pop("fields", {})}
    return struct_of("Sold", fields, Event, **options)


class Keyless(Event):
    sku: str
    price: int


class SoldAgain(Event, version=2):
    sku: Key[str]
    cents: int

    @staticmethod
    @upcast(1)
    def from_price(data: dict[str, Any]) -> dict[str, Any]:
        return {"sku": data["sku"], "cents": data["price"] * 100}


SoldAgain.__name__ = "Sold"
Keyless.__name__ = "Sold"

EVENTS: list[tuple[Any, Any, set[str], str]] = [
    (None, Sold, {"event-added"}, NEW),
    (Sold, None, {"event-removed"}, OLD),
    (Sold, sold(fields={"buyer": str}), {"required-field-added"}, NEW),
    (Sold, sold(fields={"buyer": (str, "")}), {"optional-field-added"}, NOBODY),
    (Sold, sold(fields={"price": float}), {"type-changed"}, BOTH),
    (
        Sold, SoldAgain,
        {"event-version-raised", "required-field-added", "required-field-removed"}, OLD,
    ),
    (
        SoldAgain, Sold,
        {"event-version-lowered", "required-field-added", "required-field-removed"}, NEW,
    ),
    (Sold, sold(fields={"sku": str, "price": Key[int]}), {"event-key-changed"}, BOTH),
    (Sold, Keyless, {"event-key-removed"}, OLD),
    (Keyless, Sold, {"event-key-added"}, NEW),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "kinds", "whom"), EVENTS)
def test_a_change_of_an_event_breaks_for_the_consumers_that_cannot_read_it(
    before: Any, after: Any, kinds: set[str], whom: str
) -> None:
    old, new = publishing(before), publishing(after)
    found = [change for change in changes(old, new) if change.kind != "type-renamed"]
    assert {change.kind for change in found} == kinds
    broken = [verdict_on_event(a, b, "yard.Yard.Sold") for a, b in ((old, new), (new, old))]
    assert [bool(judge(found, "old")), bool(judge(found, "new"))] == [b is not None for b in broken]
    assert [b is not None for b in broken] == [whom in (OLD, BOTH), whom in (NEW, BOTH)]


def test_a_consumer_is_told_what_it_cannot_read() -> None:
    refused = verdict_on_event(
        publishing(Sold, "1.2"), publishing(SoldAgain, "1.3"), "yard.Yard.Sold"
    )
    assert refused is not None
    assert refused.sentence.startswith(
        "the consumer has yard.Yard 1.2 and the publisher 1.3: yard.Yard.Sold: it comes as version 2, "
        "and the consumer knows up to 1 (event-version-raised)"
    )


def test_how_long_a_topic_retains_breaks_for_nobody() -> None:
    found = changes(publishing(Sold), publishing(Sold, retains="forever"))
    assert {change.kind for change in found} == {"retention-changed"}
    assert not judge(found, "old")


# --- the table ------------------------------------------------------------------------------------


def test_the_table_names_each_kind_for_a_reader_once() -> None:
    rows = [(rule.kind, rule.reader, rule.edge) for rule in RULES]
    assert len(rows) == len(set(rows))
    assert {rule.kind for rule in RULES} <= set(get_args(Kind))


def test_every_kind_of_change_is_shown_here() -> None:
    shown = {kind for _, _, kinds, _ in cases_of_routes() + BODIES + EVENTS for kind in kinds}
    shown |= {"problem-status-changed", "version-changed", "operation-added", "operation-removed"}
    assert set(get_args(Kind)) - shown == {"stream-changed", "retention-changed"}


def test_a_choice_is_not_held_against_a_pattern_that_may_take_years() -> None:
    old = told(gives(Size))
    for pattern, kind in (("^[A-Z]+$", "type-widened"), ("^([A-Z]+)+$", "type-changed")):
        found = changes(old, told(gives(Annotated[str, Meta(pattern=pattern)])))
        assert [change.kind for change in found] == [kind]
