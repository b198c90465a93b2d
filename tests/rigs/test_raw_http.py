"""The raw rig judges rightly, and a few thousand mutations show nothing."""

import json
from pathlib import Path

import pytest

from rigs.__main__ import main
from rigs.raw_http import judge
from rigs.raw_reference import Message, Reading, read

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def test_some_mutations_show_nothing(tmp_path: Path) -> None:
    out = tmp_path / "raw.jsonl"
    assert main(["raw_http", "--unproven", "--count", "2000", "--out", str(out)]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good", "good"]
    assert all(episode["taken"] > 1_000 for episode in episodes)


def test_a_server_that_overlooks_a_second_length_is_caught(tmp_path: Path) -> None:
    out = tmp_path / "raw.jsonl"
    assert main(["raw_http", "--planted", "both-lengths", "--out", str(out)]) == 0
    assert '"caught"' in out.read_text()


@pytest.mark.parametrize(
    ("data", "forbidden"),
    [
        (GET, None),
        (b"\r\n" + GET, None),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n", None),
        (b"GET / HTTP/1.1\nHost: x\n\n", "the head does not match the grammar"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "the head does not match the grammar"),
        (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "there is not one decimal length"),
        (
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "there is a length beside a coding",
        ),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "the coding is not chunked alone",
        ),
        (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", "the Host is none"),
    ],
)  # fmt: skip
def test_the_reference_knows_what_must_not_be_taken(data: bytes, forbidden: str | None) -> None:
    (message,) = read(data).messages
    assert message.forbidden == forbidden


def test_the_reference_finds_boundaries() -> None:
    reading = read(GET + POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"GET /")
    assert len(reading.messages) == 3
    assert reading.fault is None
    assert not reading.is_over
    assert read(GET + b"GET / HTTP/1.0\r\n\r\n" + GET).is_over
    assert read(GET.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\n\r\n") + GET).is_over
    assert read(GET + b"nothing at all\r\n\r\n").fault is not None


TAKEN = Message(b"1", closes=False)
LAST = Message(b"2", closes=True)
FORBIDDEN = Message(b"", closes=True, forbidden="why")


@pytest.mark.parametrize(
    ("messages", "seen", "refusal", "is_closed", "wrong"),
    [
        ([TAKEN], [b"1"], None, False, None),
        ([TAKEN, LAST], [b"1", b"2"], None, True, None),
        ([TAKEN, FORBIDDEN], [b"1"], (400, "anything"), True, None),
        ([TAKEN], [], (400, "This method is not known"), True, None),
        ([], [], (400, "anything"), True, None),
        ([TAKEN], [b"3"], None, False, "the messages differ"),
        ([TAKEN], [b"1", b"1"], None, False, "the messages differ"),
        ([FORBIDDEN], [b"1"], None, False, "a forbidden request was taken"),
        ([TAKEN], [b"1"], (500, ""), True, "a status 500"),
        ([TAKEN], [], (400, "anything"), True, "a request was refused"),
        ([FORBIDDEN], [], (400, "anything"), False, "the connection stayed open"),
        ([TAKEN], [], None, True, "no answer to message 0"),
        ([LAST], [b"2"], None, False, "the connection is open"),
        ([TAKEN], [b"1"], None, True, "the connection is closed"),
    ],
)  # fmt: skip
def test_the_judge_compares(
    messages: list[Message],
    seen: list[bytes],
    refusal: tuple[int, str] | None,
    is_closed: bool,
    wrong: str | None,
) -> None:
    found = judge(Reading(messages), seen, refusal, is_closed=is_closed)
    assert found is None if wrong is None else (found or "").startswith(wrong)
