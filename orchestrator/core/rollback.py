"""A rollout that misses its deadline goes back: annotation ``longshore.dev/auto-rollback``.

It goes back to the newest revision that was once rolled out in full: the one before may have been
as bad. That a revision was is noted on its replica set; going back never leads away from such a
one, so it ends.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from orchestrator.core import rollout_status
from orchestrator.core.decisions import Decision, Emit, Update
from orchestrator.core.rollout import Share, noted_number
from proto.kinds.deployment import DEPLOYMENTS, HASH_LABEL, REVISION_ANNOTATION, Deployment
from proto.kinds.pod import Pod, PodTemplateSpec
from proto.kinds.replicaset import ReplicaSet
from proto.meta import condition

AUTO_ROLLBACK = "longshore.dev/auto-rollback"
ROLLED_OUT = "longshore.dev/rolled-out"
"""On a replica set: all pods of its deployment were once available and its own."""

CHANGE_CAUSE = "kubernetes.io/change-cause"
"""What ``kubectl rollout history`` shows of a revision."""


def is_wanted(deployment: Deployment) -> bool:
    """Whether it goes back by itself."""
    return deployment.metadata.annotations.get(AUTO_ROLLBACK) == "true"


def is_rolled_out(deployment: Deployment, new: Share, olds: Sequence[Share]) -> bool:
    """Whether everything runs, of the present template, and nothing else does."""
    desired = deployment.spec.replicas or 0
    return 0 < desired == new.active == new.available and not any(old.active for old in olds)


def made_of(rs: ReplicaSet) -> PodTemplateSpec:
    """The template that a deployment must have had to make this replica set."""
    template = rs.spec.template
    labels = {key: val for key, val in template.metadata.labels.items() if key != HASH_LABEL}
    return replace(template, metadata=replace(template.metadata, labels=labels))


def rolled_back(
    deployment: Deployment, new: ReplicaSet, olds: Iterable[ReplicaSet], pods: Iterable[Pod]
) -> tuple[Decision, ...]:
    """The way back, once the deadline was missed; empty before that, or where there is none.

    Args:
        deployment: Its status says whether the deadline was missed.
        new: The replica set of its template.
        olds: Its other replica sets.
        pods: Those of `new`: why it did not work.
    """
    progressing = condition(deployment.status.conditions, "Progressing")
    if (
        not is_wanted(deployment)
        or deployment.spec.paused
        or deployment.status.observed_generation < deployment.metadata.generation
        or progressing is None
        or progressing.reason != rollout_status.TIMED_OUT
        or ROLLED_OUT in new.metadata.annotations
    ):
        return ()
    good = [old for old in olds if ROLLED_OUT in old.metadata.annotations]
    if not good:
        return ()
    target = max(good, key=lambda rs: noted_number(rs, REVISION_ANNOTATION))
    notes = dict(deployment.metadata.annotations)
    notes.pop(CHANGE_CAUSE, None)
    if (cause := target.metadata.annotations.get(CHANGE_CAUSE)) is not None:
        notes[CHANGE_CAUSE] = cause
    changed = replace(
        deployment,
        metadata=replace(deployment.metadata, annotations=notes),
        spec=replace(deployment.spec, template=made_of(target)),
    )
    revision = noted_number(target, REVISION_ANNOTATION)
    failed = noted_number(new, REVISION_ANNOTATION)
    seconds = deployment.spec.progress_deadline_seconds
    text = (
        f"Rolled back to revision {revision}: revision {failed} made no progress for {seconds} s"
        f"{_why(pods)}"
    )
    return (
        Update(DEPLOYMENTS, changed, f"revision {failed} missed its deadline"),
        Emit(DEPLOYMENTS, deployment, "Warning", "DeploymentRollback", text),
    )


def _why(pods: Iterable[Pod]) -> str:
    """What the first pod that does not work says of itself."""
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        name = pod.metadata.name
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            waiting = status.state.waiting
            if waiting is not None and waiting.reason not in (
                "ContainerCreating",
                "PodInitializing",
            ):
                return f"; pod {name}: {waiting.reason}: {waiting.message}"
        for found in pod.status.conditions:
            if found.status == "False" and found.message:
                return f"; pod {name}: {found.message}"
    return ""
