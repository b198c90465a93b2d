"""From Python types to shapes: one catalog per contract, in which every name means one type.

Reading never stops at what cannot travel: it notes a fault with the class and field where it
stands, once, however many operations use that class, and goes on.
"""

from __future__ import annotations

import enum
import inspect
import keyword
import re
import typing
from typing import Any, cast

import msgspec
from msgspec import UNSET
from msgspec import inspect as native

from borough.contracts.fit import misfit
from borough.contracts.marks import Reply
from borough.contracts.portable import (
    is_key,
    json_value,
    may_be_unset,
    strange_marks,
    untyped_values,
)
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumMember,
    EnumShape,
    FieldShape,
    FloatShape,
    IntShape,
    LiteralShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    TupleShape,
    UnionShape,
    UuidShape,
    is_empty,
    is_inexact,
)
from borough.contracts.struct import Event, OpenEnum

__all__ = ["NOTHING", "Catalog", "TypeFault", "first_sentence", "is_name", "own_doc"]

_STRANGERS: dict[type[native.Type], tuple[str, str]] = {
    native.AnyType: ("Any", "Say which type it is"),
    native.SetType: ("a set", "Use tuple[T, ...]"),
    native.FrozenSetType: ("a frozenset", "Use tuple[T, ...]"),
    native.RawType: ("Raw", "Use bytes or a Struct"),
    native.ExtType: ("Ext", "Use bytes or a Struct"),
    native.TypedDictType: ("a TypedDict", "Use a Struct"),
    native.NamedTupleType: ("a NamedTuple", "Use a Struct"),
    native.DataclassType: ("a dataclass", "Use a Struct"),
    native.TimeType: ("time", "Use an Instant, or str"),
    native.TimeDeltaType: ("timedelta", "Use an int or float, with its unit in the name"),
    native.ByteArrayType: ("bytearray", "Use bytes"),
    native.MemoryViewType: ("memoryview", "Use bytes"),
    native.CustomType: ("a class of your own", "Use a Struct"),
    native.NoneType: ("None alone", "Use an optional type, or leave it out"),
}
NOTHING = LiteralShape(values=())
"""Stands where a fault was noted: everything fits it, and a catalog with faults is not used."""


class TypeFault(msgspec.Struct, frozen=True):
    """What about a type cannot travel. `owner` is the class where it stands, None for the root."""

    message: str
    remedy: str
    owner: Any = None
    field: str | None = None


