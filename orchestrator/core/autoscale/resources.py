"""How many replicas what pods use of CPU and memory calls for.

Source of the rules and words: Kubernetes, pkg/controller/podautoscaler/replica_calculator.go. It
counts in thousandths; its ratios, floating point there, are exact here.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from msgspec import Struct

from orchestrator.core.autoscale.measured import MetricUnavailable, Proposal, Seen, Unknown
from proto import quantity
from proto.kinds.autoscaler_metrics import (
    SOURCES,
    MetricReading,
    MetricSource,
    MetricStatus,
    MetricValue,
)
from proto.kinds.pod import Pod
from proto.messages import Usage
from proto.meta import condition, parse_time_ms

CPU_INITIALIZATION_MS = 300_000
"""For so long a pod's CPU may be that of its start.
Source: kube-controller-manager, --horizontal-pod-autoscaler-cpu-initialization-period.
"""

INITIAL_READINESS_MS = 30_000
"""Who has been unready since then was never ready.
Source: kube-controller-manager, --horizontal-pod-autoscaler-initial-readiness-delay.
"""


class _Sample(Struct, frozen=True):
    """What a pod, or one of its containers, used: thousandths, and when that was."""

    milli: int
    at_ms: int
    window_ms: int


class _Grouped(Struct, frozen=True):
    """Pods by what their figures are good for: how many count, and the names of others."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]


def propose(type_: str, source: MetricSource, seen: Seen) -> Proposal:
    """Of all containers, or of one."""
    target = source.target
    is_percent = target.average_value is None
    try:
        if is_percent:
            replicas, current = _utilization(source, target.average_utilization or 1, seen)
        else:
            replicas, current = _average(source, quantity.milli(target.average_value or 0), seen)
    except Unknown as error:
        what = "utilization" if is_percent else "usage"
        said = f"failed to get {source.name} {what}: {error}"
        kind = "resource" if type_ == "Resource" else "container"
        raise MetricUnavailable(
            f"FailedGet{type_}Metric",
            said,
            f"failed to get {source.name} {kind} metric value: {said}",
        ) from error
    of = "container resource" if type_ == "ContainerResource" else "resource"
    name = f"{source.name} {of}" + (" utilization (percentage of request)" if is_percent else "")
    reading = MetricReading(name=source.name, container=source.container, current=current)
    return Proposal(replicas, name, MetricStatus(type=type_, **{SOURCES[type_]: reading}))


def _utilization(source: MetricSource, percent: int, seen: Seen) -> tuple[int, MetricValue]:
    """Replicas and reading for a share of what pods request."""
    values, pods = _values(source, seen)
    requested = {pod.metadata.name: _requested(pod, source) for pod in seen.measured.pods}
    if not values:
        raise Unknown("did not receive metrics for targeted pods (pods might be unready)")

    def used_percent(of: Mapping[str, int]) -> int:
        whole = sum(requested[name] for name in of)
        if not whole:
            raise Unknown("no metrics returned matched known pods")
        return sum(of.values()) * 100 // whole

    replicas = _replicas(
        seen,
        pods,
        values,
        ratio_of=lambda of: Fraction(used_percent(of), percent),
        full=lambda name: requested[name] * max(100, percent) // 100,
    )
    average = sum(values.values()) // len(values)
    return replicas, MetricValue(
        average_utilization=used_percent(values), average_value=quantity.from_milli(average)
    )


def _average(source: MetricSource, wanted_milli: int, seen: Seen) -> tuple[int, MetricValue]:
    """The same for an amount a pod."""
    values, pods = _values(source, seen)
    if not values:
        raise Unknown("did not receive metrics for targeted pods (pods might be unready)")

    def average(of: Mapping[str, int]) -> int:
        return sum(of.values()) // len(of)

    replicas = _replicas(
        seen,
        pods,
        values,
        ratio_of=lambda of: Fraction(average(of), wanted_milli),
        full=lambda _: wanted_milli,
    )
    return replicas, MetricValue(average_value=quantity.from_milli(average(values)))


