"""Which pods a job makes, and which it has too many of."""

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from orchestrator.core.availability import earliest
from orchestrator.core.decisions import Create, Decision, Emit, Plan, Remove, Update
from orchestrator.core.job import backoff, indexes
from orchestrator.core.job.policies import judge
from orchestrator.core.job.view import (
    FAILURES,
    IGNORED_FAILURES,
    View,
    index_failures,
    index_of,
    is_ending,
    is_indexed,
    replaces_only_failed,
)
from orchestrator.core.objects import GENERATE_NAME_MAX
from orchestrator.core.ownership import reference
from orchestrator.core.replicaset import least_useful_first
from proto.kinds.container import Container, EnvVar, EnvVarSource
from proto.kinds.job import INDEX_KEY, JOBS, TRACKING, Job
from proto.kinds.pod import PODS, Pod, is_active
from proto.kinds.source import ObjectFieldSelector
from proto.meta import ObjectMeta

BURST = 500
"""Pods created or deleted in one pass. Source: MaxPodCreateDeletePerSync."""

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def manage(view: View, now_ms: int) -> Plan:
    """Make what is missing or delete what is too much, of a job that is not decided yet."""
    if view.job.spec.suspend:
        return Plan(tuple(_given_up(view.job, view.active[:BURST], "it is suspended")))
    wanted = _wanted(view)
    surplus = _surplus(view, len(view.active) - wanted, now_ms)
    if surplus:
        return Plan(tuple(_given_up(view.job, surplus[:BURST], f"{wanted} are wanted")))
    coming = view.terminating if replaces_only_failed(view.job) else 0
    missing = min(BURST, wanted - len(view.active) - coming)
    if missing <= 0:
        return Plan()
    if view.job.spec.backoff_limit_per_index is not None:
        return _made_by_index(view, missing, now_ms)
    start_ms = backoff.next_start_ms(view.pods)
    if start_ms > now_ms:
        return Plan(wake_at_ms=start_ms)
    if is_indexed(view.job):
        chosen = list(islice(_open_indexes(view), missing))
        return Plan(tuple(_made(view, index) for index in chosen))
    return Plan(tuple(_made(view, None) for _ in range(missing)))


def _wanted(view: View) -> int:
    """How many should be at work."""
    spec, parallelism = view.job.spec, view.job.spec.parallelism or 0
    if spec.completions is not None:
        return max(0, min(parallelism, spec.completions - view.succeeded_count))
    # One success says that the work is done: the others finish, nobody else begins.
    return len(view.active) if view.succeeded_count else parallelism


def _surplus(view: View, surplus: int, now_ms: int) -> list[Pod]:
    """Those whose index is none, is settled or has a better pod; then the least useful."""
    ranked = least_useful_first(view.active, 0, now_ms)
    removed: list[Pod] = []
    if is_indexed(view.job):
        settled, seen = view.completed | view.failed_indexes, set()
        for pod in reversed(ranked):
            index = index_of(pod, view.job)
            if index is None or index in settled or index in seen:
                removed.append(pod)
            seen.add(index)
    kept = [pod for pod in ranked if pod not in removed]
    return removed + kept[: max(0, surplus - len(removed))]


def _open_indexes(view: View) -> Iterator[int]:
    """Indexes that nobody has done or is at, in ascending order."""
    job = view.job
    busy = (
        index_of(pod, job)
        for pod in view.pods
        if is_active(pod) or (replaces_only_failed(job) and is_ending(pod))
    )
    taken = indexes.of(index for index in busy if index is not None)
    return (view.completed | view.failed_indexes | taken).missing(job.spec.completions or 0)


def _made_by_index(view: View, missing: int, now_ms: int) -> Plan:
    """Where each index has a limit of its own, each waits on its own."""
    made: list[Decision] = []
    wake_at_ms = None
    for index in _open_indexes(view):
        if len(made) >= missing:
            break
        start_ms = backoff.next_start_of_index_ms(view.retried.get(index))
        if start_ms > now_ms:
            wake_at_ms = earliest(wake_at_ms, start_ms)
        else:
            made.append(_made(view, index))
    return Plan(tuple(made), wake_at_ms)


