"""How many replicas all metrics of an autoscaler together call for.

Source of the rules, words and reasons: see `plan`.
"""

from msgspec import Struct

from orchestrator.core.autoscale import external, resources
from orchestrator.core.autoscale.measured import (
    Measured,
    MetricUnavailable,
    Proposal,
    Seen,
    Target,
    Tolerance,
)
from proto.errors import BadRequest
from proto.kinds.autoscaler import HorizontalPodAutoscaler
from proto.kinds.autoscaler_metrics import SOURCES, MetricSource, MetricSpec, MetricStatus

_NO_ADAPTER = "no custom metrics API (custom.metrics.k8s.io) registered"


class Call(Struct, frozen=True):
    """What all metrics together call for."""

    replicas: int
    name: str
    readings: tuple[MetricStatus, ...]
    warnings: tuple[tuple[str, str], ...]


class Uncomputed(Exception):
    """Metrics call for nothing.

    Attributes:
        reason: Of the condition that says so, with what is said.
        warnings: Events, by reason and message.
        readings: What is known all the same.
    """

    def __init__(
        self,
        reason: str,
        said: str,
        warnings: tuple[tuple[str, str], ...],
        readings: tuple[MetricStatus, ...] = (),
    ) -> None:
        super().__init__(said)
        self.reason = reason
        self.said = said
        self.warnings = warnings
        self.readings = readings


def called_for(
    found: HorizontalPodAutoscaler, target: Target, measured: Measured, now_ms: int
) -> Call:
    """The most that any metric calls for. Where one is not known, the others only call for more."""
    meta, spec, numbers = found.metadata, found.spec, target.numbers
    _check_selector(target, measured)
    tolerance = Tolerance.of(spec.behavior)
    seen = Seen(meta.namespace, numbers, measured, tolerance, now_ms)
    proposals: list[Proposal | MetricUnavailable] = []
    for metric in spec.metrics:
        try:
            proposals.append(_proposed(metric, seen))
        except MetricUnavailable as error:
            proposals.append(error)
    failures = [found for found in proposals if isinstance(found, MetricUnavailable)]
    readings = tuple(
        MetricStatus() if isinstance(found, MetricUnavailable) else found.status
        for found in proposals
    )
    warnings = tuple((failure.reason, failure.said) for failure in failures)
    known = [found for found in proposals if isinstance(found, Proposal)]
    most = max(known, key=lambda proposal: proposal.replicas, default=None)
    if most is None or (failures and most.replicas < numbers.wanted):
        first = failures[0]
        whole = (
            f"invalid metrics ({len(failures)} invalid out of {len(spec.metrics)}), first error "
            f"is: {first.whole}"
        )
        said = f"the HPA was unable to compute the replica count: {first.said}"
        told = (*warnings, ("FailedComputeMetricsReplicas", whole))
        raise Uncomputed(first.reason, said, told, readings)
    return Call(most.replicas, most.name, readings, warnings)


def _check_selector(target: Target, measured: Measured) -> None:
    try:
        selector = target.selector
    except BadRequest as error:
        said = f"couldn't convert selector into a corresponding internal selector object: {error}"
        told = ("InvalidSelector", said), _uncomputed(said)
        raise Uncomputed("InvalidSelector", said, told) from error
    if selector is None:
        told = ("SelectorRequired", "selector is required"), _uncomputed("selector is required")
        said = "the HPA target's scale is missing a selector"
        raise Uncomputed("InvalidSelector", said, told)
    if measured.rivals:
        said = (
            f"pods by selector {target.numbers.selector} are controlled by multiple HPAs: "
            f"[{' '.join(measured.rivals)}]"
        )
        told = ("AmbiguousSelector", said), _uncomputed(said)
        raise Uncomputed("AmbiguousSelector", said, told)


def _uncomputed(why: str) -> tuple[str, str]:
    return "FailedComputeMetricsReplicas", why


def _proposed(metric: MetricSpec, seen: Seen) -> Proposal:
    source: MetricSource = getattr(metric, SOURCES[metric.type])
    match metric.type:
        case "Resource" | "ContainerResource":
            return resources.propose(metric.type, source, seen)
        case "External":
            return external.propose(source, seen)
        case _:
            raise _absent(metric.type, source, seen.namespace)


def _absent(type_: str, source: MetricSource, namespace: str) -> MetricUnavailable:
    """Metrics of pods and objects come from an adapter, and there is none."""
    name = source.metric.name if source.metric is not None else ""
    what = f"{_NO_ADAPTER}; aim at a Resource, or at the External metric {external.LAG}"
    of = source.described_object
    if of is None:
        said = f"unable to get metric {name}: {what}"
    else:
        said = f"unable to get metric {name}: {of.kind} on {namespace} {of.name}/{what}"
    whole = f"failed to get {type_.lower()} metric value: {said}"
    return MetricUnavailable(f"FailedGet{type_}Metric", said, whole)
