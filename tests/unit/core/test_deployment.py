"""What a Deployment asks for, as text, and what it tells of itself."""

from msgspec.structs import replace

from orchestrator.core import deployment as core
from orchestrator.core.decisions import Create, Update, UpdateStatus, render
from orchestrator.core.replicaset import PodRefused
from orchestrator.core.rollout import Share
from orchestrator.core.rollout_status import status_of
from orchestrator.core.template_hash import template_hash
from proto.kinds.deployment import (
    DEPLOYMENTS,
    DESIRED_ANNOTATION,
    HASH_LABEL,
    MAX_ANNOTATION,
    REVISION_ANNOTATION,
)
from proto.kinds.replicaset import REPLICASETS
from proto.meta import condition, parse_time_ms
from tests.property.cluster_model import Cluster
from tests.unit.core.making import NOW_MS, deployment, replicaset, template

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def running(found=None):
    cluster = Cluster(NOW_MS)
    cluster.create(DEPLOYMENTS, found or deployment(3))
    cluster.settle()
    return cluster


def change(cluster, **spec):
    old = cluster.deployment
    cluster.update(DEPLOYMENTS, replace(old, spec=replace(old.spec, **spec)))


def progressing(cluster):
    found = condition(cluster.deployment.status.conditions, "Progressing")
    return found.status, found.reason, found.message


def full_template(cluster, image):
    """The deployment's template, defaults filled in, with another image."""
    old = cluster.deployment.spec.template
    containers = (replace(old.spec.containers[0], image=image),)
    return replace(old, spec=replace(old.spec, containers=containers))


def test_a_new_deployment_makes_its_replica_set_at_full_size_and_says_so():
    found = deployment(3)
    plan = core.plan(found, [], {}, NOW_MS)
    name = f"web-{template_hash(found.spec.template, 0)}"
    assert render(plan.decisions) == (
        f"create replicaset {name}: of the present template, with 3 pods\n"
        f"Normal ScalingReplicaSet on deployment web: Scaled up replica set {name} from 0 to 3\n"
        "update status of deployment web: a replica set is made"
    )
    assert plan.wake_at_ms == NOW_MS + 600_000


def test_a_replica_set_carries_hash_owner_revision_and_the_numbers_it_was_sized_for():
    annotations = {LAST_APPLIED: "{}", "kubernetes.io/change-cause": "first"}
    found = deployment(3, surge=2)
    found = replace(found, metadata=replace(found.metadata, annotations=annotations))
    (rs,) = (d.object for d in core.plan(found, [], {}, NOW_MS).decisions if isinstance(d, Create))
    hash_ = template_hash(found.spec.template, 0)
    assert rs.metadata.name == f"web-{hash_}"
    assert (
        rs.metadata.labels == rs.spec.template.metadata.labels == {"app": "web", HASH_LABEL: hash_}
    )
    assert rs.spec.selector.match_labels == {"app": "web", HASH_LABEL: hash_}
    (owner,) = rs.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == ("Deployment", "web", "d1")
    assert owner.controller
    assert owner.block_owner_deletion
    assert rs.metadata.annotations == {
        REVISION_ANNOTATION: "1",
        DESIRED_ANNOTATION: "3",
        MAX_ANNOTATION: "5",
        "kubernetes.io/change-cause": "first",
    }


def test_hashes_are_those_of_the_content_and_read_as_names():
    assert template_hash(template(), 0) == template_hash(template(), 0)
    assert template_hash(template(), 0) != template_hash(template("web:2"), 0)
    assert template_hash(template(), 0) != template_hash(template(), 1)
    one_way = template(labels={"a": "1", "b": "2"})
    other_way = template(labels={"b": "2", "a": "1"})
    assert template_hash(one_way, 0) == template_hash(other_way, 0)


def test_a_settled_deployment_is_left_alone():
    assert render(running().plan_deployment().decisions) == ""


