"""Sets of fields, as managed fields name them, and what server-side apply does with them.

A field is a path: a tuple of elements spelt as in Kubernetes' FieldsV1. ``f:spec`` is a field or a
key of a map, ``k:{"name":"main"}`` an item of a list whose items are told apart by keys, and
``v:"x"`` a value of a set. What has one owner as a whole (plain values, atomic objects and lists)
is a path with nothing below it.

Source: structured-merge-diff v4, fieldpath and typed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw

from orchestrator.core.schema import ANYTHING, Shape
from proto import codec
from proto.errors import BadRequest

Path = tuple[str, ...]
Fields = frozenset[Path]

NO_FIELDS: Fields = frozenset()

DEPTH_MAX = 128
"""Elements of a path; a manifest nests 64 deep at most (`orchestrator.core.fields`)."""

_ITSELF = "."
_PREFIXES = ("f:", "k:", "v:", "i:")
_PRESENT = None
"""Value of a path whose presence alone is owned: a list's item with fields of its own."""


def leaves(value: Any, shape: Shape, *, is_strict: bool = False) -> dict[Path, Any]:
    """Every path that can be owned in a document, with its value.

    Args:
        value: Plain JSON.
        shape: Of the value.
        is_strict: Whether a list's items must be told apart, as in what is applied. Elsewhere those
            that cannot be are one field together.

    Raises:
        BadRequest: A list's items cannot be told apart.
    """
    found: dict[Path, Any] = {}
    _collect(value, shape, (), found, is_strict=is_strict)
    return found


def _collect(
    value: Any, shape: Shape, path: Path, found: dict[Path, Any], *, is_strict: bool
) -> None:
    if isinstance(value, dict) and value and not shape.is_atomic:
        for name, inner in value.items():
            _collect(inner, shape.below(name), (*path, f"f:{name}"), found, is_strict=is_strict)
    elif isinstance(value, list | tuple) and (shape.map_keys or shape.is_set):
        if is_strict:
            _check_items(value, shape, path)
        below = shape.items or ANYTHING
        for key, items in _grouped(value, shape).items():
            at = (*path, key)
            if shape.is_set or len(items) > 1 or not isinstance(items[0], dict):
                found[at] = items
            else:
                found[at] = _PRESENT
                _collect(items[0], below, at, found, is_strict=is_strict)
    else:
        found[path] = value


def _grouped(items: Iterable[Any], shape: Shape) -> dict[str, list[Any]]:
    """The items of a list that merges, by their path element, in their order."""
    found: dict[str, list[Any]] = {}
    for index, item in enumerate(items):
        key = f"i:{index}" if _missing_key(item, shape) is not None else _element(item, shape)
        found.setdefault(key, []).append(item)
    return found


def _missing_key(item: Any, shape: Shape) -> str | None:
    """The key that an item lacks; empty when it is no object."""
    if shape.is_set:
        return None
    if not isinstance(item, dict):
        return ""
    keys = shape.map_keys.items()
    return next((name for name, default in keys if item.get(name, default) is None), None)


def _element(item: Any, shape: Shape) -> str:
    if shape.is_set:
        return f"v:{codec.encode(item).decode()}"
    keys = {name: item.get(name, default) for name, default in shape.map_keys.items()}
    return f"k:{codec.encode_sorted(keys).decode()}"


def _check_items(items: Sequence[Any], shape: Shape, path: Path) -> None:
    for index, item in enumerate(items):
        missing = _missing_key(item, shape)
        if missing == "":
            raise BadRequest(f"{say(path)}: element {index}: must be an object")
        if missing is not None:
            raise BadRequest(
                f"{say(path)}: element {index}: associative list with keys has an element that "
                f'omits key field "{missing}" (and doesn\'t have default value)'
            )
    for key, same in _grouped(items, shape).items():
        if len(same) > 1:
            raise BadRequest(f"{say(path)}: duplicate entries for key {_say_element(key)}")


def merged(live: Any, applied: Any, shape: Shape) -> Any:
    """The document with another one, whose items can be told apart, laid over it."""
    if isinstance(applied, dict) and isinstance(live, dict) and not shape.is_atomic:
        laid = {
            name: merged(live.get(name), inner, shape.below(name))
            for name, inner in applied.items()
        }
        return {**live, **laid}
    if isinstance(applied, list) and isinstance(live, list) and (shape.map_keys or shape.is_set):
        return _merged_items(live, applied, shape)
    return applied


