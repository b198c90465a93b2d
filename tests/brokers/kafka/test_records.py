"""An event travels as a CloudEvent, as others write and read it."""

import json

import pytest

from borough.brokers.kafka.records import NotAnEvent, headers_of, message_of
from borough.ports import Message

BODY = b'{"specversion":"1.0","id":"e1","source":"/x","type":"a.A.B","partitionkey":"k","data":{}}'
STRUCTURED = ("content-type", b"application/cloudevents+json")


def test_an_event_comes_back_as_it_was() -> None:
    message = Message("e1", "a.A", "a.A.B", "k\N{SNOWMAN}", 7, BODY, 5)
    headers = [(name, str(value).encode()) for name, value in headers_of(message)[1:]]
    headers.append(("content-type", dict(headers_of(message))["content-type"]))  # type: ignore[arg-type]
    assert message_of("a.A", "k\N{SNOWMAN}".encode(), BODY, headers) == message


def test_an_event_of_another_publisher_needs_no_headers_of_ours() -> None:
    assert message_of("a.A", None, BODY, [STRUCTURED]) == Message(
        "e1", "a.A", "a.A.B", "k", 0, BODY
    )
    assert message_of("a.A", b"other", BODY, [STRUCTURED]).key == "other"


def test_binary_mode_is_put_together_to_a_document() -> None:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e2"),
        ("ce_source", b"/y"),
        ("ce_type", b"a.A.B"),
        ("content-type", b"application/json"),
    ]
    message = message_of("a.A", b"k", b'{"n":1}', headers)
    assert (message.id, message.type, message.key) == ("e2", "a.A.B", "k")
    assert json.loads(message.body) == {
        "specversion": "1.0",
        "id": "e2",
        "source": "/y",
        "type": "a.A.B",
        "partitionkey": "k",
        "datacontenttype": "application/json",
        "data": {"n": 1},
    }


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"hello", []),
        (b"hello", [STRUCTURED]),
        (b'{"id":1}', [STRUCTURED]),
        (None, [STRUCTURED]),
        (b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"\xff")]),
        (b"{}", [("ce_specversion", b"1.0"), ("ce_id", None)]),
        (b'{"data":' + b"[" * 100_000, [STRUCTURED]),
    ],
)
def test_what_is_no_event_is_told_apart(
    value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    with pytest.raises(NotAnEvent):
        message_of("a.A", None, value, headers)


OURS = [
    ("content-type", b"application/cloudevents+json; charset=UTF-8"),
    ("ce_id", b"e1"),
    ("ce_type", b"a.A.B"),
    ("borough-sequence", b"7"),
    ("borough-previous", b"5"),
]
DEEP = b'{"data":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("borough-sequence", b"x"),
        ("borough-sequence", b"-1"),
        ("borough-sequence", str(1 << 63).encode()),
        ("borough-sequence", None),
    ],
)
def test_a_number_that_is_none_is_that_of_a_publisher_who_counts_nothing(
    name: str, value: bytes | None
) -> None:
    headers = [(each, value if each == name else given) for each, given in OURS]
    message = message_of("a.A", b"k", BODY, headers)
    assert (message.id, message.sequence, message.body) == ("e1", 0, BODY)


def test_a_key_may_have_any_bytes() -> None:
    assert message_of("a.A", b"\xff", BODY, OURS).key == "\\xff"
    assert message_of("a.A", b"\xff", BODY, OURS).sequence == 7
    assert message_of("a.A", b"\xff", BODY, [STRUCTURED]).key == "\\xff"


@pytest.mark.parametrize("one", [b"\xff", None, b"e1"])
@pytest.mark.parametrize("value", [DEEP, b"no json", None])
def test_what_tells_its_type_and_cannot_be_read_is_an_event_for_its_handler_to_bury(
    one: bytes | None, value: bytes | None
) -> None:
    headers = [STRUCTURED, ("ce_type", b"a.A.B"), ("ce_id", one)]
    message = message_of("a.A", b"k", value, headers)
    assert (message.type, message.key, message.sequence) == ("a.A.B", "k", 0)
    assert message.body == (value or b"")
    assert message.id


def test_a_header_without_a_value_leaves_the_id_to_the_document() -> None:
    headers = [(name, None if name == "ce_id" else value) for name, value in OURS]
    assert message_of("a.A", b"k", BODY, headers).id == "e1"
