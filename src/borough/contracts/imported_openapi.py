"""An OpenAPI 3 document as a contract: what a caller here can ask of a service there.

What a contract cannot say is left out, and said: an operation that needs it, or an optional part of one.
Errors of foreign services arrive as `CallError`; only problems that Borough has written are declared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from borough.contracts.descriptor import (
    FORMAT,
    Descriptor,
    OperationDescriptor,
    ParameterDescriptor,
    ProblemDescriptor,
)
from borough.contracts.fit import misfit
from borough.contracts.imported import Imported, Json, Unmappable
from borough.contracts.imported_names import (
    class_name,
    free_name,
    is_parameter,
    operation_name,
    parameter_name,
    python_name,
)
from borough.contracts.imported_schemas import ImportedSchemas, members
from borough.contracts.operation import ParameterPlace
from borough.contracts.problem import RESERVED_MEMBERS
from borough.contracts.shapes import (
    ArrayShape,
    BytesShape,
    EnumShape,
    MapShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
    TupleShape,
    UnionShape,
    names_used,
)
from borough.errors import ConfigurationError

__all__ = ["imported_openapi"]

_METHODS = ("get", "put", "post", "delete", "patch")
_OTHER_METHODS = ("head", "options", "trace")
_STATUSES = (200, 201, 202, 204)
_SEGMENT = re.compile(r"[A-Za-z0-9_.~-]+\Z|\{[^{}/]+\}\Z")
_SLOT = re.compile(r"\{([^{}/]+)\}")
_TAKEN_HEADERS = frozenset({"accept", "authorization", "content-type", "cookie", "idempotency-key"})
_PROBLEM = "application/problem+json"


def imported_openapi(document: Json, *, service: str = "", name: str = "") -> Imported:
    """The contract of a document; `service` and `name` are taken from its title unless they are given.

    Raises `ConfigurationError` for what is no OpenAPI 3, and where nothing of it can be called.
    """
    version = str(document.get("openapi", ""))
    if not version.startswith("3."):
        what = "is Swagger 2; convert it first" if "swagger" in document else "is no OpenAPI 3"
        raise ConfigurationError(f"the document {what}")
    info = members(document.get("info"))
    title = str(info.get("title") or "imported")
    service = service or python_name(title.removesuffix(" API")).replace("_", "-")
    try:
        return _Reader(document, service, name or class_name(service)).read(title)
    except (
        ArithmeticError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigurationError(f"the document is not made as OpenAPI is: {error!r}") from None


class _Reader:
    """Reads one document."""

    def __init__(self, document: Json, service: str, name: str) -> None:
        self.document = document
        self.service = service
        self.name = name
        self.schemas = ImportedSchemas(document, taken=name)
        self.operations: dict[str, OperationDescriptor] = {}
        self.problems: dict[str, ProblemDescriptor] = {}

    def read(self, title: str) -> Imported:
        """The contract."""
        notes = self.schemas.notes
        for path, item in members(self.document.get("paths")).items():
            try:
                whole = self.schemas.resolved(item)
            except Unmappable as error:
                notes.append(f"{path} is left out: {error}")
                continue
            for method in _OTHER_METHODS:
                if method in whole:
                    notes.append(
                        f"{method.upper()} {path} is left out: a contract has no such method"
                    )
            for method in _METHODS:
                if method not in whole:
                    continue
                try:
                    self._operation(
                        path, method, members(whole[method]), whole.get("parameters", [])
                    )
                except Unmappable as error:
                    notes.append(f"{method.upper()} {path} is left out: {error}")
        if not self.operations:
            reasons = "; ".join(notes[:3]) or "it has no paths"
            raise ConfigurationError(f"nothing of {title} can be a contract: {reasons}")
        return Imported(self._descriptor(title), tuple(dict.fromkeys(notes)))

    def _descriptor(self, title: str) -> Descriptor:
        version = members(self.document.get("info")).get("version", "")
        roots: list[Shape] = [RefShape(name=problem.type) for problem in self.problems.values()]
        for operation in self.operations.values():
            roots += [parameter.shape for parameter in operation.parameters]
            roots += [operation.result] if operation.result is not None else []
        types = self.schemas.types
        sent = [each.request for each in self.operations.values() if each.request is not None]
        told = [each.result for each in self.operations.values() if each.result is not None]
        self.schemas.loosen(names_used(types, *sent), names_used(types, *told))
        used = names_used(types, *roots)
        return Descriptor(
            format=FORMAT,
            service=self.service,
            name=self.name,
            wire_name=f"{self.service}.{self.name}",
            version="1.0",
            doc=f"{title}, as its OpenAPI document of version {version} has it.".replace("  ", " "),
            operations=tuple(each for _, each in sorted(self.operations.items())),
            problems=tuple(each for _, each in sorted(self.problems.items())),
            types={n: each for n, each in sorted(types.items()) if n in used},
        )

    def _operation(self, path: str, method: str, said: Json, general: list[Any]) -> None:
        own_path, slots = self._path(path)
        name = self._name(said, method, path)
        title = class_name(name)
        given = [*general, *said.get("parameters", [])]
        parameters = [*self._parameters(given, slots, method, title)]
        parameters += self._body(said, method, title, [each.name for each in parameters])
        lacking = set(slots.values()) - {p.name for p in parameters}
        if lacking:
            raise Unmappable(f"its path parameters {', '.join(sorted(lacking))} are not described")
        request = next((each.shape for each in parameters if each.place == "body"), None)
        status, result, stream = self._answer(said, title)
        if method == "get" and status != 200:
            if result is not None or status != 204:
                raise Unmappable(f"a GET answers 200 in a contract, and {status} there")
            status = 200  # an empty one is sent as 204
        needed = [each for each in parameters if each.required]
        self.operations[name] = OperationDescriptor(
            name=name,
            wire_name=f"{self.service}.{self.name}.{name}",
            method=method.upper(),
            path=f"/{self.service}" + ("" if own_path == "/" else own_path),
            parameters=(*needed, *(each for each in parameters if not each.required)),
            request=request,
            result=result,
            stream=stream,
            status=status,
            raises=tuple(sorted(self._raised(said))),
            idempotent=method in ("get", "put", "delete"),
            deprecated="the document says so" if said.get("deprecated") is True else None,
            doc=_doc(said),
        )

    def _name(self, said: Json, method: str, path: str) -> str:
        wanted = str(said.get("operationId") or "").rpartition(".")[2] or f"{method} {path}"
        return free_name(operation_name(wanted), self.operations)

    def _path(self, path: str) -> tuple[str, dict[str, str]]:
        """The path as a contract has it, and its parameters' names by those of the document."""
        segments = path.removeprefix("/").split("/") if path != "/" else []
        if not path.startswith("/") or not all(map(_SEGMENT.match, segments)):
            raise Unmappable(
                "each segment of a path is plain or one {parameter}, and none is empty"
            )
        slots: dict[str, str] = {}
        for slot in _SLOT.findall(path):
            slots[slot] = free_name(parameter_name(slot), slots.values())
        return _SLOT.sub(lambda found: f"{{{slots[found[1]]}}}", path), slots

    def _parameters(
        self, given: list[Any], slots: Mapping[str, str], method: str, title: str
    ) -> Iterator[ParameterDescriptor]:
        found: dict[tuple[str, str], Json] = {}
        for each in given:
            said = self.schemas.resolved(each)
            found[str(said.get("in")), str(said.get("name"))] = said
        taken: list[str] = []
        for (place, wire), said in found.items():
            try:
                parameter = self._parameter(place, wire, said, slots, method, title)
            except Unmappable as error:
                if said.get("required"):
                    raise Unmappable(
                        f"the {place} parameter {wire} is required, and {error}"
                    ) from None
                self.schemas.notes.append(
                    f"{title}: the {place} parameter {wire} is left out: {error}"
                )
                continue
            if parameter is None:
                continue
            if parameter.name in taken:
                raise Unmappable(f"two parameters would be called {parameter.name}")
            taken.append(parameter.name)
            yield parameter

    def _parameter(
        self, place: str, wire: str, said: Json, slots: Mapping[str, str], method: str, title: str
    ) -> ParameterDescriptor | None:
        if place == "header" and wire.lower() in _TAKEN_HEADERS:
            return None  # sent by HTTP itself, or by [external.NAME.headers]
        if place == "path" and wire not in slots:
            return None  # the path has no such slot, whatever the document says
        where: ParameterPlace
        name = slots.get(wire, "") if place == "path" else parameter_name(wire)
        if place == "path":
            where = "path"
        elif place == "query":
            where, name = "query", wire
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", wire) or not is_parameter(wire):
                raise Unmappable("its name cannot be that of a parameter in Python")
            if method not in ("get", "delete"):
                raise Unmappable("a contract has a query with GET and DELETE only")
            if said.get("explode") is False or said.get("style", "form") != "form":
                raise Unmappable("it is written in another style than form")
        else:
            where = "cookie" if place == "cookie" else "header"
        if "schema" not in said:
            raise Unmappable("it has no schema")
        shape = self.schemas.shape(said["schema"], title + class_name(wire))
        return self._placed(where, wire, name, said, shape)

    def _placed(
        self, place: ParameterPlace, wire: str, name: str, said: Json, shape: Shape
    ) -> ParameterDescriptor:
        default: Any = members(said["schema"]).get("default", UNSET)
        if default is not UNSET and misfit(default, shape, self.schemas.types, is_own=False):
            default = UNSET
        inner = shape.item if isinstance(shape, OptionalShape) else shape
        if place == "query" and isinstance(inner, ArrayShape) and self._is_scalar(inner.item):
            # A client that has none writes none.
            shape, default = msgspec.structs.replace(inner, min_length=None), []
        elif not self._is_scalar(inner):
            raise Unmappable("it is no single value")
        elif place == "path" or (said.get("required") and default is UNSET):
            shape, default = inner, UNSET
        elif default in (UNSET, None):
            shape, default = OptionalShape(item=inner), None
        else:
            shape = inner
        doc = said.get("description")
        if isinstance(doc, str) and doc and not shape.doc and not isinstance(shape, RefShape):
            shape = msgspec.structs.replace(shape, doc=doc.strip())
        return ParameterDescriptor(
            name=name,
            wire_name=wire if place in ("header", "cookie") and wire != name else "",
            place=place,
            shape=shape,
            required=default is UNSET,
            default=default,
        )

    def _is_scalar(self, shape: Shape) -> bool:
        if isinstance(shape, RefShape):
            return isinstance(self.schemas.types.get(shape.name), EnumShape)
        return not isinstance(shape, (OptionalShape, ArrayShape, TupleShape, MapShape, UnionShape))

    def _body(
        self, said: Json, method: str, title: str, taken: Collection[str]
    ) -> Iterator[ParameterDescriptor]:
        body = self.schemas.resolved(said.get("requestBody"))
        content = members(body.get("content"))
        if not content:
            if body.get("required"):
                raise Unmappable("its body is required, and not described")
            return
        if method in ("get", "delete"):
            if body.get("required"):
                raise Unmappable(f"a {method.upper()} has no body in a contract")
            self.schemas.notes.append(f"{title}: the body is left out: a {method.upper()} has none")
            return
        schema = _json_schema(content)
        if schema is None:
            if "application/octet-stream" not in content:
                raise Unmappable(f"its body is {', '.join(content)}, not JSON")
            name = free_name("upload", taken)
            yield ParameterDescriptor(name=name, place="upload", shape=BytesShape())
            return
        shape = self.schemas.shape(schema, f"{title}Body")
        struct = self.schemas.types.get(shape.name) if isinstance(shape, RefShape) else None
        if not isinstance(struct, StructShape):
            raise Unmappable("its body is JSON, and no object with members")
        lacking = names_used(self.schemas.types, shape) & self.schemas.incomplete
        if lacking:
            raise Unmappable(
                f"its body needs a field of {', '.join(sorted(lacking))} that is left out"
            )
        yield ParameterDescriptor(name=free_name("body", taken), place="body", shape=shape)

    def _answer(self, said: Json, title: str) -> tuple[int, Shape | None, bool]:
        """Status, shape and whether it is a stream, of the answer that says that it went well."""
        answers = {str(k).upper(): v for k, v in members(said.get("responses")).items()}
        status = next((each for each in _STATUSES if str(each) in answers), None)
        if status is None:
            if not {"2XX", "DEFAULT"} & set(answers):
                raise Unmappable(f"no answer is one of {', '.join(map(str, _STATUSES))}")
            status = 200
        answer = answers.get(str(status)) or answers.get("2XX") or answers.get("DEFAULT")
        content = members(self.schemas.resolved(answer).get("content"))
        if "application/x-ndjson" in content:
            return 200, self._item(members(content["application/x-ndjson"]), title), True
        if not content:
            # An empty 200 is sent as 204.
            return 200 if status == 204 and "200" in answers else status, None, False
        schema = _json_schema(content)
        if schema is None:
            raise Unmappable(f"its answer is {', '.join(content)}, not JSON")
        return status, self.schemas.shape(schema, f"{title}Answer"), False

    def _item(self, media: Json, title: str) -> Shape:
        """The item of a stream, as Borough writes it."""
        for line in members(media.get("schema")).get("oneOf", ()):
            item = members(members(line).get("properties")).get("item")
            if item is not None:
                return self.schemas.shape(item, f"{title}Item")
        raise Unmappable("its stream has lines without an `item`")

    def _raised(self, said: Json) -> Iterator[str]:
        """The codes of the problems that a contract of this service declares."""
        for status, answer in members(said.get("responses")).items():
            media = members(members(self.schemas.resolved(answer).get("content")).get(_PROBLEM))
            schema = members(media.get("schema"))
            for each in schema.get("oneOf", [schema]):
                parts = [members(part) for part in members(each).get("allOf", [])]
                own = members(parts[-1]) if parts else members(None)
                code = str(members(members(own.get("properties")).get("code")).get("const", ""))
                service, _, name = code.rpartition(".")
                if service == self.service and status.isdigit():
                    self._problem(code, name, int(status), own, members(each))
                    yield code

    def _problem(self, code: str, name: str, status: int, own: Json, said: Json) -> None:
        if code in self.problems:
            return
        fields = {
            wire: part
            for wire, part in members(own.get("properties")).items()
            if wire not in RESERVED_MEMBERS - {"detail"}
        }
        needed = [wire for wire in own.get("required", ()) if wire in fields]
        schema = {"properties": fields, "required": needed, "type": "object"}
        shape = self.schemas.shape(schema, name) if fields else RefShape(name=name)
        kind = shape.name if isinstance(shape, RefShape) else name
        self.schemas.types.setdefault(kind, StructShape(fields=()))
        doc = _text(said.get("description"))
        self.problems[code] = ProblemDescriptor(
            code=code, status=status, type=kind, title=doc.partition("\n")[0] or name, doc=doc
        )


def _json_schema(content: Json) -> Any:
    """The schema of the JSON among several kinds of content; None where there is none."""
    for kind, media in content.items():
        bare = kind.partition(";")[0].strip().lower()
        if bare in ("application/json", "*/*") or (bare.endswith("+json") and bare != _PROBLEM):
            return members(media).get("schema", {})
    return None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _doc(said: Json) -> str:
    summary, description = _text(said.get("summary")), _text(said.get("description"))
    if summary == description or not description:
        return summary
    return f"{summary}\n\n{description}" if summary else description
