"""HorizontalPodAutoscaler: as many replicas as what is measured calls for.

This is its version 2, in which it is stored; `autoscaler_v1` is the other one. Source of defaults,
rules and texts: Kubernetes, pkg/apis/autoscaling.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, LabelSelector, Model, Resource, Time

CPU_PERCENT = 80
"""Aimed at when no metric is named. Source: DefaultCPUUtilization."""

WINDOW_MAX_S = 3600
PERIOD_MAX_S = 1800
_SHOWN_MAX = 2


class CrossVersionObjectReference(Model, frozen=True, kw_only=True):
    """An object of the same namespace."""

    kind: str = ""
    name: str = ""
    api_version: str = ""


class MetricIdentifier(Model, frozen=True, kw_only=True):
    """What is measured."""

    name: str = ""
    selector: LabelSelector | None = None


class MetricTarget(Model, frozen=True, kw_only=True):
    """What it should be: ``Utilization`` in percent, ``Value``, or ``AverageValue`` of a pod."""

    type: str = ""
    value: quantity.Quantity | None = None
    average_value: quantity.Quantity | None = None
    average_utilization: int | None = None


class MetricValue(Model, frozen=True, kw_only=True):
    """What it is."""

    value: quantity.Quantity | None = None
    average_value: quantity.Quantity | None = None
    average_utilization: int | None = None


class MetricSource(Model, frozen=True, kw_only=True):
    """One metric; which fields there are depends on where it comes from.

    Attributes:
        name: Of a resource, as is `container`.
        metric: Of pods, an object, or something else.
    """

    name: str = ""
    container: str = ""
    described_object: CrossVersionObjectReference | None = None
    metric: MetricIdentifier | None = None
    target: MetricTarget = MetricTarget()


class MetricReading(Model, frozen=True, kw_only=True):
    """The same, with what was measured."""

    name: str = ""
    container: str = ""
    described_object: CrossVersionObjectReference | None = None
    metric: MetricIdentifier | None = None
    current: MetricValue = MetricValue()


class MetricSpec(Model, frozen=True, kw_only=True):
    """A metric to aim at; `type` says which of the sources is there."""

    type: str = ""
    object: MetricSource | None = None
    pods: MetricSource | None = None
    resource: MetricSource | None = None
    container_resource: MetricSource | None = None
    external: MetricSource | None = None


class MetricStatus(Model, frozen=True, kw_only=True):
    """A metric as it was last."""

    type: str = ""
    object: MetricReading | None = None
    pods: MetricReading | None = None
    resource: MetricReading | None = None
    container_resource: MetricReading | None = None
    external: MetricReading | None = None


SOURCES: Mapping[str, str] = {
    "ContainerResource": "container_resource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""A metric's type, and the field that goes with it."""


class ScalingPolicy(Model, frozen=True, kw_only=True):
    """How many pods, or what percentage of them, may come or go within a period."""

    type: str = ""
    value: int = 0
    period_seconds: int = 0


class ScalingRules(Model, frozen=True, kw_only=True):
    """How fast it may go in one direction."""

    stabilization_window_seconds: int | None = None
    select_policy: str | None = None
    policies: tuple[ScalingPolicy, ...] = ()


