"""What the control plane is told: the node's facts and its pods' states. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from msgspec import Struct
from msgspec.structs import replace

from node_agent.core import devices, naming, outcome
from node_agent.core.actions import Wait
from node_agent.core.downward import Room
from node_agent.core.health import Health, Kind
from node_agent.core.mounting import VOLUMES
from node_agent.core.observed import Ended, Failure, Memory, PodView
from node_agent.core.status import over, pod_status
from node_agent.engine import EngineInfo, Image
from node_agent.engine.pause import architecture
from node_agent.settings import Settings
from proto import quantity
from proto.kinds.node import HOSTNAME_LABEL, ContainerImage, NodeSystemInfo
from proto.messages import AssignedPod, NodeFacts, PodReport, VolumeRemoval, VolumeReport
from proto.meta import Condition

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
    settings: Settings,
    info: EngineInfo | None,
    images: Sequence[Image],
    engine_error: str,
    volumes_folder: str,
    conditions: tuple[Condition, ...] = (),
    *,
    is_shutting_down: bool = False,
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
        volumes_folder=volumes_folder,
        is_shutting_down=is_shutting_down,
        conditions=conditions,
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


class Reporter:
    """Tells of pods, and works out anew only what has changed: most of many pods have not.

    Args:
        host_ip: The node's address.
    """

    def __init__(self, host_ip: str) -> None:
        self._host_ip = host_ip
        self._told: dict[str, tuple[_Known, PodReport]] = {}

    def pods(
        self,
        pods: Iterable[AssignedPod],
        views: Mapping[naming.PodKey, PodView],
        waits: Mapping[tuple[str, str], Wait],
        health: Health,
        *,
        memory: Memory,
        images: Mapping[str, tuple[str, ...]],
        now_ms: int,
    ) -> tuple[PodReport, ...]:
        """Each, in their order; gone once it is deleted and nothing is left or in the making."""
        own: dict[str, dict[tuple[str, str], Wait]] = {}
        for key, wait in waits.items():
            own.setdefault(key[0], {})[key] = wait
        told: dict[str, tuple[_Known, PodReport]] = {}
        for pod in pods:
            view = view_of(pod, views)
            known = _Known(
                pod,
                view,
                own.get(pod.uid, {}),
                _of(view, health),
                {c.image_id: images.get(c.image_id, ()) for c in view.containers},
                memory.accepted_at_ms.get(pod.uid, 0),
                outcome.verdict(pod, view, memory, now_ms),
                pod.uid in memory.busy,
            )
            before = self._told.get(pod.uid)
            is_same = before is not None and before[0] == known
            told[pod.uid] = before if before and is_same else (known, self._report(known))
        self._told = told
        return tuple(found for _, found in told.values())

    def _report(self, known: "_Known") -> PodReport:
        pod, view, ended = known.pod, known.view, known.ended
        status = pod_status(
            pod if ended is None else replace(pod, delete_grace_s=ended.grace_s),
            view,
            known.waits,
            known.health,
            host_ip=self._host_ip,
            accepted_at_ms=known.accepted_at_ms,
            images=known.images,
        )
        return PodReport(
            uid=pod.uid,
            namespace=pod.namespace,
            name=pod.name,
            status=status if ended is None else over(status, ended),
            is_gone=pod.delete_grace_s is not None and view.is_empty and not known.is_busy,
        )


class _Known(Struct, frozen=True):
    """All that a pod's report depends on."""

    pod: AssignedPod
    view: PodView
    waits: Mapping[tuple[str, str], Wait]
    health: Health
    images: Mapping[str, tuple[str, ...]]
    accepted_at_ms: int
    ended: Ended | None
    is_busy: bool


def _of(view: PodView, health: Health) -> Health:
    """What is known of one pod's containers."""
    ids = [container.id for container in view.containers]
    found = {
        (id, kind): verdict
        for id in ids
        for kind in Kind
        if (verdict := health.verdicts.get((id, kind))) is not None
    }
    return Health(found, health.starting.intersection(ids))


def volume_report(
    removal: VolumeRemoval,
    stored: Collection[str],
    failures: Mapping[tuple[str, str], Failure],
) -> VolumeReport:
    """A PersistentVolume that is to go; gone once nothing of it is left."""
    if removal.name not in stored:
        return VolumeReport(name=removal.name, uid=removal.uid, is_gone=True)
    failure = failures.get((naming.stored_key(removal.name).uid, VOLUMES))
    error = failure.message if failure else ""
    return VolumeReport(name=removal.name, uid=removal.uid, error=error)


def view_of(pod: AssignedPod, views: Mapping[naming.PodKey, PodView]) -> PodView:
    """What there is of the pod."""
    return views.get(naming.key(pod), PodView())