def _replicas(
    seen: Seen,
    pods: _Grouped,
    values: Mapping[str, int],
    ratio_of: Callable[[Mapping[str, int]], Fraction],
    full: Callable[[str], int],
) -> int:
    """How many replicas bring the ratio to 1, if those that nothing is known of behave.

    Missing pods are taken to use all they may when there seem to be too many, and nothing when
    there seem to be too few, as are unready ones then: so nothing unknown makes a change larger.
    """
    current = seen.numbers.wanted
    ratio = ratio_of(values)
    has_unready = bool(pods.unready) and ratio > 1
    if not has_unready and not pods.missing:
        return current if seen.tolerance.covers(ratio) else math.ceil(ratio * pods.ready)
    assumed = dict(values)
    if ratio < 1:
        assumed |= {name: full(name) for name in pods.missing}
    elif ratio > 1:
        assumed |= dict.fromkeys(pods.missing, 0)
    if has_unready:
        assumed |= dict.fromkeys(pods.unready, 0)
    again = ratio_of(assumed)
    if seen.tolerance.covers(again) or (ratio < 1 < again) or (again < 1 < ratio):
        return current
    replicas = math.ceil(again * len(assumed))
    if (again < 1 and replicas > current) or (again > 1 and replicas < current):
        return current
    return replicas


def _values(source: MetricSource, seen: Seen) -> tuple[dict[str, int], _Grouped]:
    """What pods use, by name in thousandths, without those whose figures do not count."""
    pods = seen.measured.pods
    samples = {
        pod.metadata.name: sample
        for pod in pods
        if (sample := _sample(pod, source, seen.measured.usages)) is not None
    }
    if not samples:
        raise Unknown(
            f"unable to get metrics for resource {source.name}: no metrics returned from resource "
            "metrics API"
        )
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        name, sample = pod.metadata.name, samples.get(pod.metadata.name)
        if pod.metadata.deletion_timestamp or pod.status.phase == "Failed":
            ignored.add(name)
        elif pod.status.phase == "Pending":
            unready.add(name)
        elif sample is None:
            missing.add(name)
        elif source.name == "cpu" and _is_starting(pod, sample, seen.now_ms):
            unready.add(name)
        else:
            ready += 1
    counted = samples.keys() - unready - ignored
    values = {name: sample.milli for name, sample in samples.items() if name in counted}
    return values, _Grouped(ready, frozenset(unready), frozenset(missing))


def _sample(
    pod: Pod, source: MetricSource, usages: Mapping[str, Mapping[str, Usage]]
) -> _Sample | None:
    """Of a pod all of whose containers are known, or of the one that is asked for."""
    known = usages.get(pod.metadata.uid, {})
    names = {container.name for container in pod.spec.containers}
    sidecars = {container.name for container in pod.spec.sidecars}
    if source.container and known and source.container not in names | sidecars:
        where = f"{pod.metadata.namespace}/{pod.metadata.name}"
        raise Unknown(
            f"unable to get metrics for resource {source.name}: container {source.container} not "
            f"present in metrics for pod {where}"
        )
    wanted = {source.container} if source.container else names
    if not wanted <= known.keys():
        return None
    found = [known[name] for name in (wanted if source.container else known)]
    amounts = [_milli(usage, source.name) for usage in found]
    if None in amounts:
        return None
    return _Sample(
        sum(amount for amount in amounts if amount is not None),
        min(usage.at_ms for usage in found),
        max(usage.window_ms for usage in found),
    )


def _milli(usage: Usage, resource: str) -> int | None:
    """Thousandths of a core, rounded up, or of a byte; None of what nobody measures."""
    return {
        "cpu": -(-usage.cpu_nano // 1_000_000),
        "memory": usage.memory_bytes * 1000,
    }.get(resource)


def _is_starting(pod: Pod, sample: _Sample, now_ms: int) -> bool:
    """Whether what a pod uses of the CPU is still that of its start."""
    ready = condition(pod.status.conditions, "Ready")
    if ready is None or not pod.status.start_time:
        return True
    started_ms = parse_time_ms(pod.status.start_time)
    since_ms = parse_time_ms(ready.last_transition_time) if ready.last_transition_time else 0
    is_unready = ready.status == "False"
    if now_ms < started_ms + CPU_INITIALIZATION_MS:
        return is_unready or sample.at_ms < since_ms + sample.window_ms
    return is_unready and since_ms < started_ms + INITIAL_READINESS_MS


def _requested(pod: Pod, source: MetricSource) -> int:
    """Thousandths that its containers ask for, or the one that matters."""
    total = 0
    for container in (*pod.spec.containers, *pod.spec.sidecars):
        if source.container not in ("", container.name):
            continue
        asked = container.resources.limits | container.resources.requests
        if source.name not in asked:
            raise Unknown(
                f"missing request for {source.name} in container {container.name} of Pod "
                f"{pod.metadata.name}"
            )
        total += quantity.milli(asked[source.name])
    return total
