"""HorizontalPodAutoscaler as its version 1 shows it: CPU has fields, annotations hold the rest.

Both directions lose nothing as long as the annotations are left alone. Source of the annotations
and of what is in them: Kubernetes, pkg/apis/autoscaling/v1/conversion.go.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from proto import codec
from proto.errors import BadRequest
from proto.kinds.autoscaler import (
    AUTOSCALERS,
    AutoscalerSpec,
    AutoscalerStatus,
    Behavior,
    HorizontalPodAutoscaler,
)
from proto.kinds.autoscaler_metrics import (
    SOURCES,
    CrossVersionObjectReference,
    MetricSpec,
    MetricStatus,
    cpu_metric,
)
from proto.kinds.kind import Kind, version_of
from proto.meta import Condition, Model, Resource, Time

PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS = f"{PREFIX}metrics"
BEHAVIOR = f"{PREFIX}behavior"
CONDITIONS = f"{PREFIX}conditions"
CURRENT_METRICS = f"{PREFIX}current-metrics"
_OURS = (METRICS, BEHAVIOR, CONDITIONS, CURRENT_METRICS)

Plain = dict[str, Any]


class AutoscalerSpecV1(Model, frozen=True, kw_only=True):
    """What is wanted."""

    scale_target_ref: CrossVersionObjectReference = CrossVersionObjectReference()
    min_replicas: int | None = None
    max_replicas: int = 0
    target_cpu_utilization_percentage: int | None = msgspec.field(
        default=None, name="targetCPUUtilizationPercentage"
    )


class AutoscalerStatusV1(Model, frozen=True, kw_only=True):
    """What there is."""

    observed_generation: int | None = None
    last_scale_time: Time = ""
    current_replicas: int = 0
    desired_replicas: int = 0
    current_cpu_utilization_percentage: int | None = msgspec.field(
        default=None, name="currentCPUUtilizationPercentage"
    )


class HorizontalPodAutoscalerV1(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: AutoscalerSpecV1 = AutoscalerSpecV1()
    status: AutoscalerStatusV1 = AutoscalerStatusV1()


def from_stored(found: HorizontalPodAutoscaler) -> HorizontalPodAutoscalerV1:
    """What version 1 shows of one."""
    spec, status = found.spec, found.status
    cpu, others = None, []
    for metric in spec.metrics:
        percent = _cpu_percent(metric)
        if cpu is None and percent is not None:
            cpu = percent
        else:
            others.append(_flat(metric))
    now = None
    for reading in status.current_metrics:
        if reading.resource is not None and reading.resource.name == "cpu":
            now = reading.resource.current.average_utilization
    notes: dict[str, Any] = {}
    if others:
        notes[METRICS] = others
    if spec.behavior is not None:
        notes[BEHAVIOR] = _capitals(codec.to_plain(spec.behavior))
    if status.conditions:
        notes[CONDITIONS] = status.conditions
    if status.current_metrics:
        notes[CURRENT_METRICS] = [_flat(reading) for reading in status.current_metrics]
    kept = {k: v for k, v in found.metadata.annotations.items() if k not in _OURS}
    written = {name: codec.encode(value).decode() for name, value in notes.items()}
    return HorizontalPodAutoscalerV1(
        api_version="autoscaling/v1",
        kind=found.kind,
        metadata=replace(found.metadata, annotations=kept | written),
        spec=AutoscalerSpecV1(
            scale_target_ref=spec.scale_target_ref,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            target_cpu_utilization_percentage=cpu,
        ),
        status=AutoscalerStatusV1(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_cpu_utilization_percentage=now,
        ),
    )


def to_stored(found: HorizontalPodAutoscalerV1) -> HorizontalPodAutoscaler:
    """The one that version 1 shows.

    Raises:
        BadRequest: One of its annotations is not what it must be.
    """
    spec, status = found.spec, found.status
    notes = found.metadata.annotations
    metrics = [
        _read(METRICS, _nested(flat, "target"), MetricSpec) for flat in _list(notes, METRICS)
    ]
    if spec.target_cpu_utilization_percentage is not None:
        metrics.insert(0, cpu_metric(spec.target_cpu_utilization_percentage))
    readings = [
        _read(CURRENT_METRICS, _nested(flat, "current"), MetricStatus)
        for flat in _list(notes, CURRENT_METRICS)
    ]
    conditions = [_read(CONDITIONS, told, Condition) for told in _list(notes, CONDITIONS)]
    behavior = None
    if notes.get(BEHAVIOR):
        behavior = _read(BEHAVIOR, _small(_json(BEHAVIOR, notes[BEHAVIOR])), Behavior)
    kept = {k: v for k, v in notes.items() if k not in _OURS}
    return HorizontalPodAutoscaler(
        api_version=AUTOSCALERS.api_version,
        kind=found.kind,
        metadata=replace(found.metadata, annotations=kept),
        spec=AutoscalerSpec(
            scale_target_ref=spec.scale_target_ref,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            metrics=tuple(metrics),
            behavior=behavior,
        ),
        status=AutoscalerStatus(
            observed_generation=status.observed_generation,
            last_scale_time=status.last_scale_time,
            current_replicas=status.current_replicas,
            desired_replicas=status.desired_replicas,
            current_metrics=tuple(readings),
            conditions=tuple(conditions),
        ),
    )


def _cpu_percent(metric: MetricSpec) -> int | None:
    """What the field of version 1 says, if that says it all."""
    source = metric.resource
    if metric.type != "Resource" or source is None or source.name != "cpu":
        return None
    return source.target.average_utilization


# -- a metric in version 2 has parts; in the annotations of version 1 it is flat

_FLAT: Mapping[str, Mapping[str, str]] = {
    "target": {
        "averageUtilization": "targetAverageUtilization",
        "averageValue": "targetAverageValue",
        "value": "targetValue",
    },
    "current": {
        "averageUtilization": "currentAverageUtilization",
        "averageValue": "currentAverageValue",
        "value": "currentValue",
    },
}
_OBJECT_AVERAGE = "averageValue"
"""Of an object's metric it is called so in both."""