def test_a_settled_deployment_reads_as_rolled_out():
    cluster = running()
    status = cluster.deployment.status
    name = cluster.replicasets[0].metadata.name
    assert progressing(cluster) == (
        "True",
        "NewReplicaSetAvailable",
        f'ReplicaSet "{name}" has successfully progressed.',
    )
    available = condition(status.conditions, "Available")
    assert (available.status, available.reason) == ("True", "MinimumReplicasAvailable")
    assert status.observed_generation == cluster.deployment.metadata.generation
    assert status.unavailable_replicas == 0
    assert cluster.deployment.metadata.annotations[REVISION_ANNOTATION] == "1"


def test_a_rollout_grows_the_new_one_by_its_surge_and_waits_for_it():
    cluster = running(deployment(4, surge=1, unavailable=0))
    (old,) = cluster.replicasets
    change(cluster, template=full_template(cluster, "web:2"))
    plan = cluster.plan_deployment()
    new = f"web-{template_hash(cluster.deployment.spec.template, 0)}"
    assert render(plan.decisions) == (
        f"create replicaset {new}: of the present template, with 1 pods\n"
        f"Normal ScalingReplicaSet on deployment web: Scaled up replica set {new} from 0 to 1\n"
        "update status of deployment web: a replica set is made"
    )
    cluster.perform(plan.decisions)
    cluster.pass_all()
    cluster.pass_all()
    assert progressing(cluster)[:2] == ("True", "ReplicaSetUpdated")
    assert [
        rs.spec.replicas for rs in cluster.replicasets if rs.metadata.name == old.metadata.name
    ] == [4]


def test_pods_that_do_not_work_go_first():
    cluster = running(deployment(4, surge=0, unavailable=1))
    change(cluster, template=full_template(cluster, "web:broken"))
    cluster.pass_all()
    broken = f"web-{template_hash(cluster.deployment.spec.template, 0)}"
    for _ in range(4):
        for pod in cluster.pods:
            if pod.metadata.deletion_timestamp:
                cluster.agent_step(pod)
        cluster.pass_all()
    sizes = {rs.metadata.name: rs.spec.replicas for rs in cluster.replicasets}
    assert sizes[broken] == 1
    change(cluster, template=full_template(cluster, "web:3"))
    cluster.pass_all()
    assert {rs.metadata.name: rs.spec.replicas for rs in cluster.replicasets}[broken] == 0
    assert len(cluster.ready) == 3


def test_a_rollback_takes_the_old_replica_set_up_as_the_newest_revision():
    cluster = running()
    (first,) = cluster.replicasets
    change(cluster, template=full_template(cluster, "web:2"))
    cluster.settle()
    change(cluster, template=full_template(cluster, "web:1"))
    cluster.settle()
    revisions = {
        rs.metadata.name: (rs.metadata.annotations[REVISION_ANNOTATION], rs.spec.replicas)
        for rs in cluster.replicasets
    }
    assert len(revisions) == 2
    assert revisions[first.metadata.name] == ("3", 3)
    assert cluster.deployment.metadata.annotations[REVISION_ANNOTATION] == "3"


def test_history_is_kept_as_long_as_asked_and_no_longer():
    cluster = running(deployment(1, revision_history_limit=2))
    for number in range(2, 7):
        change(cluster, template=full_template(cluster, f"web:{number}"))
        cluster.settle()
    revisions = [rs.metadata.annotations[REVISION_ANNOTATION] for rs in cluster.replicasets]
    assert sorted(revisions) == ["4", "5", "6"]


def test_a_paused_deployment_is_scaled_but_not_rolled():
    cluster = running()
    (rs,) = cluster.replicasets
    change(cluster, paused=True, replicas=5, template=full_template(cluster, "web:2"))
    cluster.settle()
    assert progressing(cluster) == ("Unknown", "DeploymentPaused", "Deployment is paused")
    assert [found.metadata.name for found in cluster.replicasets] == [rs.metadata.name]
    assert len(cluster.ready) == 5
    change(cluster, paused=False)
    assert "create replicaset" in render(cluster.plan_deployment().decisions)
    cluster.settle()
    assert progressing(cluster)[1] == "NewReplicaSetAvailable"


