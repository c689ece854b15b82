"""What a request for a stream means: which container, which address.

Source of the texts: kubelet, validateContainerLogStatus and the remote command's handlers.
"""

from collections.abc import Mapping

from node_agent.core.actions import Wait
from node_agent.core.observed import Container, PodView, State
from proto.messages import AssignedPod, AttachRequest, ExecRequest, LogRequest, StreamFailed


def logged(
    request: LogRequest,
    pod: AssignedPod | None,
    view: PodView,
    waits: Mapping[tuple[str, str], Wait],
) -> Container | StreamFailed:
    """The attempt to read, or why there is nothing to read."""
    if pod is None:
        return unknown_pod(request.pod_uid)
    name = request.container
    if refused := _unknown_container(name, pod):
        return refused
    attempts = [c for c in view.attempts.get(name, ()) if c.state is not State.CREATED]
    newest = view.newest(name)
    is_newest_unstarted = newest is not None and newest not in attempts
    if request.previous:
        found = attempts if is_newest_unstarted else attempts[1:]
        text = f'previous terminated container "{name}" in pod "{pod.name}" not found'
        return found[0] if found else StreamFailed(code=400, reason=text)
    if attempts:
        return attempts[0]
    wait = waits.get((pod.uid, name))
    reason = wait.reason if wait else "ContainerCreating"
    if newest is not None and newest.has_failed_to_start:
        reason = wait.reason if wait else "RunContainerError"
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        reason = "trying and failing to pull image"
    text = f'container "{name}" in pod "{pod.name}" is waiting to start: {reason}'
    return StreamFailed(code=400, reason=text)


def running(
    request: ExecRequest | AttachRequest, pod: AssignedPod | None, view: PodView
) -> Container | StreamFailed:
    """The attempt that runs, or why none does."""
    if pod is None:
        return unknown_pod(request.pod_uid)
    name = request.container
    if refused := _unknown_container(name, pod):
        return refused
    newest = view.newest(name)
    if newest is None or newest.state is not State.RUNNING:
        text = f'container not found ("{name}"): no attempt at it runs in pod {pod.name}'
        return StreamFailed(code=404, reason=text)
    return newest


def address(uid: str, pod: AssignedPod | None, view: PodView, host_ip: str) -> str | StreamFailed:
    """Where a pod answers."""
    if pod is None:
        return unknown_pod(uid)
    if pod.spec.host_network:
        return host_ip
    sandbox = view.sandbox
    if sandbox is None or sandbox.state is not State.RUNNING or not sandbox.ip:
        return StreamFailed(code=400, reason=f"pod {pod.name} is not running: it has no address")
    return sandbox.ip


def _unknown_container(name: str, pod: AssignedPod) -> StreamFailed | None:
    names = [spec.name for spec in pod.spec.all_containers]
    if name in names:
        return None
    text = f"container {name} is not valid for pod {pod.name}: valid containers are: "
    return StreamFailed(code=400, reason=text + ", ".join(names))


def unknown_pod(uid: str) -> StreamFailed:
    """A pod that this node was not told to run."""
    return StreamFailed(code=404, reason=f'pod "{uid}" is not on this node')
