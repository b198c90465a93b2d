"""An event of one source is never taken for one of another that has the same id."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from borough.ports import Message
from borough.reliability.inbox import inbox_id
from borough.reliability.index_key import LONGEST_INDEXED
from borough.runtime.envelope import event_writers, source_name
from borough.runtime.inbox_ids import InboxIds
from borough.runtime.pulse import until_quiet
from tests.runtime.stage import EVENTS, PLACED, TOPIC, Place, Placed, Stage, running, staged
from tests.runtime.test_in_order import Shuffling

OWN = source_name("shop", "orders")
IDS = InboxIds(OWN)


def document(event_id: str, source: str, number: int = 1, **more: object) -> bytes:
    """As a publisher writes it who is no service of Borough."""
    data = {"customer": "ann", "number": number}
    kind = PLACED.wire_name
    found = {"type": kind, "data": data, "source": source, "id": event_id, "specversion": "1.0"}
    return json.dumps({**found, **more}).encode()


def message(event_id: str, source: str, number: int = 1) -> Message:
    body = document(event_id, source, number)
    return Message(event_id, TOPIC, PLACED.wire_name, "ann", 0, body)


async def heard(
    stage: Stage, mail: Place, messages: Sequence[Message], *, takes_transaction: bool = True
) -> None:
    """Have them delivered, each one to three times, until all are done."""

    async def hear(event: Placed, tx: Any = None) -> None:
        insert = "insert into seen (number, customer) values ($1, $2)"
        if tx is not None:
            await tx.execute(insert, event.number, event.customer)
            return
        async with mail.db.transaction() as own:
            await own.execute(insert, event.number, event.customer)

    broker: Any = Shuffling(1, reach=1)
    consumer = stage.consumer(mail, hear, takes_transaction=takes_transaction, broker=broker)
    await consumer.register()
    await broker.publish(messages)
    async with running(consumer):
        while consumer.handled + consumer.buried < len(messages) or broker.published:
            await stage.activity.wait(stage.activity.count, 0.05)
        await until_quiet([consumer], stage.activity)


@pytest.mark.parametrize("takes_transaction", [True, False])
async def test_two_sources_may_choose_the_same_id_and_each_event_takes_effect_once(
    tmp_path: Path, takes_transaction: bool
) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        sources = ("/warehouse/north", "/warehouse/south", OWN)
        messages = [message("4711", source, n) for n, source in enumerate(sources)]
        await heard(stage, mail, messages * 2, takes_transaction=takes_transaction)
        assert sorted(await mail.seen()) == [0, 1, 2]


async def test_an_event_that_an_earlier_version_has_handled_by_its_id_is_not_handled_again(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        async with mail.store.transaction() as tx:
            await tx.execute(
                "insert into borough_inbox (handler, generation, event_id, done_at) "
                "values ('mail.hear', 1, '4711', $1)",
                stage.clock.epoch_s(),
            )
        await heard(stage, mail, [message("4711", "/warehouse"), message("4712", "/warehouse", 2)])
        assert await mail.seen() == [2]


async def test_what_cannot_be_read_is_buried_once_for_each_document(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        mail = await stage.place("mail")
        torn = [
            Message("4711", TOPIC, PLACED.wire_name, None, 0, body) for body in (b"{", b"{{", b"{")
        ]
        await heard(stage, mail, torn)
        assert await mail.store.one(int, "select count(*) from borough_dead") == 2


def test_an_event_of_the_topics_own_publisher_is_known_by_its_id_alone() -> None:
    writer = event_writers(EVENTS, "shop", "orders")[Placed]
    _, body = writer.write(Placed(customer="ann", number=1), "a1-1", datetime.now(UTC), None)
    written = Message("a1-1", TOPIC, PLACED.wire_name, "ann", 7, body)
    assert IDS.known(written) is written
    assert IDS.known(message("a1-1", OWN)).id == "a1-1"


def test_another_source_is_named_before_the_id_and_what_earlier_versions_knew_is_kept() -> None:
    known = IDS.known(message("4711", "/ware house"))
    assert (known.id, known.formerly) == ("/ware%20house 4711", "4711")


def test_a_document_that_names_the_own_source_elsewhere_than_in_its_envelope_is_not_own() -> None:
    forged = document("4711", "/warehouse", subject=f'","source":"{OWN}","type":')
    assert IDS.known(Message("4711", TOPIC, PLACED.wire_name, None, 0, forged)).id == (
        "/warehouse 4711"
    )


def test_long_ids_fit_the_index_and_stay_apart() -> None:
    odd = "x" * (LONGEST_INDEXED + 1)
    found = {IDS.known(message(odd, source)).id for source in ("/north", "/south", OWN)}
    assert len(found) == 3
    assert all(len(each) <= LONGEST_INDEXED for each in found)


def test_no_two_pairs_of_source_and_id_are_known_by_the_same() -> None:
    pairs = [("b c", "/a"), ("c", "/a b"), ("c", "/a%20b"), ("b c", "/ä"), (" c", "/a b")]
    apart = {inbox_id(*pair) for pair in pairs}
    assert len(apart) == len(pairs) - 1  # a space in a URI and its escape are the same source