def test_scaling_in_the_middle_of_a_rollout_keeps_the_proportions():
    cluster = running(deployment(10, surge=3, unavailable=2))
    change(cluster, template=full_template(cluster, "web:2"))
    for _ in range(3):
        cluster.pass_all()
        for pod in cluster.pods:
            if pod.metadata.deletion_timestamp:
                cluster.agent_step(pod)
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [5, 8]
    change(cluster, replicas=30)
    cluster.perform(cluster.plan_deployment().decisions)
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [13, 20]
    notes = {rs.metadata.annotations[DESIRED_ANNOTATION] for rs in cluster.replicasets}
    assert notes == {"30"}


def test_recreate_waits_until_the_last_old_pod_is_gone():
    cluster = running(deployment(2, recreate=True))
    change(cluster, template=full_template(cluster, "web:2"))
    cluster.pass_all()
    assert [pod.metadata.deletion_timestamp != "" for pod in cluster.pods] == [True, True]
    cluster.agent_step(cluster.pods[0])
    assert "create" not in render(cluster.plan_deployment().decisions)
    cluster.agent_step(cluster.pods[0])
    assert render(cluster.plan_deployment().decisions).startswith("create replicaset")


def test_a_rollout_without_progress_runs_into_its_deadline_and_asks_to_be_woken_for_it():
    cluster = running(deployment(1, progress_deadline_seconds=60))
    change(cluster, template=full_template(cluster, "web:broken"))
    for _ in range(4):
        cluster.pass_all()
    plan = cluster.plan_deployment()
    assert render(plan.decisions) == ""
    updated = condition(cluster.deployment.status.conditions, "Progressing").last_update_time
    assert plan.wake_at_ms == parse_time_ms(updated) + 60_000
    cluster.now_ms = plan.wake_at_ms
    cluster.pass_all()
    status, reason, message = progressing(cluster)
    assert (status, reason) == ("False", "ProgressDeadlineExceeded")
    assert message.endswith("has timed out progressing.")
    assert cluster.plan_deployment().wake_at_ms is None


def test_a_finished_rollout_does_not_time_out_when_a_pod_fails_later():
    cluster = running()
    cluster.tell(cluster.pods[0], ready=False)
    cluster.pass_all()
    cluster.now_ms += 3_600_000
    cluster.pass_all()
    assert progressing(cluster)[1] == "NewReplicaSetAvailable"
    available = condition(cluster.deployment.status.conditions, "Available")
    assert (available.status, available.reason) == ("False", "MinimumReplicasUnavailable")


def test_a_replica_set_of_another_template_under_the_same_name_makes_it_count_a_collision():
    found = deployment(3)
    name = f"web-{template_hash(found.spec.template, 0)}"
    other = replicaset(1)
    other = replace(
        other,
        metadata=replace(
            other.metadata,
            name=name,
            labels={"app": "web"},
            owner_references=(core.reference(DEPLOYMENTS, found),),
        ),
    )
    plan = core.plan(
        found, [replace(other, spec=replace(other.spec, template=template("x")))], {}, NOW_MS
    )
    assert render(plan.decisions) == (
        "update status of deployment web: another template has the same hash"
    )
    (counted,) = (d.object for d in plan.decisions if isinstance(d, UpdateStatus))
    assert core.plan(counted, [other], {}, NOW_MS).decisions != plan.decisions


def test_an_orphan_of_its_labels_is_adopted_before_anything_else():
    orphan = replicaset(1)
    orphan = replace(orphan, metadata=replace(orphan.metadata, labels={"app": "web"}))
    plan = core.plan(deployment(3), [orphan], {}, NOW_MS)
    assert render(plan.decisions) == "update replicaset web: an orphan matches"
    (adopted,) = (d.object for d in plan.decisions if isinstance(d, Update))
    assert adopted.metadata.controller.uid == "d1"


def test_one_that_is_being_deleted_only_tells():
    cluster = running()
    found = cluster.deployment
    dying = replace(
        found,
        metadata=replace(found.metadata, deletion_timestamp=found.metadata.creation_timestamp),
        spec=replace(found.spec, replicas=9),
    )
    plan = core.plan(dying, cluster.replicasets, {}, NOW_MS)
    assert {type(decision) for decision in plan.decisions} <= {UpdateStatus}


