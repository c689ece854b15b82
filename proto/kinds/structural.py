"""Structural schemas: what a CustomResourceDefinition may say of its objects.

A schema is structural when every value's type is stated outside of ``allOf``, ``anyOf``, ``oneOf``
and ``not``, so that pruning and defaulting can follow it. Source: Kubernetes, "Specifying a
structural schema", and apiextensions-apiserver, pkg/apiserver/schema.
"""

from collections.abc import Mapping
from typing import Any

from proto.errors import FieldError
from proto.kinds import validation

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
EMBEDDED = "x-kubernetes-embedded-resource"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_FORBIDDEN = (
    "$ref", "definitions", "dependencies", "deprecated", "discriminator", "id",
    "patternProperties", "readOnly", "writeOnly", "xml", "additionalItems",
)  # fmt: skip
_INSIDE_ONLY = ("type", "default", "additionalProperties", "nullable", "description")
DEPTH_MAX = 48
"""Levels of objects and lists: deeper than the deepest of well-known schemas, a pod's, by far."""


def validate(path: str, schema: Any) -> list[FieldError]:
    """Every place where a schema is not structural."""
    errors = _value(path, schema, 0)
    if isinstance(schema, Mapping) and schema.get("type") != "object":
        if schema.get("type"):
            errors.append(
                validation.invalid(f"{path}.type", schema["type"], "must be object at the root")
            )
        else:
            errors.append(validation.required(f"{path}.type", "must not be empty at the root"))
    return errors


def _value(path: str, schema: Any, depth: int) -> list[FieldError]:
    if not isinstance(schema, Mapping):
        return [validation.invalid(path, schema, "must be a schema: an object")]
    if depth > DEPTH_MAX:
        return [
            FieldError(
                "FieldValueForbidden", path, f"Forbidden: nested more than {DEPTH_MAX} levels deep"
            )
        ]
    errors = [
        validation.forbidden(f"{path}.{name}", "is not allowed in a structural schema")
        for name in _FORBIDDEN
        if name in schema
    ]
    if schema.get("uniqueItems"):
        errors.append(
            validation.forbidden(
                f"{path}.uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            )
        )
    errors += _type(path, schema)
    errors += _extensions(path, schema)
    errors += _below(path, schema, depth)
    for name in _JUNCTORS:
        for index, choice in enumerate(_list(schema.get(name))):
            errors += _inside(f"{path}.{name}[{index}]", choice, depth + 1)
    if "not" in schema:
        errors += _inside(f"{path}.not", schema["not"], depth + 1)
    return errors


def _type(path: str, schema: Mapping[str, Any]) -> list[FieldError]:
    type_ = schema.get("type")
    if type_ is None:
        if schema.get(INT_OR_STRING) or schema.get(PRESERVE):
            return []
        return [
            validation.required(f"{path}.type", "must not be empty for specified object fields")
        ]
    if schema.get(INT_OR_STRING):
        return [
            validation.invalid(f"{path}.type", type_, f"must be empty if {INT_OR_STRING} is true")
        ]
    if type_ not in _TYPES:
        return [validation.not_supported(f"{path}.type", type_, _TYPES)]
    return []


def _below(path: str, schema: Mapping[str, Any], depth: int) -> list[FieldError]:
    errors: list[FieldError] = []
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return [
            validation.invalid(f"{path}.properties", properties, "must be an object of schemas")
        ]
    for name, inner in properties.items():
        errors += _value(f"{path}.properties[{name}]", inner, depth + 1)
    more = schema.get("additionalProperties")
    if more is False:
        errors.append(
            validation.forbidden(
                f"{path}.additionalProperties", "must not be false: unknown fields are pruned"
            )
        )
    if isinstance(more, Mapping):
        errors += _value(f"{path}.additionalProperties", more, depth + 1)
    if more not in (None, False) and properties:
        errors.append(
            validation.forbidden(
                f"{path}.additionalProperties",
                "additionalProperties and properties are mutual exclusive",
            )
        )
    if schema.get("type") == "array" and "items" not in schema:
        errors.append(validation.required(f"{path}.items", "must be specified"))
    if "items" in schema:
        errors += _value(f"{path}.items", schema["items"], depth + 1)
    for name in _list(schema.get("required")):
        if not isinstance(name, str):
            errors.append(
                validation.invalid(f"{path}.required", name, "must be the name of a field")
            )
    return errors


def _extensions(path: str, schema: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    list_type, keys = schema.get(LIST_TYPE), schema.get(LIST_KEYS)
    if list_type is not None:
        if list_type not in ("atomic", "map", "set"):
            errors.append(
                validation.not_supported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "map", "set"))
            )
        if schema.get("type") != "array":
            errors.append(
                validation.invalid(
                    f"{path}.type", schema.get("type"), f"must be array if {LIST_TYPE} is used"
                )
            )
    if list_type == "map" and not keys:
        errors.append(
            validation.required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map")
        )
    if keys and list_type != "map":
        errors.append(
            validation.invalid(
                f"{path}.{LIST_TYPE}", list_type, f"must be map if {LIST_KEYS} is non-empty"
            )
        )
    if schema.get(MAP_TYPE) not in (None, "atomic", "granular"):
        errors.append(
            validation.not_supported(f"{path}.{MAP_TYPE}", schema[MAP_TYPE], ("atomic", "granular"))
        )
    if schema.get(EMBEDDED) and schema.get("type") != "object":
        errors.append(
            validation.invalid(
                f"{path}.type", schema.get("type"), f"must be object if {EMBEDDED} is true"
            )
        )
    return errors


def _inside(path: str, schema: Any, depth: int) -> list[FieldError]:
    """A schema inside of allOf, anyOf, oneOf or not, which constrains and declares nothing."""
    if not isinstance(schema, Mapping):
        return [validation.invalid(path, schema, "must be a schema: an object")]
    if depth > DEPTH_MAX:
        return [validation.forbidden(path, f"nested more than {DEPTH_MAX} levels deep")]
    errors = [
        validation.forbidden(f"{path}.{name}", "must be empty to be structural")
        for name in (*_INSIDE_ONLY, *_FORBIDDEN)
        # Below int-or-string the types may be spelt out.
        if name in schema and not (name == "type" and schema["type"] in ("integer", "string"))
    ]
    for name, inner in _mapping(schema.get("properties")).items():
        errors += _inside(f"{path}.properties[{name}]", inner, depth + 1)
    if "items" in schema:
        errors += _inside(f"{path}.items", schema["items"], depth + 1)
    for name in _JUNCTORS:
        for index, choice in enumerate(_list(schema.get(name))):
            errors += _inside(f"{path}.{name}[{index}]", choice, depth + 1)
    if "not" in schema:
        errors += _inside(f"{path}.not", schema["not"], depth + 1)
    return errors


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
