"""A pod's status, from what was observed. Source of the words: the kubelet, kubelet_pods.go.

Transition times are derived from the containers' own times, so that a restarted agent, or another
one, says the same.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from node_agent.core import configs, initial, restart
from node_agent.core.actions import Wait
from node_agent.core.health import Health
from node_agent.core.images import pullable
from node_agent.core.observed import Container, Ended, PodView, State
from proto.kinds.container import (
    Container as ContainerSpec,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)
from proto.kinds.pod import PodIP, PodStatus, qos_class
from proto.messages import AssignedPod
from proto.meta import Condition, format_time

HEALTHY = Health()
"""Of containers that nobody probes."""

START_ERROR_CODE = 128
"""Exit code of a container that could not be started. Source: kubelet, with any runtime."""


def pod_status(
    pod: AssignedPod,
    view: PodView,
    waits: Mapping[tuple[str, str], Wait],
    health: Health = HEALTHY,
    *,
    host_ip: str,
    accepted_at_ms: int,
    images: Mapping[str, tuple[str, ...]] | None = None,
) -> PodStatus:
    """The status a kubelet would report.

    Args:
        pod: The pod.
        view: What there is of it.
        waits: By pod uid and container name: why nothing is done for now.
        health: What probes say of its containers.
        host_ip: The node's address.
        accepted_at_ms: When it was assigned to this node, epoch milliseconds.
        images: By id: the names of those that are here.
    """

    def status_of(spec: ContainerSpec) -> ContainerStatus:
        wait = waits.get((pod.uid, spec.name))
        return _container_status(pod, spec, view, wait, health, images or {})

    sandbox = view.sandbox
    pending = initial.pending(pod, view, sandbox, health)
    first = tuple(
        _initial_status(spec, status_of(spec), is_over=spec not in pending)
        for spec in pod.spec.init_containers
    )
    statuses = tuple(status_of(spec) for spec in pod.spec.containers)
    staying = (
        *(s for s, spec in zip(first, pod.spec.init_containers, strict=True) if spec.is_sidecar),
        *statuses,
    )
    phase = _phase(pod, view, pending, statuses)
    has_sandbox = sandbox is not None and sandbox.state is State.RUNNING
    pod_ip = configs.address(pod, sandbox, host_ip) if sandbox and has_sandbox else ""
    return PodStatus(
        phase=phase,
        conditions=(
            _startable(has_sandbox, accepted_at_ms),
            _initialized(pod, view, pending, phase, accepted_at_ms),
            *_conditions(view, staying, health, phase, accepted_at_ms),
        ),
        host_ip=host_ip,
        pod_ip=pod_ip,
        pod_ips=(PodIP(ip=pod_ip),) if pod_ip else (),
        start_time=format_time(accepted_at_ms),
        init_container_statuses=first,
        container_statuses=statuses,
        ephemeral_container_statuses=tuple(
            replace(status_of(spec), ready=False) for spec in pod.spec.ephemeral_containers
        ),
        qos_class=qos_class(pod.spec),
    )


def _initial_status(
    spec: ContainerSpec, found: ContainerStatus, *, is_over: bool
) -> ContainerStatus:
    """An init container is ready once it has succeeded; that is known without its remains."""
    if spec.is_sidecar:
        return found
    if is_over and found.state.waiting is not None:
        done = ContainerStateTerminated(exit_code=0, reason="Completed")
        found = replace(found, state=ContainerState(terminated=done))
    ended = found.state.terminated
    return replace(found, ready=ended is not None and ended.exit_code == 0)


def _startable(has_sandbox: bool, accepted_at_ms: int) -> Condition:
    return Condition(
        type="PodReadyToStartContainers",
        status="True" if has_sandbox else "False",
        last_transition_time=format_time(accepted_at_ms),
    )


def _initialized(
    pod: AssignedPod,
    view: PodView,
    pending: Sequence[ContainerSpec],
    phase: str,
    accepted_at_ms: int,
) -> Condition:
    newest = [c for spec in pod.spec.init_containers if (c := view.newest(spec.name))]
    since_ms = max((c.ended_at_ms if c.has_ended else c.started_at_ms for c in newest), default=0)
    names = " ".join(spec.name for spec in pending)
    reason = "PodCompleted" if phase == "Succeeded" else ""
    return Condition(
        type="Initialized",
        status="False" if pending else "True",
        reason="ContainersNotInitialized" if pending else reason,
        message=f"containers with incomplete status: [{names}]" if pending else "",
        last_transition_time=format_time(
            accepted_at_ms if pending else max(since_ms, accepted_at_ms)
        ),
    )


def over(status: PodStatus, ended: Ended) -> PodStatus:
    """The status of a pod that its node has ended, of which it says so once nothing of it runs.

    Args:
        status: As of a pod that is being deleted.
        ended: Why.
    """
    containers = (*status.init_container_statuses, *status.container_statuses)
    if any(container.state.running for container in containers):
        return status
    conditions = tuple(
        replace(c, reason="PodFailed", message="") if c.status == "False" else c
        for c in status.conditions
    )
    return replace(
        status, phase="Failed", reason=ended.reason, message=ended.message, conditions=conditions
    )


def waiting_reason(status: ContainerStatus) -> str:
    """Why a container does not run yet; empty when it does or did."""
    return status.state.waiting.reason if status.state.waiting else ""


def _container_status(
    pod: AssignedPod,
    spec: ContainerSpec,
    view: PodView,
    wait: Wait | None,
    health: Health,
    images: Mapping[str, tuple[str, ...]],
) -> ContainerStatus:
    attempts = view.attempts.get(spec.name, ())
    newest = attempts[0] if attempts else None
    previous = attempts[1] if len(attempts) > 1 else None
    state = _state(pod, spec, newest, wait, health)
    if newest is not None and newest.has_ended and state.waiting is not None:
        previous = newest
    is_running = newest is not None and newest.state is State.RUNNING
    shown = newest or previous
    return ContainerStatus(
        name=spec.name,
        image=(shown.image if shown else "") or spec.image,
        image_id=_image_id(shown, images) if shown else "",
        container_id=f"docker://{shown.id}" if shown else "",
        ready=is_running and newest is not None and health.is_ready(spec, newest.id),
        started=is_running and newest is not None and health.has_started(spec, newest.id),
        restart_count=newest.attempt if newest else 0,
        state=state,
        last_state=(
            ContainerState(terminated=_terminated(previous))
            if previous is not None and previous.has_ended
            else ContainerState()
        ),
    )


def _image_id(shown: Container, images: Mapping[str, tuple[str, ...]]) -> str:
    """By what its registry calls it, where it came from one. Source: cri-dockerd, toImageID."""
    if digest := pullable(shown.image, images.get(shown.image_id, ())):
        return f"docker-pullable://{digest}"
    return f"docker://{shown.image_id}" if shown.image_id else ""


def _state(
    pod: AssignedPod,
    spec: ContainerSpec,
    newest: Container | None,
    wait: Wait | None,
    health: Health,
) -> ContainerState:
    if newest is not None and newest.state is State.RUNNING and newest.id not in health.starting:
        started_at = format_time(newest.started_at_ms)
        return ContainerState(running=ContainerStateRunning(started_at=started_at))
    is_leaving = pod.delete_grace_s is not None
    if newest is not None and newest.has_ended:
        is_wanted = restart.is_wanted(restart.policy(pod, spec), newest)
        if wait is None or is_leaving or not is_wanted:
            return ContainerState(terminated=_terminated(newest))
    elif is_leaving and newest is None:
        unknown = ContainerStateTerminated(
            exit_code=137,
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was terminated",
        )
        return ContainerState(terminated=unknown)
    if wait is None:
        reason = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
        return ContainerState(waiting=ContainerStateWaiting(reason=reason))
    return ContainerState(waiting=ContainerStateWaiting(reason=wait.reason, message=wait.message))


def _terminated(ended: Container) -> ContainerStateTerminated:
    if ended.has_failed_to_start:
        code, reason = START_ERROR_CODE, "StartError"
    elif ended.is_oom_killed:
        code, reason = ended.exit_code, "OOMKilled"
    else:
        code, reason = ended.exit_code, "Completed" if ended.exit_code == 0 else "Error"
    return ContainerStateTerminated(
        exit_code=code,
        reason=reason,
        message=ended.error or ended.message,
        started_at=format_time(ended.started_at_ms or ended.created_at_ms),
        finished_at=format_time(ended.ended_at_ms),
        container_id=f"docker://{ended.id}",
    )


def _phase(
    pod: AssignedPod,
    view: PodView,
    pending: Sequence[ContainerSpec],
    statuses: tuple[ContainerStatus, ...],
) -> str:
    """Source: kubelet, getPhase."""
    if initial.has_failed(pod, view):
        return "Failed"
    if pending:
        return "Pending"
    has_ended = [s.state.terminated or s.last_state.terminated for s in statuses]
    waiting = sum(
        1 for s, end in zip(statuses, has_ended, strict=True) if s.state.waiting and not end
    )
    running = sum(1 for s in statuses if s.state.running)
    if waiting:
        return "Pending"
    if running or pod.spec.restart_policy == "Always":
        return "Running"
    if any(status.state.waiting for status in statuses):  # between two attempts
        return "Running"
    ends = [s.state.terminated for s in statuses if s.state.terminated]
    if all(end.exit_code == 0 for end in ends):
        return "Succeeded"
    return "Failed" if pod.spec.restart_policy == "Never" else "Running"


def _conditions(
    view: PodView,
    statuses: tuple[ContainerStatus, ...],
    health: Health,
    phase: str,
    accepted_at_ms: int,
) -> tuple[Condition, ...]:
    is_over = phase in ("Succeeded", "Failed")
    unready = [status.name for status in statuses if not status.ready]
    containers = [c for status in statuses for c in view.attempts.get(status.name, ())]
    ends = [c.ended_at_ms for c in containers if c.has_ended]
    running = [c for c in containers if c.state is State.RUNNING]
    starts = [c.started_at_ms for c in running]
    asked = [health.ready_since_ms(c.id) for c in running]
    changed_ms = max(
        (*(ends or [accepted_at_ms]), *asked) if unready else (*starts, *asked),
        default=accepted_at_ms,
    )
    reason = message = ""
    if phase == "Succeeded":
        reason = "PodCompleted"
    elif phase == "Failed":
        reason = "PodFailed"
    elif unready:
        reason = "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"

    def condition(type_: str, *, holds: bool, since_ms: int) -> Condition:
        return Condition(
            type=type_,
            status="True" if holds else "False",
            reason="" if holds and not is_over else reason,
            message="" if holds else message,
            last_transition_time=format_time(max(since_ms, accepted_at_ms)),
        )

    return (
        condition("Ready", holds=not unready, since_ms=changed_ms),
        condition("ContainersReady", holds=not unready, since_ms=changed_ms),
        Condition(
            type="PodScheduled", status="True", last_transition_time=format_time(accepted_at_ms)
        ),
    )
