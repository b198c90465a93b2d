"""Of which classes the values of a type are, and when a value of another class will do in the process.

It will where it is read as one of the type on the other side of a wire, and nowhere else.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any, cast

import msgspec
from msgspec import inspect as shape

from borough.contracts.portable import struct_class

__all__ = ["classes_of", "stands_for"]

_CLASSES: dict[type[shape.Type], tuple[type, ...]] = {
    shape.NoneType: (type(None),),
    shape.BoolType: (bool,),
    shape.IntType: (int,),
    shape.FloatType: (float, int),
    shape.StrType: (str,),
    shape.BytesType: (bytes,),
    shape.DecimalType: (decimal.Decimal,),
    shape.UUIDType: (uuid.UUID,),
    shape.DateTimeType: (datetime.datetime,),
    shape.DateType: (datetime.date,),
    shape.ListType: (list, tuple),
    shape.VarTupleType: (tuple,),
    shape.TupleType: (tuple,),
    shape.DictType: (dict,),
}


def classes_of(found: shape.Type) -> tuple[type, ...] | None:
    """The classes of the values of a type, the first of them the usual one; None if these cannot be listed."""
    while isinstance(found, shape.Metadata):
        found = found.type
    if isinstance(found, shape.StructType):
        return (struct_class(found),)
    if isinstance(found, shape.EnumType):
        return (found.cls,)
    if isinstance(found, shape.LiteralType):
        return tuple(dict.fromkeys(type(value) for value in found.values))
    if not isinstance(found, shape.UnionType):
        return _CLASSES.get(type(found))
    known: list[type] = []
    for each in found.types:
        classes = classes_of(each)
        if classes is None:
            return None
        known += classes
    return tuple(dict.fromkeys(known))


def stands_for(value: Any, kind: type) -> bool:
    """Whether a value will do as it is where this class is asked for: one of it, or a struct of a subclass.

    A struct with a tag of its own is another one to whoever reads it. Among the members of an array a tag
    has a place, and is missed or read as something else where only one of both has it.
    """
    if type(value) is kind:
        return True
    if not (isinstance(value, kind) and isinstance(value, msgspec.Struct)):
        return False
    asked, own = cast("Any", kind).__struct_config__, value.__struct_config__
    return asked.tag == own.tag or (None in (asked.tag, own.tag) and not asked.array_like)
