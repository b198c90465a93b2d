"""The rows of the search service: items with their stock, and what is held for orders."""

import re
from collections.abc import Sequence

from borough import Database, Struct, Transaction
from shop.search.contract import Item, ReservedLine

# A word as the index knows it. Whatever else a customer types separates words.
WORD = re.compile(r"[^\W_]+")
MOST_WORDS = 8

ITEM = "sku, name, category, description, price_cents, stock"


class Held(Struct):
    """A reservation. A released one stays, so that a late reserve finds it."""

    lines: tuple[ReservedLine, ...]
    released: bool


async def items(db: Database, q: str, skip: int, limit: int) -> list[Item]:
    """Items that have all words of `q` (the best first), or all by name where it has none."""
    words = WORD.findall(q)[:MOST_WORDS]
    if not words:
        return await db.all(
            Item, f"select {ITEM} from items order by name, item_id limit $1 offset $2", limit, skip
        )
    matching, expression = MATCHING[db.dialect]
    return await db.all(Item, matching, expression(words), limit, skip)


def fts5_expression(words: Sequence[str]) -> str:
    """Each word as a quoted prefix: nothing that was typed can be read as an FTS5 operator."""
    return " ".join(f'"{word}"*' for word in words)


def tsquery_expression(words: Sequence[str]) -> str:
    """The same for PostgreSQL."""
    return " & ".join(f"'{word}':*" for word in words)


# A word in the name weighs more than one in the category or the description.
MATCHING = {
    "sqlite": (
        "select i.sku, i.name, i.category, i.description, i.price_cents, i.stock"
        " from item_words join items i on i.item_id = item_words.rowid"
        " where item_words match $1"
        " order by bm25(item_words, 10.0, 4.0, 1.0), i.item_id limit $2 offset $3",
        fts5_expression,
    ),
    "postgres": (
        f"select {ITEM} from items, to_tsquery('simple', $1) as question where words @@ question"
        " order by ts_rank('{0, 0.1, 0.4, 1}', words, question) desc, item_id limit $2 offset $3",
        tsquery_expression,
    ),
}


async def item(db: Database, sku: str) -> Item | None:
    """One item."""
    return await db.maybe(Item, f"select {ITEM} from items where sku = $1", sku)


async def is_sold_here(tx: Transaction, sku: str) -> bool:
    """Whether there is such an item at all."""
    return await tx.maybe(int, "select 1 from items where sku = $1", sku) is not None


async def take(tx: Transaction, sku: str, quantity: int) -> ReservedLine | None:
    """Take from the stock, unless there is not enough."""
    return await tx.maybe(
        ReservedLine,
        "update items set stock = stock - $2 where sku = $1 and stock >= $2"
        " returning sku, name, $2 as quantity, price_cents",
        sku,
        quantity,
    )


async def give_back(tx: Transaction, lines: Sequence[ReservedLine]) -> None:
    """Put back into the stock."""
    await tx.many(
        "update items set stock = stock + $2 where sku = $1",
        [(line.sku, line.quantity) for line in lines],
    )


async def held(tx: Transaction, order_id: str) -> Held | None:
    """What is, or was, held for an order."""
    return await tx.maybe(
        Held, "select lines, released from reservations where order_id = $1", order_id
    )


async def hold(tx: Transaction, order_id: str, lines: tuple[ReservedLine, ...]) -> None:
    """Note what is held for an order."""
    await tx.execute(
        "insert into reservations (order_id, lines, released) values ($1, $2, false)",
        order_id,
        lines,
    )


async def end(tx: Transaction, order_id: str) -> None:
    """Note that nothing is held for an order any more, nor will be."""
    await tx.execute(
        "insert into reservations (order_id, lines, released) values ($1, '[]', true)"
        " on conflict (order_id) do update set released = true",
        order_id,
    )
