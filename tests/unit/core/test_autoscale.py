"""What an autoscaler decides and says, with the numbers of Kubernetes' own tests."""

from dataclasses import replace as replace_kind

import pytest
from msgspec.structs import replace

from orchestrator.core.autoscale import Measured, Target, plan
from orchestrator.core.decisions import render
from proto.kinds.autoscaler import ScalingRules
from proto.kinds.autoscaler_metrics import (
    CrossVersionObjectReference,
    MetricIdentifier,
    MetricSource,
    MetricSpec,
    MetricTarget,
)
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.kind import ScalePaths
from proto.meta import CustomResource, ObjectMeta, format_time
from tests.unit.core.making import NOW_MS
from tests.unit.core.scaling import (
    AT_ONCE,
    WORK,
    Watched,
    autoscaler,
    behavior,
    behind,
    busy,
    events,
    first_look,
    lag,
    policy,
    resource,
    status_of,
    target,
    told,
    using,
    worker,
)


def wanted(metric, replicas, measured, *, observed=None, least=0):
    """What one metric calls for, with nothing in the way."""
    up = ScalingRules(policies=(policy("Pods", 10_000),))
    down = ScalingRules(stabilization_window_seconds=0)
    found = autoscaler(metric, least=least, most=1000, behavior=behavior(up, down))
    look = first_look(found, target(replicas, observed), measured)
    return look.memory.after, status_of(look).current_metrics[0]


def unready(*names):
    return [worker(name, is_ready=name.startswith("ready")) for name in names]


