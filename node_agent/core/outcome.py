"""Whether a pod is over for good: its containers are done, or the node puts an end to it.

What the node decides is either seen in the pod itself, and so decided the same way again by an
agent that starts, or remembered on disk. Source of reasons and words: the kubelet,
active_deadline.go and sysctl/allowlist.go.
"""

from collections.abc import Mapping

from node_agent.core import configs, initial, restart
from node_agent.core.confinement import forbidden_sysctl
from node_agent.core.observed import Ended, Memory, PodView
from proto.messages import AssignedPod


def is_finished(pod: AssignedPod, view: PodView) -> bool:
    """Whether all of its containers have ended and none is to run again; sidecars do not count."""
    if initial.has_failed(pod, view):
        return True
    newest = [view.newest(spec.name) for spec in pod.spec.containers]
    return all(
        c is not None and c.has_ended and not restart.is_wanted(pod.spec.restart_policy, c)
        for c in newest
    )


def verdict(pod: AssignedPod, view: PodView, memory: Memory, now_ms: int) -> Ended | None:
    """How the node puts an end to a pod; None while it does not."""
    if (kept := memory.ended.get(pod.uid)) is not None:
        return kept
    if name := forbidden_sysctl(pod):
        text = f'forbidden sysctl: "{name}" not allowlisted'
        return Ended("SysctlForbidden", text, 0, memory.accepted_at_ms.get(pod.uid, 0))
    due_ms = deadline_ms(pod, memory.accepted_at_ms)
    if due_ms is None or now_ms < due_ms or _was_in_time(pod, view, memory, due_ms):
        return None
    text = "Pod was active on the node longer than the specified deadline"
    return Ended("DeadlineExceeded", text, configs.grace_s(pod), due_ms)


def deadline_ms(pod: AssignedPod, accepted_at_ms: Mapping[str, int]) -> int | None:
    """When the pod must be over, epoch milliseconds."""
    seconds, since_ms = pod.spec.active_deadline_seconds, accepted_at_ms.get(pod.uid)
    return None if seconds is None or since_ms is None else since_ms + seconds * 1000


def _was_in_time(pod: AssignedPod, view: PodView, memory: Memory, due_ms: int) -> bool:
    ends = [memory.life(c).ended_ms for c in view.containers if c.has_ended]
    return is_finished(pod, view) and max(ends, default=0) <= due_ms
