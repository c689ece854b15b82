"""A job's status: what is written down, and what of it is final."""

from msgspec.structs import replace

from orchestrator.core.job import indexes
from orchestrator.core.job.verdict import FINAL, Verdict
from orchestrator.core.job.view import View, is_indexed, is_tracked
from proto.kinds.job import Job, JobStatus, UncountedTerminatedPods
from proto.kinds.pod import is_ready
from proto.meta import Condition, condition, format_time, is_true, with_condition

UNCOUNTED_MAX = 500
"""Uids written down in one pass, of each kind. Source: MaxUncountedPods."""


def started(job: Job, now_ms: int) -> str:
    """Since when it is at work: from its beginning, or from when it was last resumed."""
    status = job.status
    if job.spec.suspend or (status.start_time and not is_true(status.conditions, "Suspended")):
        return status.start_time
    return format_time(now_ms)


def status_of(view: View, verdict: Verdict | None, start_time: str, now_ms: int) -> JobStatus:
    """The status as it should be."""
    job, now = view.job, format_time(now_ms)
    counted = _counted(view)
    status = replace(
        counted,
        active=len(view.active),
        ready=sum(is_ready(pod) for pod in view.active),
        terminating=view.terminating,
        start_time=start_time,
    )
    if verdict is None:
        return status if job.metadata.deletion_timestamp else _suspended(job, status, now)
    told = Condition(
        type=verdict.type,
        status="True",
        reason=verdict.reason,
        message=verdict.message,
        last_transition_time=now,
    )
    conditions = with_condition(status.conditions, told)
    uncounted = status.uncounted_terminated_pods
    is_waiting = status.active or status.terminating or uncounted.succeeded or uncounted.failed
    if is_waiting or not verdict.is_written:
        return replace(status, conditions=conditions)
    final = replace(told, type=FINAL[verdict.type])
    return replace(
        status,
        conditions=with_condition(conditions, final),
        completion_time=now if final.type == "Complete" else "",
    )


def _counted(view: View) -> JobStatus:
    """Uids of pods that were let go become numbers; new ones are written down."""
    status, tracked = view.job.status, {p.metadata.uid for p in view.pods if is_tracked(p)}
    known = status.uncounted_terminated_pods
    succeeded = tuple(uid for uid in known.succeeded if uid in tracked)
    failed = tuple(uid for uid in known.failed if uid in tracked)
    counted = replace(
        status,
        succeeded=status.succeeded + len(known.succeeded) - len(succeeded),
        failed=status.failed + len(known.failed) - len(failed),
        uncounted_terminated_pods=UncountedTerminatedPods(
            succeeded=(*succeeded, *view.succeeded[:UNCOUNTED_MAX]),
            failed=(*failed, *view.failed[:UNCOUNTED_MAX]),
        ),
    )
    if not is_indexed(view.job):
        return counted
    has_limit = view.job.spec.backoff_limit_per_index is not None
    return replace(
        counted,
        succeeded=len(view.completed),
        completed_indexes=indexes.formatted(view.completed),
        failed_indexes=indexes.formatted(view.failed_indexes) if has_limit else None,
    )


def _suspended(job: Job, status: JobStatus, now: str) -> JobStatus:
    """Says whether it is suspended, once it was."""
    before = condition(status.conditions, "Suspended")
    is_suspended = bool(job.spec.suspend)
    if before is None and not is_suspended:
        return status
    if before is not None and (before.status == "True") == is_suspended:
        return status
    told = Condition(
        type="Suspended",
        status="True" if is_suspended else "False",
        reason="JobSuspended" if is_suspended else "JobResumed",
        message="Job suspended" if is_suspended else "Job resumed",
        last_transition_time=now,
    )
    return replace(status, conditions=with_condition(status.conditions, told))
