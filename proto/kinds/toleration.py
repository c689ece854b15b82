"""Tolerations: which of a node's taints a pod puts up with.

Source of the rules: Kubernetes, pkg/apis/core/validation, ValidateTolerations.
"""

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model


class Toleration(Model, frozen=True, kw_only=True):
    """A taint the pod puts up with; an empty key with Exists tolerates all."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


def tolerates(tolerations: tuple[Toleration, ...], key: str, value: str, effect: str) -> bool:
    """Whether one of the tolerations covers a taint."""
    return any(
        (not t.effect or t.effect == effect)
        and (
            (t.operator == "Exists" and t.key in ("", key))
            or (t.operator in ("", "Equal") and t.key == key and t.value == value)
        )
        for t in tolerations
    )


def validate_toleration(at: str, found: Toleration) -> list[FieldError]:
    """Every wrong field of one."""
    errors: list[FieldError] = []
    if found.operator not in ("", "Equal", "Exists"):
        errors.append(
            validation.not_supported(f"{at}.operator", found.operator, ("Equal", "Exists"))
        )
    if not found.key and found.operator != "Exists":
        errors.append(
            validation.invalid(
                f"{at}.operator",
                found.operator,
                'operator must be Exists when `key` is empty, which means "match all values and '
                'all keys"',
            )
        )
    if found.effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        errors.append(
            validation.not_supported(
                f"{at}.effect", found.effect, ("NoExecute", "NoSchedule", "PreferNoSchedule")
            )
        )
    return errors