class Catalog:
    """The named types of one contract, filled by `add`."""

    def __init__(self) -> None:
        self.types: dict[str, NamedShape] = {}
        self.classes: dict[str, Any] = {}
        self.faults: list[TypeFault] = []
        self._owner: Any = None
        self._field: str | None = None

    def add(self, kind: Any) -> Shape:
        """The shape of a type. Structs and enums in it join `types`, what is wrong `faults`."""
        try:
            found = native.type_info(kind)
        except Exception as error:  # a custom __class_getitem__ or annotation may raise anything
            self._unreadable(kind, error)
            return NOTHING
        self._strange(kind)
        return self._shape(found)

    def _strange(self, kind: Any) -> None:
        """Note what stands beside a type and would say nothing: a limit that never holds."""
        for mark in strange_marks(kind):
            name = getattr(mark, "__name__", None) or repr(mark)
            self._fault(
                f"{name} in Annotated[...] says nothing here",
                'Write Meta(ge=1), or another of its words; Header("X-Name") and Cookie("name") are called',
            )

    def is_scalar(self, shape: Shape) -> bool:
        """Whether it fits into a path segment, a query value, a header or the key of an event."""
        if isinstance(shape, RefShape):
            return isinstance(self.types.get(shape.name), EnumShape)
        return not isinstance(shape, (OptionalShape, ArrayShape, TupleShape, MapShape, UnionShape))

    def default_faults(self, default: Any, shape: Shape) -> list[TypeFault]:
        """What is wrong with the default of a parameter of this shape."""
        before = len(self.faults)
        self._default_value(default, shape)
        found = self.faults[before:]
        del self.faults[before:]
        return found

    def _fault(self, message: str, remedy: str) -> None:
        fault = TypeFault(message, remedy, self._owner, self._field)
        # A class is used by many operations and is wrong once; what has no class, each time.
        if self._owner is None or fault not in self.faults:
            self.faults.append(fault)

    def _unreadable(self, kind: Any, error: Exception) -> None:
        """Note why msgspec cannot read a type, at the innermost class that is to blame."""
        owner = _culprit(kind, set())
        remedy = "Use the portable types (a union of structs needs tag=True on each)"
        if isinstance(error, NameError):
            remedy = "Import the name at the top of the module, not below `if TYPE_CHECKING`"
        fault = TypeFault(f"the type cannot be read: {error}", remedy, owner)
        if owner is None or fault not in self.faults:
            self.faults.append(fault)

    def _shape(self, found: native.Type) -> Shape:
        words: dict[str, Any] = {}
        while isinstance(found, native.Metadata):
            own = cast(Any, found).extra_json_schema
            words = {**(own or {}), **words}
            found = found.type
        stranger = _STRANGERS.get(type(found))
        if stranger is not None:
            self._fault(f"{stranger[0]} does not travel", stranger[1])
            return NOTHING
        shape = self._read(found)
        if is_empty(shape):
            self._fault("its limits leave no value", "Mend one of them")
        doc = words.get("description", "")
        examples = words.get("examples") or ()
        if not doc and not examples:
            return shape
        return msgspec.structs.replace(shape, doc=doc, examples=self._examples(shape, examples))

    def _read(self, found: native.Type) -> Shape:
        match found:
            case native.StructType():
                return self._struct(found)
            case native.EnumType():
                return self._enum(found)
            case native.UnionType():
                return self._union(found)
            case native.ListType() | native.VarTupleType():
                return self._array(found)
            case native.TupleType():
                return TupleShape(items=tuple(self._shape(item) for item in found.item_types))
            case native.DictType():
                return self._map(found)
            case native.DateTimeType():
                return self._datetime(found)
            case native.LiteralType():
                return self._literal(found)
            case _:
                return self._plain(found)

    def _examples(self, shape: Shape, examples: Any) -> tuple[Any, ...]:
        values: list[Any] = []
        for example in examples:
            try:
                value = json_value(example)
            except (TypeError, ValueError) as error:
                self._fault(f"the example {example!r} is not JSON: {error}", "Give a JSON value")
                continue
            wrong = misfit(value, shape, self.types)
            if wrong is not None:
                self._fault(f"the example {example!r} does not fit: {wrong}", "Mend the example")
            values.append(value)
        return tuple(values)

    def _plain(self, found: native.Type) -> Shape:
        """Scalars that differ only in their constraints."""
        target = _SCALARS[type(found)]
        names = [name for name in target.__struct_fields__ if name not in ("doc", "examples")]
        limits: dict[str, Any] = {name: getattr(found, name) for name in names}
        if target is FloatShape:  # `lt=5` and `lt=5.0` are one fact, and one text
            limits = {n: None if v is None else float(v) for n, v in limits.items()}
            step = limits["multiple_of"]
            if step is not None and is_inexact(step):
                self._fault(
                    f"a float is near a multiple of {step:g}, and seldom one",
                    "Use Decimal, or whole numbers of the smaller unit",
                )
        shape: Shape = target(**limits)
        return shape

    def _datetime(self, found: native.DateTimeType) -> Shape:
        if found.tz is not True:
            self._fault("a datetime without a time zone does not travel", "Write Instant for it")
        return DateTimeShape()

    def _literal(self, found: native.LiteralType) -> Shape:
        values = [value for value in found.values if value is not None]
        kinds = {type(value) for value in values}
        if kinds not in ({str}, {int}):  # True is a number to Python alone
            self._fault("a Literal has only text or only whole numbers", "Use one kind of values")
            return NOTHING
        shape = LiteralShape(values=tuple(sorted(values)))
        return shape if len(values) == len(found.values) else OptionalShape(item=shape)

    def _array(self, found: native.ListType | native.VarTupleType) -> Shape:
        item = self._shape(found.item_type)
        return ArrayShape(item=item, min_length=found.min_length, max_length=found.max_length)

    def _map(self, found: native.DictType) -> Shape:
        key = StrShape()
        if isinstance(_bare(found.key_type), native.StrType):
            read = self._shape(found.key_type)
            assert isinstance(read, StrShape)
            key = read
        else:
            self._fault("a mapping has str keys", "Use Mapping[str, T], or a tuple of structs")
        value = self._shape(found.value_type)
        return MapShape(
            key=key, value=value, min_length=found.min_length, max_length=found.max_length
        )

    def _union(self, found: native.UnionType) -> Shape:
        members = [m for m in found.types if not isinstance(_bare(m), native.NoneType)]
        if len(members) == 1:
            shape = self._shape(members[0])
        else:
            shape = self._tagged(members)
        return shape if len(members) == len(found.types) else OptionalShape(item=shape)

    def _tagged(self, members: list[native.Type]) -> Shape:
        structs = [bare for m in members if isinstance(bare := _bare(m), native.StructType)]
        if len(structs) < len(members):
            self._fault(
                "a union of anything but structs does not travel",
                "Use one type, an optional type, or structs with tag=True",
            )
            return NOTHING
        for member in members:
            self._shape(member)
        names = tuple(sorted(_name(struct.cls) for struct in structs))
        return UnionShape(tag_field=structs[0].tag_field or "", members=names)

    def _taken(self, name: str, cls: Any) -> bool:
        """Whether the name is in the catalog already; a fault where it means another class."""
        if not name.isascii():
            self._fault(f"{name} cannot be named on the wire", "Use ASCII letters")
        other = self.classes.setdefault(name, cls)
        if other is cls or other == cls:
            return name in self.types
        names = _whole_name(other), _whole_name(cls)
        remedy = "Rename one of them; a contract has one type of a name"
        # The name of a generic struct does not tell of limits.
        if names[0] == names[1] and typing.get_args(cls):
            names = str(other), str(cls)
            remedy = "Write one of them everywhere, or a Struct of its own for one"
        self._fault(f"two types are named {name}: {names[0]} and {names[1]}", remedy)
        return True

    def _enum(self, found: native.EnumType) -> Shape:
        cls: type[enum.Enum] = found.cls
        if not self._taken(cls.__name__, cls):
            members = tuple(EnumMember(name=member.name, value=member.value) for member in cls)
            is_open = issubclass(cls, OpenEnum)
            self.types[cls.__name__] = EnumShape(members=members, open=is_open, doc=own_doc(cls))
            before, self._owner, self._field = (self._owner, self._field), cls, None
            for name in (each.name for each in members if not is_name(each.name)):
                self._fault(
                    f"enum {cls.__name__} has a member {name!r}, which is no name in code",
                    "Rename it; its value may be any text",
                )
            if issubclass(cls, enum.Flag):
                self._fault(
                    f"{cls.__name__} is a Flag, whose members add up to values that are none of them",
                    "Use a tuple of the members of an Enum",
                )
            if not members:
                self._fault(f"enum {cls.__name__} has no members", "Give it at least one")
            if is_open and "UNKNOWN" not in cls.__members__:
                self._fault(
                    f"open enum {cls.__name__} has no member UNKNOWN", 'Add UNKNOWN = "unknown"'
                )
            self._owner, self._field = before
        return RefShape(name=cls.__name__)

    def _struct(self, found: native.StructType) -> Shape:
        name = _name(found.cls)
        origin = typing.get_origin(found.cls) or found.cls
        if origin is Reply:
            self._fault("Reply is no value", "Return it from an operation: `-> Reply[T]`")
            return NOTHING
        if self._taken(name, found.cls):
            return RefShape(name=name)
        # Known before its fields are read, so that it may contain itself.
        tag: Any = found.tag
        self.types[name] = StructShape(fields=(), tag_field=found.tag_field, tag=tag)
        before, self._owner, self._field = (self._owner, self._field), origin, None
        if found.array_like or found.forbid_unknown_fields:
            option = "array_like" if found.array_like else "forbid_unknown_fields"
            self._fault(f"{name} is declared with {option}=True", "Remove it, so that it may grow")
        if origin.__struct_config__.omit_defaults:
            self._fault(
                f"{name} is declared with omit_defaults=True",
                "Remove it: a reader of another version has another default",
            )
        if found.cls is origin and getattr(origin, "__parameters__", None):
            self._fault(f"{name} is generic and stands alone", f"Write {name}[...] with its types")
        else:
            self._loose(origin)
            declared = msgspec.structs.fields(found.cls)
            fields = tuple(map(self._struct_field, found.fields, declared))
            self.types[name] = msgspec.structs.replace(
                self.types[name], fields=fields, doc=own_doc(origin)
            )
        self._owner, self._field = before
        return RefShape(name=name)

    def _loose(self, cls: type[Any]) -> None:
        """Note values of a class that have no type: they read like fields with a default and are none."""
        for name in untyped_values(cls):
            self._field = name
            self._fault(
                "it has a value and no type, so it is no field",
                "Annotate it; with ClassVar[...] where it is not to travel",
            )
        self._field = None

    def _struct_field(self, field: native.Field, declared: msgspec.structs.FieldInfo) -> FieldShape:
        self._field = field.name
        owner = self._owner
        shape = self._shape(field.type)
        self._owner, self._field = owner, field.name
        self._strange(declared.type)
        if is_key(field.type) and not issubclass(owner, Event):
            self._fault(
                "it is a Key, and only the field of an event keeps an order",
                "Mark a field of the event itself, or remove the mark",
            )
        unset = declared.default is UNSET
        if unset != may_be_unset(declared.type):
            self._fault("Unset in the type and UNSET as default belong together", "Use both")
        return FieldShape(
            name=field.name,
            wire_name="" if field.encode_name == field.name else field.encode_name,
            shape=shape,
            required=field.required,
            default=UNSET if unset else self._default(declared, shape),
            unset=unset,
            key=is_key(field.type),
        )

    def _default(self, declared: msgspec.structs.FieldInfo, shape: Shape) -> Any:
        if declared.default is not msgspec.NODEFAULT:
            return self._default_value(declared.default, shape)
        if declared.default_factory is msgspec.NODEFAULT:
            return UNSET
        first, second = declared.default_factory(), declared.default_factory()
        if first != second:
            self._fault(
                "its default is another value each time", "Make the field required, or the same"
            )
        return self._default_value(first, shape)

    def _default_value(self, default: Any, shape: Shape) -> Any:
        """A default as a JSON value, with a fault where it is none or does not fit."""
        try:
            value = json_value(default)
        except (TypeError, ValueError):
            self._fault(f"the default {default!r} cannot be written as JSON", "Use a portable one")
            return UNSET
        wrong = misfit(value, shape, self.types)
        if wrong is not None:
            self._fault(f"the default {default!r} does not fit: {wrong}", "Mend it, or the type")
        return value


