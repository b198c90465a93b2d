"""`borough call orders.place '{"sku": "A1"}'`: call one operation of a running system.

It goes to the edge, as the public does; `--as SERVICE` goes to the internal listener on account of
that service, with its token from the data folder.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import difflib
import sys
from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from borough.cli.address import read_address
from borough.cli.output import complain
from borough.contracts.codec import Codec
from borough.contracts.operation import Contract, Operation
from borough.contracts.unreadable import UNREADABLE, pointer_of
from borough.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from borough.runtime.system import System
    from borough.transports.http.client import HttpClient, Origin

__all__ = ["add"]

_EXAMPLE = """examples:
  borough call search.find '{"q": "tea"}' --system examples/shop
  borough call orders.checkout '{"card": "4242424242424242"}' --token "$TOKEN" --key order-1
  borough call payments.charge '{...}' --as orders"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "call",
        help="call one operation of a running system",
        description="Call SERVICE.OPERATION with a JSON object of its parameters; prints the answer.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "operation",
        metavar="SERVICE.OPERATION",
        help="such as orders.place, or the whole wire name",
    )
    parser.add_argument(
        "arguments",
        nargs="?",
        default="{}",
        metavar="JSON",
        help="parameters by name (default: {}); - reads standard input",
    )
    parser.add_argument(
        "--system", default=".", metavar="PATH", help="the system's folder (default: here)"
    )
    parser.add_argument("--data", metavar="FOLDER", help="its data folder, where not the usual one")
    parser.add_argument("--url", help="the edge, where not the one left in the data folder")
    parser.add_argument(
        "--as",
        dest="service",
        metavar="SERVICE",
        help="call on account of this service, internally",
    )
    parser.add_argument("--token", type=_visible, help="bearer token of the end user")
    parser.add_argument("--key", type=_visible, help="Idempotency-Key")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="give up after (default: 10)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print problems as JSON on standard output, too"
    )
    parser.set_defaults(run=_run)


def _visible(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not printable ASCII")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above zero")
    return seconds


def _run(options: argparse.Namespace) -> int:
    from borough.clock import SystemClock
    from borough.runtime.system import System
    from borough.transports.http.client import HttpClient
    from borough.transports.http.wire import write_idempotency_key

    flags = {"data.folder": str(Path(options.data).resolve()) if options.data else None}
    system = System.load(options.system, flags=flags)
    operation = find_operation(_contracts(system), options.operation)
    _refuse_idle_key(operation, options)
    sent = Codec(operation).write_arguments(_arguments(operation, options.arguments))
    headers = list(sent.headers)
    if sent.body is not None:
        headers.append((b"content-type", sent.content_type))
    if options.token:
        headers.append((b"authorization", b"Bearer " + options.token.encode()))
    if options.key:
        headers.append((b"idempotency-key", write_idempotency_key(options.key)))
    headers.append((b"borough-timeout-ms", b"%d" % int(options.timeout * 1000)))
    folder = system.configuration.data_folder
    external = system.configuration.options.external.get(operation.contract.service)
    elsewhere = (
        external and f"{operation.contract.service} runs elsewhere: ask it at {external.url}"
    )
    client: HttpClient | None = None
    origin: Origin
    if not options.service:
        origin = _origin(options.url or read_address(folder).edge, "http")
    else:
        address = read_address(folder)
        callee = operation.contract.service
        url = address.services.get(callee, address.internal)
        if not url:
            raise Unavailable(elsewhere or f"no replica of {callee} takes calls now")
        if system.configuration.options.internal.tls.is_on:
            from borough.gateway.mutual_tls import ServiceCertificates

            proof = ServiceCertificates(system.configuration, SystemClock())
            proof.open([options.service])
            client = proof.client(options.service)
            origin = proof.origin(operation.contract.service, *_origin(url, "https"))
        else:
            headers += _proof(system, options.service)
            origin = _origin(url, "http")
    request = (origin, operation.mark.method, sent.target, headers, sent.body or b"")
    status = asyncio.run(_send(options, operation, client or HttpClient(), request))
    if status and elsewhere:
        complain(f"borough: {elsewhere}")
    return status


def _refuse_idle_key(operation: Operation, options: argparse.Namespace) -> None:
    """Raise `ConfigurationError` for a key that binds nothing."""
    from borough.contracts.marks import IDEMPOTENCY_KEY

    by, name = operation.mark.idempotent_by, operation.wire_name
    if options.key and by != IDEMPOTENCY_KEY:
        why = f"by its parameter {by}" if by else "by no key"
        raise ConfigurationError(
            f"{name} is idempotent {why}, so --key binds nothing; leave it out"
        )


def _contracts(system: Any) -> list[Contract]:
    from borough.contracts.reading import read_contracts
    from borough.runtime.system import contract_classes

    classes = [cls for service in system.services for cls in contract_classes(service)]
    return read_contracts(dict.fromkeys([*classes, *system.contracts]))


