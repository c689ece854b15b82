"""What a job makes of its pods' failures, and of its indexes' successes.

Source of the rules and words: Kubernetes, pkg/apis/batch/validation.
"""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.pod import PodTemplateSpec
from proto.meta import Model

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
RULES_MAX = 20
EXIT_CODES_MAX = 255
CONDITIONS_MAX = 20


class OnExitCodes(Model, frozen=True, kw_only=True):
    """Which exit codes, other than 0; of any container where none is named."""

    container_name: str | None = None
    operator: str = ""
    values: Annotated[tuple[int, ...], Meta(extra={"is_set": True})] = ()


class OnPodCondition(Model, frozen=True, kw_only=True):
    """A condition that the pod has."""

    type: str = ""
    status: str = ""


class FailureRule(Model, frozen=True, kw_only=True):
    """What to do about a failed pod of which this is so."""

    action: str = ""
    on_exit_codes: OnExitCodes | None = None
    on_pod_conditions: tuple[OnPodCondition, ...] = ()


class PodFailurePolicy(Model, frozen=True, kw_only=True):
    """The first rule that fits says what becomes of a failed pod; where none does, it counts."""

    rules: tuple[FailureRule, ...] = ()


class SuccessRule(Model, frozen=True, kw_only=True):
    """So many of these indexes; all of them where no count is given.

    Attributes:
        succeeded_indexes: As in a job's status: ``0,2-4``. None: of all indexes.
    """

    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(Model, frozen=True, kw_only=True):
    """A job succeeds by the first of these rules that is met."""

    rules: tuple[SuccessRule, ...] = ()


def parse_indexes(text: str) -> tuple[tuple[int, int], ...]:
    """Intervals, first and last, of a text such as ``0,2-4``.

    Raises:
        ValueError: It is none, or not in ascending order.

    >>> parse_indexes("0,2-4")
    ((0, 0), (2, 4))
    """
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f'cannot convert string to integer for index: "{part}"')
        interval = int(first), int(last if dash else first)
        if interval[1] < interval[0] or (found and interval[0] <= found[-1][1]):
            raise ValueError(f'non-increasing order, previous: {found[-1:]}, current: "{part}"')
        found.append(interval)
    return tuple(found)


def default_failure_policy(policy: PodFailurePolicy | None) -> PodFailurePolicy | None:
    """The policy with Kubernetes' defaults filled in."""
    if policy is None:
        return None
    rules = tuple(
        replace(
            rule,
            on_pod_conditions=tuple(
                replace(wanted, status=wanted.status or "True") for wanted in rule.on_pod_conditions
            ),
        )
        for rule in policy.rules
    )
    return replace(policy, rules=rules)


def validate_failure_policy(
    at: str, found: PodFailurePolicy, template: PodTemplateSpec, *, has_limit_per_index: bool
) -> list[FieldError]:
    """Every wrong field of the rules."""
    errors: list[FieldError] = []
    if len(found.rules) > RULES_MAX:
        errors.append(_too_many(f"{at}.rules", len(found.rules), RULES_MAX))
    spec = template.spec
    names = {container.name for container in (*spec.init_containers, *spec.containers)}
    for index, rule in enumerate(found.rules):
        here = f"{at}.rules[{index}]"
        if not rule.action:
            errors.append(
                validation.required(f"{here}.action", f"valid values: {', '.join(ACTIONS)}")
            )
        else:
            errors += validation.one_of(f"{here}.action", rule.action, ACTIONS)
        if rule.action == "FailIndex" and not has_limit_per_index:
            errors.append(
                validation.invalid(
                    f"{here}.action", rule.action, "requires the backoffLimitPerIndex to be set"
                )
            )
        if rule.on_exit_codes is not None:
            errors += _validate_exit_codes(f"{here}.onExitCodes", rule.on_exit_codes, names)
        errors += _validate_conditions(f"{here}.onPodConditions", rule.on_pod_conditions)
        if rule.on_exit_codes is not None and rule.on_pod_conditions:
            errors.append(
                validation.invalid(
                    here,
                    rule.action,
                    "specifying both OnExitCodes and OnPodConditions is not supported",
                )
            )
        elif rule.on_exit_codes is None and not rule.on_pod_conditions:
            errors.append(
                validation.invalid(
                    here,
                    rule.action,
                    "specifying one of OnExitCodes and OnPodConditions is required",
                )
            )
    return errors


