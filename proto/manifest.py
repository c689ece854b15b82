"""Manifests in YAML or JSON, read so that nothing in them changes its meaning.

YAML 1.2's core types only: ``yes`` and ``on`` are text, ``12:30`` is no number of seconds and
``2024-01-01`` no date. A key that is there twice is an error, since one of the two would be lost.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from proto import codec
from proto.errors import BadRequest

DEPTH_MAX = 100
"""Real manifests nest about 20 deep; the parser recurses."""

VALUES_MAX = 500_000
"""After references are followed: a few lines of YAML can name billions of values."""


class _Loader(yaml.CSafeLoader):
    """See the module."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are texts, each once."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is there twice", key_node.start_mark
                )
            if key_node.tag != "tag:yaml.org,2002:merge":
                seen.add(key)
                key_node.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*|0o?[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def _integer(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> int:
    """Decimal, ``0x`` hexadecimal, and octal as ``0644`` or ``0o644`` (file modes)."""
    text = str(loader.construct_scalar(node)).lower()
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    if text.startswith("0x"):
        return sign * int(text, 16)
    if text.startswith("0") and len(text) > 1:
        return sign * int(text.replace("o", ""), 8)
    if len(text) > 30:
        raise yaml.constructor.ConstructorError(None, None, "the number is too long")
    return sign * int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def load_all(payload: bytes) -> list[dict[str, Any]]:
    """Every document of a manifest that is not empty.

    Raises:
        BadRequest: It is neither YAML nor JSON, a document is no object, a key is there twice, or
            it is nested too deeply; the text says where.
    """
    if payload.lstrip()[:1] == b"{":
        try:
            return [_checked(codec.decode_any(payload))]
        except BadRequest:
            pass  # flow-style YAML, or several documents
    try:
        _check_depth(payload)
        documents = list(yaml.load_all(payload, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise BadRequest(f"not YAML: {_where(error)}") from error
    if b"&" in payload and _is_bomb(documents):
        raise BadRequest("the manifest's references expand to too many values")
    return [_checked(document) for document in documents if document is not None]


def load(payload: bytes) -> dict[str, Any]:
    """The one document of a manifest.

    Raises:
        BadRequest: See `load_all`; also when there is none, or more than one.
    """
    found = load_all(payload)
    if len(found) != 1:
        raise BadRequest(f"expected one document, found {len(found)}")
    return found[0]


def _checked(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise BadRequest("a manifest is an object with apiVersion and kind")
    return document


def _check_depth(payload: bytes) -> None:
    depth = 0
    for event in yaml.parse(payload, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise ValueError("nested too deeply")


def _is_bomb(documents: Any) -> bool:
    """Whether they name more values than any manifest has, or one that holds itself."""
    try:
        return _count(documents, VALUES_MAX) <= 0
    except RecursionError:
        return True


def _count(value: Any, left: int) -> int:
    """What is left of `left` after counting every value, references followed."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        if left <= 0:
            return left
        left = _count(item, left - 1)
    return left


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
