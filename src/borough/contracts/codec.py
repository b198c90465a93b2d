"""How an operation's values are written and read: JSON bodies, queries, paths, headers, problems.

The edge reads strictly (unknown fields and integers beyond 64 bits are refused, with the place);
everybody else ignores unknown fields, so that two versions can talk. Both ends use this one codec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from borough.contracts.argument import find_fact
from borough.contracts.carried import (
    header_text,
    path_text,
    plain_text,
    segments_beside,
    text_conversion,
)
from borough.contracts.finite import Look, find_endless, find_unfit, refuse_endless
from borough.contracts.marks import Reply
from borough.contracts.operation import Operation, Parameter
from borough.contracts.portable import type_shape
from borough.contracts.problem import Problem, made_of, members_of
from borough.contracts.strict import Oversight, find_oversight
from borough.contracts.unreadable import UNREADABLE, pointer_of, reason_of
from borough.contracts.whole import LARGEST, written_whole
from borough.errors import InvalidRequest, ServiceFailure

__all__ = [
    "JSON",
    "Codec",
    "HttpArguments",
    "problem_document",
    "reply_fields",
]

JSON = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")
_ORDERED = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_REPLY_HEADERS = frozenset(
    {
        *("content-type", "content-length", "set-cookie", "etag", "connection", "date"),
        *("transfer-encoding", "deprecation"),
    }
)
_NOTHING: Mapping[str, list[str]] = {}
_MOST_VALUES = 200
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"(?:[\x21-\x7e\xa0-\xff](?:[\t\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?)?")
_ETAG = re.compile(r"[\x21\x23-\x7e]*")
_IN_BODY = ("field", "body")
_AS_TEXT = ("path", "query", "header", "cookie")
_COOKIE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"


class HttpArguments(msgspec.Struct, frozen=True):
    """An operation's arguments as a request: target (path and query), headers, body (None without one)."""

    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    content_type: bytes = b"application/json"


