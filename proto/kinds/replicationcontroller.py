"""ReplicationController: what there was before replica sets."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import PodTemplateSpec, age_cell, default_spec
from proto.kinds.replicaset import (
    ReplicaSetStatus,
    containers_cell,
    images_cell,
    validate_workload,
)
from proto.meta import LabelSelector, Model, Resource, format_selector


class ReplicationControllerSpec(Model, frozen=True, kw_only=True):
    """How many, of what."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: Annotated[dict[str, str], Meta(extra={"is_atomic": True})] = {}
    template: PodTemplateSpec = PodTemplateSpec()


class ReplicationController(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


def defaults(found: ReplicationController) -> ReplicationController:
    """One replica, and the template's labels for a selector and for its own."""
    spec, meta = found.spec, found.metadata
    labels = spec.template.metadata.labels
    return replace(
        found,
        metadata=replace(meta, labels=meta.labels or labels),
        spec=replace(
            spec,
            replicas=1 if spec.replicas is None else spec.replicas,
            selector=spec.selector or labels,
            template=replace(spec.template, spec=default_spec(spec.template.spec)),
        ),
        status=replace(found.status, replicas=found.status.replicas or 0),
    )


def validate(new: ReplicationController, _old: ReplicationController | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors = validation.non_negative("spec.replicas", spec.replicas)
    errors += validation.non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    selector = LabelSelector(match_labels=spec.selector) if spec.selector else None
    return errors + validate_workload(selector, spec.template)


def _selector_cell(found: ReplicationController) -> str:
    return format_selector(LabelSelector(match_labels=found.spec.selector))


REPLICATION_CONTROLLERS: Kind[ReplicationController] = Kind(
    name="ReplicationController",
    group="",
    version="v1",
    plural="replicationcontrollers",
    singular="replicationcontroller",
    type=ReplicationController,
    short_names=("rc",),
    categories=("all",),
    columns=(
        Column("Desired", lambda rc, _: rc.spec.replicas or 0, type="integer"),
        Column("Current", lambda rc, _: rc.status.replicas or 0, type="integer"),
        Column("Ready", lambda rc, _: rc.status.ready_replicas, type="integer"),
        Column("Age", age_cell),
        Column("Containers", lambda rc, _: containers_cell(rc.spec.template), priority=1),
        Column("Images", lambda rc, _: images_cell(rc.spec.template), priority=1),
        Column("Selector", lambda rc, _: _selector_cell(rc), priority=1),
    ),
    defaults=defaults,
    validate=validate,
    fields={"status.replicas": lambda rc: str(rc.status.replicas or 0)},
    has_scale=True,
)
