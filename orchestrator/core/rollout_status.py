"""What a deployment tells of itself: counts, and the conditions ``kubectl rollout status`` reads.

Source of reasons and words: Kubernetes, pkg/controller/deployment (progress.go, sync.go) and
util/deployment_util.go.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from orchestrator.core.replicaset import REPLICA_FAILURE
from orchestrator.core.rollout import Share
from proto.kinds.deployment import Deployment, DeploymentStatus, surge_and_unavailable
from proto.meta import Condition, condition, format_time, parse_time_ms

COMPLETE = "NewReplicaSetAvailable"
CREATED = "NewReplicaSetCreated"
FOUND = "FoundNewReplicaSet"
UPDATED = "ReplicaSetUpdated"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
TIMED_OUT = "ProgressDeadlineExceeded"


def status_of(
    deployment: Deployment,
    new: Share | None,
    olds: Sequence[Share],
    now_ms: int,
    *,
    is_created_now: bool,
) -> DeploymentStatus:
    """The present status.

    Args:
        deployment: With its last status, which progress is measured against.
        new: That of the present template, if there is one.
        olds: All others.
        now_ms: Epoch milliseconds.
        is_created_now: `new` is being created in this very pass.
    """
    status = _with_availability(deployment, _counted(deployment, new, olds), now_ms)
    if not is_progress_watched(deployment):
        kept = tuple(found for found in status.conditions if found.type != "Progressing")
        return replace(status, conditions=kept)
    if deployment.metadata.deletion_timestamp:
        return status
    status = _with_announcement(deployment, status, new, now_ms, is_created_now=is_created_now)
    if not deployment.spec.paused:
        status = _with_progress(deployment, status, new, now_ms)
    return _with_failure(status, [share for share in (new, *olds) if share is not None], now_ms)


def is_progress_watched(deployment: Deployment) -> bool:
    """Whether it has a deadline. Source: HasProgressDeadline; the largest int32 means none."""
    return deployment.spec.progress_deadline_seconds not in (None, 2**31 - 1)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether everything runs, of the newest template, and nothing else does."""
    desired = deployment.spec.replicas or 0
    return (
        status.updated_replicas == status.replicas == status.available_replicas == desired
        and status.observed_generation >= deployment.metadata.generation
    )


def deadline_ms(deployment: Deployment, status: DeploymentStatus) -> int | None:
    """When it will have made no progress for too long; None when nobody waits for progress."""
    progressing = condition(status.conditions, "Progressing")
    seconds = deployment.spec.progress_deadline_seconds
    if (
        progressing is None
        or seconds is None
        or deployment.spec.paused
        or progressing.reason in (COMPLETE, TIMED_OUT)
        or not progressing.last_update_time
    ):
        return None
    return parse_time_ms(progressing.last_update_time) + seconds * 1000


def _counted(deployment: Deployment, new: Share | None, olds: Sequence[Share]) -> DeploymentStatus:
    shares = [*olds, *([new] if new else [])]
    available = sum(share.available for share in shares)
    return replace(
        deployment.status,
        observed_generation=deployment.metadata.generation,
        replicas=sum(share.active for share in shares),
        updated_replicas=new.active if new else 0,
        ready_replicas=sum(share.ready for share in shares),
        available_replicas=available,
        unavailable_replicas=max(0, sum(share.size for share in shares) - available),
        terminating_replicas=sum(share.terminating for share in shares),
    )


