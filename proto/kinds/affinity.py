"""Where a pod should be: near which nodes, near or far from which other pods, and how spread.

Source of the rules and words: Kubernetes, pkg/apis/core/validation.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from proto.errors import FieldError
from proto.kinds import node_selector, validation
from proto.kinds.node_selector import NodeAffinity
from proto.meta import LabelSelector, Model

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class PodAffinityTerm(Model, frozen=True, kw_only=True):
    """Pods, and what counts as near them: nodes that have the same value of a label.

    Attributes:
        namespaces: Of the pods; with an absent or empty `namespace_selector`, its own.
        match_label_keys: Labels that they must have in common with the pod itself.
        mismatch_label_keys: Labels that they must not have in common.
    """

    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: str = ""
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class WeightedPodAffinityTerm(Model, frozen=True, kw_only=True):
    """How much (1 to 100) a term counts against other preferences."""

    weight: int = 0
    pod_affinity_term: PodAffinityTerm = PodAffinityTerm()


class PodAffinity(Model, frozen=True, kw_only=True):
    """Near which pods it must be, and should be; or far from which."""

    required: tuple[PodAffinityTerm, ...] = field(default=(), name=REQUIRED)
    preferred: tuple[WeightedPodAffinityTerm, ...] = field(default=(), name=PREFERRED)

    @property
    def terms(self) -> tuple[PodAffinityTerm, ...]:
        """All of them."""
        return (*self.required, *(found.pod_affinity_term for found in self.preferred))


class Affinity(Model, frozen=True, kw_only=True):
    """What draws a pod to some nodes, and what keeps it from others."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None

    @property
    def is_across_namespaces(self) -> bool:
        """Whether it is about pods of other namespaces."""
        return any(
            term.namespaces or term.namespace_selector is not None
            for found in (self.pod_affinity, self.pod_anti_affinity)
            if found is not None
            for term in found.terms
        )


class TopologySpreadConstraint(Model, frozen=True, kw_only=True):
    """How uneven the numbers of the selected pods may be between the values of a node's label.

    Attributes:
        max_skew: By how many the number where the pod goes may exceed the smallest.
        min_domains: With fewer values than that, the smallest number is taken to be none.
        node_affinity_policy: ``Honor`` (or empty): only nodes that the pod selects count.
        node_taints_policy: ``Honor``: only nodes whose taints it tolerates count.
        match_label_keys: Labels that the pods must have in common with the pod itself.
    """

    max_skew: int = 0
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""
    match_label_keys: tuple[str, ...] = ()


SpreadConstraints = Annotated[
    tuple[TopologySpreadConstraint, ...],
    Meta(
        extra={
            "merge_key": "topologyKey",
            "map_keys": {"topologyKey": None, "whenUnsatisfiable": None},
        }
    ),
]


def validate(path: str, found: Affinity | None, spread: SpreadConstraints) -> list[FieldError]:
    """Every wrong field of these parts of a pod's spec."""
    errors = _validate_affinity(f"{path}.affinity", found) if found is not None else []
    return errors + _validate_spread(f"{path}.topologySpreadConstraints", spread)


def _validate_affinity(path: str, found: Affinity) -> list[FieldError]:
    errors: list[FieldError] = []
    if found.node_affinity is not None:
        errors += node_selector.validate_affinity(f"{path}.nodeAffinity", found.node_affinity)
    for name, pods in (
        ("podAffinity", found.pod_affinity),
        ("podAntiAffinity", found.pod_anti_affinity),
    ):
        for index, term in enumerate(pods.required if pods is not None else ()):
            errors += _validate_term(f"{path}.{name}.{REQUIRED}[{index}]", term)
        for index, weighted in enumerate(pods.preferred if pods is not None else ()):
            at = f"{path}.{name}.{PREFERRED}[{index}]"
            errors += node_selector.validate_weight(f"{at}.weight", weighted.weight)
            errors += _validate_term(f"{at}.podAffinityTerm", weighted.pod_affinity_term)
    return errors


def _validate_term(at: str, term: PodAffinityTerm) -> list[FieldError]:
    errors: list[FieldError] = []
    if term.label_selector is not None:
        errors += validation.selector(f"{at}.labelSelector", term.label_selector)
    if term.namespace_selector is not None:
        errors += validation.selector(f"{at}.namespaceSelector", term.namespace_selector)
    for index, name in enumerate(term.namespaces):
        errors += validation.label(f"{at}.namespaces[{index}]", name)
    errors += _validate_keys(at, term)
    return errors + _validate_topology_key(at, term.topology_key)


def _validate_keys(at: str, term: PodAffinityTerm) -> list[FieldError]:
    errors: list[FieldError] = []
    keys = {"matchLabelKeys": term.match_label_keys, "mismatchLabelKeys": term.mismatch_label_keys}
    for name, found in keys.items():
        errors += _validate_label_keys(
            f"{at}.{name}", found, has_selector=term.label_selector is not None
        )
    for index, key in enumerate(term.match_label_keys):
        if key in term.mismatch_label_keys:
            said = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(validation.invalid(f"{at}.matchLabelKeys[{index}]", key, said))
    return errors


def _validate_label_keys(at: str, keys: Iterable[str], *, has_selector: bool) -> list[FieldError]:
    """Keys of labels that narrow a selector by what the pod itself has."""
    errors: list[FieldError] = []
    for index, key in enumerate(keys):
        if not has_selector:
            said = "must not be specified when labelSelector is not set"
            errors.append(validation.forbidden(at, said))
            break
        errors += validation.qualified_name(f"{at}[{index}]", key)
    return errors


def _validate_topology_key(at: str, key: str) -> list[FieldError]:
    if not key:
        return [validation.required(f"{at}.topologyKey", "can not be empty")]
    return validation.qualified_name(f"{at}.topologyKey", key)


def _validate_spread(path: str, constraints: SpreadConstraints) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, found in enumerate(constraints):
        at = f"{path}[{index}]"
        errors += _validate_constraint(at, found)
        pair = found.topology_key, found.when_unsatisfiable
        if pair in seen:
            said = f"{{{', '.join(pair)}}}"
            errors.append(validation.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", said))
        seen.add(pair)
    return errors


def _validate_constraint(at: str, found: TopologySpreadConstraint) -> list[FieldError]:
    errors: list[FieldError] = []
    if found.max_skew <= 0:
        said = "must be greater than zero"
        errors.append(validation.invalid(f"{at}.maxSkew", found.max_skew, said))
    errors += _validate_topology_key(at, found.topology_key)
    ways = ("DoNotSchedule", "ScheduleAnyway")
    errors += validation.one_of(f"{at}.whenUnsatisfiable", found.when_unsatisfiable, ways)
    if found.min_domains is not None:
        if found.min_domains <= 0:
            said = "must be greater than zero"
            errors.append(validation.invalid(f"{at}.minDomains", found.min_domains, said))
        if found.when_unsatisfiable != "DoNotSchedule":
            said = (
                "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                f"{found.when_unsatisfiable}"
            )
            errors.append(validation.invalid(f"{at}.minDomains", found.min_domains, said))
    for name, policy in (
        ("nodeAffinityPolicy", found.node_affinity_policy),
        ("nodeTaintsPolicy", found.node_taints_policy),
    ):
        errors += validation.one_of(f"{at}.{name}", policy or "Honor", ("Honor", "Ignore"))
    has_selector = found.label_selector is not None
    errors += _validate_label_keys(
        f"{at}.matchLabelKeys", found.match_label_keys, has_selector=has_selector
    )
    if found.label_selector is not None:
        errors += validation.selector(f"{at}.labelSelector", found.label_selector)
    return errors