class Codec:
    """Reads and writes one operation. Made once per operation; everything slow happens here, at the start."""

    __slots__ = (
        "_beside",
        "_decode_request",
        "_decode_result",
        "_endless_arguments",
        "_endless_request",
        "_endless_result",
        "_from_body",
        "_is_body_alone",
        "_oversight",
        "_parameters",
        "_problems",
        "_query_names",
        "_slots",
        "_sources",
        "_unfit_result",
        "_written_as_text",
        "operation",
    )

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        request = operation.request
        self._parameters = operation.parameters
        self._decode_request = msgspec.json.Decoder(request).decode if request is not None else None
        self._oversight: Oversight | None = find_oversight(request) if request is not None else None
        self._endless_request = find_unfit(request) if request is not None else None
        looks = [(each.name, find_unfit(each.kind)) for each in operation.parameters]
        self._endless_arguments = [
            (index, name, look) for index, (name, look) in enumerate(looks) if look is not None
        ]
        texts = [each for each in operation.parameters if each.place in _AS_TEXT]
        self._written_as_text = {each.name: find_fact(operation, each) for each in texts}
        result = operation.result
        self._endless_result = find_endless(result)
        self._unfit_result = find_unfit(result)
        self._decode_result = None if result is type(None) else msgspec.json.Decoder(result).decode
        self._problems = {
            code: (kind, msgspec.json.Decoder(kind.payload).decode)
            for code, kind in operation.problems.items()
        }
        self._slots = _SLOT.findall(operation.path)
        paths = [other.path for other in operation.contract.operations.values()]
        self._beside = segments_beside(operation.path, paths)
        self._sources = tuple(_source(parameter) for parameter in operation.parameters)
        self._query_names = {p.wire_name for p in operation.parameters if p.place == "query"}
        self._from_body = _from_body(operation.parameters)
        self._is_body_alone = [each.place for each in operation.parameters] == ["body"]

    def read_arguments(
        self,
        path: Mapping[str, str],
        query: str,
        header: Callable[[str], str | None],
        body: bytes,
        *,
        strict: bool,
    ) -> tuple[Any, ...]:
        """The arguments of a request, in the operation's order. Raises `InvalidRequest` naming each place."""
        fields: Any = None
        if self._decode_request is not None:
            fields = self._read_body(body, strict=strict)
        elif strict and body and not any(p.place == "upload" for p in self._parameters):
            raise InvalidRequest("This operation takes no body")
        asked = self._read_query(query, strict=strict) if query else _NOTHING
        if self._from_body is not None:
            return self._from_body(fields)
        found: list[Any] = []
        for parameter, source in zip(self._parameters, self._sources, strict=True):
            place = parameter.place
            if place == "field":
                found.append(getattr(fields, parameter.name))
            elif place == "body":
                found.append(fields)
            elif place == "upload":
                found.append(body)
            elif place == "path":
                found.append(source([path[parameter.name]]))
            elif place == "query":
                found.append(source(asked.get(parameter.wire_name)))
            elif place == "header":
                value = header(parameter.wire_name)
                found.append(source(None if value is None else [value]))
            else:
                found.append(source(_cookie(header("cookie"), parameter.wire_name)))
        return tuple(found)

    def _read_body(self, body: bytes, *, strict: bool) -> Any:
        assert self._decode_request is not None
        if not body and not any(p.required for p in self._parameters if p.place in _IN_BODY):
            body = b"{}"
        try:
            try:
                value = self._decode_request(body)
            except msgspec.ValidationError as error:
                if "got `float`" not in str(error) or len(body) > LARGEST:
                    raise
                body = written_whole(body)
                value = self._decode_request(body)
            wrong = self._oversight(body) if strict and self._oversight is not None else None
            if wrong is None and self._endless_request is not None:
                wrong = self._endless_request(value)
            if wrong is not None:
                message, pointer = wrong
                raise InvalidRequest(
                    f"{message} at #{pointer}",
                    errors=[{"detail": message, "pointer": "#" + pointer}],
                )
        except msgspec.ValidationError as error:
            message, pointer = pointer_of(str(error))
            raise InvalidRequest(
                f"{message} at {pointer}", errors=[{"detail": message, "pointer": pointer}]
            ) from None
        except UNREADABLE as error:
            reason = reason_of(body, error)
            raise InvalidRequest(
                f"The body is not valid JSON: {reason}", errors=[{"detail": reason, "pointer": "#"}]
            ) from None
        return value

    def _read_query(self, query: str, *, strict: bool) -> dict[str, list[str]]:
        asked: dict[str, list[str]] = {}
        if query.count("&") >= _MOST_VALUES:
            raise InvalidRequest(f"The query has more than {_MOST_VALUES} values; ask in parts")
        for name, value in _pairs(query):
            asked.setdefault(name, []).append(value)
        if strict:
            for name in asked:
                if name not in self._query_names:
                    raise InvalidRequest(
                        f"Unknown query parameter {name!r}",
                        errors=[{"detail": "unknown query parameter", "parameter": name}],
                    )
        return asked

    def write_arguments(self, arguments: Sequence[Any]) -> HttpArguments:
        """The same arguments as a request. Raises `InvalidRequest` for what JSON or HTTP cannot carry."""
        try:
            for index, name, look in self._endless_arguments:
                refuse_endless(name, look, arguments[index])
            return self._written(arguments)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"The arguments cannot be written: {error}") from None

    def _written(self, arguments: Sequence[Any]) -> HttpArguments:
        target = self.operation.path
        if self._is_body_alone:
            return HttpArguments(target, (), JSON.encode(arguments[0]))
        query: list[tuple[str, str]] = []
        headers: list[tuple[bytes, bytes]] = []
        cookies: list[str] = []
        fields: dict[str, Any] | None = None
        body: bytes | None = None
        content_type = b"application/json"
        for parameter, argument in zip(self._parameters, arguments, strict=True):
            place, written = parameter.place, self._written_as_text.get(parameter.name)
            value = argument if written is None else written.fitted(argument)
            if place == "field":
                if fields is None:
                    fields = {}
                if value is not msgspec.UNSET:
                    fields[parameter.name] = value
            elif place == "body":
                body = JSON.encode(value)
            elif place == "upload":
                body, content_type = value, b"application/octet-stream"
            elif place == "path":
                text = path_text(parameter.name, value, self._beside[parameter.name])
                target = target.replace("{" + parameter.name + "}", text)
            elif value is None or value is msgspec.UNSET:
                continue
            elif place == "query":
                values = cast("list[Any]", value) if isinstance(value, (tuple, list)) else [value]
                query.extend((parameter.wire_name, plain_text(item)) for item in values)
            elif place == "header":
                headers.append(
                    (
                        parameter.wire_name.lower().encode(),
                        header_text(parameter.name, value),
                    )
                )
            else:
                cookies.append(f"{parameter.wire_name}={quote(plain_text(value), safe='')}")
        if cookies:
            headers.append((b"cookie", "; ".join(cookies).encode()))
        if fields is not None:
            body = JSON.encode(fields)
        if query:
            target += "?" + urlencode(query)
        return HttpArguments(target, tuple(headers), body, content_type)

    def write_result(self, value: Any) -> bytes:
        """The body of an answer; empty for an operation that returns nothing.

        Raises `ServiceFailure` for what JSON cannot carry.
        """
        if self._decode_result is None:
            return b""
        if isinstance(value, Reply):
            value = cast("Any", value).value
        try:
            if self._unfit_result is not None:
                self._refuse_result(value, self._unfit_result)
            return JSON.encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise ServiceFailure(
                f"{self.operation.wire_name} answered out of contract: {error}"
            ) from None

    def read_result(self, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> Any:
        """The value of an answer. Raises `ServiceFailure` where it does not fit the contract."""
        if self._decode_result is None:
            value: Any = None
        else:
            try:
                value = self._decode_result(body)
                if self._endless_result is not None:
                    self._refuse_result(value, self._endless_result)
            except UNREADABLE as error:
                raise ServiceFailure(
                    f"{self.operation.wire_name} answered out of contract: {error}"
                ) from None
        if self.operation.is_reply:
            return _reply(value, headers)
        return value

    def _refuse_result(self, value: Any, look: Look) -> None:
        found = look(value)
        if found is not None:
            raise ServiceFailure(
                f"{self.operation.wire_name} answered out of contract: {found[0]} at #{found[1]}"
            )

    def read_problem(self, code: str, body: bytes) -> Problem | None:
        """The declared problem of this code, None where the operation does not declare it."""
        found = self._problems.get(code)
        if found is None:
            return None
        kind, decode = found
        try:
            payload = decode(body)
        except UNREADABLE as error:
            raise ServiceFailure(
                f"{self.operation.wire_name} raised {code} out of contract: {error}"
            ) from None
        return made_of(kind, payload)

    def code_of(self, problem: Problem) -> str | None:
        """The wire code of a declared problem; None where the operation does not declare this class."""
        code = f"{self.operation.contract.service}.{type(problem).__name__}"
        return code if self.operation.problems.get(code) is type(problem) else None

    def canonical(self, arguments: Sequence[Any]) -> bytes:
        """Canonical bytes of the arguments, to tell whether a repeated key carries the same request."""
        given = {
            parameter.name: _given(value)
            for parameter, value in zip(self._parameters, arguments, strict=True)
            if value is not msgspec.UNSET and value != parameter.default
        }
        return _ORDERED.encode(given)


def _given(value: Any) -> Any:
    """The value without members that equal their declared default: a later version may add some."""
    if isinstance(value, msgspec.Struct):
        kind = type(value)
        config = kind.__struct_config__
        members: dict[str, Any] = {}
        if config.tag_field is not None:
            members[config.tag_field] = config.tag
        for field in _fields(kind):
            member = getattr(value, field.name)
            default = field.default
            if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            if member is not msgspec.UNSET and member != default:
                members[field.encode_name] = _given(member)
        return members
    shape: Any = value
    if isinstance(value, Mapping):
        return {key: _given(item) for key, item in shape.items()}
    if isinstance(value, (tuple, list)):
        return [_given(item) for item in shape]
    return shape


_fields = cache(msgspec.structs.fields)  # of as many classes as contracts name


def problem_document(problem: Problem, code: str, trace_id: str | None) -> dict[str, Any]:
    """A declared problem as RFC 9457 members, its fields as extension members."""
    title = problem.title()
    document: dict[str, Any] = {
        "type": f"urn:borough:problem:{code}",
        "title": title,
        "status": problem.status,
        "detail": str(problem),
        "code": code,
    }
    if trace_id:
        document["trace_id"] = trace_id
    document.update(members_of(problem))
    return document


def _from_body(parameters: Sequence[Parameter]) -> Callable[[Any], tuple[Any, ...]] | None:
    """All arguments at once from a decoded body; None where some come from elsewhere."""
    places = [parameter.place for parameter in parameters]
    if places == ["body"]:
        return lambda fields: (fields,)
    if len(places) < 2 or set(places) != {"field"}:
        return None
    return attrgetter(*(parameter.name for parameter in parameters))


def _pairs(query: str) -> Iterable[tuple[str, str]]:
    """Names and values of a query. Raises `InvalidRequest` where it is not percent-encoded UTF-8."""
    if "%" not in query and "+" not in query:  # most of them: a third of the time
        parts = [pair.partition("=") for pair in query.split("&") if pair]
        return [(name, value) for name, _, value in parts]
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequest("The query cannot be read: it is not percent-encoded UTF-8") from None


def _source(parameter: Parameter) -> Callable[[list[str] | None], Any]:
    """How the text of a path, query, header or cookie parameter becomes its value."""
    kind, default, place, name = (
        parameter.kind,
        parameter.default,
        parameter.place,
        parameter.wire_name,
    )
    many = place == "query" and type(type_shape(kind)).__name__ in (
        "VarTupleType",
        "ListType",
        "TupleType",
    )
    look = find_unfit(kind)
    convert = text_conversion(kind)

    def read(values: list[str] | None) -> Any:
        if values is None:
            if default is msgspec.NODEFAULT:
                raise InvalidRequest(
                    f"The {place} parameter {name!r} is missing",
                    errors=[{"detail": "missing", "parameter": name}],
                )
            return default
        if len(values) > 1 and not many:
            raise InvalidRequest(f"The {place} parameter {name!r} was given twice")
        try:
            value = convert(values if many else values[0])
        except (msgspec.ValidationError, ValueError) as error:
            message, _ = pointer_of(str(error))
            raise InvalidRequest(
                f"The {place} parameter {name!r} is wrong: {message}",
                errors=[{"detail": message, "parameter": name}],
            ) from None
        endless = look(value) if look is not None else None
        for item in cast("Sequence[Any]", value) if many else (value,):
            wrong = endless[0] if endless is not None else _no_number(item)
            if wrong:
                raise InvalidRequest(
                    f"The {place} parameter {name!r} is wrong: {wrong}",
                    errors=[{"detail": wrong, "parameter": name}],
                )
        return value

    return read


def _no_number(value: Any) -> str | None:
    """Why a number that Python can read from a text is none here."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "the integer is beyond 64 bits"
    return None


def _cookie(header: str | None, name: str) -> list[str] | None:
    if header:
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return [unquote(value)]
    return None


def reply_fields(reply: Reply[Any]) -> list[tuple[str, str]]:
    """A reply's headers, cookies and ETag as header fields. Raises `ServiceFailure` for what none can carry."""
    fields = [(name.lower(), value) for name, value in reply.headers.items()]
    for name, value in fields:
        if not _is(_TOKEN, name) or name in _REPLY_HEADERS or not _is(_FIELD, value):
            raise ServiceFailure(f"The header {name} cannot be answered with the value {value!r}")
    for name, value in reply.cookies.items():
        if not _is(_TOKEN, name):
            raise ServiceFailure(f"The cookie {name!r} has a name that no header can carry")
        try:
            fields.append(("set-cookie", f"{name}={quote(value, safe=_COOKIE_SAFE)}"))
        except (TypeError, UnicodeError) as error:
            raise ServiceFailure(f"The cookie {name} has a value that is no text") from error
    if reply.etag is not None:
        if not _is(_ETAG, reply.etag):
            raise ServiceFailure(
                f"The ETag {reply.etag!r} cannot be answered: it is a text without quotes and spaces"
            )
        fields.append(("etag", f'"{reply.etag}"'))
    return fields


def _is(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _reply(value: Any, headers: Sequence[tuple[str, str]]) -> Reply[Any]:
    kept = {name: text for name, text in headers if name not in _REPLY_HEADERS}
    etag = next((text.strip('"') for name, text in headers if name == "etag"), None)
    cookies: dict[str, str] = {}
    for name, text in headers:
        if name == "set-cookie":
            key, _, rest = text.partition("=")
            cookies[key] = unquote(rest.partition(";")[0])
    return Reply(value=value, headers=kept, cookies=cookies, etag=etag)
