"""How a pod ends that others end: why it must go, and that it has failed if nobody can tell."""

from msgspec.structs import replace

from proto.kinds.pod import Pod, is_terminated
from proto.meta import Condition, format_time, with_condition

DISRUPTION = "DisruptionTarget"
"""Condition of a pod that goes for no fault of its own."""


def disrupted(pod: Pod, reason: str, message: str, now_ms: int) -> Pod:
    """The pod, which says why it goes."""
    why = Condition(
        type=DISRUPTION,
        status="True",
        reason=reason,
        message=message,
        last_transition_time=format_time(now_ms),
    )
    conditions = with_condition(pod.status.conditions, why)
    return replace(pod, status=replace(pod.status, conditions=conditions))


def failed(pod: Pod) -> Pod:
    """The pod as whoever still waits for its end is to see it: nothing of it runs any more."""
    if is_terminated(pod):
        return pod
    return replace(pod, status=replace(pod.status, phase="Failed"))
