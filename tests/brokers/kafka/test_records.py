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
    ],
)
def test_what_is_no_event_is_told_apart(
    value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(NotAnEvent):
        message_of("a.A", None, value, headers)
