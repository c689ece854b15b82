"""What to do about a job now."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from orchestrator.core.availability import earliest
from orchestrator.core.decisions import Decision, Emit, Plan, Remove, Update, UpdateStatus
from orchestrator.core.job import pods as its_pods, verdict as verdicts
from orchestrator.core.job.indexes import parsed
from orchestrator.core.job.policies import judge
from orchestrator.core.job.status import started, status_of
from orchestrator.core.job.verdict import Verdict
from orchestrator.core.job.view import (
    View,
    has_failed,
    index_of,
    is_indexed,
    is_tracked,
    look,
)
from orchestrator.core.ownership import claim
from proto.kinds.job import JOBS, OUR_CONTROLLER, TRACKING, Job, JobStatus, ending_of
from proto.kinds.pod import PODS, Pod, is_active
from proto.meta import LabelSelector, condition, parse_time_ms


def plan(job: Job, pods: Iterable[Pod], now_ms: int) -> Plan:
    """Make and delete pods, count those that ended, tell how far it is.

    Args:
        job: Present, possibly being deleted: then it only counts, and lets its pods go.
        pods: Those it owns and, to be adopted, those in its namespace that nobody owns; others
            are left alone. In any order.
        now_ms: Epoch milliseconds.
    """
    if job.spec.managed_by not in ("", OUR_CONTROLLER):
        return Plan()
    claimed = claim(JOBS, job, job.spec.selector or LabelSelector(), PODS, pods)
    if (ending := ending_of(job)) is not None:
        return _after(job, claimed.owned, parse_time_ms(ending.last_transition_time), now_ms)
    if claimed.writes:  # what is owned is not settled: look again once it is
        return Plan(tuple(_marked(write, job) for write in claimed.writes))
    view = look(job, claimed.owned)
    start_time = started(job, now_ms)
    verdict = verdicts.verdict(view, start_time, now_ms)
    work = _work(view, verdict, now_ms)
    status = status_of(view, verdict, start_time, now_ms)
    wake_at_ms = None
    if verdict is None:
        wake_at_ms = earliest(work.wake_at_ms, verdicts.deadline_ms(job, status.start_time))
    decisions = (*work.decisions, *_let_go(view, verdict), *_told(job, status))
    return Plan(decisions, wake_at_ms)


def orphaned(pod: Pod) -> Plan:
    """What becomes of a pod whose job is gone, or is no longer its: nobody counts its end."""
    if not is_tracked(pod):
        return Plan()
    return Plan((its_pods.release(pod, "no job counts how it ends"),))


def _marked(write: Update, job: Job) -> Update:
    """An adopted pod's end is counted, if it is yet to come; one that is released is let go."""
    pod = write.object
    if not isinstance(pod, Pod):
        raise TypeError(f"{pod} is no pod")
    owner = pod.metadata.controller
    if owner is None or owner.uid != job.metadata.uid:
        return replace(write, object=its_pods.released(pod))
    if not is_active(pod):
        return write
    finalizers = tuple(dict.fromkeys((*pod.metadata.finalizers, TRACKING)))
    tracked = replace(pod, metadata=replace(pod.metadata, finalizers=finalizers))
    return replace(write, object=tracked)


def _after(job: Job, pods: Iterable[Pod], ended_ms: int, now_ms: int) -> Plan:
    """A job that is over: nothing changes any more, but for when it is to go by itself."""
    late = tuple(its_pods.release(pod, "its job is over") for pod in pods if is_tracked(pod))
    ttl_s = job.spec.ttl_seconds_after_finished
    if ttl_s is None or job.metadata.deletion_timestamp:
        return Plan(late)
    due_ms = ended_ms + ttl_s * 1000
    if now_ms < due_ms:
        return Plan(late, due_ms)
    cause = f"it has been over for its {ttl_s} s"
    return Plan((*late, Remove(JOBS, job, cause, propagation="Foreground")))


def _work(view: View, verdict: Verdict | None, now_ms: int) -> Plan:
    if view.job.metadata.deletion_timestamp:
        return Plan()
    if verdict is not None and not verdict.is_written:  # or what is ended would decide otherwise
        return Plan()
    if verdict is not None:
        return Plan(tuple(its_pods.ended(view, f"its job is decided: {verdict.reason}")))
    return its_pods.manage(view, now_ms)


def _let_go(view: View, verdict: Verdict | None) -> Iterator[Update]:
    """Pods whose end is written down, and with it what it decided."""
    job = view.job
    if verdict is not None and not verdict.is_written:
        return
    waiting = set() if verdict else {pod.metadata.uid for pod in view.retried.values()}
    for pod in view.pods:
        if not is_tracked(pod):
            continue
        if job.metadata.deletion_timestamp:
            yield its_pods.release(pod, "its job is being deleted")
        elif pod.metadata.uid not in waiting and _is_written(pod, job):
            yield its_pods.release(pod, "its end is counted")


def _is_written(pod: Pod, job: Job) -> bool:
    known = job.status.uncounted_terminated_pods
    if pod.metadata.uid in known.succeeded or pod.metadata.uid in known.failed:
        return True
    index = index_of(pod, job)
    if pod.status.phase == "Succeeded":
        done = parsed(job.status.completed_indexes, job.spec.completions or 0)
        return is_indexed(job) and (index is None or index in done)
    is_nothing_to_count = (is_indexed(job) and index is None) or not judge(job, pod).counts
    return has_failed(pod, job) and is_nothing_to_count


def _told(job: Job, status: JobStatus) -> Iterator[Decision]:
    if status == job.status:
        return
    cause = f"{status.active} active, {status.succeeded} succeeded, {status.failed} failed"
    yield UpdateStatus(JOBS, replace(job, status=status), cause)
    yield from _news(job, status)


def _news(job: Job, status: JobStatus) -> Iterator[Emit]:
    """Events about conditions that are new."""
    for type_, on, off in (("Suspended", "Suspended", "Resumed"), ("Complete", "Completed", "")):
        now = condition(status.conditions, type_)
        before = condition(job.status.conditions, type_)
        if now is None or (before is not None and before.status == now.status):
            continue
        reason = on if now.status == "True" else off
        message = "Job completed" if type_ == "Complete" else now.message
        yield Emit(JOBS, job, "Normal", reason, message)
    failed = condition(status.conditions, "Failed")
    if failed is not None and condition(job.status.conditions, "Failed") is None:
        yield Emit(JOBS, job, "Warning", failed.reason, failed.message)
