"""Which probes are to be made. Source of the rules: the kubelet, prober.

A container with a startup probe is asked nothing else until that one succeeded, and one that is
being ended for its answers nothing more. While a pod leaves, only its readiness still matters.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from node_agent.core import naming
from node_agent.core.health import Health, Kind
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, PodView, State
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.probe import Probe
from proto.messages import AssignedPod


class Target(Struct, frozen=True):
    """One probe of one running container.

    Attributes:
        address: Of the pod.
        started_at_ms: When the container was, epoch milliseconds.
    """

    pod: PodKey
    spec: ContainerSpec
    container_id: str
    kind: Kind
    probe: Probe
    address: str
    started_at_ms: int


def targets(
    desired: Mapping[str, AssignedPod],
    views: Mapping[PodKey, PodView],
    health: Health,
    host_ip: str,
) -> Iterator[Target]:
    """Every probe that should be made now.

    Args:
        desired: Uid to pod, everything assigned to this node.
        views: What there is.
        health: What is known.
        host_ip: Where a pod on the host's network answers.
    """
    for pod in desired.values():
        asked = [spec for spec in pod.spec.all_containers if has_probes(spec)]
        view = views.get(naming.key(pod)) if asked else None
        sandbox = view.sandbox if view else None
        if view is None or sandbox is None:
            continue
        address = host_ip if pod.spec.host_network else sandbox.ip
        for spec in asked:
            newest = view.newest(spec.name)
            if newest is None or newest.state is not State.RUNNING:
                continue
            for kind, probe in _due(pod, spec, newest, health):
                yield Target(
                    naming.key(pod), spec, newest.id, kind, probe, address, newest.started_at_ms
                )


def has_probes(spec: ContainerSpec) -> bool:
    """Whether anything is to be asked of the container."""
    return bool(spec.startup_probe or spec.readiness_probe or spec.liveness_probe)


def _due(
    pod: AssignedPod, spec: ContainerSpec, found: Container, health: Health
) -> Iterator[tuple[Kind, Probe]]:
    if health.failed(spec, found.id):
        return  # it is being ended
    is_leaving = pod.delete_grace_s is not None
    if not health.has_started(spec, found.id):
        if spec.startup_probe is not None and not is_leaving:
            yield Kind.STARTUP, spec.startup_probe
        return
    if spec.readiness_probe is not None:
        yield Kind.READINESS, spec.readiness_probe
    if spec.liveness_probe is not None and not is_leaving:
        yield Kind.LIVENESS, spec.liveness_probe


def port(spec: ContainerSpec, named: int | str) -> int | None:
    """The number of a container's port; None when it has none of that name."""
    if isinstance(named, int):
        return named
    return next((p.container_port for p in spec.ports if p.name == named), None)
