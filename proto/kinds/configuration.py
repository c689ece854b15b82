"""ConfigMap and Secret: values that containers are configured with.

Both are stored as they are: encrypting secrets at rest is etcd's, or its disk's, part.
"""

import base64
import binascii
from collections.abc import Mapping

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Resource

BYTES_MAX = 1024 * 1024
"""All values of one object together. Source: Kubernetes, MaxSecretSize."""

_IMMUTABLE = "field is immutable when `immutable` is set"
_NO_NEWLINES = str.maketrans("", "", "\r\n")

_REQUIRED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
"""By a secret's type. Source: Kubernetes, ValidateSecret."""


class ConfigMap(Resource, frozen=True, kw_only=True):
    """Text and files.

    Attributes:
        binary_data: In base64.
        immutable: Whether the values may never change again.
    """

    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool | None = None


class Secret(Resource, frozen=True, kw_only=True):
    """Values that should not be read over somebody's shoulder.

    Attributes:
        data: In base64.
        string_data: As plain text; moved into `data`, and never stored or shown.
        type: Which keys it must have: ``Opaque``, ``kubernetes.io/tls``…
        immutable: Whether the values may never change again.
    """

    data: dict[str, str] = {}
    string_data: dict[str, str] = {}
    type: str = ""
    immutable: bool | None = None


def _default_secret(secret: Secret) -> Secret:
    added = {
        key: base64.b64encode(text.encode()).decode() for key, text in secret.string_data.items()
    }
    return replace(secret, data=secret.data | added, string_data={}, type=secret.type or "Opaque")


def _keys(path: str, data: Mapping[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in data:
        at = f"{path}[{key}]"
        if len(key) > 253:
            errors.append(validation.invalid(at, key, "must be no more than 253 characters"))
        elif not validation.CONFIG_KEY.fullmatch(key):
            errors.append(validation.invalid(at, key, validation.SAYS_CONFIG_KEY))
        elif key in (".", "..") or key.startswith(".."):
            errors.append(validation.invalid(at, key, "must not start with '..'"))
    return errors


def _decoded(path: str, data: Mapping[str, str]) -> tuple[int, list[FieldError]]:
    """Bytes of all values, and what is no base64."""
    size, errors = 0, []
    for key, text in data.items():
        try:
            size += len(base64.b64decode(text.translate(_NO_NEWLINES), validate=True))
        except (binascii.Error, ValueError):
            errors.append(validation.invalid(f"{path}[{key}]", text[:40], "illegal base64 data"))
    return size, errors


def _too_long(path: str, size: int) -> list[FieldError]:
    if size <= BYTES_MAX:
        return []
    said = f"Too long: may not be more than {BYTES_MAX} bytes"
    return [FieldError("FieldValueTooLong", path, said)]


def _kept(new: ConfigMap | Secret, old: ConfigMap | Secret) -> list[FieldError]:
    """What an immutable one may not change."""
    if not old.immutable:
        return []
    errors = [] if new.immutable else [validation.forbidden("immutable", _IMMUTABLE)]
    if new.data != old.data:
        errors.append(validation.forbidden("data", _IMMUTABLE))
    return errors


def _validate_config_map(new: ConfigMap, old: ConfigMap | None) -> list[FieldError]:
    errors = _keys("data", new.data) + _keys("binaryData", new.binary_data)
    errors += [
        validation.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        for key in sorted(new.data.keys() & new.binary_data.keys())
    ]
    size, wrong = _decoded("binaryData", new.binary_data)
    size += sum(len(text.encode()) for text in new.data.values())
    errors += wrong + _too_long("", size)
    if old is None:
        return errors
    if old.immutable and new.binary_data != old.binary_data:
        errors.append(validation.forbidden("binaryData", _IMMUTABLE))
    return errors + _kept(new, old)


def _validate_secret(new: Secret, old: Secret | None) -> list[FieldError]:
    size, wrong = _decoded("data", new.data)
    errors = _keys("data", new.data) + wrong + _too_long("data", size)
    errors += [
        validation.required(f"data[{key}]")
        for key in _REQUIRED_KEYS.get(new.type, ())
        if key not in new.data
    ]
    if old is not None:
        errors += validation.immutable("type", new.type, old.type) + _kept(new, old)
    return errors


CONFIG_MAPS: Kind[ConfigMap] = Kind(
    name="ConfigMap",
    group="",
    version="v1",
    plural="configmaps",
    singular="configmap",
    type=ConfigMap,
    short_names=("cm",),
    columns=(
        Column("Data", lambda m, _: len(m.data) + len(m.binary_data), type="string"),
        Column("Age", age_cell),
    ),
    validate=_validate_config_map,
    has_status=False,
)

SECRETS: Kind[Secret] = Kind(
    name="Secret",
    group="",
    version="v1",
    plural="secrets",
    singular="secret",
    type=Secret,
    columns=(
        Column("Type", lambda secret, _: secret.type),
        Column("Data", lambda secret, _: len(secret.data), type="string"),
        Column("Age", age_cell),
    ),
    defaults=_default_secret,
    validate=_validate_secret,
    fields={"type": lambda secret: secret.type},
    has_status=False,
)
