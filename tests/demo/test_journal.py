"""A journal keeps what it has taken, whatever happens next."""

import asyncio
from pathlib import Path

from shop.demo.journal import IssuerEntry, Journal, read_journal


async def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    entries = [IssuerEntry("charged", f"order {number}", cents=number) for number in range(50)]
    await asyncio.gather(*map(journal.append, entries))
    await journal.close()
    assert list(read_journal(path, IssuerEntry)) == entries


async def test_an_entry_gets_to_the_disk_though_its_writer_was_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    entry = IssuerEntry("charged", "order")
    writing = asyncio.create_task(journal.append(entry))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    await journal.close()
    assert writing.cancelled()
    assert list(read_journal(path, IssuerEntry)) == [entry]


async def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"did": "charged", "order_id": "whole"}\n{"did": "char')
    journal = Journal(path)
    await journal.append(IssuerEntry("refunded", "next"))
    await journal.close()
    assert [entry.order_id for entry in read_journal(path, IssuerEntry)] == ["whole", "next"]


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "none.jsonl", IssuerEntry)) == []
