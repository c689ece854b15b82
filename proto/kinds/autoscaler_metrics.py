"""What an autoscaler measures: a metric, where it comes from, what it should be and what it is.

Source of the rules and texts: Kubernetes, pkg/apis/autoscaling/validation.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import LabelSelector, Model


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

OF_NO_POD = frozenset({"External", "Object"})
"""Metrics that are there without pods, and so can call for the first one."""


def cpu_metric(percent: int) -> MetricSpec:
    """Aim at that much of the CPU that pods ask for."""
    target = MetricTarget(type="Utilization", average_utilization=percent)
    return MetricSpec(type="Resource", resource=MetricSource(name="cpu", target=target))


def with_text(metric: MetricSpec) -> MetricSpec:
    """The metric with its quantities as text, as Kubernetes tells them."""
    field = SOURCES.get(metric.type, "")
    source: MetricSource | None = getattr(metric, field, None)
    if source is None:
        return metric
    target = replace(
        source.target,
        value=_text(source.target.value),
        average_value=_text(source.target.average_value),
    )
    return replace(metric, **{field: replace(source, target=target)})


def _text(value: quantity.Quantity | None) -> str | None:
    return None if value is None else quantity.canonical(value)


def check_reference(at: str, found: CrossVersionObjectReference) -> list[FieldError]:
    """What is wrong with the name of an object."""
    errors: list[FieldError] = []
    for name, value in (("kind", found.kind), ("name", found.name)):
        if value:
            errors += validation.path_segment(f"{at}.{name}", value)
        else:
            errors.append(validation.required(f"{at}.{name}"))
    return errors


def check_metric(at: str, metric: MetricSpec) -> list[FieldError]:
    """What is wrong with one."""
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
        errors += check_reference(
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