def _with_availability(
    deployment: Deployment, status: DeploymentStatus, now_ms: int
) -> DeploymentStatus:
    """The status with its Available condition."""
    desired = deployment.spec.replicas or 0
    least = desired - surge_and_unavailable(deployment)[1]
    if status.available_replicas >= least:
        new = (
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    else:
        new = (
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    return _with(status, *new, now_ms)


def _with_announcement(
    deployment: Deployment,
    status: DeploymentStatus,
    new: Share | None,
    now_ms: int,
    *,
    is_created_now: bool,
) -> DeploymentStatus:
    """The step that has just been taken: paused, resumed, replica set created or found."""
    progressing = condition(status.conditions, "Progressing")
    reason = progressing.reason if progressing else ""
    name = new.rs.metadata.name if new else ""
    if deployment.spec.paused and reason not in (PAUSED, TIMED_OUT):
        return _with(status, "Progressing", "Unknown", PAUSED, "Deployment is paused", now_ms)
    if not deployment.spec.paused and reason == PAUSED:
        return _with(status, "Progressing", "Unknown", RESUMED, "Deployment is resumed", now_ms)
    if is_created_now:
        text = f'Created new replica set "{name}"'
        return _with(status, "Progressing", "True", CREATED, text, now_ms)
    if progressing is None and new is not None:
        text = f'Found new replica set "{name}"'
        return _with(status, "Progressing", "True", FOUND, text, now_ms)
    return status


def _with_progress(
    deployment: Deployment, status: DeploymentStatus, new: Share | None, now_ms: int
) -> DeploymentStatus:
    progressing = condition(status.conditions, "Progressing")
    who = (
        f'ReplicaSet "{new.rs.metadata.name}"'
        if new
        else f'Deployment "{deployment.metadata.name}"'
    )
    all_updated = status.replicas == status.updated_replicas
    if all_updated and progressing is not None and progressing.reason == COMPLETE:
        return status  # a finished rollout does not time out because a pod fails later
    if is_complete(deployment, status):
        text = f"{who} has successfully progressed."
        return _with(status, "Progressing", "True", COMPLETE, text, now_ms)
    if _is_further(status, deployment.status):
        text = f"{who} is progressing."
        return _with(status, "Progressing", "True", UPDATED, text, now_ms, is_renewed=True)
    at_ms = deadline_ms(deployment, status)
    if at_ms is not None and at_ms <= now_ms:
        text = f"{who} has timed out progressing."
        return _with(status, "Progressing", "False", TIMED_OUT, text, now_ms)
    return status


def _is_further(new: DeploymentStatus, old: DeploymentStatus) -> bool:
    """Source: DeploymentProgressing."""
    return (
        new.updated_replicas > old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    )


def _with_failure(
    status: DeploymentStatus, shares: Iterable[Share], now_ms: int
) -> DeploymentStatus:
    """The status with what keeps a replica set from making its pods, the newest one's first.

    Source: Kubernetes, getReplicaFailures.
    """
    failures = (condition(share.rs.status.conditions, REPLICA_FAILURE) for share in shares)
    failure = next((found for found in failures if found is not None), None)
    if failure is None:
        kept = tuple(found for found in status.conditions if found.type != REPLICA_FAILURE)
        return replace(status, conditions=kept)
    old = condition(status.conditions, REPLICA_FAILURE)
    is_renewed = old is None or old.message != failure.message
    return _with(
        status,
        REPLICA_FAILURE,
        failure.status,
        failure.reason,
        failure.message,
        now_ms,
        is_renewed=is_renewed,
    )


def _with(
    status: DeploymentStatus,
    type_: str,
    value: str,
    reason: str,
    message: str,
    now_ms: int,
    *,
    is_renewed: bool = False,
) -> DeploymentStatus:
    """The status with this condition, unless it says the same already (and is not renewed)."""
    old = condition(status.conditions, type_)
    if old and (old.status, old.reason) == (value, reason) and not is_renewed:
        return status
    now = format_time(now_ms)
    same = old is not None and old.status == value
    new = Condition(
        type=type_,
        status=value,
        reason=reason,
        message=message,
        last_update_time=now,
        last_transition_time=old.last_transition_time if old and same else now,
    )
    return replace(status, conditions=_placed(status.conditions, new))


def _placed(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """Available before Progressing, as kubectl lists them."""
    others = [found for found in conditions if found.type != new.type]
    return tuple(sorted([*others, new], key=lambda found: found.type))
