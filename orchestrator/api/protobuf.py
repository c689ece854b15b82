r"""Request bodies in protobuf, which kubectl from 1.32 on sends from its typed clients.

Only reading, and only requests: every client takes JSON answers. A body is ``k8s\0`` and then the
message Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: the object's own message}. The numbers of
the fields, facts of the public API, are in ``protobuf_fields.txt``.
"""

import base64
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from msgspec import Struct

from proto.errors import BadRequest
from proto.meta import format_time

MAGIC = b"k8s\x00"

_INLINE = frozenset(
    {
        "localObjectReference",
        "volumeSource",
        "persistentVolumeSource",
        "handler",
        "ephemeralContainerCommon",
        "ingressRuleValue",
    }
)
"""Embedded Go structs: JSON has their fields in the parent."""

_ZERO_COUNTS = frozenset(
    {
        "replicas",
        "completions",
        "parallelism",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "terminationGracePeriodSeconds",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "minReplicas",
        "partition",
        "gracePeriodSeconds",
        "revisionHistoryLimit",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "activeDeadlineSeconds",
        "tolerationSeconds",
        "exitCode",
        "automountServiceAccountToken",
        "allowPrivilegeEscalation",
        "runAsNonRoot",
        "suspend",
        "optional",
        "immutable",
        "controller",
        "enableServiceLinks",
    }
)
"""Pointers in Go: their zero was meant. Other fields are written even when they are not set."""


class _Field(Struct, frozen=True):
    name: str
    type: str
    is_list: bool
    is_map: bool


class _Message:
    """Bytes as (field number, value): an int for varints, bytes for everything with a length."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __iter__(self) -> Iterator[tuple[int, int | bytes]]:
        while self._at < len(self._data):
            key = self._varint()
            number, wire = key >> 3, key & 7
            if wire == 0:
                yield number, self._varint()
            elif wire == 2:
                yield number, self._take(self._varint())
            elif wire in (1, 5):
                yield number, self._take(8 if wire == 1 else 4)
            else:
                raise BadRequest(f"not protobuf: unknown wire type {wire}")

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise BadRequest("not protobuf: it ends too early")
        found = self._data[self._at : end]
        self._at = end
        return found

    def _varint(self) -> int:
        found = shift = 0
        while True:
            (byte,) = self._take(1)
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
            if shift > 63:
                raise BadRequest("not protobuf: a number is too long")


@cache
def _messages() -> dict[str, dict[int, _Field]]:
    """Message name to its fields by number."""
    text = resources.files("orchestrator.api").joinpath("protobuf_fields.txt").read_text()
    found: dict[str, dict[int, _Field]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        message, _, fields = line.partition(": ")
        found[message] = dict(_parse_field(field) for field in fields.split())
    return found


def _parse_field(text: str) -> tuple[int, _Field]:
    """``3=template:core.v1.PodTemplateSpec``, the type after ``[]`` for lists, ``{}`` for maps."""
    number, _, rest = text.partition("=")
    name, _, type_ = rest.partition(":")
    bare = type_.removeprefix("[]").removeprefix("{}")
    return int(number), _Field(name, bare, type_.startswith("[]"), type_.startswith("{}"))


def decode(body: bytes) -> dict[str, Any]:
    """The object in a request's body, as its JSON would be.

    Raises:
        BadRequest: It is not protobuf, or an object whose fields are not known here.
    """
    if not body.startswith(MAGIC):
        raise BadRequest("not a Kubernetes protobuf body: it does not begin with k8s\\0")
    type_meta, raw = b"", b""
    for number, value in _Message(body[len(MAGIC) :]):
        if number == 1:
            type_meta = _bytes(value)
        elif number == 2:
            raw = _bytes(value)
    names = {number: _text(value) for number, value in _Message(type_meta)}
    api_version, kind = names.get(1, ""), names.get(2, "")
    message = _message_name(api_version, kind)
    if message is None:
        raise BadRequest(f'no protobuf fields are known of "{api_version}, Kind={kind}"')
    return {"apiVersion": api_version, "kind": kind} | _object(message, raw)


def _message_name(api_version: str, kind: str) -> str | None:
    """``apps/v1`` and ``Deployment`` to ``apps.v1.Deployment``."""
    group, _, version = api_version.rpartition("/")
    for package in (f"{group.partition('.')[0] or 'core'}.{version}", "apis.meta.v1"):
        if f"{package}.{kind}" in _messages():
            return f"{package}.{kind}"
    return None


def _object(message: str, data: bytes) -> dict[str, Any]:
    fields = _messages()[message]
    found: dict[str, Any] = {}
    for number, raw in _Message(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.is_map:
            key, value = _map_entry(field.type, raw)
            found.setdefault(field.name, {})[key] = value
            continue
        value = _value(field.type, raw)
        if field.is_list:
            found.setdefault(field.name, []).append(value)
        elif field.name in _INLINE:
            found |= value
        elif not _is_unset(field, value):
            found[field.name] = value
    return found


def _is_unset(field: _Field, value: Any) -> bool:
    if value is None or value == "":
        return True
    return value in (0, False) and field.name not in _ZERO_COUNTS and "." not in field.type


def _map_entry(type_: str, raw: int | bytes) -> tuple[str, Any]:
    key, value = "", _value(type_, b"")
    for number, part in _Message(_bytes(raw)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _value(type_, part)
    return key, value


def _value(type_: str, raw: int | bytes) -> Any:
    match type_:
        case "string":
            return _text(raw)
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "bool":
            return _signed(raw) != 0
        case "int32" | "int64":
            return _signed(raw)
        case "apis.meta.v1.Time" | "apis.meta.v1.MicroTime":
            return _time(_bytes(raw))
        case "api.resource.Quantity":
            return "".join(_text(value) for number, value in _Message(_bytes(raw)) if number == 1)
        case "util.intstr.IntOrString":
            return _int_or_string(_bytes(raw))
        case "apis.meta.v1.FieldsV1" | "runtime.RawExtension":
            return None  # managed fields and embedded objects: nothing here reads them
        case "authentication.v1.ExtraValue":
            return [_text(value) for _, value in _Message(_bytes(raw))]
        case message if message in _messages():
            return _object(message, _bytes(raw))
        case _:
            raise BadRequest(f"no protobuf fields are known of {type_}")


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise BadRequest("not protobuf: a number where a message should be")
    return raw


def _text(raw: int | bytes) -> str:
    try:
        return _bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("not protobuf: a text is not UTF-8") from error


def _signed(raw: int | bytes) -> int:
    if raw == b"":
        return 0
    if not isinstance(raw, int):
        raise BadRequest("not protobuf: bytes where a number should be")
    return raw - (1 << 64) if raw >> 63 else raw


def _time(data: bytes) -> str | None:
    parts = {number: _signed(value) for number, value in _Message(data)}
    if not any(parts.values()):
        return None
    try:
        return format_time(parts.get(1, 0) * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise BadRequest("not protobuf: a time is out of range") from error


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_Message(data))
    return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))
