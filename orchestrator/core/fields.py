"""From an untyped manifest to a struct, losing nothing silently.

Three kinds of fields need a word: unknown ones (a typing error: refused or warned about, as the
client asks), ones that Kubernetes has and Longshore refuses since they would change what runs, and
ones that are harmless to leave out (a warning).
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from orchestrator.core import schema
from orchestrator.core.custom import declared, structure
from orchestrator.core.schema import Shape
from proto import codec
from proto.errors import BadRequest, FieldError, Invalid
from proto.kinds.definition import CustomResourceDefinition
from proto.kinds.kind import Kind
from proto.meta import ObjectMeta, Resource, parse_time_ms

R = TypeVar("R", bound=Resource)

_IDENTITY = ("apiVersion", "kind", "metadata")
_PLAIN = frozenset({str, int, bool, float})

DEPTH_MAX = 64
"""Nested deeper than any manifest; hostile ones end here instead of in a recursion error."""


class Findings:
    """What a manifest holds besides what its struct takes; paths such as ``spec.replicas``."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.refused: list[str] = []
        self.ignored: list[str] = []
        self.notes: list[str] = []  # further things to say
        self.mistyped: list[tuple[str, str]] = []  # path, and what is wrong

    @property
    def warnings(self) -> list[str]:
        """In Kubernetes' words, for the client."""
        return (
            [f'unknown field "{path}"' for path in self.unknown]
            + [f"{path}: ignored: Longshore does not act on it" for path in self.ignored]
            + self.notes
        )


def parse(kind: Kind[R], manifest: Mapping[str, Any]) -> tuple[R, Findings]:
    """The object in a manifest, without its unknown and ignored fields.

    Raises:
        BadRequest: A field has the wrong type, or the manifest is of another kind.
        Invalid: It sets fields that would change what runs and that are not supported.
    """
    if not isinstance(manifest, Mapping):
        raise BadRequest(f"{kind.name} must be an object, not a {_type_name(manifest)}")
    for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.name)):
        said = manifest.get(field)
        if said not in (None, "", wanted):
            raise BadRequest(
                f"the {field} in the data ({said}) does not match the expected {field} ({wanted})"
            )
    findings = Findings()
    cleaned = _cleaned(kind, manifest, findings)
    if findings.mistyped:
        raise _mistyped(kind, *findings.mistyped[0])
    refuse_unsupported(kind, cleaned, findings)
    cleaned |= {"apiVersion": kind.api_version, "kind": kind.name}
    try:
        found = codec.from_plain(cleaned, kind.type)
    except msgspec.ValidationError as error:
        said, _, at = str(error).partition(" - at `$")
        where = at.rstrip("`").lstrip(".") or "the manifest"
        raise _mistyped(kind, where, said) from error
    if isinstance(found, CustomResourceDefinition):
        findings.notes.extend(declared.unsupported(found))
    return found, findings


def clean(kind: Kind[Any], manifest: Mapping[str, Any]) -> tuple[dict[str, Any], Findings]:
    """What a manifest says that its kind knows, which need not be a whole object, without nulls.

    Raises:
        BadRequest: It is nested too deeply, or no object.
    """
    findings = Findings()
    cleaned = _cleaned(kind, manifest, findings)
    if findings.mistyped:
        raise _mistyped(kind, *findings.mistyped[0])
    return cleaned, findings


def _cleaned(kind: Kind[Any], manifest: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    if kind.schema is None:
        found: dict[str, Any] = _clean(manifest, schema.of(kind), "", findings, 0)
        return found
    content = {name: value for name, value in manifest.items() if name not in _IDENTITY}
    metadata = manifest.get("metadata") or {}
    return {
        "metadata": _clean(metadata, schema.shape_of(ObjectMeta), "metadata", findings, 0),
        **structure.pruned(content, kind.schema, "", findings.unknown),
    }


def refuse_unsupported(kind: Kind[Any], cleaned: Mapping[str, Any], findings: Findings) -> None:
    """What becomes of fields that would change what runs and are not supported.

    Raises:
        Invalid: There are some.
    """
    metadata = cleaned.get("metadata", {})
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    if findings.refused:
        raise Invalid(
            kind.name,
            str(name),
            [
                FieldError(
                    "FieldValueForbidden",
                    path,
                    "Forbidden: not supported by Longshore yet, and leaving it out would change "
                    "what runs: remove it",
                )
                for path in findings.refused
            ],
        )


def refuse_unknown(kind: Kind[Any], findings: Findings) -> None:
    """What strict validation does about fields that do not exist.

    Raises:
        BadRequest: There are some; the text names them as Kubernetes does.
    """
    if findings.unknown:
        said = ", ".join(f'unknown field "{path}"' for path in findings.unknown)
        raise BadRequest(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
            f"strict decoding error: {said}"
        )


def _mistyped(kind: Kind[Any], path: str, why: str) -> BadRequest:
    return BadRequest(
        f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {path}: {why}'
    )


def _clean(value: Any, shape: Shape, path: str, findings: Findings, depth: int) -> Any:
    """The value without nulls and without what its shape does not have."""
    if shape.is_raw:
        return msgspec.Raw(codec.encode(value))
    if depth > DEPTH_MAX:
        raise BadRequest(f"{path[:80]}…: nested more than {DEPTH_MAX} levels deep")
    if isinstance(value, dict):
        if shape.fields is None:
            items = shape.items or Shape()
            return {
                key: _clean(v, items, f"{path}[{key}]", findings, depth + 1)
                for key, v in value.items()
                if v is not None
            }
        return _clean_object(value, shape, path, findings, depth)
    if isinstance(value, list | tuple):
        items = shape.items or Shape()
        return [
            _clean(item, items, f"{path}[{index}]", findings, depth + 1)
            for index, item in enumerate(value)
        ]
    if shape.is_time and value and isinstance(value, str) and not _is_time(value):
        said = f'parsing time "{value[:40]}" as "2006-01-02T15:04:05Z07:00": cannot parse it'
        findings.mistyped.append((path, said))
    return value


def _clean_object(
    value: Mapping[str, Any], shape: Shape, path: str, findings: Findings, depth: int
) -> dict[str, Any]:
    found = {}
    for name, item in value.items():
        if item is None:
            continue
        below = shape.fields.get(name) if shape.fields is not None else None
        if below is not None and type(item) in _PLAIN and not (below.is_time or below.is_raw):
            found[name] = item  # as most are: this is the dearest part of a write
            continue
        at = f"{path}.{name}" if path else str(name)
        if below is not None:
            found[name] = _clean(item, below, at, findings, depth + 1)
        elif name in shape.refused:
            if item not in ({}, [], "", False, 0):
                findings.refused.append(at)
        elif name in shape.ignored:
            if item not in ({}, [], "", False, 0):
                findings.ignored.append(at)
        else:
            findings.unknown.append(at)
    return found


def _is_time(text: str) -> bool:
    try:
        parse_time_ms(text)
    except ValueError:
        return False
    return True


def _type_name(value: object) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )
