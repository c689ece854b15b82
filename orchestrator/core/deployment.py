"""Deployment: one replica set per template, and pods moving from the old ones to the newest.

One pass looks at everything at once: it sizes every replica set, creates the one of a new template,
keeps revisions, throws away old history and tells the status. Each object is written once a pass at
most; what is left over follows in the next, which the write itself causes. How many pods each
replica set should have is decided in `rollout`, what the status says in `rollout_status`; `pinning`
makes configuration a part of the template, and `rollback` takes back what missed its deadline.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import pinning, rollback, rollout, rollout_status
from orchestrator.core.availability import earliest, is_available, next_change_ms
from orchestrator.core.decisions import (
    Create,
    Decision,
    Emit,
    Plan,
    Remove,
    Update,
    UpdateStatus,
)
from orchestrator.core.ownership import claim, reference
from orchestrator.core.pinning import NO_CONFIGS, Configs
from orchestrator.core.rollout import Share, Sizes
from orchestrator.core.template_hash import template_hash
from proto.kinds.deployment import (
    DEPLOYMENTS,
    DESIRED_ANNOTATION,
    HASH_LABEL,
    MAX_ANNOTATION,
    REVISION_ANNOTATION,
    Deployment,
    DeploymentStatus,
)
from proto.kinds.pod import Pod, PodTemplateSpec, is_active, is_ready, is_terminated
from proto.kinds.replicaset import REPLICASETS, ReplicaSet, ReplicaSetSpec
from proto.meta import LabelSelector, ObjectMeta

NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        "deployment.kubernetes.io/revision-history",
        REVISION_ANNOTATION,
        DESIRED_ANNOTATION,
        MAX_ANNOTATION,
    }
)
"""A deployment's annotations that its replica sets do not get. Source: deployment_util.go."""


class _View(Struct, frozen=True):
    """A deployment and its replica sets, told apart.

    Attributes:
        template: What its pods should be made of.
        new: That of the present template; a draft with no pods while it is yet to be created.
        olds: All others, oldest first.
    """

    deployment: Deployment
    template: PodTemplateSpec
    new: Share | None
    olds: tuple[Share, ...]
    is_draft: bool


def plan(
    deployment: Deployment,
    replicasets: Iterable[ReplicaSet],
    pods: Mapping[str, Sequence[Pod]],
    now_ms: int,
    configs: Configs = NO_CONFIGS,
) -> Plan:
    """What to do about a deployment now.

    Args:
        deployment: Present, possibly being deleted: then it only tells.
        replicasets: Those it owns and those in its namespace that nobody owns; others are left
            alone. In any order.
        pods: Replica set's uid to the pods it controls, ended and terminating ones included.
        now_ms: Epoch milliseconds.
        configs: What its pods take values from.
    """
    selector = deployment.spec.selector or LabelSelector()
    claimed = claim(DEPLOYMENTS, deployment, selector, REPLICASETS, replicasets)
    if claimed.writes:  # what is owned is not settled: look again once it is
        return Plan(claimed.writes)
    template, writes = pinning.settled(DEPLOYMENTS, deployment, configs)
    if writes:
        return Plan(writes)
    view = _view(deployment, template, [_share(rs, pods, now_ms) for rs in claimed.owned])
    if view.is_draft and view.new and _is_taken(view.new.rs.metadata.name, claimed.owned):
        return Plan((_another_hash(deployment),))
    if back := _rolled_back(view, pods):
        return Plan(back)
    decisions: list[Decision] = []
    is_created_now = False
    if not deployment.metadata.deletion_timestamp:
        sizes = _sizes(view)
        is_created_now = view.is_draft and view.new is not None and _is_due(view, sizes)
        decisions += _sized(view, sizes, is_created_now=is_created_now)
    new = None if view.is_draft and not is_created_now else view.new
    status = rollout_status.status_of(
        deployment, new, view.olds, now_ms, is_created_now=is_created_now
    )
    decisions += _history(view, status)
    decisions += pinning.unused(configs, (template, *(rs.spec.template for rs in claimed.owned)))
    decisions += _told(view, status, is_created_now=is_created_now)
    shares = (*view.olds, *([view.new] if view.new else []))
    return Plan(
        tuple(decisions),
        earliest(
            rollout_status.deadline_ms(deployment, status),
            *(share.next_available_ms for share in shares),
        ),
    )


def _view(deployment: Deployment, template: PodTemplateSpec, shares: Sequence[Share]) -> _View:
    found = next((share for share in shares if rollback.made_of(share.rs) == template), None)
    olds = tuple(share for share in shares if share is not found)
    if found is not None:
        return _View(deployment, template, found, olds, is_draft=False)
    return _View(deployment, template, Share(_draft(deployment, template)), olds, is_draft=True)


def _rolled_back(view: _View, pods: Mapping[str, Sequence[Pod]]) -> tuple[Decision, ...]:
    if view.new is None or view.is_draft or view.deployment.metadata.deletion_timestamp:
        return ()
    new = view.new.rs
    olds = [old.rs for old in view.olds]
    return rollback.rolled_back(view.deployment, new, olds, pods.get(new.metadata.uid, ()))


def _share(rs: ReplicaSet, pods: Mapping[str, Sequence[Pod]], now_ms: int) -> Share:
    mine = pods.get(rs.metadata.uid, ())
    active = [pod for pod in mine if is_active(pod)]
    seconds = rs.spec.min_ready_seconds
    return Share(
        rs=rs,
        active=len(active),
        ready=sum(is_ready(pod) for pod in active),
        available=sum(is_available(pod, seconds, now_ms) for pod in active),
        terminating=sum(
            bool(pod.metadata.deletion_timestamp) and not is_terminated(pod) for pod in mine
        ),
        unfinished=sum(not is_terminated(pod) for pod in mine),
        next_available_ms=next_change_ms(active, seconds, now_ms),
    )


def _draft(deployment: Deployment, template: PodTemplateSpec) -> ReplicaSet:
    """The replica set of the present template, before it has a size."""
    hash_ = template_hash(template, deployment.status.collision_count or 0)
    labels = template.metadata.labels | {HASH_LABEL: hash_}
    selector = deployment.spec.selector or LabelSelector()
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{deployment.metadata.name}-{hash_}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            owner_references=(reference(DEPLOYMENTS, deployment),),
        ),
        spec=ReplicaSetSpec(
            replicas=0,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=replace(selector, match_labels=selector.match_labels | {HASH_LABEL: hash_}),
            template=replace(template, metadata=replace(template.metadata, labels=labels)),
        ),
    )


def _is_taken(name: str, owned: Iterable[ReplicaSet]) -> bool:
    return any(rs.metadata.name == name for rs in owned)


def _another_hash(deployment: Deployment) -> UpdateStatus:
    count = (deployment.status.collision_count or 0) + 1
    status = replace(deployment.status, collision_count=count)
    return UpdateStatus(
        DEPLOYMENTS, replace(deployment, status=status), "another template has the same hash"
    )


def _sizes(view: _View) -> Sizes:
    """Sizes; a draft has no part in scaling, so it waits until that is done."""
    shares = [*view.olds, *([view.new] if view.new else [])]
    is_scaling = view.deployment.spec.paused or rollout.is_rescaled(view.deployment, shares)
    if view.is_draft and is_scaling:
        sizes = rollout.target_sizes(view.deployment, None, view.olds)
        if sizes or view.deployment.spec.paused:
            return sizes
    return rollout.target_sizes(view.deployment, view.new, view.olds)


def _is_due(view: _View, sizes: Sizes) -> bool:
    return view.new is not None and view.new.rs.metadata.name in sizes


def _sized(view: _View, sizes: Sizes, *, is_created_now: bool) -> Iterator[Decision]:
    """Every replica set as it should be: size, annotations, revision."""
    deployment = view.deployment
    for share in (*view.olds, *([view.new] if view.new else [])):
        is_new = share is view.new
        if is_new and view.is_draft and not is_created_now:
            continue
        name = share.rs.metadata.name
        size = sizes.get(name, share.size)
        is_used = is_new or size > 0 or share.size > 0
        wanted = _annotated(view, share, is_new=is_new, is_sized=is_used and name in sizes)
        wanted = replace(wanted, spec=replace(wanted.spec, replicas=size))
        if is_new and view.is_draft:
            yield Create(REPLICASETS, wanted, f"of the present template, with {size} pods")
        elif wanted != share.rs:
            yield Update(REPLICASETS, wanted, _why(share, size))
        if size != share.size:
            yield _scaled_event(deployment, share, size)


def _why(share: Share, size: int) -> str:
    if size == share.size:
        return "its deployment changed"
    return f"{share.size} -> {size} pods"


def _scaled_event(deployment: Deployment, share: Share, size: int) -> Emit:
    way = "up" if size > share.size else "down"
    name = share.rs.metadata.name
    message = f"Scaled {way} replica set {name} from {share.size} to {size}"
    return Emit(DEPLOYMENTS, deployment, "Normal", "ScalingReplicaSet", message)


def _annotated(view: _View, share: Share, *, is_new: bool, is_sized: bool) -> ReplicaSet:
    """The replica set with the annotations it should carry, and the new one's minReadySeconds.

    The number of pods wanted is noted with a size that was chosen for it, and not before: the note
    is how a change of that number is seen.
    """
    deployment, rs = view.deployment, share.rs
    notes = dict(rs.metadata.annotations)
    if is_new:
        source = deployment.metadata.annotations
        notes.update({key: val for key, val in source.items() if key not in NOT_COPIED})
        highest = max((_revision(old.rs) for old in view.olds), default=0) + 1
        if _revision(rs) < highest:
            notes[REVISION_ANNOTATION] = str(highest)
        if rollback.is_wanted(deployment) and rollback.is_rolled_out(deployment, share, view.olds):
            notes[rollback.ROLLED_OUT] = "true"
    if is_sized:
        notes[DESIRED_ANNOTATION] = str(deployment.spec.replicas or 0)
        notes[MAX_ANNOTATION] = str(rollout.max_pods(deployment))
    spec = rs.spec
    if is_new and spec.min_ready_seconds != deployment.spec.min_ready_seconds:
        spec = replace(spec, min_ready_seconds=deployment.spec.min_ready_seconds)
    return replace(rs, metadata=replace(rs.metadata, annotations=notes), spec=spec)


def _revision(rs: ReplicaSet) -> int:
    return rollout.noted_number(rs, REVISION_ANNOTATION)


def _history(view: _View, status: DeploymentStatus) -> Iterator[Remove]:
    """Old replica sets beyond the history asked for, once they are of no use."""
    deployment = view.deployment
    limit = deployment.spec.revision_history_limit
    is_settled = rollout_status.is_complete(deployment, status) or deployment.spec.paused
    if limit is None or not is_settled or deployment.metadata.deletion_timestamp:
        return
    alive = [old for old in view.olds if not old.rs.metadata.deletion_timestamp]
    by_revision = sorted(alive, key=lambda old: _revision(old.rs))
    for old in by_revision[: max(0, len(alive) - limit)]:
        if not old.size and not old.active:
            yield Remove(REPLICASETS, old.rs, f"history is limited to {limit}")


def _told(view: _View, status: DeploymentStatus, *, is_created_now: bool) -> Iterator[Decision]:
    """The revision, or else the status: one write a pass."""
    deployment = view.deployment
    new = view.new.rs if view.new and not view.is_draft else None
    notes = deployment.metadata.annotations
    revision = new.metadata.annotations.get(REVISION_ANNOTATION) if new else None
    is_deleting = bool(deployment.metadata.deletion_timestamp)
    if revision and notes.get(REVISION_ANNOTATION) != revision and not is_deleting:
        meta = replace(deployment.metadata, annotations=notes | {REVISION_ANNOTATION: revision})
        yield Update(DEPLOYMENTS, replace(deployment, metadata=meta), f"revision {revision}")
    elif status != deployment.status:
        cause = "a replica set is made" if is_created_now else _in_words(status)
        yield UpdateStatus(DEPLOYMENTS, replace(deployment, status=status), cause)


def _in_words(status: DeploymentStatus) -> str:
    return (
        f"{status.replicas} pods, {status.updated_replicas} updated, "
        f"{status.available_replicas} available"
    )