def _made(view: View, index: int | None) -> Create:
    job = view.job
    told = Emit(JOBS, job, "Normal", "SuccessfulCreate", "Created pod: {name}")
    pod = _new_pod(job)
    if index is None:
        return Create(PODS, pod, f"{view.succeeded_count} have succeeded", told)
    return Create(PODS, _of_index(view, pod, index), f"for index {index}", told)


def _new_pod(job: Job) -> Pod:
    template = job.spec.template
    meta = template.metadata
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{job.metadata.name}-"[:GENERATE_NAME_MAX],
            namespace=job.metadata.namespace,
            labels=meta.labels,
            annotations=meta.annotations,
            finalizers=tuple(dict.fromkeys((*meta.finalizers, TRACKING))),
            owner_references=(reference(JOBS, job),),
        ),
        spec=template.spec,
    )


def _of_index(view: View, pod: Pod, index: int) -> Pod:
    """The pod with its index, as Kubernetes tells it: to people, to selectors, to its program."""
    meta, spec, job = pod.metadata, pod.spec, view.job
    end = f"-{index}-"
    named = {INDEX_KEY: str(index)}
    notes = named
    if job.spec.backoff_limit_per_index is not None:
        notes = named | _failures(job, view.retried.get(index))
    return replace(
        pod,
        metadata=replace(
            meta,
            generate_name=job.metadata.name[: GENERATE_NAME_MAX - len(end)] + end,
            labels=meta.labels | named,
            annotations=meta.annotations | notes,
        ),
        spec=replace(
            spec,
            hostname=f"{job.metadata.name}-{index}",
            init_containers=tuple(map(_told_its_index, spec.init_containers)),
            containers=tuple(map(_told_its_index, spec.containers)),
        ),
    )


def _told_its_index(container: Container) -> Container:
    if any(variable.name == INDEX_VARIABLE for variable in container.env):
        return container
    path = f"metadata.annotations['{INDEX_KEY}']"
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path=path))
    variable = EnvVar(name=INDEX_VARIABLE, value_from=source)
    return replace(container, env=(*container.env, variable))


def _failures(job: Job, last: Pod | None) -> dict[str, str]:
    """How often its index has failed, from the last pod that did."""
    counted = ignored = 0
    if last is not None:
        counted, ignored = index_failures(last)
        if judge(job, last).counts:
            counted += 1
        else:
            ignored += 1
    notes = {FAILURES: str(counted)}
    return notes | {IGNORED_FAILURES: str(ignored)} if ignored else notes


def _given_up(job: Job, pods: list[Pod] | tuple[Pod, ...], cause: str) -> Iterator[Decision]:
    """Deleted because the job wants fewer: that is no failure, so nobody counts it."""
    for pod in pods:
        yield Remove(PODS, released(pod), cause)
        yield _deleted(job, pod)


def ended(view: View, cause: str) -> Iterator[Decision]:
    """All that are still at work for a decided job; they count as failed."""
    for pod in view.active[:BURST]:
        yield Remove(PODS, pod, cause)
        yield _deleted(view.job, pod)


def _deleted(job: Job, pod: Pod) -> Emit:
    message = f"Deleted pod: {pod.metadata.name}"
    return Emit(JOBS, job, "Normal", "SuccessfulDelete", message)


def released(pod: Pod) -> Pod:
    """The pod without the finalizer by which its end is counted."""
    meta = pod.metadata
    kept = tuple(name for name in meta.finalizers if name != TRACKING)
    return replace(pod, metadata=replace(meta, finalizers=kept))


def release(pod: Pod, cause: str) -> Update:
    """Let it go."""
    return Update(PODS, released(pod), cause)
