"""Limit ranges: what containers, pods and claims get when they say nothing, and their bounds.

Source of the rules and words: Kubernetes, plugin/pkg/admission/limitranger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from orchestrator.core.admission.cluster import Cluster, R, forbidden
from proto import quantity
from proto.kinds import shares
from proto.kinds.container import Container
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod
from proto.kinds.quota import LIMIT_RANGES, LimitRange, LimitRangeItem
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, PersistentVolumeClaim

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, quantity.Quantity]

Rule = Callable[[str, str, quantity.Quantity, Amounts, Amounts], str]
"""What is wrong, or nothing: of a type of thing, a resource, its bound, requests and limits."""


def admit(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> R:
    """A new pod whose containers say at least what its namespace's limit ranges say for them."""
    if not isinstance(new, Pod) or kind is not PODS or old is not None:
        return new
    pod: Any = new
    for found in cluster.objects(LIMIT_RANGES, new.metadata.namespace):
        pod = _with_defaults(pod, found)
    admitted: R = pod
    return admitted


def check(kind: Kind[Any], new: Any, old: Any, cluster: Cluster) -> None:
    """Compare a new pod, or a claim, with the limit ranges of its namespace.

    Raises:
        Forbidden: With everything that is out of bounds.
    """
    if kind is not PERSISTENT_VOLUME_CLAIMS and (kind is not PODS or old is not None):
        return
    for found in cluster.objects(LIMIT_RANGES, new.metadata.namespace):
        said = list(_pod(new, found) if kind is PODS else _claim(new, found))
        if said:
            why = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
            raise forbidden(kind, new, why)


# -- defaults


def _with_defaults(pod: Pod, found: LimitRange) -> Pod:
    limits: dict[str, quantity.Quantity] = {}
    requests: dict[str, quantity.Quantity] = {}
    for item in found.spec.limits:
        if item.type == "Container":
            limits |= item.default
            requests |= item.default_request
    told: list[str] = []
    spec = replace(
        pod.spec,
        containers=_each(pod.spec.containers, "container", requests, limits, told),
        init_containers=_each(pod.spec.init_containers, "init container", requests, limits, told),
    )
    if not told:
        return pod
    annotations = pod.metadata.annotations | {
        ANNOTATION: "LimitRanger plugin set: " + "; ".join(told)
    }
    meta = replace(pod.metadata, annotations=annotations)
    # Its class of service follows from what was filled in.
    return replace(pod, metadata=meta, spec=spec, status=replace(pod.status, qos_class=""))


def _each(
    containers: Sequence[Container], word: str, requests: Amounts, limits: Amounts, told: list[str]
) -> tuple[Container, ...]:
    changed = []
    for found in containers:
        own = found.resources
        for named, has, what in (
            (requests, own.requests, "request"),
            (limits, own.limits, "limit"),
        ):
            if missing := sorted(named.keys() - has.keys()):
                told.append(f"{', '.join(missing)} {what} for {word} {found.name}")
        filled = replace(
            own, requests={**requests, **own.requests}, limits={**limits, **own.limits}
        )
        changed.append(replace(found, resources=filled))
    return tuple(changed)


# -- bounds


def _pod(pod: Pod, found: LimitRange) -> Iterator[str]:
    spec = pod.spec
    for item in found.spec.limits:
        if item.type == "Container":
            for container in (*spec.containers, *spec.init_containers):
                own = container.resources
                yield from _bounds(item, own.requests, own.limits)
        elif item.type == "Pod":
            requests = shares.requests(spec.init_containers, spec.containers)
            limits = shares.limits(spec.init_containers, spec.containers)
            yield from _bounds(item, _spelled(requests, pod), _spelled(limits, pod))


def _spelled(amounts: Mapping[str, int], pod: Pod) -> Amounts:
    """Sums as Kubernetes prints them."""
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    spelled = [found.resources.limits | found.resources.requests for found in containers]
    return {
        name: quantity.text(
            Decimal(units) / 1000 if name == "cpu" else Decimal(units),
            binary=any(quantity.is_binary(found.get(name, "")) for found in spelled),
        )
        for name, units in amounts.items()
    }


def _claim(claim: PersistentVolumeClaim, found: LimitRange) -> Iterator[str]:
    requests = claim.spec.resources.requests
    for item in found.spec.limits:
        if item.type == "PersistentVolumeClaim":
            yield from _each_of(_least, item.type, item.min, requests, {})
            yield from _each_of(_most_requested, item.type, item.max, requests, {})


def _bounds(item: LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _each_of(_least, item.type, item.min, requests, limits)
    yield from _each_of(_most, item.type, item.max, requests, limits)
    yield from _each_of(_ratio, item.type, item.max_limit_request_ratio, requests, limits)


def _each_of(
    rule: Rule, type_: str, bounds: Amounts, requests: Amounts, limits: Amounts
) -> Iterable[str]:
    for name in sorted(bounds):
        if said := rule(type_, name, bounds[name], requests, limits):
            yield said


def _least(
    type_: str, name: str, bound: quantity.Quantity, requests: Amounts, limits: Amounts
) -> str:
    said = f"minimum {name} usage per {type_} is {bound}"
    if name not in requests:
        return f"{said}.  No request is specified"
    if quantity.parse(requests[name]) < quantity.parse(bound):
        return f"{said}, but request is {requests[name]}"
    if name in limits and quantity.parse(limits[name]) < quantity.parse(bound):
        return f"{said}, but limit is {limits[name]}"
    return ""


def _most(
    type_: str, name: str, bound: quantity.Quantity, requests: Amounts, limits: Amounts
) -> str:
    said = f"maximum {name} usage per {type_} is {bound}"
    if name not in limits:
        return f"{said}.  No limit is specified"
    if quantity.parse(limits[name]) > quantity.parse(bound):
        return f"{said}, but limit is {limits[name]}"
    return _above(said, name, bound, requests)


def _most_requested(
    type_: str, name: str, bound: quantity.Quantity, requests: Amounts, _limits: Amounts
) -> str:
    said = f"maximum {name} usage per {type_} is {bound}"
    if name not in requests:
        return f"{said}.  No request is specified"
    return _above(said, name, bound, requests)


def _above(said: str, name: str, bound: quantity.Quantity, requests: Amounts) -> str:
    if name in requests and quantity.parse(requests[name]) > quantity.parse(bound):
        return f"{said}, but request is {requests[name]}"
    return ""


def _ratio(
    type_: str, name: str, bound: quantity.Quantity, requests: Amounts, limits: Amounts
) -> str:
    said = f"{name} max limit to request ratio per {type_} is {bound}, but"
    if not (request := quantity.parse(requests.get(name, 0))):
        return f"{said} no request is specified or request is 0"
    if not (limit := quantity.parse(limits.get(name, 0))):
        return f"{said} no limit is specified or limit is 0"
    if limit / request > quantity.parse(bound):
        return f"{said} provided ratio is {limit / request:.6f}"
    return ""
