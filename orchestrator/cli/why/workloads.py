"""Why a deployment, a replica set (or its elder) or a job does not have the pods it wants."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.cli.why import ending, words
from orchestrator.cli.why.finding import Explanation, Finding, Weight, ordered
from orchestrator.cli.why.pods import explain_pod, is_plainly_well
from orchestrator.cli.why.seen import Seen
from proto.kinds.daemonset import DaemonSet
from proto.kinds.deployment import Deployment
from proto.kinds.job import Job
from proto.kinds.pod import Pod
from proto.kinds.replicaset import ReplicaSet
from proto.kinds.replicationcontroller import ReplicationController
from proto.kinds.statefulset import StatefulSet
from proto.meta import Condition, Resource, condition

TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"


def explain_deployment(found: Deployment, seen: Seen) -> Explanation:
    """All findings on a deployment, its replica sets and their pods."""
    status, wanted = found.status, found.spec.replicas or 0
    meta = found.metadata
    summary = (
        f"deployment {meta.name}: {status.ready_replicas} of {wanted} ready, "
        f"{status.updated_replicas} up to date"
    )
    return explained("deploy", found, summary, _of_deployment(found, seen), seen)


def explain_replicas(found: ReplicaSet | ReplicationController, seen: Seen) -> Explanation:
    """All findings on a replica set, or a replication controller, and its pods."""
    wanted = found.spec.replicas or 0
    is_set = isinstance(found, ReplicaSet)
    kind, called = ("rs", "replica set") if is_set else ("rc", "replication controller")
    summary = f"{called} {found.metadata.name}: {found.status.ready_replicas} of {wanted} ready"
    findings = [
        *_not_created([found], found.status.conditions, seen),
        *of_pods(seen.pods_of(found), seen),
    ]
    return explained(kind, found, summary, findings, seen)


def explain_job(found: Job, seen: Seen) -> Explanation:
    """All findings on a job and its pods."""
    status = found.status
    wanted = found.spec.completions or 1
    summary = (
        f"job {found.metadata.name}: {status.succeeded} of {wanted} succeeded, "
        f"{status.active} active, {status.failed} failed"
    )
    return explained("job", found, summary, _of_job(found, seen), seen)


def explained(
    kind: str, found: Resource, summary: str, findings: Iterable[Finding], seen: Seen
) -> Explanation:
    """What all kinds of workloads have in common."""
    every = ordered([*ending.findings_of(found, seen), *findings])
    fine = Finding(
        weight=Weight.FINE, reason="Fine", what="It has what it wants; nothing to explain"
    )
    return Explanation(
        kind=kind,
        name=found.metadata.name,
        namespace=found.metadata.namespace,
        summary=summary,
        findings=every or (fine,),
    )


def _of_deployment(found: Deployment, seen: Seen) -> Iterator[Finding]:
    name, inside = found.metadata.name, seen.inside(found.metadata.namespace)
    progressing = condition(found.status.conditions, "Progressing")
    if progressing is not None and progressing.reason == TIMED_OUT:
        yield Finding(
            weight=Weight.PROBLEM,
            reason=TIMED_OUT,
            what="Its rollout made no progress for longer than progressDeadlineSeconds "
            f"({found.spec.progress_deadline_seconds} s)",
            evidence=(f"{progressing.reason}: {progressing.message}",),
            advice="Mend what keeps its new pods from being ready, or go back.",
            next=(f"longshore rollout undo deploy/{name}{inside}",),
        )
    if found.spec.paused:
        yield Finding(
            weight=Weight.NOTE,
            reason=PAUSED,
            what="It is paused: changes of its template wait",
            next=(f"longshore rollout resume deploy/{name}{inside}",),
        )
    yield from idle("deploy", found, seen)
    sets = seen.replica_sets_of(found)
    yield from _not_created(sets, found.status.conditions, seen)
    yield from of_pods(seen.pods_of(found), seen)


def idle(kind: str, found: Deployment | StatefulSet, seen: Seen) -> Iterator[Finding]:
    """That nothing is asked for, or not yet."""
    name, inside = found.metadata.name, seen.inside(found.metadata.namespace)
    if found.spec.replicas == 0:
        yield Finding(
            weight=Weight.NOTE,
            reason="ScaledToZero",
            what="It is scaled to 0 replicas, so it has no pods",
            next=(f"longshore scale {kind}/{name} --replicas=1{inside}",),
        )
    yield from not_looked_at(found)


def not_looked_at(found: Deployment | StatefulSet | DaemonSet) -> Iterator[Finding]:
    """That its status is about an earlier spec."""
    if found.status.observed_generation < found.metadata.generation:
        yield Finding(
            weight=Weight.NOTE,
            reason="NotLookedAt",
            what="The control plane has not looked at its latest change yet",
        )


def _not_created(
    sets: Sequence[ReplicaSet | ReplicationController], conditions: Sequence[Condition], seen: Seen
) -> Iterator[Finding]:
    """Pods that the API refuses: a quota, most of all."""
    failure = condition(conditions, "ReplicaFailure")
    if failure is None or failure.status != "True":
        return
    events = [event for rs in sets for event in seen.events_of(rs, "FailedCreate")[:1]]
    namespace = sets[0].metadata.namespace if sets else ""
    used = [
        f"quota {quota.metadata.name}: {resource} {quota.status.used.get(resource, 0)} of {hard}"
        for quota in seen.quotas
        if quota.metadata.namespace == namespace
        for resource, hard in sorted(quota.status.hard.items())
    ]
    is_quota = "exceeded quota" in failure.message
    yield Finding(
        weight=Weight.PROBLEM,
        reason="OverQuota" if is_quota else "PodsRefused",
        what="Pods are missing because "
        + ("the namespace's quota is used up" if is_quota else "the API refuses to create them"),
        evidence=(
            f"{failure.reason}: {failure.message}",
            *(words.told(event, seen.now_ms) for event in events[:1]),
            *(used if is_quota else ()),
        ),
        advice="Ask for less, or raise the quota." if is_quota else "",
    )


def of_pods(pods: Sequence[Pod], seen: Seen) -> Iterator[Finding]:
    """The problems of many pods, each told once with how many have it."""
    by_reason: dict[str, list[tuple[Pod, Finding]]] = defaultdict(list)
    for pod in pods:
        if is_plainly_well(pod):
            continue
        if problem := explain_pod(pod, seen).problem:
            by_reason[problem.reason].append((pod, problem))
    for having in by_reason.values():
        pod, problem = having[0]
        names = words.listed([one.metadata.name for one, _ in having], at_most=3)
        yield Finding(
            weight=Weight.PROBLEM,
            reason=problem.reason,
            what=f"{len(having)} of {words.count(len(pods), 'pod')}: {problem.what}",
            evidence=(f"pods: {names}", *problem.evidence),
            output=problem.output,
            advice=problem.advice,
            next=(
                f"longshore why {pod.metadata.name}{seen.inside(pod.metadata.namespace)}",
                *problem.next,
            ),
        )


def _of_job(found: Job, seen: Seen) -> Iterator[Finding]:
    failed = condition(found.status.conditions, "Failed")
    if failed is not None and failed.status == "True":
        yield Finding(
            weight=Weight.PROBLEM,
            reason=failed.reason or "JobFailed",
            what=f"It failed: {failed.message or failed.reason}",
            next=(
                f"longshore logs job/{found.metadata.name}{seen.inside(found.metadata.namespace)}",
            ),
        )
    if found.spec.suspend:
        yield Finding(
            weight=Weight.NOTE, reason="Suspended", what="It is suspended: no pods are made"
        )
    pods = seen.pods_of(found)
    if not pods and not found.status.conditions and not found.status.active:
        yield Finding(
            weight=Weight.NOTE,
            reason="NoPods",
            what="It has no pods yet",
            evidence=tuple(words.told(event, seen.now_ms) for event in seen.events_of(found)[:3]),
        )
    complete = condition(found.status.conditions, "Complete")
    if complete is None or complete.status != "True":
        yield from of_pods(pods, seen)
