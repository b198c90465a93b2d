"""Links of the OpenAPI document: what an answer names leads to the operations that ask for it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

from openapi_spec_validator import OpenAPIV31SpecValidator

from borough import ANYONE, Meta, Page, Struct, contract, delete, get, post, put
from borough.contracts.descriptor import Descriptor, describe, from_json, to_json
from borough.contracts.openapi import openapi
from borough.contracts.reading import read_contract
from borough.contracts.struct import field

Isbn = Annotated[str, Meta(min_length=10)]


class Shelf(Struct):
    room: int
    isbn: int
    seat: str | None = None


class Book(Struct):
    isbn: str
    room: str
    slash: str = field(name="a/b", default="")


class Loan(Struct):
    loan_id: int
    books: tuple[Book, ...]


@contract("library", version="1.0")
class Library(Protocol):
    """Lends books."""

    @post("/loans", allow=ANYONE, status=201)
    async def lend(self, reader: str) -> Loan: ...

    @get("/loans/{loan_id}", allow=ANYONE)
    async def loan(self, loan_id: int) -> Loan: ...

    @put("/loans/{loan_id}/books/{isbn}", allow=ANYONE)
    async def add(self, loan_id: int, isbn: Isbn) -> Book: ...

    @get("/books", allow=ANYONE)
    async def books(self) -> Page[Book]: ...

    @get("/shelves", allow=ANYONE)
    async def shelf(self) -> Shelf: ...

    @get("/rooms/{room}/{isbn}", allow=ANYONE)
    async def place(self, room: int, isbn: str) -> None: ...

    @get("/seats/{seat}", allow=ANYONE)
    async def seat(self, seat: str) -> None: ...

    @get("/odd/{slash}", allow=ANYONE)
    async def odd(self, slash: str) -> None: ...

    @get("/watch", allow=ANYONE)
    def watch(self) -> AsyncIterator[Loan]: ...

    @get("/loans/{loan_id}/rooms/{room}", allow=ANYONE)
    async def way(self, loan_id: int, room: str) -> None: ...

    @post("/loans/{loan_id}/end")
    async def end(self, loan_id: int) -> Loan: ...


@contract("archive", version="1.0")
class Archive(Protocol):
    """Keeps loans; two operations call one slot differently."""

    @delete("/loans/{number}")
    async def forget(self, number: int) -> None: ...

    @get("/loans/{loan_id}")
    async def loan(self, loan_id: int) -> Loan: ...

    @post("/loans/{loan_id}/copies")
    async def copy(self, loan_id: int) -> Loan: ...


DESCRIPTOR = from_json(to_json(describe(read_contract(Library))))


def document(descriptor: Descriptor = DESCRIPTOR, *, public_only: bool = True) -> dict[str, Any]:
    return openapi([descriptor], title="Library", version="1", public_only=public_only)


def links_of(operation: str, whole: dict[str, Any] | None = None) -> dict[str, Any]:
    """The links of an operation by name, as what is given for which parameter."""
    for item in (whole or document())["paths"].values():
        for shown in item.values():
            if shown["operationId"] == f"library.Library.{operation}":
                found: dict[str, Any] = {}
                for response in shown["responses"].values():
                    found |= response.get("links", {})
                return {name: link["parameters"] for name, link in found.items()}
    raise KeyError(operation)


def test_the_documents_with_links_are_valid() -> None:
    for public_only in (True, False):
        whole = document(public_only=public_only)
        assert not list(OpenAPIV31SpecValidator(whole).iter_errors())


def test_what_an_answer_names_leads_to_the_operation_that_asks_for_it() -> None:
    assert links_of("lend")["loan"] == {"path.loan_id": "$response.body#/loan_id"}


def test_a_link_names_its_operation_by_id() -> None:
    answer = document()["paths"]["/library/loans"]["post"]["responses"]["201"]
    assert answer["links"]["loan"]["operationId"] == "library.Library.loan"


def test_the_first_item_of_an_array_is_named_by_the_answer_too() -> None:
    assert links_of("books")["odd"] == {"path.slash": "$response.body#/items/0/a~1b"}


def test_constraints_do_not_part_two_types() -> None:
    assert links_of("lend")["add"] == {
        "path.loan_id": "$response.body#/loan_id",
        "path.isbn": "$response.body#/books/0/isbn",
    }


def test_what_the_answer_lacks_comes_from_the_path_of_the_request() -> None:
    assert links_of("add")["way"] == {
        "path.loan_id": "$request.path.loan_id",
        "path.room": "$response.body#/room",
    }
    assert "loan" not in links_of("add")  # nothing of it would come from the answer


def test_an_answer_leads_nowhere_by_a_value_of_another_type() -> None:
    assert "place" not in links_of("books")  # the room of a book is text
    assert "place" not in links_of("shelf")  # the isbn of a shelf is a number


def test_a_value_that_may_be_missing_leads_nowhere() -> None:
    assert "seat" not in links_of("shelf")


def test_an_operation_leads_not_to_itself() -> None:
    assert "loan" not in links_of("loan")


def test_a_stream_leads_nowhere() -> None:
    assert links_of("watch") == {}


def test_the_public_document_links_only_what_is_in_it() -> None:
    assert "end" not in links_of("lend")
    assert "end" in links_of("lend", document(public_only=False))


def test_a_link_calls_a_slot_as_the_document_does() -> None:
    whole = document(describe(read_contract(Archive)), public_only=False)
    answer = whole["paths"]["/archive/loans/{loan_id}/copies"]["post"]["responses"]["200"]
    assert answer["links"]["loan"]["parameters"] == {"path.number": "$response.body#/loan_id"}
    assert not list(OpenAPIV31SpecValidator(whole).iter_errors())
