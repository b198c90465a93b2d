"""A client in TypeScript: strict compilers take it, for browsers and for Node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest

from borough import Cookie, Event, Header, Problem, Struct, contract, get, put
from borough.contracts.descriptor import describe
from borough.contracts.reading import read_contract
from borough.contracts.typescript_client import typescript_client
from shop.accounts.contract import Accounts
from shop.notifications.contract import Notifications
from shop.orders.contract import Orders
from shop.payments.contract import Payments
from shop.search.contract import Search
from tests.contracts.bazaar import Bazaar
from tests.contracts.typescript import compiled


class Record(Struct):
    """Has the name of something that TypeScript has, too. */ And ends a comment."""

    wire: str
    promise: Literal["a", 'b"'] = "a"


class Headers(Problem):
    """Also taken."""

    record: Record


class Promise(Event):
    """And this."""

    record: Record


@contract("odd", version="1.0", publishes=[Promise])
class Odd(Protocol):
    """Names that are easily confused."""

    @get("/{options}", raises=[Headers])
    async def constructor(
        self,
        options: str,
        given: Annotated[str | None, Header("X-Given")] = None,
        wire: Annotated[str, Cookie("wire")] = "",
    ) -> Record: ...

    @get("/then")
    async def then(self) -> int: ...

    @get("/old")
    async def get_v_2(self) -> int: ...

    @get("/new", timeout_s=1234.5678)
    async def get_v2(self) -> int: ...

    @put("/records")
    async def put_it(self, record: Record) -> None: ...


def text_of(cls: type[Any]) -> str:
    return typescript_client(describe(read_contract(cls)))


@pytest.mark.parametrize("library", ["browser", "node"])
def test_strict_compilers_take_every_client(library: str, tmp_path: Path) -> None:
    files: list[Path] = []
    for cls in (Bazaar, Orders, Payments, Search, Accounts, Notifications, Odd):
        files.append(tmp_path / f"{cls.__name__}.ts")
        files[-1].write_text(text_of(cls), encoding="utf-8")
    compiled(files, library)


def test_what_an_answer_always_has_may_be_left_out_of_a_request() -> None:
    text = text_of(Bazaar)
    assert "export interface Everything {" in text
    assert "  readonly tags: readonly string[];" in text
    assert "export interface EverythingInput {" in text
    assert "  readonly tags?: readonly string[] | undefined;" in text
    assert "add(given: { thing: EverythingInput }" in text


def test_an_open_enum_takes_values_that_are_not_known_yet() -> None:
    text = text_of(Bazaar)
    assert "export type State = (typeof State)[keyof typeof State] | (string & {});" in text
    assert "export type Size = (typeof Size)[keyof typeof Size];" in text


def test_the_file_depends_on_nothing() -> None:
    text = text_of(Orders)
    assert "import " not in text.replace("Write it again", "")
    assert "require(" not in text


def test_a_value_that_reads_like_another_path_is_told_from_it() -> None:
    text = text_of(Odd)
    assert 'Wire.segment("options", given.options, ["new", "old", "records", "then"])' in text


def test_operations_that_would_be_called_alike_keep_their_names() -> None:
    text = text_of(Odd)
    assert "  async get_v_2(options" in text
    assert "  async get_v2(options" in text
    assert "  async putIt(given" in text


def test_a_client_can_be_awaited() -> None:
    assert "  async then_(options" in text_of(Odd)


def test_a_time_is_written_with_all_its_digits() -> None:
    assert "timeoutMs: 1234567.8," in text_of(Odd)
