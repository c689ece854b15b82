"""When a pod counts as available: ready, and for long enough."""

from collections.abc import Iterable

from proto.kinds.pod import Pod, is_active
from proto.meta import condition, parse_time_ms


def available_at_ms(pod: Pod, min_ready_seconds: int) -> int | None:
    """When the pod became or becomes available, epoch milliseconds; None while it is not ready.

    A time before the present (0, when nothing need be waited for) means that it is available.
    """
    ready = condition(pod.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return None
    if not min_ready_seconds:
        return 0
    if not ready.last_transition_time:
        return None
    return parse_time_ms(ready.last_transition_time) + min_ready_seconds * 1000


def is_available(pod: Pod, min_ready_seconds: int, now_ms: int) -> bool:
    """Whether the pod has been ready for long enough."""
    at_ms = available_at_ms(pod, min_ready_seconds)
    return at_ms is not None and at_ms <= now_ms


def next_change_ms(pods: Iterable[Pod], min_ready_seconds: int, now_ms: int) -> int | None:
    """When the next ready pod becomes available."""
    if not min_ready_seconds:
        return None
    times = (available_at_ms(pod, min_ready_seconds) for pod in pods if is_active(pod))
    return min((at_ms for at_ms in times if at_ms is not None and at_ms > now_ms), default=None)


def earliest(*times_ms: int | None) -> int | None:
    """The first of these times; None counts as never."""
    return min((time for time in times_ms if time is not None), default=None)
