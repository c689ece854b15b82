"""A HorizontalPodAutoscaler in both of its versions, and its row in a table."""

import json

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from proto import codec
from proto.errors import BadRequest
from proto.kinds import autoscaler_v1
from proto.kinds.autoscaler import AUTOSCALERS, HorizontalPodAutoscaler
from proto.kinds.autoscaler_v1 import HorizontalPodAutoscalerV1, from_stored, to_stored

TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
METER = {"name": "requests", "selector": {"matchLabels": {"a": "b"}}}
PATH = {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"}


def target(type_, **values):
    return {"type": type_, **values}


METRICS = [
    {"type": "Resource", "resource": {"name": "cpu", "target": target("Utilization", averageUtilization=50)}},
    {"type": "Resource", "resource": {"name": "cpu", "target": target("AverageValue", averageValue="500m")}},
    {"type": "Resource", "resource": {"name": "memory", "target": target("Utilization", averageUtilization=70)}},
    {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "c", "target": target("Utilization", averageUtilization=7)},
    },
    {"type": "Pods", "pods": {"metric": METER, "target": target("AverageValue", averageValue="1k")}},
    {"type": "Object", "object": {"describedObject": PATH, "metric": METER, "target": target("Value", value="5")}},
    {
        "type": "Object",
        "object": {"describedObject": PATH, "metric": METER, "target": target("AverageValue", averageValue="5")},
    },
    {"type": "External", "external": {"metric": METER, "target": target("Value", value="9")}},
    {"type": "External", "external": {"metric": METER, "target": target("AverageValue", averageValue="9")}},
]  # fmt: skip


def reading(metric):
    (field,) = metric.keys() - {"type"}
    told = {k: v for k, v in metric[field].items() if k != "target"}
    values = {k: v for k, v in metric[field]["target"].items() if k != "type"}
    return {"type": metric["type"], field: told | {"current": values}}


BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Min",
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
    },
    "scaleDown": {"selectPolicy": "Disabled"},
}
CONDITION = {"type": "AbleToScale", "status": "True", "reason": "R", "message": "m"}


def stored(metrics=(), behavior=None, conditions=(), **spec):
    found = {
        "metadata": {"name": "h", "annotations": {"mine": "kept"}},
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "metrics": list(metrics), **spec},
        "status": {
            "currentReplicas": 2,
            "currentMetrics": [reading(metric) for metric in metrics],
            "conditions": list(conditions),
        },
    }
    if behavior:
        found["spec"]["behavior"] = behavior
    made = codec.from_plain(found, HorizontalPodAutoscaler)
    return replace(
        AUTOSCALERS.defaults(made), api_version="autoscaling/v2", kind="HorizontalPodAutoscaler"
    )


@settings(max_examples=100, deadline=None)
@given(
    metrics=st.lists(st.sampled_from(METRICS), max_size=6),
    behavior=st.sampled_from([None, BEHAVIOR]),
    conditions=st.sampled_from([(), (CONDITION,)]),
)
def test_what_went_through_version_1_is_what_it_was(metrics, behavior, conditions):
    """But that the first CPU metric comes first, as in Kubernetes."""
    found = stored(metrics, behavior, conditions)
    back = AUTOSCALERS.defaults(to_stored(from_stored(found)))
    first = next((m for m in found.spec.metrics if m == back.spec.metrics[0]), None)
    assert first is not None
    assert sorted(map(codec.encode, back.spec.metrics)) == sorted(
        map(codec.encode, found.spec.metrics)
    )
    assert replace(back, spec=replace(back.spec, metrics=found.spec.metrics)) == found
    again = from_stored(back)
    assert to_stored(again) == back  # and from then on nothing moves


