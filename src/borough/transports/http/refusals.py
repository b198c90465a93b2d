"""What a server answers to what it does not take, ready as bytes: RFC 9457 problems.

After each of them the connection is closed: where one message was wrong, nobody knows where the
next one starts.
"""

from __future__ import annotations

import msgspec

__all__ = ["FAILURE_BODY", "PROBLEM_HEADERS", "REASONS", "Refusal", "Refused", "malformed"]

REASONS = {
    100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
    401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict",
    410: "Gone", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
    415: "Unsupported Media Type", 422: "Unprocessable Content", 428: "Precondition Required",
    429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
"""Reason phrases; readers ignore them, people do not."""

PROBLEM_HEADERS = ((b"content-type", b"application/problem+json"),)


def _problem(status: int, code: str, title: str, detail: str) -> bytes:
    return msgspec.json.encode(
        {
            "type": f"urn:borough:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "retryable": status in _LATER,
        }
    )


_LATER = frozenset({429, 503})


class Refusal:
    """One reason to refuse, with the answer rendered once, but for its date."""

    __slots__ = ("_line", "_rest", "code", "detail", "status")

    def __init__(self, status: int, code: str, title: str, detail: str, more: bytes = b"") -> None:
        self.status = status
        self.code = code
        self.detail = detail
        body = _problem(status, code, title, detail)
        self._line = b"HTTP/1.1 %d %b\r\n" % (status, REASONS[status].encode())
        self._rest = (
            b"content-type: application/problem+json\r\n%bconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (more, len(body), body)
        )

    def answer(self, date: bytes) -> bytes:
        """The whole answer; `date` is the line of that field (RFC 9110, 6.6.1)."""
        return self._line + date + self._rest


class Refused(Exception):
    """The bytes of a client are not taken; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


def malformed(detail: str) -> Refusal:
    """A 400 for bytes that are not HTTP/1.1."""
    return Refusal(400, "malformed-request", "The request is not valid HTTP/1.1", detail)


BARE_LINE_FEED = malformed("A line ends with LF alone; it must end with CR LF")
START_LINE = malformed(
    "The first line must be 'METHOD TARGET HTTP/1.1', separated by one space each"
)
TARGET = malformed("The request target must be a path that starts with '/', without '#'")
DISGUISED = malformed(
    "A field is named like one of Borough's own, but for a sign that some servers take for a hyphen"
)
HOST = malformed("A request of HTTP/1.1 needs exactly one Host field")
HOST_VALUE = malformed("Host must be a host name or an address, and may have a port")
AUTHORITY = malformed("Host is not the host of the request target")
REPEATED = malformed("Host, Content-Length and Transfer-Encoding may stand in a request only once")
TWO_LENGTHS = malformed("Content-Length and Transfer-Encoding exclude each other")
LENGTH = malformed("Content-Length must be a decimal number")
CODING = malformed("Transfer-Encoding must be exactly 'chunked', and needs HTTP/1.1")
CHUNK = malformed("The chunked body is broken")
METHOD = malformed("This method is not known")
CONNECT = malformed("CONNECT is not offered")
SLOW = Refusal(
    408, "request-timeout", "The request came too slowly", "The request was not complete in time"
)
BODY = Refusal(413, "too-large", "The request is too large", "The body is above the limit")
FRAMING = Refusal(
    413, "too-large", "The request is too large", "The body comes in too many small chunks"
)
URL = Refusal(
    414, "url-too-long", "The address is too long", "The request target is above the limit"
)
HEAD = Refusal(
    431, "head-too-large", "The head is too large", "The header fields are above the limit"
)
FULL = Refusal(
    503,
    "unavailable",
    "The service cannot take calls now",
    "All connections of this server are in use",
    b"retry-after: 1\r\n",
)
FULL_FOR_ADDRESS = Refusal(
    429,
    "too-many-requests",
    "Too many requests",
    "Your address has too many open connections",
    b"retry-after: 1\r\n",
)
FAILURE_BODY = _problem(
    500, "service-failure", "The service failed", "The service failed while it handled the request"
)
