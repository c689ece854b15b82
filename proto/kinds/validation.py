"""Checks that several kinds share, in the words of Kubernetes' own validation.

Source of the rules and texts: apimachinery, pkg/util/validation and pkg/api/validation.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from proto import codec, quantity
from proto.errors import FieldError
from proto.meta import LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

ANNOTATIONS_BYTES_MAX = 256 * 1024
"""All annotations of an object together. Source: apimachinery, TotalAnnotationSizeLimitB."""

SAYS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SAYS_DNS_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
SAYS_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
SAYS_CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name', "
    "or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
SAYS_ENV_NAME = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or "
    "'.', and must not start with a digit"
)
_SAYS_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_SAYS_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def required(path: str, detail: str = "") -> FieldError:
    """The field is missing."""
    return FieldError(
        "FieldValueRequired", path, f"Required value: {detail}" if detail else "Required value"
    )


def invalid(path: str, value: object, detail: str) -> FieldError:
    """The field's value is wrong."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {_quoted(value)}: {detail}")


def not_supported(path: str, value: object, choices: Iterable[str]) -> FieldError:
    """The field's value is none of the known ones."""
    listed = ", ".join(f'"{choice}"' for choice in sorted(choices))
    return FieldError(
        "FieldValueNotSupported",
        path,
        f"Unsupported value: {_quoted(value)}: supported values: {listed}",
    )


def not_found(path: str, value: object) -> FieldError:
    """The field names something that is not there."""
    return FieldError("FieldValueNotFound", path, f"Not found: {_quoted(value)}")


def duplicate(path: str, value: object) -> FieldError:
    """A list holds the value twice."""
    return FieldError("FieldValueDuplicate", path, f"Duplicate value: {_quoted(value)}")


def forbidden(path: str, detail: str) -> FieldError:
    """The field may not be set, or not be changed."""
    return FieldError("FieldValueForbidden", path, f"Forbidden: {detail}")


def _quoted(value: object) -> str:
    """As JSON, but text as it is: Kubernetes does not escape it."""
    return f'"{value}"' if isinstance(value, str) else codec.encode(value).decode()


def label(path: str, value: str) -> list[FieldError]:
    """An RFC 1123 label: at most 63 characters."""
    if len(value) > 63:
        return [invalid(path, value, "must be no more than 63 characters")]
    return [] if _LABEL.fullmatch(value) else [invalid(path, value, SAYS_LABEL)]


def dns_1035(path: str, value: str) -> list[FieldError]:
    """An RFC 1035 label: as `label`, and starting with a letter."""
    if not value:
        return [required(path)]
    if len(value) > 63:
        return [invalid(path, value, "must be no more than 63 characters")]
    return [] if _DNS_1035.fullmatch(value) else [invalid(path, value, _SAYS_DNS_1035)]


def subdomain(path: str, value: str) -> list[FieldError]:
    """An RFC 1123 subdomain: at most 253 characters."""
    if len(value) > 253:
        return [invalid(path, value, "must be no more than 253 characters")]
    return [] if _SUBDOMAIN.fullmatch(value) else [invalid(path, value, SAYS_SUBDOMAIN)]


def service_name(path: str, value: str) -> list[FieldError]:
    """An RFC 1035 label, as names of services are: it begins with a letter."""
    if len(value) > 63:
        return [invalid(path, value, "must be no more than 63 characters")]
    return [] if _DNS_1035.fullmatch(value) else [invalid(path, value, _SAYS_DNS_1035)]


def path_segment(path: str, value: str) -> list[FieldError]:
    """What can stand between two slashes of a URL, as names of roles do: ``system:node``."""
    if value in (".", ".."):
        return [invalid(path, value, f"may not be '{value}'")]
    return [
        invalid(path, value, f"may not contain '{sign}'") for sign in ("/", "%") if sign in value
    ]


def immutable(path: str, new: object, old: object) -> list[FieldError]:
    """A field that may not change."""
    return [] if new == old else [invalid(path, codec.to_plain(new), "field is immutable")]


def port(path: str, value: int) -> list[FieldError]:
    """A port number."""
    if 1 <= value <= 65535:
        return []
    return [invalid(path, value, "must be between 1 and 65535, inclusive")]


def one_of(path: str, value: str, choices: Iterable[str]) -> list[FieldError]:
    """A text that must be one of the known ones."""
    known = tuple(choices)
    return [] if value in known else [not_supported(path, value, known)]


