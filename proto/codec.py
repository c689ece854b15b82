"""Bytes to structs and back: the only module that names a wire format.

Everything is JSON: the objects in the store (Kubernetes' own form), and the messages on the bus
(so that any NATS client can read along). Times are integer milliseconds or RFC 3339 text.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from proto.errors import BadRequest
from proto.meta import CustomResource

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_sorting = msgspec.json.Encoder(order="sorted")

_PARTS = dict[str, msgspec.Raw]

_OWN_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
"""What a custom resource does not keep in `others`."""


@lru_cache(maxsize=256)  # a decoder per message and kind
def _decoder(type_: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", type_))


def _is_custom(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, CustomResource)


def encode(value: Any) -> bytes:
    """The value as JSON."""
    return _encoder.encode(to_plain(value) if isinstance(value, CustomResource) else value)


def encode_sorted(value: Any) -> bytes:
    """The same, with the keys of objects in their order: equal values have equal bytes."""
    return _sorting.encode(value)


def decode(payload: bytes, type_: type[T]) -> T:
    """The struct in these bytes; fields it does not know are ignored (a newer peer sent them).

    Raises:
        BadRequest: The bytes are not JSON of that shape; the text names the field.
    """
    try:
        found: T
        if _is_custom(type_):
            parts = _decoder(_PARTS).decode(payload)
            others = {name: parts.pop(name) for name in parts.keys() - _OWN_FIELDS}
            payload = _encoder.encode(parts | {"others": others})
        found = _decoder(cast("Hashable", type_)).decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"not a {getattr(type_, '__name__', type_)}: {error}") from error
    return found


def decode_any(payload: bytes) -> Any:
    """Plain JSON values.

    Raises:
        BadRequest: The bytes are not JSON.
    """
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}") from error


def to_plain(value: Any) -> Any:
    """The struct as plain dicts, lists, text and numbers, named as on the wire."""
    found = msgspec.to_builtins(value, enc_hook=msgspec.json.decode)  # of what is kept as bytes
    if isinstance(value, CustomResource):
        found.pop("others", None)
        found |= value.others
    return found


def from_plain(value: Any, type_: type[T]) -> T:
    """The struct that these plain values are.

    Raises:
        msgspec.ValidationError: They are not; the text says where.
    """
    if _is_custom(type_) and isinstance(value, dict):
        known = {name: value[name] for name in _OWN_FIELDS if name in value}
        others = {name: item for name, item in value.items() if name not in _OWN_FIELDS}
        value = known | {"others": others}
    return msgspec.convert(value, type_)
