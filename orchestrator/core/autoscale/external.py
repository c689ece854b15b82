"""How many replicas an external metric calls for: how far a JetStream consumer is behind.

Source of the rules and words: see `resources`.
"""

import math
from fractions import Fraction
from functools import partial

from orchestrator.core.autoscale.measured import (
    Consumer,
    Measured,
    MetricUnavailable,
    Proposal,
    Seen,
    Unknown,
)
from proto import quantity
from proto.kinds.autoscaler_metrics import (
    MetricReading,
    MetricSource,
    MetricSpec,
    MetricStatus,
    MetricValue,
)
from proto.kinds.pod import is_ready
from proto.meta import LabelSelector

LAG = "nats-consumer-lag"
"""The external metric there is: what a JetStream consumer has still to do, in messages."""


def consumer_of(metric: MetricSpec) -> Consumer | None:
    """Whose lag a metric asks for; None for any other metric, and for one that does not say."""
    source = metric.external
    if source is None or source.metric is None or source.metric.name != LAG:
        return None
    selector = source.metric.selector or LabelSelector()
    labels = selector.match_labels
    if selector.match_expressions or labels.keys() != {"stream", "consumer"}:
        return None
    return Consumer(labels["stream"], labels["consumer"])


def propose(source: MetricSource, seen: Seen) -> Proposal:
    """How far a consumer is behind: for each replica, or in all."""
    metric, target = source.metric, source.target
    assert metric is not None  # noqa: S101  validation
    selector = _as_go(metric.selector)
    unavailable = partial(_no_external, metric.name, is_average=target.average_value is not None)
    try:
        milli = 1000 * _lag(source, seen.measured)
    except Unknown as error:
        where = f"{seen.namespace}/{metric.name}/{selector}"
        raise unavailable(f"unable to get external metric {where}: {error}") from error
    if target.average_value is not None:
        replicas, current = _external_each(milli, quantity.milli(target.average_value), seen)
    else:
        try:
            replicas = _external_in_all(Fraction(milli, quantity.milli(target.value or 1)), seen)
        except Unknown as error:
            raise unavailable(f"unable to calculate ready pods: {error}") from error
        current = MetricValue(value=quantity.from_milli(milli))
    reading = MetricReading(metric=metric, current=current)
    name = f"external metric {metric.name}({selector})"
    return Proposal(replicas, name, MetricStatus(type="External", external=reading))


def _no_external(name: str, said: str, *, is_average: bool) -> MetricUnavailable:
    inner = f"{name} external metric" if is_average else f"external metric {name}"
    whole = f"failed to get {name} external metric value: failed to get {inner}: {said}"
    return MetricUnavailable("FailedGetExternalMetric", said, whole)


def _lag(source: MetricSource, measured: Measured) -> int:
    consumer = consumer_of(MetricSpec(type="External", external=source))
    if consumer is None:
        raise Unknown(
            f"there is one external metric, {LAG}, selected by the matchLabels stream and consumer"
        )
    found = measured.lags.get(consumer, "not asked for yet")
    if isinstance(found, str):
        raise Unknown(found)
    return found


def _external_each(milli: int, wanted_milli: int, seen: Seen) -> tuple[int, MetricValue]:
    replicas = seen.numbers.observed
    if not replicas or not seen.tolerance.covers(Fraction(milli, wanted_milli * replicas)):
        wanted = -(-milli // wanted_milli)
    else:
        wanted = replicas
    average = -(-milli // max(1, replicas))
    return wanted, MetricValue(average_value=quantity.from_milli(average))


def _external_in_all(ratio: Fraction, seen: Seen) -> int:
    current = seen.numbers.wanted
    if not current:
        return math.ceil(ratio)
    if seen.tolerance.covers(ratio):
        return current
    pods = seen.measured.pods
    if not pods:
        raise Unknown("no pods returned by selector while calculating replica count")
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in pods)
    return math.ceil(ratio * ready)


def _as_go(selector: LabelSelector | None) -> str:
    """As Kubernetes' events show a selector."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted(selector.match_labels.items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{term.key},Operator:{term.operator},"
        f"Values:[{' '.join(term.values)}],}},"
        for term in selector.match_expressions
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
