"""Search: finding items, and never selling more than there is."""

import asyncio
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.testing import Mode, start
from borough.testing.clock import ManualClock
from shop.search.catalogue import DIALECTS, FILE, MIGRATIONS, sql
from shop.search.contract import (
    Item,
    OutOfStock,
    Reservation,
    ReservationEnded,
    Search,
    UnknownItem,
    Wanted,
)
from shop.search.data import WORD, fts5_expression
from shop.search.engine import Engine, SearchSettings

SHOP = Path(__file__).parents[2]


async def test_items_are_found_by_how_their_words_begin(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        assert [item.name for item in (await search.find("COPP kett")).items] == ["Copper Kettle"]
        assert not (await search.find("opper")).items


async def test_a_word_in_the_name_weighs_more_than_one_in_the_description(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        found = (await shop.client(Search).find("rose", limit=100)).items
        named = [item.name.startswith("Rose ") for item in found]
        assert named == sorted(named, reverse=True)
        assert {True, False} == set(named)


async def test_a_slow_engine_answers_so_many_searches_at_a_time() -> None:
    clock = ManualClock()
    engine = Engine(SearchSettings(engine_ms=20, engine_slots=2), clock)
    asked = [asyncio.create_task(engine.answered()) for _ in range(3)]
    await asyncio.sleep(0)
    clock.advance(0.02)
    await asyncio.gather(*asked[:2])
    await asyncio.sleep(0)
    assert not asked[2].done()
    clock.advance(0.02)
    await asked[2]


async def test_pages_show_every_item_once(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        seen: list[Item] = []
        after: str | None = None
        while after is not None or not seen:
            page = await search.find("", after, 100)
            seen += page.items
            after = page.next
        assert len(seen) == len({item.sku for item in seen}) == 1200
        assert [item.name for item in seen] == sorted(item.name for item in seen)


@pytest.mark.parametrize("q", ['"', "a AND", "NEAR(", "*", "name:", "-- ;", "\x00", "ǅ Ω 漢", "'"])
async def test_odd_input_finds_little_and_never_fails(q: str) -> None:
    async with start(SHOP, only=["search"]) as shop:
        search = shop.client(Search)
        await search.find(q)
        await search.find("", after=q)


@given(st.text(max_size=60))
def test_whatever_is_typed_becomes_a_question_that_the_index_understands(q: str) -> None:
    if words := WORD.findall(q):
        INDEX.execute("select * from words where words match ?", (fts5_expression(words),))


INDEX = apsw.Connection(":memory:")
INDEX.execute("create virtual table words using fts5(word, tokenize = 'unicode61')")


async def test_an_item_is_shown_by_its_number(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        assert (await search.item("KIT-0001")).name == "Copper Kettle"
        with pytest.raises(UnknownItem):
            await search.item("no-such-item")


async def test_a_reservation_takes_from_the_stock_once_and_gives_it_back_once(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        before = await search.item("KIT-0001")
        wanted = (Wanted(sku="KIT-0001", quantity=2),)
        first = await search.reserve("one", wanted)
        assert await search.reserve("one", wanted) == first
        assert first.lines[0].price_cents == before.price_cents
        assert (await search.item("KIT-0001")).stock == before.stock - 2
        await search.release("one")
        await search.release("one")
        assert await search.item("KIT-0001") == before


async def test_an_order_that_was_released_cannot_reserve_later(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        await search.release("one")
        with pytest.raises(ReservationEnded):
            await search.reserve("one", (Wanted(sku="KIT-0001", quantity=1),))


async def test_an_order_holds_all_of_its_lines_or_none(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        before = await search.item("KIT-0001")
        scarce = await search.item("KIT-0008")
        too_many = Wanted(sku=scarce.sku, quantity=scarce.stock + 1)
        with pytest.raises(OutOfStock) as refused:
            await search.reserve("one", (Wanted(sku="KIT-0001", quantity=1), too_many))
        assert refused.value.sku == scarce.sku
        with pytest.raises(UnknownItem):
            await search.reserve("two", (Wanted(sku="no-such-item", quantity=1),))
        assert await search.item("KIT-0001") == before


async def test_what_is_scarce_is_sold_as_often_as_it_is_there(mode: Mode) -> None:
    async with start(SHOP, mode=mode, only=["search"]) as shop:
        search = shop.client(Search)
        scarce = await search.item("KIT-0018")
        wanted = (Wanted(sku=scarce.sku, quantity=1),)
        answers = await asyncio.gather(
            *(search.reserve(f"order {number}", wanted) for number in range(12)),
            return_exceptions=True,
        )
        held = [answer for answer in answers if isinstance(answer, Reservation)]
        assert len(held) == scarce.stock
        assert all(isinstance(answer, OutOfStock) for answer in answers if answer not in held)
        assert (await search.item(scarce.sku)).stock == 0


def test_the_catalogue_is_what_its_generator_writes() -> None:
    for dialect in DIALECTS:
        assert (MIGRATIONS / dialect / FILE).read_text(encoding="utf-8") == sql(dialect)