def test_version_1_shows_cpu_in_a_field_and_the_rest_in_annotations():
    found = from_stored(stored(METRICS, BEHAVIOR, [CONDITION]))
    assert found.api_version == "autoscaling/v1"
    assert found.spec.target_cpu_utilization_percentage == 50
    assert found.status.current_replicas == 2
    notes = {
        name: json.loads(text)
        for name, text in found.metadata.annotations.items()
        if name.startswith(autoscaler_v1.PREFIX)
    }
    assert found.metadata.annotations["mine"] == "kept"
    flat = notes["autoscaling.alpha.kubernetes.io/metrics"]
    assert flat[1] == {
        "type": "Resource",
        "resource": {"name": "memory", "targetAverageUtilization": 70},
    }
    selector = METER["selector"]
    assert flat[3] == {
        "type": "Pods",
        "pods": {"metricName": "requests", "selector": selector, "targetAverageValue": "1k"},
    }
    assert flat[4] == {
        "type": "Object",
        "object": {
            "metricName": "requests", "selector": selector, "target": PATH, "targetValue": "5",
        },
    }  # fmt: skip
    assert flat[5]["object"]["averageValue"] == "5"
    assert flat[6]["external"] == {
        "metricName": "requests", "metricSelector": selector, "targetValue": "9",
    }  # fmt: skip
    behavior = notes["autoscaling.alpha.kubernetes.io/behavior"]
    assert behavior["ScaleUp"]["Policies"] == [{"Type": "Pods", "Value": 2, "PeriodSeconds": 60}]
    assert notes["autoscaling.alpha.kubernetes.io/conditions"] == [CONDITION]
    assert len(notes["autoscaling.alpha.kubernetes.io/current-metrics"]) == len(METRICS)


def test_version_1_without_a_metric_aims_at_the_usual_cpu():
    spec = codec.from_plain(
        {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 2}}, HorizontalPodAutoscalerV1
    )
    (metric,) = AUTOSCALERS.defaults(to_stored(spec)).spec.metrics
    assert metric.resource.target.average_utilization == 80


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"type": 1}]', '[{"type": "Resource", "resource": {"name": []}}]'])  # fmt: skip
def test_an_annotation_that_cannot_be_read_is_refused_by_name(text):
    annotations = {autoscaler_v1.METRICS: text}
    found = codec.from_plain({"metadata": {"annotations": annotations}}, HorizontalPodAutoscalerV1)
    if text == "[1]":
        assert to_stored(found).spec.metrics[0].type == ""  # refused as a metric without a type
        return
    with pytest.raises(BadRequest, match=autoscaler_v1.METRICS):
        to_stored(found)


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ([0], "cpu: 50%/50%"),
        ([1], "cpu: 500m/500m"),
        ([3], "cpu: 7%/7%"),
        ([4], "1k/1k"),
        ([5], "5/5"),
        ([6], "5/5 (avg)"),
        ([7], "9/9"),
        ([0, 2, 4, 5], "cpu: 50%/50%, memory: 70%/70% + 2 more..."),
    ],
)
def test_a_table_shows_what_is_measured_and_what_it_should_be(metrics, shown):
    found = stored([METRICS[index] for index in metrics])
    (cell,) = (column.cell(found, 0) for column in AUTOSCALERS.columns if column.name == "Targets")
    assert cell == shown


def test_a_rule_that_is_given_in_part_gets_the_rest():
    behavior = stored(METRICS[:1], {"scaleDown": {"stabilizationWindowSeconds": 5}}).spec.behavior
    assert behavior.scale_down.stabilization_window_seconds == 5
    assert behavior.scale_down.policies[0].value == 100
    assert behavior.scale_up.select_policy == "Max"


def test_quantities_are_told_as_text_however_they_are_written():
    metric = {"type": "External", "external": {"metric": METER, "target": target("Value", value=9)}}
    found = stored([metric], {"scaleUp": {"tolerance": 0.05}})
    assert found.spec.metrics[0].external.target.value == "9"
    assert found.spec.behavior.scale_up.tolerance == "50m"


@pytest.mark.parametrize(("least", "shown"), [(0, "0"), (2, "2"), (None, "1")])
def test_none_is_a_number_of_replicas(least, shown):
    found = stored([METRICS[7]], minReplicas=least)
    (cell,) = (column.cell(found, 0) for column in AUTOSCALERS.columns if column.name == "MinPods")
    assert cell == shown
    assert AUTOSCALERS.validate(found, None) == []
