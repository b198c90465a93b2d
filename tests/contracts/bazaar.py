"""A contract that uses every declaration form and every portable type once."""

import enum
from collections.abc import AsyncIterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Protocol
from uuid import UUID

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    UNSET,
    USER,
    Cookie,
    Event,
    Header,
    Instant,
    Key,
    Meta,
    OpenEnum,
    Page,
    Problem,
    Reply,
    Struct,
    Unset,
    Upload,
    contract,
    delete,
    field,
    get,
    patch,
    post,
    put,
    scope,
)

Sku = Annotated[str, Meta(pattern=r"^[A-Z]{3}-\d{4}$", description="Three letters, a number.")]


class Size(enum.Enum):
    """How large it is."""

    SMALL = "S"
    LARGE = "L"


class Rank(enum.IntEnum):
    FIRST = 1
    SECOND = 2


class State(OpenEnum):
    NEW = "new"
    SOLD = "sold"
    UNKNOWN = "unknown"


class Crate(Struct, tag="crate"):
    """Goods in a crate."""

    weight_g: Annotated[int, Meta(ge=1, le=40_000, multiple_of=5)]
    inside: "tuple[Crate | Bottle, ...]" = ()


class Bottle(Struct, tag="bottle"):
    litres: Annotated[float, Meta(gt=0, lt=5)]


class Everything(Struct):
    """One field of each portable type."""

    whole: int
    broken: float
    text: str
    yes: bool
    raw: Annotated[bytes, Meta(min_length=3, max_length=9)]
    exact: Decimal
    id: UUID
    at: Instant
    day: date
    size: Size
    rank: Rank
    state: State
    word: Literal["a", "b"]
    number: Literal[1, 2] | None
    goods: Crate | Bottle
    more_goods: Crate | Bottle | None
    skus: tuple[Sku, ...]
    pair: tuple[int, str]
    numbers: list[Annotated[int, Meta(lt=0)]]
    prices: Mapping[str, Decimal]
    by_sku: Annotated[dict[Sku, Size], Meta(min_length=2)]
    again: "Everything | None" = None
    note: str | Unset | None = UNSET
    renamed: Annotated[str, Meta(description="Another name.", examples=["x", "y"])] = field(
        name="otherName", default="x"
    )
    tags: list[str] = field(default_factory=list)


class Gone(Problem, status=404):
    """It is gone.

    Somebody was faster.
    """

    sku: Sku


class Shut(Problem, status=404):
    """The bazaar is shut."""

    until: Instant | None = None


class Sold(Event):
    """Something was sold."""

    sku: Key[Sku]
    price: Decimal


class Opened(Event):
    at: Instant


@contract("bazaar", version="2.3", publishes=[Sold, Opened], deprecated="since 2.3, use Mall")
class Bazaar(Protocol):
    """Sells everything."""

    @get("/{sku}", allow=ANYONE, raises=[Gone, Shut])
    async def one(self, sku: Sku) -> Reply[Everything]:
        """One thing.

        With its ETag.
        """
        ...

    @get("/", allow=USER, raises=[Shut])
    async def many(
        self,
        words: tuple[str, ...] = (),
        size: Size | None = None,
        limit: Annotated[int, Meta(ge=1, le=50)] = 10,
    ) -> Page[Everything]: ...

    @post("/", allow=scope("trade", "bazaar:write"), status=201, idempotent_by=IDEMPOTENCY_KEY)
    async def add(self, thing: Everything) -> Everything: ...

    @post("/{sku}/sales", idempotent_by="buyer", timeout_s=2, example={"buyer": "ada"})
    async def sell(
        self, sku: Sku, buyer: str, count: int = 1
    ) -> Annotated[Decimal, Meta(examples=["9.50"])]:
        """Sell it."""
        ...

    @patch("/{sku}", deprecated="since 2.1, use sell")
    async def change(self, sku: Sku, note: str | Unset | None = UNSET) -> None: ...

    @put("/{sku}/picture", status=202)
    async def picture(
        self,
        sku: Sku,
        picture: Upload,
        source: Annotated[str | None, Header("X-Source")] = None,
        basket: Annotated[str, Cookie("basket")] = "",
    ) -> None: ...

    @delete("/{sku}", status=204)
    async def drop(self, sku: Sku) -> None: ...

    @get("/{sku}/visitors", allow=ANYONE, raises=[Gone])
    def visitors(self, sku: Sku) -> AsyncIterator[Crate | Bottle]:
        """Who looks at it."""
        ...
