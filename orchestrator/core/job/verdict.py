"""Whether a job is decided, and why."""

from msgspec import Struct

from orchestrator.core.job import policies
from orchestrator.core.job.view import FAILURE, INTERIM, SUCCESS, View, is_indexed
from proto.kinds.job import Job
from proto.kinds.pod import Pod
from proto.meta import condition, parse_time_ms

FINAL = {SUCCESS: "Complete", FAILURE: "Failed"}
"""What an interim condition becomes once nothing runs and all is counted."""


class Verdict(Struct, frozen=True):
    """A condition, by its type, reason and message.

    Attributes:
        type: `SUCCESS` or `FAILURE`.
        is_written: Whether the job's status has it.
    """

    type: str
    reason: str
    message: str
    is_written: bool = False


def deadline_ms(job: Job, start_time: str) -> int | None:
    """When it will have been active for too long; None while it is suspended, or without one."""
    limit_s = job.spec.active_deadline_seconds
    if limit_s is None or job.spec.suspend or not start_time:
        return None
    return parse_time_ms(start_time) + limit_s * 1000


def verdict(view: View, start_time: str, now_ms: int) -> Verdict | None:
    """The one that is written, or else the first that applies, in Kubernetes' order."""
    job = view.job
    for type_ in INTERIM:
        written = condition(job.status.conditions, type_)
        if written is not None and written.status == "True":
            return Verdict(type_, written.reason, written.message, is_written=True)
    if view.verdict_by_pod:
        return Verdict(FAILURE, "PodFailurePolicy", view.verdict_by_pod)
    limit = job.spec.backoff_limit or 0
    if view.failed_count > limit or _restarts_exceed(job, view.pods, limit):
        said = "Job has reached the specified backoff limit"
        return Verdict(FAILURE, "BackoffLimitExceeded", said)
    deadline = deadline_ms(job, start_time)
    if deadline is not None and now_ms >= deadline:
        said = "Job was active longer than specified deadline"
        return Verdict(FAILURE, "DeadlineExceeded", said)
    return _by_indexes(view) or _by_count(view)


def _restarts_exceed(job: Job, pods: tuple[Pod, ...], limit: int) -> bool:
    """Of pods that are restarted in place, the attempts of their containers count."""
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(
        status.restart_count
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return restarts >= max(1, limit)


def _by_indexes(view: View) -> Verdict | None:
    if not is_indexed(view.job):
        return None
    spec, failed = view.job.spec, len(view.failed_indexes)
    if spec.max_failed_indexes is not None and failed > spec.max_failed_indexes:
        said = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILURE, "MaxFailedIndexesExceeded", said)
    if failed and failed + len(view.completed) >= (spec.completions or 0):
        return Verdict(FAILURE, "FailedIndexes", "Job has failed indexes")
    if met := policies.success(view.job, view.completed):
        return Verdict(SUCCESS, "SuccessPolicy", met)
    return None


def _by_count(view: View) -> Verdict | None:
    """Enough successes; where no number is asked for, one, and nobody at work any more."""
    wanted, succeeded = view.job.spec.completions, view.succeeded_count
    is_met = succeeded > 0 and not view.active if wanted is None else succeeded >= wanted
    if not is_met:
        return None
    said = "Reached expected number of succeeded pods"
    return Verdict(SUCCESS, "CompletionsReached", said)
