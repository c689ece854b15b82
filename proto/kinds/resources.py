"""What a container is promised, and what it may at most use.

Source of rules and texts: Kubernetes, pkg/apis/core/validation,
ValidateContainerResourceRequirements.
"""

from collections.abc import Mapping
from typing import ClassVar

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model
from proto.quantity import Quantity

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = "hugepages-"
_NATIVE = "kubernetes.io/"


class ResourceRequirements(Model, frozen=True, kw_only=True):
    """What the container is promised, and what it may at most use."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "claims": "there are no ResourceClaims: devices are extended resources",
    }

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


def is_extended(name: str) -> bool:
    """Whether a resource is one that an operator declares, in whole units, such as a device."""
    return "/" in name and _NATIVE not in name


def validate_resources(at: str, found: ResourceRequirements) -> list[FieldError]:
    """Every wrong name and amount, after defaults."""
    errors = validation.amounts(f"{at}.limits", found.limits)
    errors += validation.amounts(f"{at}.requests", found.requests)
    for field, amounts in (("limits", found.limits), ("requests", found.requests)):
        for name in amounts:
            errors += _validate_name(f"{at}.{field}", name)
    if errors:
        return errors
    for field, amounts in (("limits", found.limits), ("requests", found.requests)):
        errors += [
            validation.invalid(
                f"{at}.{field}.{name}", quantity.canonical(amount), "must be an integer"
            )
            for name, amount in amounts.items()
            if is_extended(name) and quantity.milli(amount) % 1000
        ]
    for name, request in found.requests.items():
        errors += _validate_pair(at, name, request, found.limits.get(name))
    return errors


def _validate_name(path: str, name: str) -> list[FieldError]:
    if errors := validation.qualified_name(path, name):
        return errors
    if "/" not in name:
        if name in _STANDARD or name.startswith(_HUGE_PAGES):
            return []
        return [validation.invalid(path, name, "must be a standard resource for containers")]
    if name.startswith("requests.") or _NATIVE in name:
        text = "doesn't follow extended resource name standard"
        return [validation.invalid(path, name, text)]
    return []


def _validate_pair(
    at: str, name: str, request: Quantity, limit: Quantity | None
) -> list[FieldError]:
    """A request beside its limit: of what cannot be shared they are the same."""
    is_shared = not (is_extended(name) or name.startswith(_HUGE_PAGES))
    if limit is None:
        text = "Limit must be set for non overcommitable resources"
        return [] if is_shared else [validation.required(f"{at}.limits", text)]
    asked, most = quantity.parse(request), quantity.parse(limit)
    words = "less than or equal" if is_shared else "equal"
    if asked > most or (asked != most and not is_shared):
        text = f"must be {words} to {name} limit of {quantity.canonical(limit)}"
        return [validation.invalid(f"{at}.requests", quantity.canonical(request), text)]
    return []