class Behavior(Model, frozen=True, kw_only=True):
    """How fast it may go."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


class AutoscalerSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    scale_target_ref: CrossVersionObjectReference = CrossVersionObjectReference()
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: tuple[MetricSpec, ...] = ()
    behavior: Behavior | None = None


class AutoscalerStatus(Model, frozen=True, kw_only=True):
    """What there is."""

    observed_generation: int | None = None
    last_scale_time: Time = ""
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: tuple[MetricStatus, ...] = ()
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class HorizontalPodAutoscaler(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


def cpu_metric(percent: int) -> MetricSpec:
    """Aim at that much of the CPU that pods ask for."""
    target = MetricTarget(type="Utilization", average_utilization=percent)
    return MetricSpec(type="Resource", resource=MetricSource(name="cpu", target=target))


_UP = ScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        ScalingPolicy(type="Pods", value=4, period_seconds=15),
        ScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
_DOWN = ScalingRules(
    select_policy="Max", policies=(ScalingPolicy(type="Percent", value=100, period_seconds=15),)
)


def defaults(found: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    """One replica at least, CPU at 80 %, and rules for both directions where one is given."""
    spec = found.spec
    behavior = spec.behavior
    if behavior is not None:
        behavior = Behavior(
            scale_up=_filled(behavior.scale_up, _UP),
            scale_down=_filled(behavior.scale_down, _DOWN),
        )
    return replace(
        found,
        spec=replace(
            spec,
            min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
            metrics=spec.metrics or (cpu_metric(CPU_PERCENT),),
            behavior=behavior,
        ),
    )


def _filled(rules: ScalingRules | None, by: ScalingRules) -> ScalingRules:
    if rules is None:
        return by
    window = rules.stabilization_window_seconds
    return ScalingRules(
        stabilization_window_seconds=by.stabilization_window_seconds if window is None else window,
        select_policy=rules.select_policy or by.select_policy,
        policies=rules.policies or by.policies,
    )


def validate(
    new: HorizontalPodAutoscaler, _old: HorizontalPodAutoscaler | None
) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    least, most = spec.min_replicas or 0, spec.max_replicas
    errors: list[FieldError] = []
    if least < 1:
        said = "must be greater than or equal to 1"
        errors.append(validation.invalid("spec.minReplicas", least, said))
    if most < 1:
        errors.append(validation.invalid("spec.maxReplicas", most, "must be greater than 0"))
    elif most < least:
        said = "must be greater than or equal to `minReplicas`"
        errors.append(validation.invalid("spec.maxReplicas", most, said))
    errors += _reference("spec.scaleTargetRef", spec.scale_target_ref)
    for index, metric in enumerate(spec.metrics):
        errors += _metric(f"spec.metrics[{index}]", metric)
    if spec.behavior is not None:
        errors += _rules("spec.behavior.scaleUp", spec.behavior.scale_up or _UP)
        errors += _rules("spec.behavior.scaleDown", spec.behavior.scale_down or _DOWN)
    return errors


def _reference(at: str, found: CrossVersionObjectReference) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in (("kind", found.kind), ("name", found.name)):
        if value:
            errors += validation.path_segment(f"{at}.{name}", value)
        else:
            errors.append(validation.required(f"{at}.{name}"))
    return errors


def _metric(at: str, metric: MetricSpec) -> list[FieldError]:
    if not metric.type:
        return [validation.required(f"{at}.type", "must specify a metric source type")]
    wanted = SOURCES.get(metric.type)
    if wanted is None:
        return [validation.not_supported(f"{at}.type", metric.type, tuple(SOURCES))]
    errors = [
        validation.forbidden(f"{at}.{_camel(name)}", "must populate the given metric source only")
        for name in SOURCES.values()
        if name != wanted and getattr(metric, name) is not None
    ]
    source: MetricSource | None = getattr(metric, wanted)
    at = f"{at}.{_camel(wanted)}"
    if source is None:
        said = "must populate information for the given metric source"
        return [*errors, validation.required(at, said)]
    return errors + _source(at, metric.type, source) + _target(f"{at}.target", source.target)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _source(at: str, type_: str, source: MetricSource) -> list[FieldError]:
    """Its names, and that it aims at what can be measured there."""
    errors: list[FieldError] = []
    target = source.target
    if type_ in ("Resource", "ContainerResource"):
        if not source.name:
            errors.append(validation.required(f"{at}.name", "must specify a resource name"))
        if type_ == "ContainerResource" and not source.container:
            errors.append(validation.required(f"{at}.container", "must specify a container"))
        if target.average_utilization is None and target.average_value is None:
            said = "must set either a target raw value or a target utilization"
            errors.append(validation.required(f"{at}.target.averageUtilization", said))
        elif target.average_utilization is not None and target.average_value is not None:
            said = "may not set both a target raw value and a target utilization"
            errors.append(validation.forbidden(f"{at}.target.averageValue", said))
        return errors
    if source.metric is None or not source.metric.name:
        errors.append(validation.required(f"{at}.metric.name", "must specify a metric name"))
    if type_ == "Object":
        errors += _reference(
            f"{at}.describedObject", source.described_object or CrossVersionObjectReference()
        )
    if target.average_value is None and (type_ == "Pods" or target.value is None):
        name = "averageValue" if type_ == "Pods" else "value"
        said = (
            "must specify a positive target averageValue"
            if type_ == "Pods"
            else "must set either a target value or averageValue"
        )
        errors.append(validation.required(f"{at}.target.{name}", said))
    return errors


def _target(at: str, target: MetricTarget) -> list[FieldError]:
    errors: list[FieldError] = []
    if not target.type:
        errors.append(validation.required(f"{at}.type", "must specify a metric target type"))
    elif target.type not in ("Utilization", "Value", "AverageValue"):
        said = "must be either Utilization, Value, or AverageValue"
        errors.append(validation.invalid(f"{at}.type", target.type, said))
    percent = target.average_utilization
    if percent is not None and percent < 1:
        errors.append(
            validation.invalid(f"{at}.averageUtilization", percent, "must be greater than 0")
        )
    for name, value in (("value", target.value), ("averageValue", target.average_value)):
        if value is not None and not _is_positive(value):
            errors.append(validation.invalid(f"{at}.{name}", value, "must be positive"))
    return errors


def _is_positive(value: quantity.Quantity) -> bool:
    try:
        return quantity.parse(value) > 0
    except ValueError:
        return False


def _rules(at: str, rules: ScalingRules) -> list[FieldError]:
    errors = validation.one_of(
        f"{at}.selectPolicy", rules.select_policy or "", ("Disabled", "Max", "Min")
    )
    window = rules.stabilization_window_seconds
    if window is not None and not 0 <= window <= WINDOW_MAX_S:
        said = f"must be between 0 and {WINDOW_MAX_S}, inclusive"
        errors.append(validation.invalid(f"{at}.stabilizationWindowSeconds", window, said))
    for index, policy in enumerate(rules.policies):
        path = f"{at}.policies[{index}]"
        errors += validation.one_of(f"{path}.type", policy.type, ("Percent", "Pods"))
        if policy.value <= 0:
            said = "must be greater than zero"
            errors.append(validation.invalid(f"{path}.value", policy.value, said))
        if not 0 < policy.period_seconds <= PERIOD_MAX_S:
            said = f"must be between 1 and {PERIOD_MAX_S}, inclusive"
            errors.append(validation.invalid(f"{path}.periodSeconds", policy.period_seconds, said))
    return errors


def _targets_cell(found: HorizontalPodAutoscaler) -> str:
    """Source: printers.go, formatHPAMetrics."""
    metrics, readings = found.spec.metrics, found.status.current_metrics
    shown = [
        _target_cell(metric, readings[index] if index < len(readings) else MetricStatus())
        for index, metric in enumerate(metrics[:_SHOWN_MAX])
    ]
    more = len(metrics) - _SHOWN_MAX
    return ", ".join(shown) + (f" + {more} more..." if more > 0 else "") or "<none>"


def _target_cell(metric: MetricSpec, reading: MetricStatus) -> str:
    field = SOURCES.get(metric.type, "")
    source: MetricSource | None = getattr(metric, field, None)
    if source is None:
        return "<unknown type>"
    told: MetricReading | None = getattr(reading, field)
    current = MetricValue() if told is None else told.current
    prefix = f"{source.name}: " if source.name else ""
    target = source.target
    if target.average_utilization is not None:
        return f"{prefix}{_percent(current)}/{target.average_utilization}%"
    if target.average_value is not None:
        suffix = "" if metric.type in ("Pods", "Resource", "ContainerResource") else " (avg)"
        return f"{prefix}{_or_unknown(current.average_value)}/{target.average_value}{suffix}"
    return f"{prefix}{_or_unknown(current.value)}/{target.value}"


def _percent(current: MetricValue) -> str:
    percent = current.average_utilization
    return "<unknown>" if percent is None else f"{percent}%"


def _or_unknown(value: Any) -> str:
    return "<unknown>" if value is None else str(value)


def _reference_cell(found: HorizontalPodAutoscaler) -> str:
    target = found.spec.scale_target_ref
    return f"{target.kind}/{target.name}"


AUTOSCALERS: Kind[HorizontalPodAutoscaler] = Kind(
    name="HorizontalPodAutoscaler",
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    singular="horizontalpodautoscaler",
    type=HorizontalPodAutoscaler,
    short_names=("hpa",),
    categories=("all",),
    columns=(
        Column("Reference", lambda found, _: _reference_cell(found)),
        Column("Targets", lambda found, _: _targets_cell(found)),
        Column("MinPods", lambda found, _: str(found.spec.min_replicas or "<unset>")),
        Column("MaxPods", lambda found, _: found.spec.max_replicas, type="integer"),
        Column("Replicas", lambda found, _: found.status.current_replicas, type="integer"),
        Column("Age", age_cell),
    ),
    defaults=defaults,
    validate=validate,
    notice="are stored and served, but nothing scales by them yet",
)
