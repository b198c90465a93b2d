"""An answer that two readers could read differently is none."""

import pytest

from borough.transports.http.limits import ClientLimits
from borough.transports.http.response_reader import BadAnswer, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def reader() -> ResponseReader:
    return ResponseReader(ClientLimits(head_bytes=500, body_bytes=1000), {})


def feed(reading: ResponseReader, answer: bytes, size: int) -> None:
    for at in range(0, len(answer), size):
        reading.feed(answer[at : at + size])


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: 3, 3\r\n\r\nabc",
        OK + b"Content-Length: +3\r\n\r\nabc",
        OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"A: " + b"b" * 500,
        OK + b"A: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
        CHUNKED + b"3\nabc\r\n0\r\n\r\n",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n",
        CHUNKED + b"0\r\n" + b"A: bcdefgh\r\n" * 100 + b"\r\n",
        CHUNKED + b"3e9\r\n" + b"a" * 1001,
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 100_000])
def test_an_answer_is_refused(answer: bytes, size: int) -> None:
    reading = reader()
    with pytest.raises(BadAnswer):
        feed(reading, answer, size)


@pytest.mark.parametrize("size", [1, 100_000])
def test_trailers_are_dropped(size: int) -> None:
    reading = reader()
    answer = CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX-Late: yes\r\n\r\n"
    feed(reading, answer, size)
    assert reading.is_complete
    assert reading.is_reusable
    assert b"".join(reading.parts) == b"abc"
    assert "x-late" not in reading.headers


def test_trailers_of_one_answer_do_not_count_for_the_next() -> None:
    reading = reader()
    for _ in range(5):
        reading.start(False, False)
        reading.feed(CHUNKED + b"0\r\nX: " + b"y" * 300 + b"\r\n\r\n")
        assert reading.is_complete
