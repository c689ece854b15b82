"""The three kinds of patch, on plain JSON values. Pure: nothing given is changed.

* Merge patch: RFC 7386.
* JSON patch: RFC 6902.
* Strategic merge patch: Kubernetes, "Update API Objects in Place Using kubectl patch", and
  design-proposals "strategic-merge-patch.md" for the directives.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from orchestrator.core.schema import ANYTHING, Shape
from proto import codec
from proto.errors import BadRequest, FieldError, Invalid, TooLarge

JSON_PATCH_OPS_MAX = 10_000
"""Source: apiserver, maxJSONPatchOperations."""

DOCUMENT_BYTES_MAX = 3 * 1024 * 1024
"""What ``copy`` operations may make of a document. Source: apiserver, JSONPatchMaxCopyBytes."""

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_REMOVE = "$deleteFromPrimitiveList/"


def merge(document: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, everything else replaces.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}})
    {'a': {'c': 2}}
    """
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902: one operation after the other.

    Raises:
        BadRequest: It is not a JSON patch.
        Invalid: An operation does not apply: a path is missing, a ``test`` fails.
        TooLarge: Too many operations, or they blow the document up.
    """
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise BadRequest("a JSON patch is a list of operations")
    if len(operations) > JSON_PATCH_OPS_MAX:
        raise TooLarge(
            f"the allowed maximum operations in a JSON patch is {JSON_PATCH_OPS_MAX}, "
            f"got {len(operations)}"
        )
    found = copy.deepcopy(document)
    for operation in operations:
        found = _apply(found, operation)
        if operation.get("op") == "copy" and len(codec.encode(found)) > DOCUMENT_BYTES_MAX:
            raise TooLarge("the patch makes the object too large")
    return found


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    try:
        return jsonpatch.apply_patch(document, [operation], in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"not a JSON patch: {error}") from error
    except jsonpatch.JsonPatchTestFailed as error:
        raise _inapplicable(operation, "the value is another one") from error
    except (jsonpatch.JsonPatchException, JsonPointerException) as error:
        raise _inapplicable(operation, "the object has no such path") from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        # The library assumes that what a pointer passes through is a list or an object.
        raise _inapplicable(operation, "its path does not fit the object") from error


def _inapplicable(operation: dict[str, Any], why: str) -> Invalid:
    path = str(operation.get("path", ""))
    what = f"the operation {operation.get('op')!s} cannot be applied: {why}"
    return Invalid("JSONPatch", path, [FieldError("FieldValueInvalid", path, what)])


def strategic(document: Any, patch: Any, shape: Shape) -> Any:
    """A merge that knows which lists are really maps, and in which order a client wants them.

    Args:
        document: What there is.
        patch: What is to change.
        shape: Of both: which lists merge, and by which key.

    Raises:
        BadRequest: A directive is wrong, or a list's item lacks its merge key.
    """
    if not isinstance(patch, dict):
        raise BadRequest("a strategic merge patch is an object")
    return _merge_object(document if isinstance(document, dict) else {}, patch, shape)


def _merge_object(
    document: Mapping[str, Any], patch: Mapping[str, Any], shape: Shape
) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE, "merge")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive != "merge":
        raise BadRequest(f"unknown patch type found: {directive}")
    found = _retained(document, patch)
    for key in _named(patch):
        inner = shape.field(key)
        if key in patch and patch[key] is None:
            found.pop(key, None)
            continue
        order = _list_of(patch, _ORDER + key)
        removed = _list_of(patch, _REMOVE + key)
        if key in patch and isinstance(patch[key], dict):
            old = found.get(key)
            found[key] = _merge_object(old if isinstance(old, dict) else {}, patch[key], inner)
        elif key not in patch or isinstance(patch[key], list):
            old = found.get(key)
            merged = _merge_list(
                [item for item in old if item not in removed] if isinstance(old, list) else [],
                patch.get(key, []),
                order,
                inner,
                is_named=key in patch,
            )
            if merged or key in patch or key in found:
                found[key] = merged
        else:
            found[key] = patch[key]
    return found


def _named(patch: Mapping[str, Any]) -> list[str]:
    """The fields a patch speaks of, also those it only orders or removes from."""
    names: dict[str, None] = {}
    for key in patch:
        if key in (_DIRECTIVE, _RETAIN):
            continue
        names[key.removeprefix(_ORDER).removeprefix(_REMOVE)] = None
    return list(names)


def _list_of(patch: Mapping[str, Any], key: str) -> list[Any]:
    found = patch.get(key, [])
    if not isinstance(found, list):
        raise BadRequest(f"{key} must be a list")
    return found


def _retained(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    if _RETAIN not in patch:
        return dict(document)
    kept = _list_of(patch, _RETAIN)
    named = {key for key in _named(patch) if patch.get(key) is not None}
    if not named <= {key for key in kept if isinstance(key, str)}:
        raise BadRequest("the keys of a patch with $retainKeys must all be in that list")
    return {key: value for key, value in document.items() if key in kept}


def _merge_list(
    document: list[Any], patch: list[Any], order: list[Any], shape: Shape, *, is_named: bool
) -> list[Any]:
    order = order or patch  # a client that names no order means that of its patch
    if shape.merge_key:
        merged = _merge_items(document, patch, shape.merge_key, shape.items or ANYTHING)
        return _ordered(merged, document, order, lambda item: item.get(shape.merge_key))
    if shape.is_set:
        merged = list({_hashable(item): item for item in [*document, *patch]}.values())
        return _ordered(merged, document, order, lambda item: item)
    return patch if is_named else document


def _merge_items(document: list[Any], patch: list[Any], key: str, shape: Shape) -> list[Any]:
    """Items merged by their key."""
    _check_items(patch, key)
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [
            {name: value for name, value in item.items() if name != _DIRECTIVE}
            for item in patch
            if key in item
        ]
    found: list[dict[str, Any] | None] = [item for item in document if isinstance(item, dict)]
    places: dict[Any, int] = {}
    for index, old in enumerate(found):
        places.setdefault(_hashable((old or {}).get(key)), index)
    for item in patch:
        at = places.get(_hashable(item[key]))
        if item.get(_DIRECTIVE) == "delete":
            found = [None if old and old.get(key) == item[key] else old for old in found]
            places.pop(_hashable(item[key]), None)
        elif at is None:
            places[_hashable(item[key])] = len(found)
            found.append(_merge_object({}, item, shape))
        else:
            found[at] = _merge_object(found[at] or {}, item, shape)
    return [item for item in found if item is not None]


def _check_items(patch: list[Any], key: str) -> None:
    for item in patch:
        if not isinstance(item, dict):
            raise BadRequest(f"expected objects with the merge key {key}, got: {item!r}")
        if key not in item and item.get(_DIRECTIVE) != "replace":
            raise BadRequest(f"{item!r} does not contain declared merge key: {key}")


def _ordered(
    merged: list[Any], before: Sequence[Any], order: list[Any], key: Callable[[Any], Any]
) -> list[Any]:
    """What a patch names in the order it asks for; the rest stays near its old neighbours."""
    if not order:
        return merged
    place = {_hashable(key(item)): index for index, item in enumerate(order)}
    named = [item for item in merged if _hashable(key(item)) in place]
    named.sort(key=lambda item: place[_hashable(key(item))])
    others = [item for item in merged if _hashable(key(item)) not in place]
    old_place = {_hashable(name): index for index, name in enumerate(map(key, before))}
    found: list[Any] = []
    while others and named:
        left = old_place.get(_hashable(key(others[0])))
        right = old_place.get(_hashable(key(named[0])))
        first = others if left is not None and right is not None and left < right else named
        found.append(first.pop(0))
    return [*found, *others, *named]


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, dict | list) else value
