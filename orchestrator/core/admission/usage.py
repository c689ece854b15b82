"""What one object uses of what quotas bound, and which objects a quota is about.

Source of the names and rules: Kubernetes, pkg/quota/v1/evaluator/core.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from proto import quantity
from proto.kinds import shares
from proto.kinds.event import EVENTS
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, is_terminated, qos_class
from proto.kinds.quota import ResourceQuota, ScopedSelectorRequirement
from proto.kinds.service import SERVICES, Service
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim

COUNTED_BY_PLURAL = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
"""Core kinds that a quota may name without ``count/``."""

COMPUTE = ("cpu", "memory", "ephemeral-storage")
"""Resources of pods that a quota may name without ``requests.``."""

CLASS_INFIX = ".storageclass.storage.k8s.io/"

_ONE = Decimal(1)


class Amount(Struct, frozen=True):
    """A sum.

    Attributes:
        is_binary: Whether it is printed with powers of 1024, as its first summand was.
    """

    number: Decimal = Decimal(0)
    is_binary: bool = False

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.number + other.number, (self if self.number else other).is_binary)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.number - other.number, self.is_binary)

    def __str__(self) -> str:
        return quantity.text(self.number, binary=self.is_binary)


NOTHING = Amount()
ONE = Amount(_ONE)

Usage = Mapping[str, Amount]
"""By the names that quotas use; what is not there is nothing."""


def of(kind: Kind[Any], found: Any) -> Usage:
    """What an object uses; events use nothing."""
    if kind is EVENTS:
        return {}
    used = {f"count/{kind.resource}": ONE}
    if kind is PODS:
        used |= _of_pod(found)
    elif kind.group == "" and kind.plural in COUNTED_BY_PLURAL:
        used[kind.plural] = ONE
    if kind is SERVICES:
        used |= _of_service(found)
    elif kind is PERSISTENT_VOLUME_CLAIMS:
        used |= _of_claim(found)
    return used


def _of_pod(pod: Pod) -> dict[str, Amount]:
    """One that has ended uses nothing but its name."""
    if is_terminated(pod):
        return {}
    spec = pod.spec
    used = {"pods": ONE}
    for name, amount in _summed(pod, shares.requests(spec.init_containers, spec.containers)):
        used[f"requests.{name}"] = amount
        if name in COMPUTE or name.startswith("hugepages-"):
            used[name] = amount
    for name, amount in _summed(pod, shares.limits(spec.init_containers, spec.containers)):
        used[f"limits.{name}"] = amount
    return used


def _summed(pod: Pod, amounts: Mapping[str, int]) -> Iterable[tuple[str, Amount]]:
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    spelled = [found.resources.limits | found.resources.requests for found in containers]
    for name, units in amounts.items():
        binary = any(quantity.is_binary(found.get(name, "")) for found in spelled)
        number = Decimal(units) / 1000 if name == "cpu" else Decimal(units)
        yield name, Amount(number, binary)


def _of_service(service: Service) -> dict[str, Amount]:
    used: dict[str, Amount] = {}
    spec = service.spec
    has_ports = spec.type == "NodePort" or (
        spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is not False
    )
    if has_ports:
        used["services.nodeports"] = Amount(Decimal(len(spec.ports)))
    if spec.type == "LoadBalancer":
        used["services.loadbalancers"] = ONE
    return used


def _of_claim(claim: PersistentVolumeClaim) -> dict[str, Amount]:
    asked = claim.spec.resources.requests.get("storage", 0)
    storage = Amount(quantity.parse(asked), quantity.is_binary(asked))
    used = {"requests.storage": storage}
    if claim.spec.storage_class_name:
        prefix = f"{claim.spec.storage_class_name}{CLASS_INFIX}"
        used[f"{prefix}requests.storage"] = storage
        used[f"{prefix}persistentvolumeclaims"] = ONE
    return used


def counted(names: Iterable[str]) -> frozenset[str]:
    """The resources (plurals with groups) whose objects use what has these names."""
    return frozenset(_counted(name) for name in names)


def _counted(name: str) -> str:
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name.startswith("services."):
        return "services"
    if name == "requests.storage" or CLASS_INFIX in name:
        return "persistentvolumeclaims"
    return name if name in COUNTED_BY_PLURAL else "pods"


def is_about(quota: ResourceQuota, kind: Kind[Any], found: Any) -> bool:
    """Whether the object is within the quota's scopes: with any, only pods can be."""
    spec = quota.spec
    terms = spec.scope_selector.match_expressions if spec.scope_selector is not None else ()
    if not spec.scopes and not terms:
        return True
    return (
        kind is PODS
        and all(_is_in_scope(found, scope) for scope in spec.scopes)
        and all(_satisfies(found, term) for term in terms)
    )


def _satisfies(pod: Pod, term: ScopedSelectorRequirement) -> bool:
    if term.scope_name != "PriorityClass":
        return _is_in_scope(pod, term.scope_name)
    name = pod.spec.priority_class_name
    match term.operator:
        case "In":
            return name in term.values
        case "NotIn":
            return name not in term.values
        case "Exists":
            return bool(name)
        case _:
            return not name


def _is_in_scope(pod: Pod, scope: str) -> bool:
    has_deadline = pod.spec.active_deadline_seconds is not None
    is_best_effort = qos_class(pod.spec) == "BestEffort"
    match scope:
        case "Terminating":
            return has_deadline
        case "NotTerminating":
            return not has_deadline
        case "BestEffort":
            return is_best_effort
        case "NotBestEffort":
            return not is_best_effort
        case "CrossNamespacePodAffinity":
            return pod.spec.affinity is not None and pod.spec.affinity.is_across_namespaces
        case _:  # PriorityClass, without a selector: every pod that names one
            return bool(pod.spec.priority_class_name)
