"""A contract as one TypeScript file on `fetch`, written from its descriptor: for Node and browsers.

Types stand first, the client of the contract last. What lies between (`typescript_runtime.ts`) says how
any contract is called, and is the same in every file.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from borough.contracts.carried import segments_beside
from borough.contracts.descriptor import (
    Descriptor,
    OperationDescriptor,
    ParameterDescriptor,
    ProblemDescriptor,
)
from borough.contracts.marks import IDEMPOTENCY_KEY
from borough.contracts.shapes import StructShape
from borough.contracts.typescript_types import TypescriptTypes, comment, member_name

__all__ = ["typescript_client"]

_RUNTIME = Path(__file__).with_name("typescript_runtime.ts")
_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_TAKEN = frozenset(
    {
        *("CallError", "CallOptions", "ClientSettings", "CloudEvent", "DeadlineExceeded"),
        *("KeyedCallOptions", "Outgoing", "Patience", "Problem", "ProblemClass"),
        *("ProblemDocument", "Reply", "StreamOptions", "Unreachable", "Wire"),
        *("AbortController", "AbortSignal", "Array", "AsyncGenerator", "Error", "Headers", "JSON"),
        *("Math", "Number", "Promise", "Readonly", "Record", "RequestInit", "Response", "String"),
        *(
            "TextDecoder",
            "TypeError",
            "URL",
            "URLSearchParams",
            "ErrorOptions",
            "NonNullable",
            "ReturnType",
        ),
    }
)
"""Names that the file needs for itself; a type of the contract that has one gets another."""

_MEANINGFUL = ("constructor", "then")
"""Members that mean something to JavaScript: who awaits an object that has a `then` calls it."""


def typescript_client(descriptor: Descriptor) -> str:
    """The text of the file."""
    return _File(descriptor).text()


class _File:
    """The file while it is written."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.client = f"{descriptor.name}Client"
        own = {self.client, f"{descriptor.name}Events"}
        self.types = TypescriptTypes(descriptor, _TAKEN | own)
        self.methods = _methods([operation.name for operation in descriptor.operations])

    def text(self) -> str:
        """All of it."""
        found = self.descriptor
        head = (
            f"// {found.wire_name} {found.version}, written by `borough contracts client` from its descriptor.\n"
            "// Write it again when that changes; it depends on nothing."
        )
        problems = frozenset(problem.type for problem in found.problems)
        parts = [head, *self.types.declarations(problems | self._bodies())]
        if found.events:
            parts.append(self._events())
        if found.operations:
            parts.append(_RUNTIME.read_text(encoding="utf-8").rstrip())
            parts.append(f"// --- {found.wire_name} {'-' * (97 - len(found.wire_name))}")
            parts += [self._problem(problem) for problem in found.problems]
            parts.append(self._class())
        return "\n\n".join(parts) + "\n"

    def _bodies(self) -> frozenset[str]:
        """Structs that only hold the parameters of an operation, which takes them itself."""
        return frozenset(
            getattr(operation.request, "name", "")
            for operation in self.descriptor.operations
            if any(parameter.place == "field" for parameter in operation.parameters)
        )

    def _problem(self, problem: ProblemDescriptor) -> str:
        struct = self.descriptor.types[problem.type]
        assert isinstance(struct, StructShape)
        name = self.types.named(problem.type)
        fields = [
            f"readonly {member_name(field.wire)}: {self.types.written(field.shape, sent=False)}"
            for field in struct.fields
        ]
        shape = f"{{ {'; '.join(fields)} }}" if fields else "object"
        lines = [*comment(problem.doc), f"export class {name} extends Problem<{shape}> {{"]
        lines.append(f"  static readonly code = {json.dumps(problem.code)};")
        return "\n".join([*lines, "}"])

    def _events(self) -> str:
        lines = [
            "/** An event as it travels: CloudEvents 1.0. A redelivery has the same `id`. */",
            "export interface CloudEvent<Type extends string, Data> {",
            '  readonly specversion: "1.0";',
            "  readonly id: string;",
            "  readonly source: string;",
            "  readonly type: Type;",
            "  readonly time?: string;",
            "  readonly partitionkey?: string;",
            "  readonly traceparent?: string;",
            "  readonly eventversion?: number;",
            "  readonly data: Data;",
            "}",
            "",
            f"/** Any event of the topic {self.descriptor.wire_name}; `type` tells which. */",
            f"export type {self.descriptor.name}Events =",
        ]
        members = [
            f"  | CloudEvent<{json.dumps(event.wire_name)}, {self.types.named(event.type)}>"
            for event in self.descriptor.events
        ]
        return "\n".join(lines + members) + ";"

    def _class(self) -> str:
        lines = [*comment(self.descriptor.doc), f"export class {self.client} {{"]
        lines += [
            "  readonly #wire: Wire;",
            "",
            "  /** `base` is the address below which the services' paths lie, such as that of the edge. */",
            "  constructor(base: string | URL, settings: ClientSettings = {}) {",
            "    this.#wire = new Wire(base, settings);",
            "  }",
        ]
        for operation in self.descriptor.operations:
            lines += ["", *self._operation(operation)]
        return "\n".join([*lines, "}"])

    def _operation(self, operation: OperationDescriptor) -> Iterator[str]:
        doc = operation.doc
        if operation.deprecated is not None:
            doc += f"\n\n@deprecated {operation.deprecated}"
        yield from comment(doc.strip(), "  ")
        arguments = self._arguments(operation)
        result = "void"
        if operation.result is not None:
            result = self.types.written(operation.result, sent=False)
        options = "CallOptions"
        if operation.stream:
            options = "StreamOptions"
        elif operation.idempotent_by == IDEMPOTENCY_KEY:
            options = "KeyedCallOptions"
        way, answer = "call", f"Promise<{result}>"
        if operation.stream:
            way, answer = "items", f"AsyncGenerator<{result}, void, undefined>"
        elif operation.reply:
            way, answer = "reply", f"Promise<Reply<{result}>>"
        taken = [*([arguments] if arguments else []), f"options?: {options}"]
        async_word = "" if operation.stream else "async "
        yield f"  {async_word}{self.methods[operation.name]}({', '.join(taken)}): {answer} {{"
        yield f"    return this.#wire.{way}<{result}>({{"
        yield from (f"      {line}," for line in self._outgoing(operation))
        yield "    });"
        yield "  }"

    def _arguments(self, operation: OperationDescriptor) -> str:
        """The first parameter of a method: an object of the operation's parameters."""
        members = [self._argument(parameter) for parameter in operation.parameters]
        if not members:
            return ""
        needed = any(parameter.required for parameter in operation.parameters)
        return f"given: {{ {'; '.join(members)} }}" + ("" if needed else " = {}")

    def _argument(self, parameter: ParameterDescriptor) -> str:
        kind = self.types.written(parameter.shape, sent=True)
        if parameter.place == "upload":
            kind = 'NonNullable<RequestInit["body"]>'
        if parameter.required:
            return f"{parameter.name}: {kind}"
        return f"{parameter.name}?: {kind} | undefined"

    def _outgoing(self, operation: OperationDescriptor) -> Iterator[str]:
        yield f"operation: {json.dumps(operation.wire_name)}"
        yield f"method: {json.dumps(operation.method)}"
        path = _SLOT.sub(lambda slot: self._segment(operation, slot[1]), operation.path)
        yield f"path: `{path}`" if "$" in path else f"path: {json.dumps(path)}"
        places = {"query": "query", "header": "headers", "cookie": "cookies"}
        for place, member in places.items():
            pairs = [
                f"[{json.dumps(parameter.wire)}, given.{parameter.name}]"
                for parameter in operation.parameters
                if parameter.place == place
            ]
            if pairs:
                yield f"{member}: [{', '.join(pairs)}]"
        yield from self._body(operation)
        if operation.raises:
            problems = [self.descriptor.problem(code) for code in operation.raises]
            pairs = [f"{json.dumps(p.code)}: {self.types.named(p.type)}" for p in problems]
            yield f"problems: {{ {', '.join(pairs)} }}"
        if operation.timeout_s is not None:
            yield f"timeoutMs: {operation.timeout_s * 1000:.15g}"
        yield "options"

    def _segment(self, operation: OperationDescriptor, name: str) -> str:
        paths = [other.path for other in self.descriptor.operations]
        beside = sorted(segments_beside(operation.path, paths)[name])
        more = f", {json.dumps(beside)}" if beside else ""
        return f'${{Wire.segment("{name}", given.{name}{more})}}'

    def _body(self, operation: OperationDescriptor) -> Iterator[str]:
        fields: list[str] = []
        for parameter in operation.parameters:
            if parameter.place == "body":
                yield f"json: given.{parameter.name}"
            elif parameter.place == "upload":
                yield f"upload: given.{parameter.name}"
            elif parameter.place == "field":
                fields.append(f"{member_name(parameter.wire)}: given.{parameter.name}")
        if fields:
            yield f"json: {{ {', '.join(fields)} }}"


def _methods(names: Sequence[str]) -> dict[str, str]:
    """What each operation is called in the class; those that would be called alike keep their own names."""
    camels = {name: _camel(name) for name in names}
    often = Counter(camels.values())
    return {name: camel if often[camel] == 1 else name for name, camel in camels.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    camel = first + "".join(part.capitalize() for part in rest)
    return f"{camel}_" if camel in _MEANINGFUL else camel
