"""What scheduling looks at in a pod: pods of one signature are interchangeable to it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.scheduling.peers import Rules, has_rules, rules_of
from proto.kinds.node_selector import NodeAffinity, NodeSelector
from proto.kinds.pod import Pod, PodSpec, host_ports, requests
from proto.kinds.toleration import Toleration

UNITS_MAX = 2**50
"""Any request beyond this (a pebibyte) fits nowhere either; keeps the sums within 64 bits."""

Port = tuple[str, str, int]
"""(address, protocol, port) of a node; an empty address means all of them."""


class Signature(Struct, frozen=True):
    """All that placement depends on.

    Attributes:
        requests: Resource to milli-CPU or whole units, by name, with one of ``pods``.
        affinity: To nodes; None where nothing is said of them.
        owner: Uid of the controller whose pods are to be spread; empty for none.
        rules: What it wants of other pods; None where that is nothing.
        volumes: From which nodes its claims' volumes can be reached; all must select the node.
    """

    requests: tuple[tuple[str, int], ...]
    selector: tuple[tuple[str, str], ...] = ()
    affinity: NodeAffinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    ports: frozenset[Port] = frozenset()
    owner: str = ""
    rules: Rules | None = None
    volumes: tuple[NodeSelector, ...] = ()

    @property
    def has_preferences(self) -> bool:
        """Whether some nodes are better to it than others."""
        return (self.affinity is not None and bool(self.affinity.preferred)) or (
            self.rules is not None and self.rules.has_preferences
        )


def owner_of(pod: Pod) -> str:
    """Uid of the pod's controller; empty when it has none."""
    controller = pod.metadata.controller
    return controller.uid if controller is not None else ""


def of(pod: Pod, owner: str) -> Signature:
    """The signature of a pod that is spread with those of this controller."""
    spec = pod.spec
    asked = requests(spec)
    asked["pods"] = 1
    return Signature(
        requests=tuple(
            sorted((name, min(units, UNITS_MAX)) for name, units in asked.items() if units)
        ),
        selector=tuple(sorted(spec.node_selector.items())),
        affinity=spec.affinity.node_affinity if spec.affinity is not None else None,
        tolerations=spec.tolerations,
        ports=host_ports(spec),
        owner=owner,
        rules=rules_of(pod),
    )


P = TypeVar("P", bound=Pod)


def grouped(
    pods: Iterable[P], volumes: Mapping[str, tuple[NodeSelector, ...]]
) -> Iterator[tuple[Signature, list[P]]]:
    """The pods by signature, in the order in which each first occurs.

    Pods of one owner nearly always have one spec: comparing specs is much cheaper than deriving
    signatures, so these are derived once for each spec that an owner has.

    Args:
        pods: Any.
        volumes: By uid: see `Signature.volumes`. Pods of one spec may have claims of their own.
    """
    known: dict[str, list[tuple[PodSpec, list[P]]]] = {}
    groups: dict[Signature, list[P]] = {}
    for pod in pods:
        owner = owner_of(pod)
        spec = pod.spec
        if selectors := volumes.get(pod.metadata.uid):
            signature = replace(of(pod, owner), volumes=selectors)
            groups.setdefault(signature, []).append(pod)
            continue
        seen = known.setdefault(owner, [])
        for other, group in seen:
            if other is spec or other == spec:
                group.append(pod)
                break
        else:
            group = groups.setdefault(of(pod, owner), [])
            group.append(pod)
            # Bare pods share no owner, and nothing is learnt from comparing them; what a pod wants
            # of others may follow from its labels.
            if owner and not has_rules(spec):
                seen.append((spec, group))
    yield from groups.items()
