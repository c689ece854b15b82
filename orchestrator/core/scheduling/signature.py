"""What scheduling looks at in a pod: pods of one signature are interchangeable to it."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

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
        owner: Uid of the controller whose pods are to be spread; empty for none.
    """

    requests: tuple[tuple[str, int], ...]
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    ports: frozenset[Port] = frozenset()
    owner: str = ""


def owner_of(pod: Pod) -> str:
    """Uid of the pod's controller; empty when it has none."""
    controller = pod.metadata.controller
    return controller.uid if controller is not None else ""


def of(spec: PodSpec, owner: str) -> Signature:
    """The signature of a pod with this spec and controller."""
    asked = requests(spec)
    asked["pods"] = 1
    return Signature(
        requests=tuple(
            sorted((name, min(units, UNITS_MAX)) for name, units in asked.items() if units)
        ),
        selector=tuple(sorted(spec.node_selector.items())),
        tolerations=spec.tolerations,
        ports=host_ports(spec),
        owner=owner,
    )


P = TypeVar("P", bound=Pod)


def grouped(pods: Iterable[P]) -> Iterator[tuple[Signature, list[P]]]:
    """The pods by signature, in the order in which each first occurs.

    Pods of one owner nearly always have one spec: comparing specs is much cheaper than deriving
    signatures, so these are derived once for each spec that an owner has.
    """
    known: dict[str, list[tuple[PodSpec, list[P]]]] = {}
    groups: dict[Signature, list[P]] = {}
    for pod in pods:
        owner = owner_of(pod)
        spec = pod.spec
        seen = known.setdefault(owner, [])
        for other, group in seen:
            if other is spec or other == spec:
                group.append(pod)
                break
        else:
            group = groups.setdefault(of(spec, owner), [])
            group.append(pod)
            if owner:  # bare pods share no owner, and nothing is learnt from comparing them
                seen.append((spec, group))
    yield from groups.items()
