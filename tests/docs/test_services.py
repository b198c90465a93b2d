"""docs/reference/services.md: its blocks are one system, and it does what the page says of it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from borough import Principal, System
from borough.testing import ManualClock, fake, start
from tests.docs.pages import DOCS, write_files
from tests.docs.test_docs import module_text

PAGE = DOCS / "reference" / "services.md"
ANN = Principal("ann")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Any]:
    """The page as a module, with its migration beside it."""
    write_files(PAGE, tmp_path)
    path = tmp_path / "service.py"
    path.write_text(module_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("page_of_services", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["page_of_services"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["page_of_services"]


def starting(
    library: Any, copies: int, clock: ManualClock | None = None, *, edge: bool = False
) -> Any:
    """The page's system, where each book is there so often."""
    catalogue = fake(library.Catalogue, book=lambda isbn: library.Book(isbn=isbn, copies=copies))
    system = System([library.LoansService, library.HoursService], contracts=[library.Catalogue])
    return start(system, fakes={library.Catalogue: catalogue}, clock=clock, edge=edge)


async def test_a_keyed_operation_runs_once_for_its_key(library: Any) -> None:
    async with starting(library, copies=1) as running:
        loans = running.client(library.Loans, user=ANN)
        first = await loans.lend("l-1", "i-1")
        assert await loans.lend("l-1", "i-1") == first
        assert first.reader == "ann"
        with pytest.raises(library.AllLent):
            await loans.lend("l-2", "i-1")
        assert await running.database("loans").one(int, "select count(*) from loans") == 1


async def test_a_book_comes_back_when_it_is_due(library: Any) -> None:
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    async with starting(library, copies=1, clock=clock) as running:
        await running.client(library.Loans, user=ANN).lend("l-1", "i-1")
        clock.advance(28 * 86_400)
        await running.quiet()
        assert await running.database("loans").one(int, "select count(*) from loans") == 0


async def test_schedules_and_threads_work_as_the_page_says(library: Any) -> None:
    async with starting(library, copies=2) as running:
        loans = running.client(library.Loans, user=ANN)
        await loans.lend("l-1", "i-1")
        await loans.lend("l-2", "i-1")
        assert await loans.report() == 0
        await running.tick("loans.write_report")
        assert await loans.report() == 2
        await running.tick("loans.forget")


async def test_an_application_answers_bytes_and_only_those_whom_it_allows(library: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with starting(library, copies=1, edge=True) as running:
        with pytest.raises(HTTPError, match="401"):
            await asyncio.to_thread(urlopen, f"{running.edge_url}/loans/lines", None, 30)
        await running.client(library.Loans, user=ANN).lend("l-1", "i-1")
        await running.tick("loans.write_report")
        await running.service("loans").lines()({}, None, send)
    assert [message.get("body") for message in sent] == [None, b'"l-1"\n']


async def test_two_majors_answer_side_by_side(library: Any) -> None:
    async with starting(library, copies=1) as running:
        assert await running.client(library.Hours).today() == "18:30"
        assert await running.client(library.OldHours).today() == 18