def test_a_replica_set_deleted_by_hand_comes_back():
    cluster = running()
    (rs,) = cluster.replicasets
    cluster.delete(REPLICASETS, rs.metadata.name)
    assert render(cluster.plan_deployment().decisions).startswith(
        f"create replicaset {rs.metadata.name}: of the present template"
    )


def test_seconds_of_readiness_are_counted_before_an_old_pod_goes():
    cluster = running(deployment(2, surge=1, unavailable=0, min_ready_seconds=30))
    cluster.now_ms += 30_000
    cluster.settle()
    change(cluster, template=full_template(cluster, "web:2"))
    for _ in range(4):
        cluster.pass_all()
        cluster.agents_finish()
    old = [pod for pod in cluster.ready if pod.spec.containers[0].image == "web:1"]
    assert len(old) == 2
    plan = cluster.plan_deployment()
    assert plan.wake_at_ms <= cluster.now_ms + 30_000
    cluster.now_ms = plan.wake_at_ms
    cluster.pass_all()
    assert len([p for p in cluster.ready if p.spec.containers[0].image == "web:1"]) == 1


def test_a_deployment_that_runs_ahead_counts_the_pods_yet_to_be_deleted():
    cluster = running(deployment(4, surge=0, unavailable=1))
    change(cluster, template=full_template(cluster, "web:2"))
    for _ in range(4):  # its replica sets do nothing meanwhile
        cluster.perform(cluster.plan_deployment().decisions)
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [0, 3]
    cluster.pass_all()
    cluster.perform(cluster.plan_deployment().decisions)
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [1, 3]


def test_old_pods_that_fail_are_kept_while_nothing_new_stands_in_for_them():
    cluster = running(deployment(4, surge=1, unavailable=0))
    for pod in cluster.pods[:2]:
        cluster.tell(pod, ready=False)
    change(cluster, template=full_template(cluster, "web:2"))
    for _ in range(4):
        cluster.pass_all()
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [1, 4]


def test_a_replica_set_scaled_by_hand_is_put_right():
    cluster = running()
    (rs,) = cluster.replicasets
    cluster.update(REPLICASETS, replace(rs, spec=replace(rs.spec, replicas=1)))
    assert render(cluster.plan_deployment().decisions).startswith(
        f"update replicaset {rs.metadata.name}: 1 -> 3 pods"
    )


def test_scaling_up_waits_for_the_pods_that_are_still_being_deleted():
    cluster = running(deployment(10, surge=3, unavailable=2))
    change(cluster, template=full_template(cluster, "web:2"))
    cluster.perform(cluster.plan_deployment().decisions)
    change(cluster, replicas=20)
    cluster.perform(cluster.plan_deployment().decisions)
    assert sorted(rs.spec.replicas for rs in cluster.replicasets) == [3, 8]
    assert {rs.metadata.annotations[DESIRED_ANNOTATION] for rs in cluster.replicasets} == {"10"}
    cluster.pass_all()
    cluster.perform(cluster.plan_deployment().decisions)
    assert sum(rs.spec.replicas for rs in cluster.replicasets) == 23


def test_scaling_a_finished_rollout_does_not_begin_it_anew():
    cluster = running()
    change(cluster, replicas=5)
    for _ in range(6):
        cluster.pass_all()
        cluster.agents_finish()
        assert progressing(cluster)[1] == "NewReplicaSetAvailable"
    assert len(cluster.ready) == 5


def test_a_replica_set_that_may_not_make_its_pods_is_told_of_until_it_may():
    refused = PodRefused(REPLICASETS, replicaset(3), NOW_MS).decisions(
        'pods "web-x" is forbidden: why'
    )
    told, failing = refused
    assert render((told,)) == (
        'Warning FailedCreate on replicaset web: Error creating: pods "web-x" is forbidden: why'
    )
    found = deployment(3)
    status = status_of(found, Share(failing.object), [], NOW_MS, is_created_now=False)
    failure = condition(status.conditions, "ReplicaFailure")
    assert (failure.status, failure.reason) == ("True", "FailedCreate")
    assert failure.message == 'pods "web-x" is forbidden: why'
    found = replace(found, status=status)
    status = status_of(found, Share(replicaset(3)), [], NOW_MS, is_created_now=False)
    assert condition(status.conditions, "ReplicaFailure") is None
