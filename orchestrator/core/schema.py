"""The shape of a kind's JSON, read off its structs: fields, lists, and how lists merge."""

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import Struct, inspect

from proto.kinds import structural
from proto.kinds.kind import Kind
from proto.meta import ObjectMeta


class Shape(Struct, frozen=True):
    """What a JSON value may hold.

    Attributes:
        fields: Of an object with known fields; None for any other value.
        items: Of each list item, or of each value of a map with free keys.
        refused: See `Model.REFUSED`.
        ignored: See `Model.IGNORED`.
        partly: See `Model.PARTLY`.
        merge_key: The field that tells a list's items apart in a strategic merge; empty for a
            list that is replaced as a whole.
        is_set: Whether a list of plain values is merged, each value once, instead of replaced.
        retain_keys: Whether a strategic merge may name the only fields to keep.
        is_time: Whether a text is a time.
        map_keys: The fields that tell a list's items apart for server-side apply, each with the
            value that stands in for an absent one (None: it may not be absent); empty for a list
            that has one owner as a whole.
        is_atomic: Whether an object has one owner as a whole, instead of one for each field.
        is_raw: Whether it is kept as the bytes it came in.
    """

    fields: Mapping[str, "Shape"] | None = None
    items: "Shape | None" = None
    refused: Mapping[str, str] = {}
    ignored: Mapping[str, str] = {}
    partly: Mapping[str, str] = {}
    merge_key: str = ""
    is_set: bool = False
    retain_keys: bool = False
    is_time: bool = False
    map_keys: Mapping[str, Any] = {}
    is_atomic: bool = False
    is_raw: bool = False

    def below(self, name: str) -> "Shape":
        """The shape of what an object has under that name, be it a field or a free key."""
        return self.field(name) if self.fields is not None else self.items or ANYTHING

    def field(self, name: str) -> "Shape":
        """The shape of a field; of anything at all when the field is not known."""
        return (self.fields or {}).get(name, ANYTHING)


ANYTHING = Shape()


@lru_cache(maxsize=1024)  # all kinds, and custom ones that were changed lately
def of(kind: Kind[Any]) -> Shape:
    """The shape of a kind: of its struct, or of the schema that declares it."""
    if kind.schema is None:
        return shape_of(kind.type)
    fields = dict(_declared(kind.schema).fields or {})
    identity = {"apiVersion": ANYTHING, "kind": ANYTHING, "metadata": shape_of(ObjectMeta)}
    return Shape(fields=fields | identity)


def _declared(schema: Mapping[str, Any]) -> Shape:
    """The shape of a structural schema. Source: Kubernetes, "Merge strategy" of lists and maps."""
    if schema.get(structural.MAP_TYPE) == "atomic":
        return Shape(is_atomic=True)
    if "items" in schema:
        known = schema["items"].get("properties", {})
        keys = schema.get(structural.LIST_KEYS) or ()
        return Shape(
            items=_declared(schema["items"]),
            map_keys={key: known.get(key, {}).get("default") for key in keys},
            is_set=schema.get(structural.LIST_TYPE) == "set",
        )
    if isinstance(more := schema.get("additionalProperties"), Mapping):
        return Shape(items=_declared(more))
    if "properties" in schema:
        return Shape(fields={name: _declared(it) for name, it in schema["properties"].items()})
    return ANYTHING


def shape_of(type_: type[Any]) -> Shape:
    """The shape of a struct: a subclass of `Model`."""
    return _shape_of(cast("Hashable", type_))


@lru_cache(maxsize=256)  # one for each struct of each kind
def _shape_of(type_: Any) -> Shape:
    return Shape(
        fields={
            field.encode_name: _shape(field.type)
            for field in msgspec.inspect.type_info(type_).fields  # type: ignore[attr-defined]
        },
        refused=type_.REFUSED,
        ignored=type_.IGNORED,
        partly=type_.PARTLY,
        is_atomic=type_.IS_ATOMIC,
    )


def _shape(info: Any, extra: Mapping[str, Any] | None = None) -> Shape:
    extra = extra or {}
    match info:
        case inspect.Metadata():
            return _shape(info.type, info.extra)
        case inspect.StructType():
            found = shape_of(info.cls)
            if extra.get("retain_keys"):
                return msgspec.structs.replace(found, retain_keys=True)
            return found
        case inspect.VarTupleType() | inspect.ListType():
            key = extra.get("merge_key", "")
            return Shape(
                items=_shape(info.item_type),
                merge_key=key,
                map_keys=extra.get("map_keys") or ({key: None} if key else {}),
                is_set=extra.get("is_set", False),
            )
        case inspect.DictType() | inspect.CollectionType():
            value = getattr(info, "value_type", None)
            return Shape(
                items=None if value is None else _shape(value),
                is_atomic=extra.get("is_atomic", False),
            )
        case inspect.UnionType():
            known = [t for t in info.types if not isinstance(t, inspect.NoneType)]
            return _shape(known[0], extra) if len(known) == 1 else ANYTHING
        case inspect.RawType():
            return Shape(is_raw=True)
        case _:
            return Shape(is_time=True) if extra.get("is_time") else ANYTHING
