"""What pods want of each other, in a form that can be compared, hashed and counted.

Pods see of each other a `Face`: pods of one face are the same to every term, so that terms are
matched with faces, of which there are about as many as workloads, and never with single pods.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from proto.kinds.affinity import PodAffinityTerm, TopologySpreadConstraint
from proto.kinds.pod import Pod, PodSpec
from proto.meta import LabelSelector, LabelSelectorRequirement

Selector = tuple[LabelSelectorRequirement, ...] | None
"""All must hold; an empty one selects everything, None nothing."""

NamespaceLabels = Callable[[str], Mapping[str, str]]
"""The labels of a namespace of that name; none for one that is not known."""

REQUIRED_WEIGHT = 1
"""How much a pod that must be near others draws them. Source: Kubernetes, HardPodAffinityWeight."""


class Face(Struct, frozen=True):
    """All that other pods can see of a pod."""

    namespace: str
    labels: frozenset[tuple[str, str]]
    is_leaving: bool = False


class Term(Struct, frozen=True):
    """Pods, and the label of nodes that says which nodes are near one.

    Attributes:
        namespaces: Where the pods are, besides those that `namespace_selector` selects.
    """

    key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector = None

    def selects(self, face: Face, labels_of: NamespaceLabels) -> bool:
        """Whether a pod of that face is one of them."""
        if self.selector is None or not _matches(self.selector, dict(face.labels)):
            return False
        if face.namespace in self.namespaces:
            return True
        selector = self.namespace_selector
        return selector is not None and _matches(selector, labels_of(face.namespace))


class Spread(Struct, frozen=True):
    """How uneven the numbers of pods that a term selects may be; see `TopologySpreadConstraint`."""

    term: Term
    max_skew: int
    is_hard: bool
    min_domains: int
    honors_affinity: bool
    honors_taints: bool


class Rules(Struct, frozen=True):
    """What a pod wants of others.

    Attributes:
        near: Terms each of which must select a pod near it.
        far: Terms none of which may.
        likes: Terms with how much each pod near it counts; below 0 it is rather not.
        spread: How it and others are to be spread.
    """

    near: tuple[Term, ...] = ()
    far: tuple[Term, ...] = ()
    likes: tuple[tuple[int, Term], ...] = ()
    spread: tuple[Spread, ...] = ()

    @property
    def has_preferences(self) -> bool:
        """Whether some nodes are better to it than others."""
        return bool(self.likes) or not all(found.is_hard for found in self.spread)


class Held(Struct, frozen=True):
    """A term of a pod that is placed, as it concerns those that come after.

    Attributes:
        weight: How much it draws the pods that it selects; None: it keeps them away.
    """

    term: Term
    weight: int | None


def face_of(pod: Pod) -> Face:
    """What others see of it."""
    meta = pod.metadata
    return Face(meta.namespace, frozenset(meta.labels.items()), bool(meta.deletion_timestamp))


def has_rules(spec: PodSpec) -> bool:
    """Whether pods of this spec want anything of others."""
    affinity = spec.affinity
    return bool(spec.topology_spread_constraints) or (
        affinity is not None
        and (affinity.pod_affinity is not None or affinity.pod_anti_affinity is not None)
    )


def rules_of(pod: Pod) -> Rules | None:
    """What it wants of others; None when that is nothing."""
    spec = pod.spec
    if not has_rules(spec):
        return None
    near = spec.affinity.pod_affinity if spec.affinity is not None else None
    far = spec.affinity.pod_anti_affinity if spec.affinity is not None else None
    likes = [
        (sign * found.weight, _term(found.pod_affinity_term, pod))
        for sign, pods in ((1, near), (-1, far))
        if pods is not None
        for found in pods.preferred
    ]
    return Rules(
        near=tuple(_term(found, pod) for found in near.required) if near is not None else (),
        far=tuple(_term(found, pod) for found in far.required) if far is not None else (),
        likes=tuple(likes),
        spread=tuple(_spread(found, pod) for found in spec.topology_spread_constraints),
    )


def held_of(rules: Rules | None) -> tuple[Held, ...]:
    """What a pod with these rules means to those that come after it."""
    if rules is None:
        return ()
    return (
        *(Held(term, None) for term in rules.far),
        *(Held(term, REQUIRED_WEIGHT) for term in rules.near),
        *(Held(term, weight) for weight, term in rules.likes),
    )


def _term(found: PodAffinityTerm, pod: Pod) -> Term:
    labels = pod.metadata.labels
    narrowed = (
        *_common(found.match_label_keys, labels, "In"),
        *_common(found.mismatch_label_keys, labels, "NotIn"),
    )
    is_own = not found.namespaces and found.namespace_selector is None
    return Term(
        key=found.topology_key,
        selector=_selector(found.label_selector, narrowed),
        namespaces=frozenset((pod.metadata.namespace,) if is_own else found.namespaces),
        namespace_selector=_selector(found.namespace_selector),
    )


def _spread(found: TopologySpreadConstraint, pod: Pod) -> Spread:
    narrowed = tuple(_common(found.match_label_keys, pod.metadata.labels, "In"))
    return Spread(
        term=Term(
            key=found.topology_key,
            selector=_selector(found.label_selector, narrowed),
            namespaces=frozenset((pod.metadata.namespace,)),
        ),
        max_skew=found.max_skew,
        is_hard=found.when_unsatisfiable == "DoNotSchedule",
        min_domains=found.min_domains or 1,
        honors_affinity=found.node_affinity_policy != "Ignore",
        honors_taints=found.node_taints_policy == "Honor",
    )


def _common(
    keys: Iterable[str], labels: Mapping[str, str], operator: str
) -> Iterator[LabelSelectorRequirement]:
    for key in keys:
        if key in labels:
            yield LabelSelectorRequirement(key=key, operator=operator, values=(labels[key],))


def _selector(
    found: LabelSelector | None, more: tuple[LabelSelectorRequirement, ...] = ()
) -> Selector:
    if found is None:
        return None
    labels = (
        LabelSelectorRequirement(key=key, operator="In", values=(value,))
        for key, value in sorted(found.match_labels.items())
    )
    return (*labels, *found.match_expressions, *more)


def _matches(selector: tuple[LabelSelectorRequirement, ...], labels: Mapping[str, str]) -> bool:
    return all(found.matches(labels) for found in selector)
