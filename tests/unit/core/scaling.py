"""Short ways to make what an autoscaler looks at."""

from functools import cache

from msgspec.structs import replace

from orchestrator.core.autoscale import Consumer, Measured, Target, plan
from orchestrator.core.decisions import Emit, Rescale, UpdateStatus
from proto.kinds.autoscaler import (
    AUTOSCALERS,
    AutoscalerSpec,
    AutoscalerStatus,
    Behavior,
    HorizontalPodAutoscaler,
    ScalingPolicy,
    ScalingRules,
)
from proto.kinds.autoscaler_metrics import (
    CrossVersionObjectReference,
    MetricIdentifier,
    MetricSource,
    MetricSpec,
    MetricTarget,
)
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import Pod
from proto.messages import Usage
from proto.meta import Condition, LabelSelector, ObjectMeta, condition, format_time
from tests.unit.core.making import NOW_MS, deployment, pod

LONG_AGO_MS = NOW_MS - 3_600_000
WORK = Consumer("JOBS", "workers")


def resource(name: str = "cpu", *, percent: int | None = None, average: str = "", container=""):
    kind = "AverageValue" if average else "Utilization"
    target = MetricTarget(type=kind, average_utilization=percent, average_value=average or None)
    source = MetricSource(name=name, container=container, target=target)
    if container:
        return MetricSpec(type="ContainerResource", container_resource=source)
    return MetricSpec(type="Resource", resource=source)


def lag(*, average: str = "", value: str = "", name="nats-consumer-lag", labels=None):
    target = MetricTarget(
        type="AverageValue" if average else "Value",
        average_value=average or None,
        value=value or None,
    )
    if labels is None:
        labels = {"stream": WORK.stream, "consumer": WORK.name}
    metric = MetricIdentifier(name=name, selector=LabelSelector(match_labels=labels))
    return MetricSpec(type="External", external=MetricSource(metric=metric, target=target))


def policy(type_: str, value: int, period_s: int = 60) -> ScalingPolicy:
    return ScalingPolicy(type=type_, value=value, period_seconds=period_s)


def behavior(up: ScalingRules | None = None, down: ScalingRules | None = None) -> Behavior:
    return Behavior(scale_up=up, scale_down=down)


AT_ONCE = behavior(down=ScalingRules(stabilization_window_seconds=0))
"""Down without a window; up as usual."""


def autoscaler(*metrics: MetricSpec, least=1, most=10, behavior=None) -> HorizontalPodAutoscaler:
    return AUTOSCALERS.defaults(
        HorizontalPodAutoscaler(
            metadata=ObjectMeta(name="web", namespace="default", uid="h1", generation=1),
            spec=AutoscalerSpec(
                scale_target_ref=CrossVersionObjectReference(
                    api_version="apps/v1", kind="Deployment", name="web"
                ),
                min_replicas=least,
                max_replicas=most,
                metrics=metrics,
                behavior=behavior,
            ),
        )
    )


@cache
def target(replicas: int, observed: int | None = None) -> Target:
    found = deployment(replicas)
    status = replace(found.status, replicas=replicas if observed is None else observed)
    return Target(DEPLOYMENTS, replace(found, status=status))


def worker(
    name: str,
    *,
    is_ready: bool = True,
    started_ms: int = LONG_AGO_MS,
    changed_ms: int | None = None,
    phase: str = "Running",
    **request: str,
) -> Pod:
    """A pod that is ready or not since it started, or since it changed."""
    request = request or {"cpu": "1", "memory": "1Gi"}
    made = pod(name, phase=phase, node="n1", **request)
    since = format_time(started_ms if changed_ms is None else changed_ms)
    ready = Condition(
        type="Ready", status="True" if is_ready else "False", last_transition_time=since
    )
    status = replace(
        made.status, phase=phase, conditions=(ready,), start_time=format_time(started_ms)
    )
    return replace(made, status=status)


def using(cpu_milli: int = 0, memory: int = 0, *, at_ms: int = NOW_MS) -> Usage:
    return Usage(at_ms=at_ms, window_ms=15_000, cpu_nano=cpu_milli * 1_000_000, memory_bytes=memory)


def busy(*milli: int | None, pods=None, memory: bool = False) -> Measured:
    """Pods that use so much each; None: nobody knows."""
    pods = pods or [worker(f"p{index}") for index in range(len(milli))]
    usages = {
        pod.metadata.uid: {"main": using(memory=amount) if memory else using(amount)}
        for pod, amount in zip(pods, milli, strict=False)
        if amount is not None
    }
    return Measured(pods=pods, usages=usages)


def behind(messages: int | str, pods: int = 0) -> Measured:
    return Measured(pods=[worker(f"p{index}") for index in range(pods)], lags={WORK: messages})


def status_of(look) -> AutoscalerStatus:
    """As it would be written; what is written already where nothing is."""
    written = [d.object.status for d in look.plan.decisions if isinstance(d, UpdateStatus)]
    return written[0] if written else look.memory.status


def told(look, type_: str) -> tuple[str, str, str]:
    found = condition(status_of(look).conditions, type_)
    assert found is not None, f"no condition {type_}"
    return found.status, found.reason, found.message


def events(look) -> list[str]:
    said = [d for d in look.plan.decisions if isinstance(d, Emit)]
    said += [d.announce for d in look.plan.decisions if isinstance(d, Rescale)]
    return [f"{event.type} {event.reason}: {event.message}" for event in said]


def first_look(found, of, measured, now_ms=NOW_MS):
    return plan(found, of, measured, None, now_ms)


class Watched:
    """An autoscaler and its target, whose plans are followed as time goes by."""

    def __init__(self, found: HorizontalPodAutoscaler, replicas: int) -> None:
        self.found = found
        self.replicas = replicas
        self.memory = None
        self.now_ms = NOW_MS
        self.sizes: list[tuple[int, int]] = [(NOW_MS, replicas)]

    def look(self, measured: Measured, *, after_s: float = 15, is_done: bool = True):
        """One look, that long after the last one; what it decided is done, unless said otherwise."""
        self.now_ms += round(after_s * 1000)
        of = target(self.replicas)
        look = plan(self.found, of, measured, self.memory, self.now_ms)
        self.memory = look.memory
        if is_done:
            self.found = replace(self.found, status=look.memory.status)
            if look.memory.after is not None:
                self.replicas = look.memory.after
            self.sizes.append((self.now_ms, self.replicas))
        return look

    def take_over(self) -> None:
        """Another orchestrator leads now."""
        self.memory = None
