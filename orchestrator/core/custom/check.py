"""Whether an object is what its schema says, in Kubernetes' words.

The validator is jsonschema-rs: its regular expressions take linear time, as Go's do, so that no
pattern in a schema can make an object's validation last; and it checks an object in microseconds.
OpenAPI 3.0 is JSON Schema draft 4 with `nullable`, plus Kubernetes' own extensions, which are
translated here. Source of the words: kube-openapi, pkg/validation/errors.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema_rs

from proto import codec
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.structural import EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE

Schema = Mapping[str, Any]

ERRORS_MAX = 100
"""Of one object: more help nobody, and a hostile list may hold a million."""

_KEPT = (
    "enum", "pattern", "format", "required", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties",
)  # fmt: skip
_FORMATS = frozenset(("date", "date-time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"))
_INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}

Check = Callable[[Any], list[FieldError]]


def compile_(schema: Schema) -> Check:
    """The check of a structural schema.

    Raises:
        ValueError: A keyword has an impossible value, such as a pattern that is none.
    """
    translated = _translated(schema)
    validator = jsonschema_rs.Draft4Validator(
        translated, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )

    def check(value: Any) -> list[FieldError]:
        found: list[FieldError] = []
        if not validator.is_valid(value):
            for error in validator.iter_errors(value):
                found.append(_error(error))
                if len(found) == ERRORS_MAX:
                    break
        found.extend(_duplicates(value, schema, ""))
        return found

    return check


def _translated(schema: Schema) -> dict[str, Any]:
    """The schema as draft 4 says it."""
    found = {name: schema[name] for name in _KEPT if name in schema}
    types = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema.get("type")]
    match found.pop("format", None):
        case "int32":
            found = _INT32 | found
        case str() as format_ if format_ in _FORMATS:
            found["format"] = format_
    if schema.get("nullable"):
        types.append("null")
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    if types[0] is not None:
        found["type"] = types
    if schema.get(EMBEDDED):
        found["required"] = [*found.get("required", ()), "apiVersion", "kind", "metadata"]
    if not found.get("required"):
        found.pop("required", None)  # draft 4 wants at least one
    return found | _translated_below(schema)


def _translated_below(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if schema.get("properties"):
        inner = schema["properties"].items()
        found["properties"] = {name: _translated(below) for name, below in inner}
    for name in ("additionalProperties", "items", "not"):
        if isinstance(schema.get(name), Mapping):
            found[name] = _translated(schema[name])
    for name in ("allOf", "anyOf", "oneOf"):
        if schema.get(name):
            found[name] = [_translated(below) for below in schema[name]]
    return found


def _error(error: Any) -> FieldError:
    """A finding of the validator, as Kubernetes says it."""
    path, value, kind = _path(error.instance_path), error.instance, error.kind
    said = f"{path} in body" if path else "in body"
    match kind.name:
        case "required":
            return validation.required(f"{path}.{kind.property}" if path else kind.property)
        case "type":
            wanted = ",".join(sorted(name for name in kind.types if name != "null"))
            given = _type_name(value)
            why = f'Invalid value: "{given}": {said} must be of type {wanted}: "{given}"'
            return FieldError("FieldValueTypeInvalid", path, why)
        case "enum":
            return validation.not_supported(path, value, map(_text, kind.options))
        case "maxLength":
            why = f"Too long: may not be more than {kind.limit} bytes"
            return FieldError("FieldValueTooLong", path, why)
        case "maxItems" | "maxProperties" as name:
            many = f"{len(value)}: must have at most {kind.limit} {_COUNTED[name]}"
            return FieldError("FieldValueTooMany", path, f"Too many: {many}")
        case "minItems" | "minProperties" as name:
            why = f"{said} should have at least {kind.limit} {_COUNTED[name]}"
            return validation.invalid(path, len(value), why)
        case "oneOf" | "anyOf" | "not" as name:
            return validation.invalid(path, value, f'"{path}" must {_JUNCTIONS[name]} ({name})')
        case _:
            return validation.invalid(path, value, f"{said} {_limit(kind, value)}")


_COUNTED = {
    "minItems": "items",
    "maxItems": "items",
    "minProperties": "properties",
    "maxProperties": "properties",
}
_JUNCTIONS = {
    "oneOf": "validate one and only one schema",
    "anyOf": "validate at least one schema",
    "not": "not validate the schema",
}


def _limit(kind: Any, value: Any) -> str:
    """What a value should have been."""
    match kind.name:
        case "pattern":
            return f"should match '{kind.pattern}'"
        case "format":
            return f"must be of type {kind.format}: {_text(value)!r}"
        case "minimum":
            return f"should be greater than or equal to {_text(kind.limit)}"
        case "exclusiveMinimum":
            return f"should be greater than {_text(kind.limit)}"
        case "maximum":
            return f"should be less than or equal to {_text(kind.limit)}"
        case "exclusiveMaximum":
            return f"should be less than {_text(kind.limit)}"
        case "multipleOf":
            return f"should be a multiple of {_text(kind.multiple_of)}"
        case "minLength":
            return f"should be at least {kind.limit} chars long"
        case name:
            return f"does not satisfy {name}"


def _path(steps: list[str | int]) -> str:
    """``spec.items[0].name``."""
    found = ""
    for step in steps:
        if isinstance(step, int):
            found += f"[{step}]"
        else:
            found += f".{step}" if found else step
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else codec.encode(value).decode()


def _type_name(value: Any) -> str:
    names = {
        bool: "boolean", int: "integer", float: "number", str: "string", list: "array",
        dict: "object",
    }  # fmt: skip
    return names.get(type(value), "null")


def _duplicates(value: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    """Items of a set, or of a map that is a list, that are there twice."""
    if isinstance(value, Mapping):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            inner = properties.get(name, more)
            if isinstance(inner, Mapping):
                yield from _duplicates(item, inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and "items" in schema:
        yield from _twice(value, schema, path)
        for index, item in enumerate(value):
            yield from _duplicates(item, schema["items"], f"{path}[{index}]")


def _twice(items: list[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    list_type, keys = schema.get(LIST_TYPE), schema.get(LIST_KEYS, ())
    if list_type not in ("map", "set"):
        return
    seen: set[bytes] = set()
    for index, item in enumerate(items):
        shown = item
        if list_type == "map":
            if not isinstance(item, Mapping):
                continue  # said already
            shown = {key: item[key] for key in keys if key in item}
        told = codec.encode(shown)
        if told in seen:
            yield validation.duplicate(f"{path}[{index}]", shown)
        seen.add(told)
