"""Which nodes a pod, or a volume, can be on: terms over a node's labels and its name.

Source of the rules and words: Kubernetes, component-helpers' scheduling/corev1/nodeaffinity and
pkg/apis/core/validation.
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import field

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import LabelSelectorRequirement, Model

NAME_FIELD = "metadata.name"
"""The only field that a term can be about."""


WEIGHT_MAX = 100


class NodeSelectorRequirement(LabelSelectorRequirement, frozen=True, kw_only=True):
    """``key operator values``; operators In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it; Gt and Lt compare whole numbers, and no others."""
        if self.operator not in ("Gt", "Lt"):
            return super().matches(labels)
        found, bound = _whole(labels.get(self.key)), _whole(*self.values[:1])
        if found is None or bound is None:
            return False
        return found > bound if self.operator == "Gt" else found < bound


def _whole(text: str | None = None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


class NodeSelectorTerm(Model, frozen=True, kw_only=True):
    """All of it must hold; one that says nothing selects no node."""

    IS_ATOMIC: ClassVar[bool] = True

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.match_expressions and not self.match_fields

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of this name with these labels is selected."""
        fields = {NAME_FIELD: name}
        return (
            not self.is_empty
            and all(found.matches(labels) for found in self.match_expressions)
            and all(found.matches(fields) for found in self.match_fields)
        )


class NodeSelector(Model, frozen=True, kw_only=True):
    """One of its terms must hold."""

    IS_ATOMIC: ClassVar[bool] = True

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of this name with these labels is selected."""
        return any(term.matches(name, labels) for term in self.node_selector_terms)


class PreferredSchedulingTerm(Model, frozen=True, kw_only=True):
    """How much better (1 to 100) a node is that a term selects."""

    weight: int = 0
    preference: NodeSelectorTerm = NodeSelectorTerm()


class NodeAffinity(Model, frozen=True, kw_only=True):
    """Which nodes a pod must be on, and which it should be on."""

    required: NodeSelector | None = field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )
    preferred: tuple[PreferredSchedulingTerm, ...] = field(
        default=(), name="preferredDuringSchedulingIgnoredDuringExecution"
    )


def validate(path: str, found: NodeSelector) -> list[FieldError]:
    """Every wrong field of a selector that must select something."""
    at = f"{path}.nodeSelectorTerms"
    if not found.node_selector_terms:
        return [validation.required(at, "must have at least one node selector term")]
    return [
        error
        for index, term in enumerate(found.node_selector_terms)
        for error in _validate_term(f"{at}[{index}]", term)
    ]


def validate_affinity(path: str, found: NodeAffinity) -> list[FieldError]:
    """Every wrong field."""
    errors: list[FieldError] = []
    if found.required is not None:
        at = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
        errors += validate(at, found.required)
    for index, preferred in enumerate(found.preferred):
        at = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        errors += validate_weight(f"{at}.weight", preferred.weight)
        errors += _validate_term(f"{at}.preference", preferred.preference)
    return errors


def validate_weight(path: str, weight: int) -> list[FieldError]:
    """How much something counts against other preferences."""
    if 1 <= weight <= WEIGHT_MAX:
        return []
    return [validation.invalid(path, weight, f"must be in the range 1-{WEIGHT_MAX}")]


def _validate_term(path: str, term: NodeSelectorTerm) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, found in enumerate(term.match_expressions):
        errors += _validate_expression(f"{path}.matchExpressions[{index}]", found)
    for index, found in enumerate(term.match_fields):
        errors += _validate_field(f"{path}.matchFields[{index}]", found)
    return errors


def _validate_expression(at: str, found: NodeSelectorRequirement) -> list[FieldError]:
    errors = validation.qualified_name(f"{at}.key", found.key)
    if found.operator in ("Gt", "Lt"):
        if len(found.values) != 1:
            said = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(validation.required(f"{at}.values", said))
        return errors
    return errors + validation.values_of_operator(at, found)


def _validate_field(at: str, found: NodeSelectorRequirement) -> list[FieldError]:
    errors: list[FieldError] = []
    if found.operator not in ("In", "NotIn"):
        said = "not a valid selector operator"
        errors.append(validation.invalid(f"{at}.operator", found.operator, said))
    elif len(found.values) != 1:
        said = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(validation.required(f"{at}.values", said))
    if found.key != NAME_FIELD:
        said = "not a valid field selector key"
        return [*errors, validation.invalid(f"{at}.key", found.key, said)]
    for index, value in enumerate(found.values):
        errors += validation.subdomain(f"{at}.values[{index}]", value)
    return errors