_SCALARS: dict[type[native.Type], type[Any]] = {
    native.IntType: IntShape,
    native.FloatType: FloatShape,
    native.StrType: StrShape,
    native.BytesType: BytesShape,
    native.BoolType: BoolShape,
    native.DecimalType: DecimalShape,
    native.UUIDType: UuidShape,
    native.DateType: DateShape,
}


def _bare(found: native.Type) -> native.Type:
    while isinstance(found, native.Metadata):
        found = found.type
    return found


def is_name(text: str) -> bool:
    """Whether code can have it as a name."""
    return text.isidentifier() and not keyword.iskeyword(text)


def own_doc(thing: Any) -> str:
    """The docstring of a class or function itself, not one that is inherited or generated."""
    doc = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


def first_sentence(doc: str) -> str:
    """The first sentence of its first line, without the full stop."""
    line, _, _ = doc.partition("\n")
    return f"{line} ".partition(". ")[0]


def _name(kind: Any) -> str:
    """A name for a type that stays the same: `Page[Item]` is `Page_Item`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        return (
            kind.__name__ if isinstance(kind, type) else re.sub(r"\W+", "_", str(kind)).strip("_")
        )
    if origin is typing.Annotated:
        return _name(arguments[0])
    head = getattr(origin, "__name__", str(origin).rpartition(".")[2])
    parts = [_name(argument) for argument in arguments if argument is not Ellipsis]
    return "_".join([head, *parts])


def _whole_name(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    return f"{origin.__module__}.{origin.__qualname__}"


def _culprit(kind: Any, seen: set[int]) -> Any:
    """The innermost struct that cannot be read, None where the type itself is at fault."""
    origin = typing.get_origin(kind) or kind
    for argument in typing.get_args(kind):
        if (found := _culprit(argument, seen)) is not None:
            return found
    if not (isinstance(origin, type) and issubclass(origin, msgspec.Struct)) or id(origin) in seen:
        return None
    seen.add(id(origin))
    try:
        inner = typing.get_type_hints(origin, include_extras=True)
    except Exception:  # an annotation may raise anything
        return origin
    for annotation in inner.values():
        if (found := _culprit(annotation, seen)) is not None:
            return found
    try:
        native.type_info(kind)
    except Exception:
        return origin
    return None
