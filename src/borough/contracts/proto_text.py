"""A contract's protobuf 3 as text, in the order of names: the same bytes for the same contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from borough.contracts.proto import (
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    ProtoMethod,
    Reserved,
)

__all__ = ["proto_text"]

_INDENT = "  "


def proto_text(file: ProtoFile) -> str:
    """The text of a file that has its numbers."""
    head = [
        "// Made by `borough contracts export --format proto`; the numbers are kept in the lock file.",
        'syntax = "proto3";',
        "",
        f"package {file.package};",
        "",
    ]
    imports = [f'import "{name}";' for name in file.imports]
    parts = [head, [*imports, ""] if imports else []]
    parts.append([*_service(file), ""])
    parts += [[*_message(each), ""] for each in file.messages.values()]
    parts += [[*_enum(each), ""] for each in file.enums.values()]
    return "\n".join(line for part in parts for line in part)


def _doc(text: str, indent: str = "") -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}// {line}".rstrip()


def _block(head: str, lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        yield f"{head} {{}}"
        return
    yield f"{head} {{"
    yield from (f"{_INDENT}{line}".rstrip() for line in lines)
    yield "}"


def _service(file: ProtoFile) -> Iterator[str]:
    yield from _doc(file.doc)
    lines = ["option deprecated = true;"] if file.deprecated else []
    for method in file.methods:
        lines += _method(method)
    yield from _block(f"service {file.service}", lines)


def _method(method: ProtoMethod) -> Iterator[str]:
    operation = method.operation
    yield from _doc(operation.doc)
    stream = "stream " if operation.stream else ""
    head = f"rpc {method.name}({method.request}) returns ({stream}{method.response})"
    options = ["option idempotency_level = NO_SIDE_EFFECTS;"] if operation.method == "GET" else []
    if operation.deprecated is not None:
        options.append("option deprecated = true;")
    if options:
        yield from _block(head, options)
    else:
        yield f"{head};"


def _message(message: ProtoMessage) -> Iterator[str]:
    yield from _doc(message.doc)
    lines = list(_reserved(message.reserved, {field.name for field in message.fields}))
    oneof: list[ProtoField] = []
    for field in message.fields:
        if oneof and oneof[0].oneof != field.oneof:
            lines += _block(f"oneof {oneof[0].oneof}", [x for each in oneof for x in _field(each)])
            oneof = []
        if field.oneof:
            oneof.append(field)
        else:
            lines += _field(field)
    if oneof:
        lines += _block(f"oneof {oneof[0].oneof}", [x for each in oneof for x in _field(each)])
    yield from _block(f"message {message.name}", lines)


def _field(field: ProtoField) -> Iterator[str]:
    yield from _doc(field.doc)
    kind = f"map<string, {field.type}>" if field.label == "map" else field.type
    label = f"{field.label} " if field.label in ("optional", "repeated") else ""
    yield f"{label}{kind} {field.name} = {field.number};"


def _enum(enum: ProtoEnum) -> Iterator[str]:
    yield from _doc(enum.doc)
    lines = list(_reserved(enum.reserved, {each.name for each in enum.values}))
    lines += [f"{each.name} = {each.number};" for each in enum.values]
    yield from _block(f"enum {enum.name}", lines)


def _reserved(reserved: Reserved, names: set[str]) -> Iterator[str]:
    """A name that is used anew stands for its new number, and only the old number stays reserved."""
    if reserved:
        yield f"reserved {', '.join(str(number) for number, _ in reserved)};"
        gone = sorted({name for _, name in reserved} - names)
        if gone:
            yield f"reserved {', '.join(chr(34) + name + chr(34) for name in gone)};"
