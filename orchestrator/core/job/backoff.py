"""When the next pod may be made after others have failed: 10 s later, then twice as long."""

from collections.abc import Iterable

from orchestrator.core.job.view import index_failures
from proto.kinds.pod import Pod
from proto.meta import condition, parse_time_ms

FIRST_MS = 10_000
"""Source: DefaultJobPodFailureBackOff."""

LONGEST_MS = 600_000
"""Source: MaxJobPodFailureBackOff."""


def delay_ms(failures: int) -> int:
    """How long after the last of several failures in a row.

    >>> [delay_ms(failures) // 1000 for failures in (0, 1, 2, 3, 7, 100)]
    [0, 10, 20, 40, 600, 600]
    """
    if not failures:
        return 0
    return min(LONGEST_MS, FIRST_MS << min(failures - 1, 10))


def next_start_ms(pods: Iterable[Pod]) -> int:
    """By all pods of a job: how many have failed by themselves since the last that succeeded."""
    ends = sorted(
        (finished_ms(pod), pod.status.phase == "Failed")
        for pod in pods
        if pod.status.phase == "Succeeded" or _failed_by_itself(pod)
    )
    failures = last_ms = 0
    for at_ms, has_failed in ends:
        failures = failures + 1 if has_failed else 0
        last_ms = at_ms
    return last_ms + delay_ms(failures)


def next_start_of_index_ms(last: Pod | None) -> int:
    """By the last pod of the index that failed."""
    if last is None or not _failed_by_itself(last):
        return 0
    return finished_ms(last) + delay_ms(sum(index_failures(last)) + 1)


def _failed_by_itself(pod: Pod) -> bool:
    return pod.status.phase == "Failed" and not pod.metadata.deletion_timestamp


def finished_ms(pod: Pod) -> int:
    """When the last of its containers ended, as far as is known."""
    ends = [
        parse_time_ms(status.state.terminated.finished_at)
        for status in pod.status.container_statuses
        if status.state.terminated and status.state.terminated.finished_at
    ]
    if ends:
        return max(ends)
    ready = condition(pod.status.conditions, "Ready")
    known = ready.last_transition_time if ready is not None and ready.status == "False" else ""
    return parse_time_ms(known or pod.metadata.creation_timestamp)