PODS_UNREADY = {
    "one of three": unready("unready", "ready1", "ready2"),
    "two of three": unready("ready1", "unready1", "unready2"),
    "one of four": unready("unready", "ready1", "ready2", "ready3"),
    "two ended": [
        worker("a"), worker("b"), worker("c", phase="Failed"), worker("d", phase="Failed"),
    ],
    "one pending": [worker("a"), worker("b"), worker("c", phase="Pending")],
    "of four cores": [worker(f"p{index}", cpu="4") for index in range(4)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("current", "percent", "used", "pods", "expected", "shown"),
    [
        # Kubernetes, replica_calculator_test.go
        (3, 30, (300, 500, 700), None, 5, 50),
        (3, 30, (300, 500, 700), "one of three", 4, 60),
        (2, 30, (500, 700), "two ended", 4, 60),
        (3, 30, (400, 500, 700), "two of three", 3, 40),
        (3, 30, (500, 700), "one pending", 4, 60),
        (5, 50, (100, 300, 500, 250, 250), None, 3, 28),
        (3, 100, (1010, 1030, 1020), None, 3, 102),
        (4, 100, (400, 95, None, None), None, 3, 24),
        (2, 100, (1000, None), None, 2, 100),
        (2, 100, (1900, None), None, 2, 190),
        (2, 100, (600, None), None, 2, 60),
        (3, 50, (100, 450, None), "one of three", 3, 45),
        (3, 50, (100, 2000, None), "one of three", 4, 200),
        (4, 50, (100, 100, 100, None), "one of four", 3, 10),
        # the tolerance ends where it says: at a tenth, in both directions
        (10, 100, (1100,) * 10, None, 10, 110),
        (10, 100, (1110,) * 10, None, 12, 111),
        (10, 100, (900,) * 10, None, 10, 90),
        (10, 100, (890,) * 10, None, 9, 89),
        (4, 25, (1000,) * 4, "of four cores", 4, 25),
    ],
)
def test_utilization_calls_for_as_many_as_in_kubernetes(
    current, percent, used, pods, expected, shown
):
    measured = busy(*used, pods=PODS_UNREADY[pods] if pods else None)
    replicas, reading = wanted(resource(percent=percent), current, measured)
    assert (replicas, reading.resource.current.average_utilization) == (expected, shown)


@pytest.mark.parametrize(
    ("current", "average", "used", "expected", "shown"),
    [
        (1, "100m", (200,), 2, "200m"),  # "If the current metric value is 200m, and 100m desired"
        (2, "100m", (50, 50), 1, "50m"),  # "the number of replicas is halved"
        (3, "300m", (300, 500, 700), 5, "500m"),
        (3, "2", (2000, 2100, 2200), 3, "2100m"),
        (2, "1", (1500, None), 2, "1500m"),  # a missing one is taken to use nothing
        (2, "1", (3000, None), 3, "3"),
    ],
)
def test_an_amount_a_pod_calls_for_as_many_as_in_kubernetes(
    current, average, used, expected, shown
):
    replicas, reading = wanted(resource(average=average), current, busy(*used))
    assert (replicas, reading.resource.current.average_value) == (expected, shown)


def test_memory_is_compared_in_bytes_and_counts_from_the_start():
    pods = [worker("p0", is_ready=False, started_ms=NOW_MS - 1000), worker("p1")]
    measured = busy(800 * 2**20, 800 * 2**20, pods=pods, memory=True)
    replicas, reading = wanted(resource("memory", percent=50), 2, measured)
    assert (replicas, reading.resource.current.average_utilization) == (4, 78)
    replicas, reading = wanted(resource("memory", average="400Mi"), 2, measured)
    assert (replicas, reading.resource.current.average_value) == (4, "838860800")


@pytest.mark.parametrize(
    ("started_s", "changed_s", "is_ready", "measured_s", "counts"),
    [
        (-3600, -3600, True, 0, True),
        (-60, -16, True, 0, True),  # a whole window since it became ready
        (-60, -10, True, 0, False),  # its start is in the window
        (-60, -50, False, 0, False),
        (-400, -390, False, 0, False),  # it was never ready
        (-400, -60, False, 0, True),  # it was, and is busy perhaps
    ],
)
def test_cpu_of_the_start_does_not_count(started_s, changed_s, is_ready, measured_s, counts):
    """Source: Kubernetes, groupPods."""
    starting = worker(
        "p1",
        is_ready=is_ready,
        started_ms=NOW_MS + 1000 * started_s,
        changed_ms=NOW_MS + 1000 * changed_s,
    )
    pods = [worker("p0"), starting]
    usages = {
        "p0": {"main": using(500)},
        "p1": {"main": using(100, at_ms=NOW_MS + 1000 * measured_s)},
    }
    usages = {pod.metadata.uid: usages[pod.metadata.name] for pod in pods}
    _, reading = wanted(resource(percent=50), 2, Measured(pods=pods, usages=usages))
    assert reading.resource.current.average_utilization == (30 if counts else 50)


def test_one_container_is_measured_apart_from_the_others():
    found = worker("p0", cpu="1")
    side = replace(found.spec.containers[0], name="side", resources=replace(
        found.spec.containers[0].resources, requests={}, limits={}
    ))  # fmt: skip
    found = replace(found, spec=replace(found.spec, containers=(*found.spec.containers, side)))
    usages = {found.metadata.uid: {"main": using(800), "side": using(900)}}
    measured = Measured(pods=[found], usages=usages)
    replicas, reading = wanted(resource(percent=40, container="main"), 1, measured)
    current = reading.container_resource.current
    assert (replicas, current.average_utilization) == (2, 80)
    look = first_look(autoscaler(resource(percent=40, container="main")), target(1), measured)
    assert events(look) == [
        (
            "Normal SuccessfulRescale: New size: 2; reason: cpu container resource utilization "
            "(percentage of request) above target"
        )
    ]
    assert told(first_look(autoscaler(resource(percent=40)), target(1), measured), "ScalingActive") == (
        "False",
        "FailedGetResourceMetric",
        ("the HPA was unable to compute the replica count: failed to get cpu utilization: missing "
        "request for cpu in container side of Pod p0"),
    )  # fmt: skip
    look = first_look(autoscaler(resource(percent=40, container="other")), target(1), measured)
    assert told(look, "ScalingActive")[1:] == (
        "FailedGetContainerResourceMetric",
        (
            "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to "
            "get metrics for resource cpu: container other not present in metrics for pod default/p0"
        ),
    )


def test_a_pod_is_measured_when_all_its_containers_are():
    found = worker("p0", cpu="1")
    second = replace(found.spec.containers[0], name="second")
    found = replace(found, spec=replace(found.spec, containers=(*found.spec.containers, second)))
    measured = Measured(pods=[found], usages={found.metadata.uid: {"main": using(800)}})
    look = first_look(autoscaler(resource(percent=40)), target(1), measured)
    assert told(look, "ScalingActive")[1] == "FailedGetResourceMetric"


# External metrics


@pytest.mark.parametrize(
    ("metric", "current", "messages", "expected"),
    [
        # Kubernetes, replica_calculator_test.go
        (lag(value="4400m"), 1, 9, 3),
        (lag(value="4400"), 1, 8600, 2),
        (lag(value="14334"), 5, 8600, 3),
        (lag(value="8600"), 3, 8888, 3),
        (lag(average="2150"), 3, 8600, 4),
        (lag(average="2867"), 5, 8600, 3),
        (lag(average="2867"), 3, 8600, 3),
        # to zero and back
        (lag(average="10"), 0, 0, 0),
        (lag(average="10"), 0, 1, 1),
        (lag(average="10"), 0, 35, 4),
        (lag(average="10"), 4, 0, 0),
        (lag(value="10"), 0, 35, 4),
        (lag(value="10"), 0, 0, 0),
        (lag(value="10"), 4, 0, 0),
    ],
)
def test_a_lag_calls_for_as_many_as_in_kubernetes(metric, current, messages, expected):
    assert wanted(metric, current, behind(messages, current))[0] == expected


def test_the_lag_is_shown_a_replica_or_in_all():
    _, reading = wanted(lag(average="2150"), 3, behind(8600, 3))
    assert reading.external.current.average_value == "2866667m"
    _, reading = wanted(lag(value="5k"), 3, behind(9000, 3))
    assert reading.external.current.value == "9k"
    assert reading.external.metric.selector.match_labels == {
        "stream": "JOBS",
        "consumer": "workers",
    }
    _, reading = wanted(lag(average="10"), 0, behind(35))
    assert reading.external.current.average_value == "35"


def test_what_is_wrong_with_an_external_metric_is_said():
    look = first_look(
        autoscaler(lag(average="10")), target(2), behind('stream "JOBS" has no consumer "workers"')
    )
    said = (
        "unable to get external metric default/nats-consumer-lag/&LabelSelector{MatchLabels:"
        "map[string]string{consumer: workers,stream: JOBS,},MatchExpressions:"
        '[]LabelSelectorRequirement{},}: stream "JOBS" has no consumer "workers"'
    )
    assert told(look, "ScalingActive") == (
        "False",
        "FailedGetExternalMetric",
        f"the HPA was unable to compute the replica count: {said}",
    )
    assert events(look) == [
        f"Warning FailedGetExternalMetric: {said}",
        (
            "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error "
            "is: failed to get nats-consumer-lag external metric value: failed to get "
            f"nats-consumer-lag external metric: {said}"
        ),
    ]
    for metric in (
        lag(average="10", name="queue-length"),
        lag(average="10", labels={"stream": "JOBS"}),
        lag(average="10", labels={"stream": "JOBS", "consumer": "w", "domain": "hub"}),
    ):
        look = first_look(autoscaler(metric), target(2), Measured(lags={WORK: 5}))
        assert told(look, "ScalingActive")[2].endswith(
            "there is one external metric, nats-consumer-lag, selected by the matchLabels stream "
            "and consumer"
        )
        assert look.memory.after == 2


@pytest.mark.parametrize("type_", ["Pods", "Object"])
def test_metrics_that_need_an_adapter_are_unavailable_and_say_what_there_is(type_):
    source = MetricSource(
        metric=MetricIdentifier(name="requests"),
        described_object=CrossVersionObjectReference(kind="Ingress", name="i"),
        target=MetricTarget(type="AverageValue", average_value="5"),
    )
    if type_ == "Pods":
        source = replace(source, described_object=None)
    look = first_look(
        autoscaler(MetricSpec(type=type_, **{type_.lower(): source})), target(2), busy(1, 1)
    )
    assert told(look, "ScalingActive")[:2] == ("False", f"FailedGet{type_}Metric")
    said = told(look, "ScalingActive")[2]
    assert "unable to get metric requests" in said
    assert "no custom metrics API (custom.metrics.k8s.io) registered" in said
    assert "aim at a Resource, or at the External metric nats-consumer-lag" in said


# Several metrics


def test_of_several_metrics_the_one_that_calls_for_most_decides():
    found = autoscaler(resource(percent=50), lag(average="10"))
    measured = replace(busy(600, 600), lags={WORK: 55})
    look = first_look(found, target(2), measured)
    assert look.memory.after == 6
    assert events(look) == [
        (
            "Normal SuccessfulRescale: New size: 6; reason: external metric nats-consumer-lag("
            "&LabelSelector{MatchLabels:map[string]string{consumer: workers,stream: JOBS,},"
            "MatchExpressions:[]LabelSelectorRequirement{},}) above target"
        )
    ]
    assert [reading.type for reading in status_of(look).current_metrics] == ["Resource", "External"]


def test_where_one_metric_is_unknown_the_others_may_only_call_for_more():
    found = autoscaler(resource(percent=50), lag(average="10"), behavior=AT_ONCE)
    up = first_look(found, target(2), replace(busy(None, None), lags={WORK: 55}))
    assert up.memory.after == 6
    assert told(up, "ScalingActive")[1] == "ValidMetricFound"
    assert [event.split(":")[0] for event in events(up)] == [
        "Warning FailedGetResourceMetric",
        "Normal SuccessfulRescale",
    ]
    down = first_look(found, target(2), replace(busy(None, None), lags={WORK: 5}))
    assert down.memory.after == 2
    assert told(down, "ScalingActive")[1] == "FailedGetResourceMetric"
    assert "invalid metrics (1 invalid out of 2)" in events(down)[1]
    assert status_of(down).current_metrics[1].external.current.average_value == "2500m"


# Conditions, events and status


def test_a_busy_target_gets_replicas_and_everything_is_told():
    look = first_look(autoscaler(resource(percent=50)), target(2), busy(1000, 1000))
    assert render(look.plan.decisions) == (
        "rescale deployment web: 2 to 4: cpu resource utilization (percentage of request) above "
        "target\n"
        "update status of horizontalpodautoscaler web: 2 replicas, 4 desired"
    )
    assert look.plan.decisions[0].object.spec.replicas == 4
    assert events(look) == [
        (
            "Normal SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of "
            "request) above target"
        )
    ]
    status = status_of(look)
    assert (status.current_replicas, status.desired_replicas) == (2, 4)
    assert status.last_scale_time == format_time(NOW_MS)
    assert status.observed_generation == 1
    assert told(look, "AbleToScale") == (
        "True",
        "SucceededRescale",
        "the HPA controller was able to update the target scale to 4",
    )
    assert told(look, "ScalingActive") == (
        "True",
        "ValidMetricFound",
        (
            "the HPA was able to successfully calculate a replica count from cpu resource utilization "
            "(percentage of request)"
        ),
    )
    assert told(look, "ScalingLimited") == (
        "False",
        "DesiredWithinRange",
        "the desired count is within the acceptable range",
    )
    assert {c.last_transition_time for c in status.conditions} == {format_time(NOW_MS)}
    assert look.plan.wake_at_ms == NOW_MS + 15_000


def test_a_target_of_the_right_size_is_left_alone_and_nothing_is_written_again():
    watched = Watched(autoscaler(resource(percent=50)), 2)
    look = watched.look(busy(500, 500))
    assert told(look, "AbleToScale") == (
        "True",
        "ReadyForNewScale",
        "recommended size matches current size",
    )
    assert status_of(look).last_scale_time == ""
    assert render(watched.look(busy(500, 500)).plan.decisions) == ""


def test_an_idle_target_keeps_its_replicas_for_the_window_and_loses_them_then():
    watched = Watched(autoscaler(resource(percent=50)), 4)
    for _ in range(20):  # 300 s
        look = watched.look(busy(10, 10, 10, 10))
        assert watched.replicas == 4
        assert told(look, "AbleToScale") == (
            "True",
            "ScaleDownStabilized",
            (
                "recent recommendations were higher than current one, applying the highest recent "
                "recommendation"
            ),
        )
    look = watched.look(busy(10, 10, 10, 10))
    assert watched.replicas == 1
    assert events(look) == [
        "Normal SuccessfulRescale: New size: 1; reason: All metrics below target"
    ]


def test_a_peak_within_the_window_starts_it_again():
    watched = Watched(autoscaler(resource(percent=50)), 4)
    watched.look(busy(10, 10, 10, 10))
    watched.look(busy(500, 500, 500, 500), after_s=200)
    watched.look(busy(10, 10, 10, 10), after_s=290)
    assert watched.replicas == 4
    watched.look(busy(10, 10, 10, 10), after_s=15)
    assert watched.replicas == 1


def test_a_new_leader_waits_for_a_whole_window_before_it_goes_down():
    watched = Watched(autoscaler(resource(percent=50)), 4)
    for _ in range(19):
        watched.look(busy(10, 10, 10, 10))
    watched.take_over()
    for _ in range(20):
        watched.look(busy(10, 10, 10, 10))
        assert watched.replicas == 4
    watched.look(busy(10, 10, 10, 10))
    assert watched.replicas == 1


def test_the_write_of_its_own_status_is_no_reason_to_look_again():
    watched = Watched(autoscaler(resource(percent=50)), 2)
    first = watched.look(busy(1000, 1000))
    again = watched.look(busy(9000, 9000), after_s=0)
    assert (again.plan.decisions, again.plan.wake_at_ms) == ((), first.memory.due_ms)
    spec = replace(watched.found.spec, max_replicas=20)
    meta = replace(watched.found.metadata, generation=2)
    watched.found = replace(watched.found, spec=spec, metadata=meta)
    assert watched.look(busy(9000, 9000), after_s=0).plan.decisions


def test_what_could_not_be_done_is_decided_again_and_does_not_count():
    found = autoscaler(
        resource(percent=50),
        behavior=behavior(up=ScalingRules(select_policy="Max", policies=(policy("Pods", 2),))),
    )
    watched = Watched(found, 2)
    assert watched.look(busy(2000, 2000), is_done=False).memory.after == 4
    assert watched.look(busy(2000, 2000), after_s=0.05).memory.after == 4
    assert watched.look(busy(2000, 2000, 2000, 2000), after_s=15).memory.after == 4


def test_nothing_is_scaled_that_somebody_set_to_zero():
    look = first_look(autoscaler(resource(percent=50)), target(0), Measured())
    assert look.memory.after == 0
    assert told(look, "ScalingActive") == (
        "False",
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
    )
    assert told(look, "AbleToScale") == (
        "True",
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
    )
    assert events(look) == []


@pytest.mark.parametrize(
    ("replicas", "after", "why"),
    [
        (20, 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, 3, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_bounds_hold_whatever_metrics_say(replicas, after, why):
    found = autoscaler(resource(percent=50), least=3, most=10)
    look = first_look(found, target(replicas), Measured())
    assert look.memory.after == after
    assert events(look) == [f"Normal SuccessfulRescale: New size: {after}; reason: {why}"]
    assert told(look, "AbleToScale")[1] == "SucceededRescale"


@pytest.mark.parametrize(
    ("replicas", "used", "most", "after", "reason", "message"),
    [
        (9, 5000, 10, 10, "TooManyReplicas", "more than the maximum replica count"),
        (3, 5000, 30, 7, "ScaleUpLimit", "increasing faster than the maximum scale rate"),
        (10, 5000, 30, 20, "ScaleUpLimit", "increasing faster than the maximum scale rate"),
        (9, 1, 10, 3, "TooFewReplicas", "less than the minimum replica count"),
    ],
)
def test_what_limits_it_is_told(replicas, used, most, after, reason, message):
    found = autoscaler(resource(percent=50), least=3, most=most, behavior=AT_ONCE)
    look = first_look(found, target(replicas), busy(*(used,) * replicas))
    assert look.memory.after == after
    status, said, whole = told(look, "ScalingLimited")
    assert (status, said) == ("True", reason)
    assert whole.endswith(message)


def test_a_target_that_cannot_be_had_is_told():
    found = autoscaler(resource(percent=50))
    look = plan(found, 'deployments.apps "web" not found', Measured(), None, NOW_MS)
    assert told(look, "AbleToScale") == (
        "False",
        "FailedGetScale",
        (
            "the HPA controller was unable to get the target's current scale: deployments.apps "
            '"web" not found'
        ),
    )
    assert events(look) == ['Warning FailedGetScale: deployments.apps "web" not found']
    later = plan(
        replace(found, status=look.memory.status), target(2), busy(500, 500), look.memory, NOW_MS
    )
    assert told(later, "AbleToScale")[1] == "ReadyForNewScale"
    idle = plan(found, target(4), busy(1, 1, 1, 1), look.memory, NOW_MS)
    assert idle.memory.after == 4  # a window begins when it is there


def test_pods_of_two_autoscalers_are_scaled_by_neither():
    rivals = ("default/other", "default/web")
    look = first_look(
        autoscaler(resource(percent=50)), target(2), replace(busy(9000, 9000), rivals=rivals)
    )
    said = "pods by selector app=web are controlled by multiple HPAs: [default/other default/web]"
    assert told(look, "ScalingActive") == ("False", "AmbiguousSelector", said)
    assert events(look) == [
        f"Warning AmbiguousSelector: {said}",
        f"Warning FailedComputeMetricsReplicas: {said}",
    ]
    assert look.memory.after == 2


def test_without_figures_nothing_moves_and_the_reason_is_told():
    look = first_look(autoscaler(resource(percent=50)), target(2), busy(None, None))
    said = (
        "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics "
        "returned from resource metrics API"
    )
    assert told(look, "ScalingActive") == (
        "False",
        "FailedGetResourceMetric",
        f"the HPA was unable to compute the replica count: {said}",
    )
    assert events(look) == [
        f"Warning FailedGetResourceMetric: {said}",
        (
            "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error "
            f"is: failed to get cpu resource metric value: {said}"
        ),
    ]
    starting = [worker("p0", is_ready=False, started_ms=NOW_MS - 1000)]
    look = first_look(autoscaler(resource(percent=50)), target(1), busy(100, pods=starting))
    assert "did not receive metrics for targeted pods (pods might be unready)" in events(look)[0]


def custom(selector: str) -> Target:
    """A custom resource with a scale."""
    paths = ScalePaths(("spec", "size"), ("status", "size"), ("status", "selector"))
    kind = replace_kind(DEPLOYMENTS, scale=paths)
    made = CustomResource(
        metadata=ObjectMeta(name="boat", namespace="default"),
        spec={"size": 2, "colour": "red"},
        status={"size": 2, "selector": selector},
    )
    return Target(kind, made)


def test_a_custom_resource_is_scaled_where_it_keeps_its_numbers():
    look = first_look(autoscaler(resource(percent=50)), custom("app in (web)"), busy(1000, 1000))
    assert look.plan.decisions[0].object.spec == {"size": 4, "colour": "red"}


@pytest.mark.parametrize(
    ("selector", "event", "said"),
    [
        ("", "SelectorRequired", "the HPA target's scale is missing a selector"),
        ("a in", "InvalidSelector", "couldn't convert selector into a corresponding internal"),
    ],
)
def test_a_target_must_say_which_pods_it_has(selector, event, said):
    look = first_look(autoscaler(resource(percent=50)), custom(selector), busy(1000, 1000))
    assert told(look, "ScalingActive")[:2] == ("False", "InvalidSelector")
    assert told(look, "ScalingActive")[2].startswith(said)
    assert [text.split(":")[0] for text in events(look)] == [
        f"Warning {event}",
        "Warning FailedComputeMetricsReplicas",
    ]
