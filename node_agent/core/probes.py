"""Which probes are to be made. Source of the rules: the kubelet, prober.

A container with a startup probe is asked nothing else until that one succeeded, and one that is
being ended for its answers nothing more. While a pod leaves, only its readiness still matters.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from node_agent.core import configs, naming
from node_agent.core.health import Health, Kind
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, PodView, State
from node_agent.core.question import Question
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.probe import Probe
from proto.messages import AssignedPod


class Target(Struct, frozen=True):
    """One probe of one running container, started at so many epoch milliseconds."""

    pod: PodKey
    kind: Kind
    probe: Probe
    question: Question
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
        address = configs.address(pod, sandbox, host_ip)
        for spec in asked:
            newest = view.newest(spec.name)
            if newest is None or newest.state is not State.RUNNING:
                continue
            for kind, probe in _due(pod, spec, newest, health):
                if probe.handler is not None:
                    question = Question(
                        spec, newest.id, address, probe.handler, probe.timeout_seconds
                    )
                    yield Target(naming.key(pod), kind, probe, question, newest.started_at_ms)


def has_probes(spec: ContainerSpec) -> bool:
    """Whether anything is to be asked of the container."""
    return bool(spec.startup_probe or spec.readiness_probe or spec.liveness_probe)


def _due(
    pod: AssignedPod, spec: ContainerSpec, found: Container, health: Health
) -> Iterator[tuple[Kind, Probe]]:
    if found.id in health.starting or health.failed(spec, found.id):
        return  # it does not count as running yet, or is being ended
    is_leaving = pod.delete_grace_s is not None
    if not health.has_started(spec, found.id):
        if spec.startup_probe is not None and not is_leaving:
            yield Kind.STARTUP, spec.startup_probe
        return
    if spec.readiness_probe is not None:
        yield Kind.READINESS, spec.readiness_probe
    if spec.liveness_probe is not None and not is_leaving:
        yield Kind.LIVENESS, spec.liveness_probe