def _validate_exit_codes(at: str, found: OnExitCodes, names: set[str]) -> list[FieldError]:
    errors = validation.one_of(f"{at}.operator", found.operator, ("In", "NotIn"))
    if found.container_name is not None and found.container_name not in names:
        errors.append(
            validation.invalid(
                f"{at}.containerName",
                found.container_name,
                "must be one of the container or initContainer names in the pod template",
            )
        )
    values = found.values
    if not values:
        errors.append(validation.invalid(f"{at}.values", values, "at least one value is required"))
    elif len(values) > EXIT_CODES_MAX:
        errors.append(_too_many(f"{at}.values", len(values), EXIT_CODES_MAX))
    if len(set(values)) < len(values):
        errors.append(validation.duplicate(f"{at}.values", values))
    elif list(values) != sorted(values):
        errors.append(validation.invalid(f"{at}.values", values, "must be ordered"))
    if found.operator == "In" and 0 in values:
        index = values.index(0)
        errors.append(
            validation.invalid(f"{at}.values[{index}]", 0, "must not be 0 for the In operator")
        )
    return errors


def _validate_conditions(at: str, found: tuple[OnPodCondition, ...]) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(found) > CONDITIONS_MAX:
        errors.append(_too_many(at, len(found), CONDITIONS_MAX))
    for index, wanted in enumerate(found):
        errors += validation.qualified_name(f"{at}[{index}].type", wanted.type)
        errors += validation.one_of(
            f"{at}[{index}].status", wanted.status, ("False", "True", "Unknown")
        )
    return errors


def validate_success_policy(at: str, found: SuccessPolicy, completions: int) -> list[FieldError]:
    """Every wrong field of the rules."""
    errors: list[FieldError] = []
    if not found.rules:
        errors.append(
            validation.required(
                f"{at}.rules",
                "at least one rules must be specified when the successPolicy is specified",
            )
        )
    if len(found.rules) > RULES_MAX:
        errors.append(_too_many(f"{at}.rules", len(found.rules), RULES_MAX))
    for index, rule in enumerate(found.rules):
        errors += _validate_success_rule(f"{at}.rules[{index}]", rule, completions)
    return errors


def _validate_success_rule(at: str, rule: SuccessRule, completions: int) -> list[FieldError]:
    if rule.succeeded_count is None and rule.succeeded_indexes is None:
        return [
            validation.required(
                at, "at least one of succeededCount or succeededIndexes must be specified"
            )
        ]
    errors: list[FieldError] = []
    among = completions
    if rule.succeeded_indexes is not None:
        try:
            intervals = parse_indexes(rule.succeeded_indexes)
        except ValueError as error:
            text = f"error parsing succeededIndexes: {error}"
            return [validation.invalid(f"{at}.succeededIndexes", rule.succeeded_indexes, text)]
        among = sum(last - first + 1 for first, last in intervals)
        if intervals and intervals[-1][1] >= completions:
            text = f"index must be smaller than completions: {completions}"
            errors.append(
                validation.invalid(f"{at}.succeededIndexes", rule.succeeded_indexes, text)
            )
    count = rule.succeeded_count
    errors += validation.non_negative(f"{at}.succeededCount", count)
    if count is not None and count > among:
        text = (
            f"must be less than or equal to {among} (the number of completions)"
            if rule.succeeded_indexes is None
            else f"must be less than or equal to {among} (the number of indexes in the specified "
            "succeededIndexes field)"
        )
        errors.append(validation.invalid(f"{at}.succeededCount", count, text))
    return errors


def _too_many(at: str, found: int, limit: int) -> FieldError:
    return FieldError(
        "FieldValueTooMany", at, f"Too many: {found}: must have at most {limit} items"
    )
