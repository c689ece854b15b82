"""Namespace: a room for names. Deleting one deletes everything in it first."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource

NAME_LABEL = "kubernetes.io/metadata.name"
"""Every namespace carries its name as a label. Source: Kubernetes, Namespaces."""

FINALIZER = "kubernetes"
"""In ``spec.finalizers`` until the namespace is empty."""


class NamespaceSpec(Model, frozen=True, kw_only=True):
    """Who must agree before it goes."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Model, frozen=True, kw_only=True):
    """Active or Terminating."""

    phase: str = ""
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class Namespace(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


def defaults(namespace: Namespace) -> Namespace:
    """The finalizer, the phase and the name label."""
    metadata = namespace.metadata
    if metadata.name:
        metadata = replace(metadata, labels=metadata.labels | {NAME_LABEL: metadata.name})
    deleting = bool(metadata.deletion_timestamp)
    return replace(
        namespace,
        metadata=metadata,
        spec=namespace.spec if deleting else replace(namespace.spec, finalizers=(FINALIZER,)),
        status=replace(namespace.status, phase="Terminating" if deleting else "Active"),
    )


NAMESPACES: Kind[Namespace] = Kind(
    name="Namespace",
    group="",
    version="v1",
    plural="namespaces",
    singular="namespace",
    type=Namespace,
    is_namespaced=False,
    short_names=("ns",),
    columns=(
        Column("Status", lambda namespace, _: namespace.status.phase),
        Column("Age", age_cell),
    ),
    defaults=defaults,
    permanent=("default", "kube-public", "kube-system"),
    check_name=validation.label,  # it becomes part of other names
    fields={"status.phase": lambda namespace: namespace.status.phase},
    subresources={"finalize": ("update",)},
)
