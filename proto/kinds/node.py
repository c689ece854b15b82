"""Node: one Docker host, as its agent describes it and the control plane judges it."""

from typing import Annotated

from msgspec import Meta, field
from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource, Time, condition
from proto.quantity import Quantity

HOSTNAME_LABEL = "kubernetes.io/hostname"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"
"""Set by somebody who knows that the node is off."""

ROLE_LABEL = "node-role.kubernetes.io/"


class Taint(Model, frozen=True, kw_only=True):
    """Keeps pods away that do not tolerate it."""

    key: str
    effect: str
    value: str = ""
    time_added: Time = ""


class NodeSpec(Model, frozen=True, kw_only=True):
    """What an operator decides about it."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    provider_id: str = field(default="", name="providerID")
    pod_cidr: str = field(default="", name="podCIDR")


class NodeAddress(Model, frozen=True, kw_only=True):
    """``InternalIP`` or ``Hostname``."""

    type: str
    address: str


class NodeSystemInfo(Model, frozen=True, kw_only=True, omit_defaults=False):
    """The host's own description. All ten fields are required by Kubernetes' clients."""

    machine_id: str = field(default="", name="machineID")
    system_uuid: str = field(default="", name="systemUUID")
    boot_id: str = field(default="", name="bootID")
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""
    kube_proxy_version: str = ""
    operating_system: str = ""
    architecture: str = ""


class ContainerImage(Model, frozen=True, kw_only=True):
    """An image the node has."""

    names: tuple[str, ...] = ()
    size_bytes: int = 0


class NodeStatus(Model, frozen=True, kw_only=True):
    """What it has and how it is."""

    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    addresses: Annotated[tuple[NodeAddress, ...], Meta(extra={"merge_key": "type"})] = ()
    node_info: NodeSystemInfo = NodeSystemInfo()
    images: tuple[ContainerImage, ...] = ()


class Node(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


def allocatable(node: Node) -> dict[str, int]:
    """What pods may use: milli-CPU under ``cpu``, whole units under other names."""
    return {
        name: quantity.milli(amount) if name == "cpu" else quantity.whole(amount)
        for name, amount in node.status.allocatable.items()
    }


def validate(new: Node, _old: Node | None) -> list[FieldError]:
    """Taints are the only free-form part."""
    errors: list[FieldError] = []
    for index, taint in enumerate(new.spec.taints):
        at = f"spec.taints[{index}]"
        errors += validation.qualified_name(f"{at}.key", taint.key)
        if taint.effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            errors.append(
                validation.not_supported(
                    f"{at}.effect", taint.effect, ("NoSchedule", "PreferNoSchedule", "NoExecute")
                )
            )
    errors += validation.amounts("status.capacity", new.status.capacity)
    errors += validation.amounts("status.allocatable", new.status.allocatable)
    return errors


def defaults(node: Node) -> Node:
    """Quantities as text, and the host name label."""
    status = node.status
    name = node.metadata.name
    labels = node.metadata.labels
    if name and HOSTNAME_LABEL not in labels:
        labels = labels | {HOSTNAME_LABEL: name}
    return replace(
        node,
        metadata=replace(node.metadata, labels=labels),
        status=replace(
            status,
            capacity={k: quantity.canonical(v) for k, v in status.capacity.items()},
            allocatable={k: quantity.canonical(v) for k, v in status.allocatable.items()},
        ),
    )


def _status_cell(node: Node) -> str:
    ready = condition(node.status.conditions, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles_cell(node: Node) -> str:
    roles = [k.removeprefix(ROLE_LABEL) for k in node.metadata.labels if k.startswith(ROLE_LABEL)]
    return ",".join(sorted(roles)) or "<none>"


def address(node: Node, type_: str) -> str:
    """Its address of that type; empty when it has none."""
    return next((a.address for a in node.status.addresses if a.type == type_), "")


NODES: Kind[Node] = Kind(
    name="Node",
    group="",
    version="v1",
    plural="nodes",
    singular="node",
    type=Node,
    is_namespaced=False,
    short_names=("no",),
    columns=(
        Column("Status", lambda node, _: _status_cell(node)),
        Column("Roles", lambda node, _: _roles_cell(node)),
        Column("Age", age_cell),
        Column("Version", lambda node, _: node.status.node_info.kubelet_version),
        Column("Internal-IP", lambda node, _: address(node, "InternalIP") or "<none>", priority=1),
        Column("External-IP", lambda node, _: address(node, "ExternalIP") or "<none>", priority=1),
        Column("OS-Image", lambda node, _: node.status.node_info.os_image, priority=1),
        Column("Kernel-Version", lambda node, _: node.status.node_info.kernel_version, priority=1),
        Column(
            "Container-Runtime",
            lambda node, _: node.status.node_info.container_runtime_version,
            priority=1,
        ),
    ),
    defaults=defaults,
    validate=validate,
    fields={"spec.unschedulable": lambda node: str(node.spec.unschedulable).lower()},
)
