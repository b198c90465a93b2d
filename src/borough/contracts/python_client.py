"""A contract as a Python module, written from its descriptor: what a caller in another repository imports.

What is read back from the module is the same descriptor, so both ends have one fingerprint. What a
descriptor does not hold is not there: upcasts of older events are left to whoever needs them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from borough.contracts.descriptor import (
    Descriptor,
    EventDescriptor,
    OperationDescriptor,
    ParameterDescriptor,
    ProblemDescriptor,
)
from borough.contracts.marks import IDEMPOTENCY_KEY, Allow
from borough.contracts.python_names import PythonNames
from borough.contracts.python_types import PythonTypes, number_text, python_data, python_text
from borough.contracts.shapes import (
    EnumShape,
    FieldShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
)

__all__ = ["python_client"]

_WIDTH = 100
_INDENT = "    "


def python_client(descriptor: Descriptor, source: str = "the descriptor") -> str:
    """The text of the module; `source` is what it was written from."""
    return _Module(descriptor).text(source)


class _Module:
    """The module while it is written."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.names = PythonNames.of(descriptor)
        self.types = PythonTypes(descriptor.types, self.names)
        self.events = {event.type: event for event in descriptor.events}
        self.problems = {problem.type: problem for problem in descriptor.problems}
        self.bodies = {
            operation.request.name
            for operation in descriptor.operations
            if any(parameter.place == "field" for parameter in operation.parameters)
            and isinstance(operation.request, RefShape)
        }

    def text(self, source: str) -> str:
        """All of it."""
        classes = [self._class(name, self.descriptor.types[name]) for name in self._order()]
        parts = [*(part for part in classes if part), self._contract()]
        first = f"What {self.descriptor.service} promises: {self.descriptor.wire_name} {self.descriptor.version}."
        head = [
            f'"""{first}',
            "",
            f"Written by `borough contracts` from {source}; write it again when that changes.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            *self.names.imports(),
        ]
        return "\n".join(head) + "\n\n\n" + "\n\n\n".join(map("\n".join, parts)) + "\n"

    def _order(self) -> list[str]:
        """Types in an order in which every default has what it is made of."""
        found: list[str] = []
        for name in self.descriptor.types:
            self._place(name, found, set())
        return found

    def _place(self, name: str, found: list[str], above: set[str]) -> None:
        if name in found or name in above:
            return
        named = self.descriptor.types[name]
        if isinstance(named, StructShape):
            for field in named.fields:
                if field.default is not UNSET:
                    for needed in sorted(set(self.types.made_of(field.default, field.shape))):
                        self._place(needed, found, above | {name})
        found.append(name)

    def _class(self, name: str, named: NamedShape) -> list[str]:
        if isinstance(named, EnumShape):
            return self._enum(name, named)
        if name in self.problems:
            return self._problem(self.problems[name], named)
        if name in self.events:
            return self._event(self.events[name], named)
        if name in self.bodies or self.types.page_of(name) is not None:
            return []  # an operation's parameters make the one, Borough has the other
        options = [self.names.use("borough", "Struct")]
        if named.tag_field is not None:
            options.append(f"tag={python_data(named.tag)}")
            if named.tag_field != "type":
                options.append(f"tag_field={python_text(named.tag_field)}")
        return self._body(f"class {name}({', '.join(options)}):", named.doc, named)

    def _enum(self, name: str, enum: EnumShape) -> list[str]:
        parent = ("borough", "OpenEnum") if enum.open else ("enum", "Enum")
        members = [f"{_INDENT}{m.name} = {python_data(m.value)}" for m in enum.members]
        doc = _docstring(enum.doc)
        return [f"class {name}({self.names.use(*parent)}):", *doc, *([""] if doc else []), *members]

    def _problem(self, problem: ProblemDescriptor, struct: StructShape) -> list[str]:
        head = f"class {problem.type}({self.names.use('borough', 'Problem')}, status={problem.status}):"
        return self._body(head, problem.doc, struct)

    def _event(self, event: EventDescriptor, struct: StructShape) -> list[str]:
        parent = self.names.use("borough", "Event")
        version = f", version={event.version}" if event.version > 1 else ""
        lines = self._body(f"class {event.type}({parent}{version}):", event.doc, struct)
        for older in range(1, event.version):
            text, anything = self.names.use("builtins", "str"), self.names.use("typing", "Any")
            data = f"{self.names.use('builtins', 'dict')}[{text}, {anything}]"
            said = f"version {older} of {event.type} is in no descriptor; write this upcast"
            lines += [
                "",
                f"{_INDENT}@staticmethod",
                f"{_INDENT}@{self.names.use('borough', 'upcast')}({older})",
                f"{_INDENT}def from_version_{older}(data: {data}) -> {data}:",
                f'{_INDENT * 2}"""Make version {older + 1} of the data of version {older}."""',
                f"{_INDENT * 2}raise NotImplementedError({python_text(said)})",
            ]
        return lines

    def _body(self, head: str, doc: str, struct: StructShape) -> list[str]:
        fields = [line for field in struct.fields for line in self._field(field)]
        lines = _docstring(doc)
        if lines and fields:
            lines.append("")
        return [head, *(lines + fields or [f"{_INDENT}pass"])]

    def _field(self, field: FieldShape) -> Iterator[str]:
        annotation = self.types.annotation(field.shape)
        if field.key:
            annotation = f"{self.names.use('borough', 'Key')}[{annotation}]"
        if field.unset:
            annotation = self._or_unset(annotation)
        default = self._default(field)
        head = f"{_INDENT}{field.name}: {annotation}"
        options = [f"name={python_text(field.wire_name)}"] if field.wire_name else []
        if field.default and _is_map(field.shape):
            options.append(f"default_factory=lambda: {default}")
        elif options and default is not None:
            options.append(f"default={default}")
        if options:
            make = self.names.use("borough", "field")
            yield from _broken(f"{head} = {make}(", options, ")", _INDENT)
        else:
            yield head if default is None else f"{head} = {default}"

    def _or_unset(self, annotation: str) -> str:
        unset = self.names.use("borough", "Unset")
        if annotation.endswith(" | None"):
            return f"{annotation.removesuffix(' | None')} | {unset} | None"
        return f"{annotation} | {unset}"

    def _default(self, field: FieldShape) -> str | None:
        if field.unset:
            return self.names.use("borough", "UNSET")
        return None if field.default is UNSET else self.types.value(field.default, field.shape)

    def _contract(self) -> list[str]:
        found = self.descriptor
        options = [python_text(found.service), f"version={python_text(found.version)}"]
        if found.events:
            options.append(f"publishes=[{', '.join(event.type for event in found.events)}]")
        if found.public:
            options.append("public=True")
        if found.deprecated is not None:
            options.append(f"deprecated={python_text(found.deprecated)}")
        if found.retains is not None:
            options.append(f"retains={python_text(found.retains)}")
        lines = list(_broken(f"@{self.names.use('borough', 'contract')}(", options, ")", ""))
        lines.append(f"class {found.name}({self.names.use('typing', 'Protocol')}):")
        doc = _docstring(found.doc or f"What {found.service} promises.")
        lines += doc if found.doc or not found.operations else []
        for operation in found.operations:
            if lines[-1] != f"class {found.name}({self.names.use('typing', 'Protocol')}):":
                lines.append("")
            lines += self._operation(operation)
        return lines

    def _operation(self, operation: OperationDescriptor) -> Iterator[str]:
        mark = self.names.use("borough", operation.method.lower())
        yield from _broken(f"{_INDENT}@{mark}(", list(self._marks(operation)), ")", _INDENT)
        result = "None" if operation.result is None else self.types.annotation(operation.result)
        if operation.reply:
            result = f"{self.names.use('borough', 'Reply')}[{result}]"
        word = "async def"
        if operation.stream:
            word = "def"
            result = f"{self.names.use('collections.abc', 'AsyncIterator')}[{result}]"
        parameters = ["self"]
        may_be_absent = False
        for parameter in operation.parameters:
            text = self._parameter(parameter)
            if may_be_absent and parameter.required and "*" not in parameters:
                parameters.append("*")  # as it must have been declared
            may_be_absent = may_be_absent or not parameter.required
            parameters.append(text)
        head = f"{_INDENT}{word} {operation.name}("
        doc = _docstring(operation.doc, _INDENT * 2)
        end = ":" if doc else ": ..."
        yield from _broken(head, parameters, f") -> {result}{end}", _INDENT)
        yield from doc
        if doc:
            yield f"{_INDENT * 2}..."

    def _marks(self, operation: OperationDescriptor) -> Iterator[str]:
        major = self.descriptor.version.partition(".")[0]
        prefix = f"/{self.descriptor.service}" + (f"/v{major}" if major != "1" else "")
        yield python_text(operation.path.removeprefix(prefix) or "/")
        if operation.allow is not None:
            yield f"allow={self._allow(operation.allow)}"
        if operation.status != 200:
            yield f"status={operation.status}"
        if operation.idempotent_by == IDEMPOTENCY_KEY:
            yield f"idempotent_by={self.names.use('borough', 'IDEMPOTENCY_KEY')}"
        elif operation.idempotent_by is not None:
            yield f"idempotent_by={python_text(operation.idempotent_by)}"
        if operation.raises:
            problems = [self.descriptor.problem(code).type for code in operation.raises]
            yield f"raises=[{', '.join(problems)}]"
        if operation.timeout_s is not None:
            yield f"timeout_s={number_text(operation.timeout_s)}"
        if operation.deprecated is not None:
            yield f"deprecated={python_text(operation.deprecated)}"
        if operation.example:
            yield f"example={python_data(operation.example)}"

    def _allow(self, allow: Allow) -> str:
        if allow.scopes:
            scopes = ", ".join(map(python_text, allow.scopes))
            return f"{self.names.use('borough', 'scope')}({scopes})"
        return self.names.use("borough", "ANYONE" if allow.who == "anyone" else "USER")

    def _parameter(self, parameter: ParameterDescriptor) -> str:
        shape = parameter.shape
        if parameter.place == "upload":
            upload = self.names.use("borough", "Upload")
            annotation = self.types.annotation(shape)
            # `Upload` is bytes that travel in another place, whatever else is said of them.
            annotation = annotation.replace(self.names.use("builtins", "bytes"), upload, 1)
        elif parameter.place in ("header", "cookie"):
            mark = self.names.use("borough", parameter.place.capitalize())
            annotation = self.types.annotation(shape, f"{mark}({python_text(parameter.wire)})")
        else:
            annotation = self.types.annotation(shape)
        if parameter.required:
            return f"{parameter.name}: {annotation}"
        if parameter.default is UNSET:
            annotation = self._or_unset(annotation)
            return f"{parameter.name}: {annotation} = {self.names.use('borough', 'UNSET')}"
        return f"{parameter.name}: {annotation} = {self.types.value(parameter.default, shape)}"


def _is_map(shape: Shape) -> bool:
    return isinstance(shape.item if isinstance(shape, OptionalShape) else shape, MapShape)


def _broken(head: str, items: Sequence[str], tail: str, indent: str) -> Iterator[str]:
    """A call or signature in one line, or with one argument a line where that is too long."""
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= _WIDTH:
        yield line
        return
    yield head
    for item in items:
        yield f"{indent}{_INDENT}{item},"
    yield f"{indent}{tail}"


def _docstring(doc: str, indent: str = _INDENT) -> list[str]:
    """A docstring that is read back as it was."""
    if not doc:
        return []
    text = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = text.replace("\0", "\\x00").replace("\r", "\\r")  # which no source can hold as they are
    if text.endswith('"'):
        text = text[:-1] + '\\"'
    if "\n" not in text:
        return [f'{indent}"""{text}"""']
    first, rest = text.split("\n", 1)
    return [f'{indent}"""{first}', *textwrap.indent(rest, indent).split("\n"), f'{indent}"""']