def _merged_items(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """In the order of what is applied; items that it does not name keep their next neighbour."""
    old, new = _grouped(live, shape), _grouped(applied, shape)
    below = shape.items or ANYTHING
    others: list[Any] = []
    before: dict[str, list[Any]] = {}
    for key, items in old.items():
        if key in new:
            before[key], others = others, []
        else:
            others += items
    found: list[Any] = []
    for key, (item,) in new.items():
        same = old.get(key, [])
        found += before.get(key, [])
        found.append(merged(same[0], item, below) if len(same) == 1 else item)
    return found + others


def without(value: Any, shape: Shape, doomed: Fields, path: Path = ()) -> Any:
    """The document without these fields, nor what they leave empty."""
    if isinstance(value, dict) and not shape.is_atomic:
        found: dict[str, Any] = {}
        for name, inner in value.items():
            at = (*path, f"f:{name}")
            if at in doomed:
                continue
            left = without(inner, shape.below(name), doomed, at)
            if left or not inner or not isinstance(left, dict | list):
                found[name] = left
        return found
    if isinstance(value, list) and (shape.map_keys or shape.is_set):
        below = shape.items or ANYTHING
        return [
            without(item, below, doomed, (*path, key))
            for key, items in _grouped(value, shape).items()
            if (*path, key) not in doomed
            for item in items
        ]
    return value


def with_parents(fields: Fields) -> Fields:
    """The fields and everything that they are in."""
    return frozenset(path[:length] for path in fields for length in range(1, len(path) + 1))


def whole(value: Any, shape: Shape) -> Raw:
    """Every path that can be owned in a document, as FieldsV1.

    The same as `encode` of `leaves` at a third of the price, for new objects: they have one owner.
    """
    return Raw(codec.encode_sorted(_tree(value, shape)))


def _tree(value: Any, shape: Shape) -> dict[str, Any]:
    if isinstance(value, dict) and value and not shape.is_atomic:
        return {f"f:{name}": _tree(inner, shape.below(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple) and (shape.map_keys or shape.is_set):
        below = shape.items or ANYTHING
        found: dict[str, Any] = {}
        for key, items in _grouped(value, shape).items():
            if shape.is_set or len(items) > 1 or not isinstance(items[0], dict):
                found[key] = {}
            else:
                found[key] = {_ITSELF: {}} | _tree(items[0], below)
        return found
    return {}


def encode(fields: Fields) -> Raw:
    """As FieldsV1."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        at = tree
        for element in path:
            at = at.setdefault(element, {})
        at[_ITSELF] = {}
    return Raw(codec.encode(_pruned(tree)))


def _pruned(tree: dict[str, Any]) -> dict[str, Any]:
    """A field with nothing below it need not say that it is meant itself."""
    if len(tree) == 1 and _ITSELF in tree:
        return {}
    return {element: _pruned(below) for element, below in tree.items()}


def decode(raw: Raw) -> Fields:
    """From FieldsV1.

    Raises:
        BadRequest: It is not.
    """
    found: set[Path] = set()
    _gather(codec.decode_any(bytes(raw)), (), found)
    return frozenset(found)


def _gather(tree: Any, path: Path, found: set[Path]) -> None:
    if len(path) > DEPTH_MAX:
        raise BadRequest(f"managed fields nested more than {DEPTH_MAX} levels deep")
    if not isinstance(tree, dict):
        raise BadRequest(f"{say(path)}: managed fields must be objects")
    if path and (not tree or _ITSELF in tree):
        found.add(path)
    for element, below in tree.items():
        if element == _ITSELF:
            continue
        if not element.startswith(_PREFIXES):
            raise BadRequest(f"{element}: not an element of a path of managed fields")
        _gather(below, (*path, element), found)


def say(path: Path) -> str:
    """The path as conflicts name it.

    >>> say(("f:spec", "f:containers", 'k:{"name":"main"}', "f:image"))
    '.spec.containers[name="main"].image'
    >>> say(("f:metadata", "f:finalizers", 'v:"a/b"'))
    '.metadata.finalizers[="a/b"]'
    """
    return "".join(_say_element(element) for element in path)


def _say_element(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        try:
            keys = codec.decode_any(text.encode())
        except BadRequest:
            keys = None
        if not isinstance(keys, dict):  # a client wrote it
            return f"[{text}]"
        said = (f"{name}={codec.encode(value).decode()}" for name, value in keys.items())
        return f"[{','.join(said)}]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"