def _flat(metric: MetricSpec | MetricStatus) -> Plain:
    field = SOURCES.get(metric.type, "")
    source = getattr(metric, field, None)
    if source is None:
        return {"type": metric.type}
    given: Plain = codec.to_plain(source)
    part = "target" if isinstance(metric, MetricSpec) else "current"
    values = given.pop(part, {})
    found = {k: v for k, v in given.items() if k in ("name", "container")}
    named = given.get("metric", {})
    is_external = metric.type == "External"
    if "name" in named:
        found["metricName"] = named["name"]
    if "selector" in named:
        found["metricSelector" if is_external else "selector"] = named["selector"]
    if "describedObject" in given:
        found["target"] = given["describedObject"]
    for name, flat in _FLAT[part].items():
        if name in values:
            is_same = metric.type == "Object" and name == _OBJECT_AVERAGE
            found[name if is_same else flat] = values[name]
    return {"type": metric.type, _wire(field): found}


def _nested(flat: Any, part: str) -> Plain:
    """The other way round; what it cannot be is left for the struct to refuse."""
    type_ = flat.get("type", "") if isinstance(flat, dict) else ""
    field = _wire(SOURCES.get(type_, ""))
    given = flat.get(field) if field else None
    if not isinstance(given, dict):
        return {"type": type_}
    found = {k: v for k, v in given.items() if k in ("name", "container")}
    selector = given.get("metricSelector", given.get("selector"))
    metric = {"name": given.get("metricName"), "selector": selector}
    if metric := {k: v for k, v in metric.items() if v is not None}:
        found["metric"] = metric
    if "target" in given:
        found["describedObject"] = given["target"]
    values: Plain = {}
    for name, known in _FLAT[part].items():
        is_same = type_ == "Object" and name == _OBJECT_AVERAGE
        value = given.get(name if is_same else known)
        if value is not None:
            values[name] = value
    if part == "target":
        values["type"] = _target_type(values)
    return {"type": type_, field: found | {part: values}}


def _target_type(values: Plain) -> str:
    if "averageUtilization" in values:
        return "Utilization"
    return "AverageValue" if "averageValue" in values else "Value"


def _wire(field: str) -> str:
    return "containerResource" if field == "container_resource" else field


# -- what is in an annotation


def _json(name: str, text: str) -> Any:
    try:
        return codec.decode_any(text.encode())
    except BadRequest as error:
        raise BadRequest(f"annotation {name}: {error}") from error


def _list(notes: Mapping[str, str], name: str) -> list[Any]:
    found = _json(name, notes[name]) if notes.get(name) else []
    if not isinstance(found, list):
        raise BadRequest(f"annotation {name}: not a list")
    return found


def _read(name: str, value: Any, type_: type[Any]) -> Any:
    try:
        return codec.from_plain(value, type_)
    except msgspec.ValidationError as error:
        raise BadRequest(f"annotation {name}: {error}") from error


def _capitals(value: Any) -> Any:
    """Go's own names: the behavior is written without the API's."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitals(item) for key, item in value.items()}
    return [_capitals(item) for item in value] if isinstance(value, list | tuple) else value


def _small(value: Any) -> Any:
    """The API's names, in which others may have written it."""
    if isinstance(value, dict):
        return {
            key[:1].lower() + key[1:]: _small(item)
            for key, item in value.items()
            if item is not None
        }
    return [_small(item) for item in value] if isinstance(value, list) else value


AUTOSCALERS_V1: Kind[HorizontalPodAutoscalerV1] = version_of(
    AUTOSCALERS,
    "v1",
    HorizontalPodAutoscalerV1,
    to_stored=to_stored,
    from_stored=from_stored,
)