def qualified_name(path: str, value: str) -> list[FieldError]:
    """A label or annotation key: ``name`` or ``prefix/name``."""
    prefix, slash, name = value.rpartition("/")
    errors = []
    if slash and not (prefix and len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        errors.append(invalid(path, value, f"prefix part {SAYS_SUBDOMAIN}"))
    if not name:
        errors.append(invalid(path, value, "name part must be non-empty"))
    elif len(name) > 63:
        errors.append(invalid(path, value, "name part must be no more than 63 characters"))
    elif not _QUALIFIED.fullmatch(name):
        errors.append(invalid(path, value, _SAYS_QUALIFIED))
    return errors


def labels(path: str, values: Mapping[str, str]) -> list[FieldError]:
    """Label keys and values."""
    errors = []
    for key, value in values.items():
        errors += qualified_name(path, key)
        if len(value) > 63:
            errors.append(invalid(path, value, "must be no more than 63 characters"))
        elif not _LABEL_VALUE.fullmatch(value):
            errors.append(invalid(path, value, _SAYS_LABEL_VALUE))
    return errors


def selector(path: str, found: LabelSelector) -> list[FieldError]:
    """Keys, values and operators of a label selector."""
    errors = labels(f"{path}.matchLabels", found.match_labels)
    for index, term in enumerate(found.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        errors += qualified_name(f"{at}.key", term.key)
        errors += values_of_operator(at, term)
    return errors


def values_of_operator(at: str, term: LabelSelectorRequirement) -> list[FieldError]:
    """An operator of label selectors, with as many values as it takes."""
    if term.operator in ("In", "NotIn"):
        said = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if term.values else [required(f"{at}.values", said)]
    if term.operator in ("Exists", "DoesNotExist"):
        said = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{at}.values", said)] if term.values else []
    return [invalid(f"{at}.operator", term.operator, "not a valid selector operator")]


def metadata(
    meta: ObjectMeta, *, is_namespaced: bool, check_name: Callable[[str, str], list[FieldError]]
) -> list[FieldError]:
    """Name, labels and annotations of any object, after its name was generated."""
    errors: list[FieldError] = []
    if not meta.name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += check_name("metadata.name", meta.name)
    if is_namespaced:
        errors += label("metadata.namespace", meta.namespace)
    errors += labels("metadata.labels", meta.labels)
    for key in meta.annotations:
        errors += qualified_name("metadata.annotations", key.lower())
    size = sum(len(key) + len(value) for key, value in meta.annotations.items())
    if size > ANNOTATIONS_BYTES_MAX:
        errors.append(
            FieldError(
                "FieldValueTooLong",
                "metadata.annotations",
                f"Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes",
            )
        )
    errors += _owner_references(meta.owner_references)
    for index, name in enumerate(meta.finalizers):
        errors += qualified_name(f"metadata.finalizers[{index}]", name)
    return errors


def _owner_references(owners: Sequence[OwnerReference]) -> list[FieldError]:
    """Each names somebody, and at most one is the controller. Source: ValidateOwnerReferences."""
    path = "metadata.ownerReferences"
    errors = []
    for owner in owners:
        if not owner.api_version.rpartition("/")[2]:
            errors.append(
                invalid(f"{path}.apiVersion", owner.api_version, "version must not be empty")
            )
        named = {"kind": owner.kind, "name": owner.name, "uid": owner.uid}
        errors += [
            invalid(f"{path}.{field}", "", "must not be empty")
            for field, value in named.items()
            if not value
        ]
    first, *others = [f"{owner.kind}/{owner.name}" for owner in owners if owner.controller] or [""]
    for other in others:
        said = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{first} and {other}"
        )
        errors.append(invalid(path, codec.to_plain(owners), said))
    return errors


def non_negative(path: str, value: int | None) -> list[FieldError]:
    """A count that may be absent."""
    if value is not None and value < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    return []


def amounts(path: str, values: Mapping[str, quantity.Quantity]) -> list[FieldError]:
    """Resource names and quantities."""
    errors = []
    for name, value in values.items():
        try:
            if quantity.parse(value) < 0:
                errors.append(
                    invalid(f"{path}.{name}", value, "must be greater than or equal to 0")
                )
        except ValueError as error:
            errors.append(invalid(f"{path}.{name}", value, str(error)))
    return errors
