"""What the control plane is told: the node's facts and its pods' states. Pure."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from node_agent.core import devices, naming
from node_agent.core.actions import Wait
from node_agent.core.downward import Room
from node_agent.core.health import Health
from node_agent.core.observed import PodView, Verdict
from node_agent.core.status import pod_status
from node_agent.engine import EngineInfo, Image
from node_agent.engine.pause import architecture
from node_agent.settings import Settings
from proto import quantity
from proto.kinds.node import HOSTNAME_LABEL, ContainerImage, NodeSystemInfo
from proto.messages import AssignedPod, NodeFacts, PodReport

IMAGES_MAX = 50
"""The largest ones; more would bloat each report. Source: the kubelet's nodeStatusMaxImages."""

PROBE_PORT = 9
"""Any will do: a refusal is an answer."""


def _own_version() -> str:
    try:
        return f"v{version('longshore')}-longshore"
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "v0.0.0-longshore"


VERSION = _own_version()


def node_facts(
    settings: Settings, info: EngineInfo | None, images: Sequence[Image], engine_error: str
) -> NodeFacts:
    """The node, as far as is known: nothing of its size before the engine was asked."""
    arch = architecture(info.architecture) if info else ""
    labels = {HOSTNAME_LABEL: settings.node_name}
    capacity: dict[str, str] = {}
    if info is not None:
        labels |= {"kubernetes.io/os": info.operating_system, "kubernetes.io/arch": arch}
        capacity = {
            "cpu": settings.cpu or str(info.cpus),
            "memory": settings.memory or f"{info.memory_bytes // 1024}Ki",
            "pods": str(settings.max_pods),
            **{one.name: str(one.count) for one in devices.parse(settings.resources)},
        }
    probe_address = settings.probe_address or f"{settings.internal_ip}:{PROBE_PORT}"
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:IMAGES_MAX]
    return NodeFacts(
        capacity=capacity,
        allocatable=capacity,
        labels=labels | settings.labels,
        internal_ip=settings.internal_ip,
        probe_address="" if settings.simulate_host_loss else probe_address,
        info=_system_info(info, arch) if info else NodeSystemInfo(),
        images=tuple(ContainerImage(names=i.names, size_bytes=i.size_bytes) for i in largest),
        engine_error=engine_error,
    )


def room(facts: NodeFacts) -> Room:
    """What a container without limits may use: all that pods may."""
    amounts = facts.allocatable
    return Room(quantity.milli(amounts.get("cpu", 0)), quantity.whole(amounts.get("memory", 0)))


def _system_info(info: EngineInfo, arch: str) -> NodeSystemInfo:
    return NodeSystemInfo(
        kernel_version=info.kernel_version,
        os_image=info.os_image,
        container_runtime_version=f"docker://{info.version}",
        kubelet_version=VERSION,
        kube_proxy_version=VERSION,
        operating_system=info.operating_system,
        architecture=arch,
    )


def pod_report(
    pod: AssignedPod,
    view: PodView,
    waits: Mapping[tuple[str, str], Wait],
    health: Health,
    *,
    verdict: Verdict | None = None,
    host_ip: str,
    accepted_at_ms: int,
    is_busy: bool,
) -> PodReport:
    """One pod; gone once it is deleted and nothing of it is left or in the making."""
    return PodReport(
        uid=pod.uid,
        namespace=pod.namespace,
        name=pod.name,
        status=pod_status(
            pod,
            view,
            waits,
            health,
            verdict=verdict,
            host_ip=host_ip,
            accepted_at_ms=accepted_at_ms,
        ),
        is_gone=pod.delete_grace_s is not None and view.is_empty and not is_busy,
    )


def view_of(pod: AssignedPod, views: Mapping[naming.PodKey, PodView]) -> PodView:
    """What there is of the pod."""
    return views.get(naming.key(pod), PodView())
