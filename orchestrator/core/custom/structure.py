"""Pruning and defaulting by a structural schema. Pure: nothing given is changed.

Source: Kubernetes, "Specifying a structural schema", "Field pruning", "Defaulting".
"""

import copy
from collections.abc import Mapping
from typing import Any

from proto.errors import BadRequest
from proto.kinds.structural import EMBEDDED, PRESERVE

Schema = Mapping[str, Any]

NOTHING: Schema = {}

DEPTH_MAX = 64
"""As for the built-in kinds: hostile objects end here instead of in a recursion error."""

_IDENTITY = ("apiVersion", "kind", "metadata")


def pruned(value: Any, schema: Schema, path: str, unknown: list[str], depth: int = 0) -> Any:
    """The value without the fields that its schema does not have.

    Args:
        value: Plain JSON.
        schema: Structural.
        path: Of the value, for `unknown`.
        unknown: Gets the paths of what was left out.
        depth: Of the value.

    Raises:
        BadRequest: It is nested too deeply.
    """
    if depth > DEPTH_MAX:
        raise BadRequest(f"{path[:80]}…: nested more than {DEPTH_MAX} levels deep")
    if isinstance(value, list):
        items = schema.get("items", NOTHING)
        if not items and not schema.get("type"):
            return [_kept(item, path, depth + 1) for item in value]
        return [
            pruned(item, items, f"{path}[{index}]", unknown, depth + 1)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    properties, more = schema.get("properties", NOTHING), schema.get("additionalProperties")
    is_open = bool(schema.get(PRESERVE)) or more is True
    found = {}
    for name, item in value.items():
        at = f"{path}.{name}" if path else name
        if name in properties:
            found[name] = pruned(item, properties[name], at, unknown, depth + 1)
        elif isinstance(more, Mapping):
            found[name] = pruned(item, more, at, unknown, depth + 1)
        elif is_open or (schema.get(EMBEDDED) and name in _IDENTITY):
            found[name] = _kept(item, at, depth + 1)
        else:
            unknown.append(at)
    return found


def _kept(value: Any, path: str, depth: int) -> Any:
    """The value as it is, when it is not nested too deeply."""
    if depth > DEPTH_MAX:
        raise BadRequest(f"{path[:80]}…: nested more than {DEPTH_MAX} levels deep")
    if isinstance(value, Mapping):
        return {name: _kept(item, path, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_kept(item, path, depth + 1) for item in value]
    return value


def defaulted(value: Any, schema: Schema) -> Any:
    """The value with every default that its schema has for what is absent.

    A null where none may be counts as absent, and is left out when there is no default. A default
    below an object that is absent itself does not count, as in Kubernetes.
    """
    if isinstance(value, list):
        items = schema.get("items", NOTHING)
        return [defaulted(item, items) for item in value] if items else value
    if not isinstance(value, Mapping):
        return value
    properties, more = schema.get("properties", NOTHING), schema.get("additionalProperties")
    found = dict(value)
    below = dict.fromkeys(value, more) if isinstance(more, Mapping) else {}
    for name, inner in {**below, **properties}.items():
        if name in found and found[name] is None and not inner.get("nullable"):
            del found[name]
        if name not in found and "default" in inner:
            found[name] = copy.deepcopy(inner["default"])
        if name in found:
            found[name] = defaulted(found[name], inner)
    return found
