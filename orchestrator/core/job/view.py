"""A job and its pods, told apart: what every part of its plan looks at."""

from collections.abc import Iterable

from msgspec import Struct

from orchestrator.core.job import indexes, policies
from orchestrator.core.job.indexes import Indexes
from proto.kinds.job import INDEX_KEY, TRACKING, Job
from proto.kinds.pod import Pod, is_active, is_terminated
from proto.meta import is_true

FAILURES = "batch.kubernetes.io/job-index-failure-count"
"""Annotation of a pod: how many of its index have failed before it, and count."""

IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
"""The same, of those that do not count."""


SUCCESS = "SuccessCriteriaMet"
FAILURE = "FailureTarget"
INTERIM = (SUCCESS, FAILURE)
"""Conditions of a job that is decided, though not all is counted yet."""


class View(Struct, frozen=True):
    """What is the case, whether or not it is in the job's status yet.

    Attributes:
        pods: All it owns, by creation and name.
        active: Pods that neither ended nor are being deleted.
        terminating: How many are being deleted and have not ended.
        succeeded: Uids of pods not written down yet; of a job without indexes.
        failed: The same, of failures that count.
        completed: Indexes that have succeeded.
        failed_indexes: Indexes that have failed for good.
        retried: By index, the failed pod that the next one of its index follows: it is not let go
            before, since it knows how many failed before it.
        verdict_by_pod: Why one of its failed pods fails the job; empty: none does.
    """

    job: Job
    pods: tuple[Pod, ...]
    active: tuple[Pod, ...]
    terminating: int
    succeeded: tuple[str, ...]
    failed: tuple[str, ...]
    completed: Indexes
    failed_indexes: Indexes
    retried: dict[int, Pod]
    verdict_by_pod: str

    @property
    def succeeded_count(self) -> int:
        """How many have succeeded: indexes, or pods."""
        if is_indexed(self.job):
            return len(self.completed)
        status = self.job.status
        known = len(status.uncounted_terminated_pods.succeeded)
        return status.succeeded + known + len(self.succeeded)

    @property
    def failed_count(self) -> int:
        """How many pods have failed, of those that count."""
        status = self.job.status
        return status.failed + len(status.uncounted_terminated_pods.failed) + len(self.failed)


def is_indexed(job: Job) -> bool:
    """Whether its pods have indexes."""
    return job.spec.completion_mode == "Indexed"


def is_tracked(pod: Pod) -> bool:
    """Whether its end is yet to be counted."""
    return TRACKING in pod.metadata.finalizers


def index_of(pod: Pod, job: Job) -> int | None:
    """Its completion index; None if it has none that the job wants."""
    text = pod.metadata.annotations.get(INDEX_KEY, "")
    index = int(text) if text.isdecimal() else -1
    return index if 0 <= index < (job.spec.completions or 0) else None


def index_failures(pod: Pod) -> tuple[int, int]:
    """How many pods of its index failed before it: those that count, and those that do not."""
    notes = pod.metadata.annotations
    counted, ignored = notes.get(FAILURES, ""), notes.get(IGNORED_FAILURES, "")
    return (
        int(counted) if counted.isdecimal() else 0,
        int(ignored) if ignored.isdecimal() else 0,
    )


def replaces_only_failed(job: Job) -> bool:
    """Whether a pod being deleted is waited for before it counts as failed and is replaced."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def has_failed(pod: Pod, job: Job) -> bool:
    """Whether it has ended without success, or may never get to tell how it ended."""
    if is_terminated(pod):
        return pod.status.phase == "Failed"
    is_waited_for = is_ending(pod) and replaces_only_failed(job)
    return bool(pod.metadata.deletion_timestamp) and not is_waited_for


def is_ending(pod: Pod) -> bool:
    """Whether it is being stopped; one that has no node yet has nothing to stop."""
    return bool(pod.metadata.deletion_timestamp and pod.spec.node_name) and not is_terminated(pod)


def look(job: Job, pods: Iterable[Pod]) -> View:
    """Tell them apart.

    Args:
        job: Present, and not over.
        pods: All it owns, by creation and name.
    """
    owned = tuple(pods)
    tracked = [pod for pod in owned if is_tracked(pod)]
    active = tuple(pod for pod in owned if is_active(pod))
    failures = [(pod, policies.judge(job, pod)) for pod in tracked if has_failed(pod, job)]
    completed, failed_indexes = Indexes(), Indexes()
    if is_indexed(job):
        completed = _completed(job, tracked)
        failed_indexes = _failed_for_good(job, failures, completed)
    known = frozenset(
        (
            *job.status.uncounted_terminated_pods.succeeded,
            *job.status.uncounted_terminated_pods.failed,
        )
    )
    return View(
        job=job,
        pods=owned,
        active=active,
        terminating=sum(map(is_ending, owned)),
        succeeded=tuple(
            pod.metadata.uid
            for pod in tracked
            if pod.status.phase == "Succeeded"
            and not is_indexed(job)
            and pod.metadata.uid not in known
        ),
        failed=tuple(
            pod.metadata.uid
            for pod, judged in failures
            if judged.counts and _is_countable(pod, job) and pod.metadata.uid not in known
        ),
        completed=completed,
        failed_indexes=failed_indexes,
        retried=_retried(job, failures, active, completed | failed_indexes),
        verdict_by_pod=next(
            (judged.why for _, judged in failures if judged.action == "FailJob"), ""
        ),
    )


def _is_countable(pod: Pod, job: Job) -> bool:
    return not is_indexed(job) or index_of(pod, job) is not None


def _completed(job: Job, tracked: Iterable[Pod]) -> Indexes:
    """Those of the status, and those of pods that succeeded since."""
    found = (index_of(pod, job) for pod in tracked if pod.status.phase == "Succeeded")
    known = indexes.parsed(job.status.completed_indexes, job.spec.completions or 0)
    return known | indexes.of(index for index in found if index is not None)


def _failed_for_good(
    job: Job, failures: Iterable[tuple[Pod, policies.Judgement]], completed: Indexes
) -> Indexes:
    limit = job.spec.backoff_limit_per_index
    if limit is None:
        return Indexes()
    is_decided = any(is_true(job.status.conditions, type_) for type_ in INTERIM)
    found = []
    for pod, judged in failures:
        index = index_of(pod, job)
        is_stopped = is_decided and pod.metadata.deletion_timestamp  # by us: not for its fault
        if index is None or index in completed or is_stopped:
            continue
        is_over_limit = index_failures(pod)[0] + judged.counts > limit
        if judged.action == "FailIndex" or is_over_limit:
            found.append(index)
    known = indexes.parsed(job.status.failed_indexes or "", job.spec.completions or 0)
    return known | indexes.of(found)


def _retried(
    job: Job,
    failures: Iterable[tuple[Pod, policies.Judgement]],
    active: Iterable[Pod],
    settled: Indexes,
) -> dict[int, Pod]:
    if job.spec.backoff_limit_per_index is None:
        return {}
    running = {index_of(pod, job) for pod in active}
    found: dict[int, Pod] = {}
    for pod, _ in failures:
        index = index_of(pod, job)
        if index is None or index in settled or index in running:
            continue
        if index not in found or sum(index_failures(found[index])) <= sum(index_failures(pod)):
            found[index] = pod
    return found
