"""ReplicaSet: so many pods from one template."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import PodTemplateSpec, age_cell, default_spec, validate_spec
from proto.meta import Condition, LabelSelector, Model, Resource, format_selector


class ReplicaSetSpec(Model, frozen=True, kw_only=True):
    """How many, of what."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()


class ReplicaSetStatus(Model, frozen=True, kw_only=True):
    """How many there are. `replicas` is always encoded, as Kubernetes does."""

    replicas: int | None = None
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class ReplicaSet(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


def defaults(found: ReplicaSet) -> ReplicaSet:
    """One replica; the pod template's own defaults."""
    spec = found.spec
    return replace(
        found,
        spec=replace(
            spec,
            replicas=1 if spec.replicas is None else spec.replicas,
            template=replace(spec.template, spec=default_spec(spec.template.spec)),
        ),
        status=replace(found.status, replicas=found.status.replicas or 0),
    )


def validate_workload(
    selector: LabelSelector | None, template: PodTemplateSpec, kind: str = "deployment"
) -> list[FieldError]:
    """What a selector and a template owe each other, for every kind that has both."""
    errors: list[FieldError] = []
    if selector is None:
        errors.append(validation.required("spec.selector"))
    elif selector.is_empty:
        errors.append(
            validation.invalid("spec.selector", "{}", f"empty selector is invalid for {kind}")
        )
    else:
        errors += validation.selector("spec.selector", selector)
        if not errors and not selector.matches(template.metadata.labels):
            errors.append(
                validation.invalid(
                    "spec.template.metadata.labels",
                    template.metadata.labels,
                    "`selector` does not match template `labels`",
                )
            )
    errors += validation.labels("spec.template.metadata.labels", template.metadata.labels)
    errors += validate_spec("spec.template.spec", template.spec)
    if template.spec.restart_policy != "Always":
        errors.append(
            validation.not_supported(
                "spec.template.spec.restartPolicy", template.spec.restart_policy, ("Always",)
            )
        )
    return errors


def validate(new: ReplicaSet, old: ReplicaSet | None) -> list[FieldError]:
    """Every wrong field; the selector may not change."""
    errors = validation.non_negative("spec.replicas", new.spec.replicas)
    errors += validation.non_negative("spec.minReadySeconds", new.spec.min_ready_seconds)
    errors += validate_workload(new.spec.selector, new.spec.template)
    if old is not None and new.spec.selector != old.spec.selector:
        errors.append(
            validation.invalid(
                "spec.selector", format_selector(new.spec.selector), "field is immutable"
            )
        )
    return errors


def containers_cell(template: PodTemplateSpec) -> str:
    """The template's container names."""
    return ",".join(container.name for container in template.spec.containers)


def images_cell(template: PodTemplateSpec) -> str:
    """The template's images."""
    return ",".join(container.image for container in template.spec.containers)


REPLICASETS: Kind[ReplicaSet] = Kind(
    name="ReplicaSet",
    group="apps",
    version="v1",
    plural="replicasets",
    singular="replicaset",
    type=ReplicaSet,
    short_names=("rs",),
    categories=("all",),
    columns=(
        Column("Desired", lambda rs, _: rs.spec.replicas or 0, type="integer"),
        Column("Current", lambda rs, _: rs.status.replicas or 0, type="integer"),
        Column("Ready", lambda rs, _: rs.status.ready_replicas, type="integer"),
        Column("Age", age_cell),
        Column("Containers", lambda rs, _: containers_cell(rs.spec.template), priority=1),
        Column("Images", lambda rs, _: images_cell(rs.spec.template), priority=1),
        Column("Selector", lambda rs, _: format_selector(rs.spec.selector), priority=1),
    ),
    defaults=defaults,
    validate=validate,
    fields={"status.replicas": lambda rs: str(rs.status.replicas or 0)},
    has_scale=True,
)