def find_operation(contracts: list[Contract], name: str) -> Operation:
    """The operation named `service.operation` or by its wire name. Raises `ConfigurationError`."""
    found = [
        operation
        for contract in contracts
        for operation in contract.operations.values()
        if name in (operation.wire_name, f"{contract.service}.{operation.name}")
    ]
    if not found:
        name = name.encode(errors="backslashreplace").decode()
        known = [f"{c.service}.{o}" for c in contracts for o in c.operations]
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else "`borough contracts show` lists them"
        raise ConfigurationError(f"there is no operation {name}; {hint}")
    # Of several majors the newest is meant; an older one has its whole wire name.
    return max(found, key=lambda operation: operation.contract.major)


def _arguments(operation: Operation, text: str) -> list[Any]:
    try:
        text = sys.stdin.read() if text == "-" else text
        given = msgspec.json.decode(text, type=dict[str, Any])
    except (
        UnicodeError
    ):  # also of lone surrogates, which Python makes of such bytes in a command line
        raise ConfigurationError("the arguments are not in UTF-8, as JSON is") from None
    except msgspec.ValidationError:
        raise ConfigurationError("the arguments are a JSON object of parameters by name") from None
    except UNREADABLE as error:
        raise ConfigurationError(f"the arguments are not JSON: {error}") from None
    sole = [p for p in operation.parameters if p.place == "body"]
    if len(operation.parameters) == 1 and sole and sole[0].name not in given:
        given = {sole[0].name: given}
    names = [p.name for p in operation.parameters]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigurationError(
            f"{operation.wire_name} has no parameter {unknown[0]!r}; it has {', '.join(names) or 'none'}"
        )
    values: list[Any] = []
    for parameter in operation.parameters:
        if parameter.name not in given:
            if parameter.required:
                raise ConfigurationError(
                    f"{operation.wire_name} needs the parameter {parameter.name!r}"
                )
            values.append(parameter.default)
            continue
        try:
            values.append(msgspec.convert(given[parameter.name], parameter.kind))
        except msgspec.ValidationError as error:
            message, pointer = pointer_of(str(error))
            raise ConfigurationError(f"{parameter.name}{pointer[1:]}: {message}") from None
    return values


def _proof(system: System, service: str) -> list[tuple[bytes, bytes]]:
    from borough.runtime.system import service_name

    folder, table = system.configuration.data_folder, system.configuration.options
    try:
        token = (folder / "tokens" / f"{service}.token").read_bytes().strip()
    except OSError as error:
        known = sorted({*map(service_name, system.services), *table.services})
        if service not in known:
            close = difflib.get_close_matches(service, known, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise ConfigurationError(
                f"--as {service}: no service here has that name; {meant}"
            ) from None
        raise ConfigurationError(
            f"the token of {service} in {folder / 'tokens'} cannot be read: {error.strerror}; is the system running?"
        ) from None
    return [(b"borough-service", service.encode()), (b"borough-proof", token)]


def _origin(url: str, scheme: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme != scheme or not host:
        raise ConfigurationError(f"{url} is no {scheme}:// URL")
    return host, port or (80 if scheme == "http" else 443)


async def _send(
    options: argparse.Namespace,
    operation: Operation,
    client: HttpClient,
    request: tuple[Origin, str, str, list[tuple[bytes, bytes]], bytes],
) -> int:
    deadline = asyncio.get_running_loop().time() + options.timeout
    try:
        if operation.stream:
            async with client.stream(*request, deadline=deadline) as stream:
                if stream.status < 300:
                    return _show_end(await _printed(stream))
                return _show(options, stream.status, b"".join([each async for each in stream]))
        response = await client.send(*request, deadline=deadline)
        return _show(options, response.status, response.body)
    finally:
        await client.close()


async def _printed(stream: AsyncIterable[bytes]) -> bytes:
    """Print lines as they come, a long one in parts; returns the last one, also one that is not whole."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    left = last = b""
    async for chunk in stream:
        sys.stdout.write(decode(chunk))
        sys.stdout.flush()
        *lines, left = (left + chunk).split(b"\n")
        last = lines[-1] if lines else last
    return left or last


def _show_end(line: bytes) -> int:
    """Whether the last line of a stream, which is printed, says that all is there; tells why not."""
    try:
        end = msgspec.json.decode(line, type=_End)
    except UNREADABLE:
        end = _End()
    if end.problem is not None:
        _tell(int(end.problem.get("status", 0)), end.problem)
    elif not end.end:
        complain("borough: the stream was cut off: it has no last line")
    return 0 if end.end else 1


def _show(options: argparse.Namespace, status: int, body: bytes) -> int:
    if status < 300:
        if body:
            print(msgspec.json.format(body, indent=2).decode())
        return 0
    if options.json:
        print(body.decode())
    try:
        _tell(status, msgspec.json.decode(body, type=dict[str, Any]))
    except UNREADABLE:
        complain(f"borough: {status}")
    return 1


def _tell(status: int, document: Mapping[str, Any]) -> None:
    title, detail = str(document.get("title")), str(document.get("detail"))
    complain(f"borough: {status} {detail if detail.startswith(title) else f'{title}: {detail}'}")


class _End(msgspec.Struct):
    """The last line of a stream."""

    end: bool = False
    problem: dict[str, Any] | None = None
