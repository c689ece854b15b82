"""How far a pod's init containers have come. Source of the rules: the kubelet, and KEP 753.

They run one after another in the pod's present holder; a new holder begins again. Once one of the
pod's own containers was made there, they are over and done with, whatever became of their remains.
"""

from node_agent.core.health import Health
from node_agent.core.observed import Container, PodView, Sandbox, State
from proto.kinds.container import Container as ContainerSpec
from proto.messages import AssignedPod


def pending(
    pod: AssignedPod, view: PodView, sandbox: Sandbox | None, health: Health
) -> tuple[ContainerSpec, ...]:
    """The init containers that are still to do their part, in their order.

    Without a holder, because it died or the pod has finished, it is as it last was.
    """
    own = [found for spec in pod.spec.containers if (found := view.newest(spec.name))]
    if sandbox is None:
        return () if own else pod.spec.init_containers
    if any(found.sandbox_id == sandbox.id for found in own):
        return ()
    for index, spec in enumerate(pod.spec.init_containers):
        if not _has_done_its_part(spec, view.newest(spec.name), sandbox, health):
            return pod.spec.init_containers[index:]
    return ()


def _has_done_its_part(
    spec: ContainerSpec, newest: Container | None, sandbox: Sandbox, health: Health
) -> bool:
    if newest is None or newest.sandbox_id != sandbox.id:
        return False
    if spec.is_sidecar:
        return newest.state is State.RUNNING and health.has_started(spec, newest.id)
    return newest.has_succeeded


def has_failed(pod: AssignedPod, view: PodView) -> bool:
    """Whether one of them failed in a pod that does nothing twice."""
    if pod.spec.restart_policy != "Never":
        return False
    newest = (view.newest(spec.name) for spec in pod.spec.init_containers if not spec.is_sidecar)
    return any(
        found is not None and found.has_ended and not found.has_succeeded for found in newest
    )
