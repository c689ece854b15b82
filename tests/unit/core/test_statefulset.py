"""What a StatefulSet asks for, as text."""

from msgspec.structs import replace

from orchestrator.core import revisions
from orchestrator.core.decisions import Create, render
from proto.kinds.pod import PODS
from proto.kinds.statefulset import (
    STATEFUL_SETS,
    StatefulSetOrdinals,
    StatefulSetUpdateStrategy,
)
from tests.property.sets_model import Sets, names, ready_names
from tests.unit.core.making import NOW_MS, pod, statefulset, template


def made(found=None):
    """A set and its first revision, and no pods yet."""
    cluster = Sets(NOW_MS)
    cluster.create(STATEFUL_SETS, found or statefulset(3))
    cluster.perform(cluster.plan().decisions)
    return cluster


def running(found=None):
    cluster = made(found)
    cluster.settle()
    return cluster


def steps(cluster):
    """The plan, without what is told."""
    lines = render(cluster.plan().decisions).splitlines()
    return [line for line in lines if not line.startswith(("Normal", "Warning", "update status"))]


def go(cluster):
    """One pass; returns what it did."""
    done = steps(cluster)
    cluster.perform(cluster.plan().decisions)
    cluster.now_ms += 1000
    return done


def of(cluster, name):
    return cluster.objects["pods", name]


def image_of(cluster, name):
    return of(cluster, name).spec.containers[0].image


# -- places


def test_the_revision_comes_before_any_pod():
    cluster = Sets(NOW_MS)
    cluster.create(STATEFUL_SETS, statefulset(2))
    (line,) = steps(cluster)
    assert line.endswith(": of the present template, number 1")
    assert line.startswith("create controllerrevision web-")


def test_pods_come_one_after_the_other_each_when_the_one_before_is_ready():
    cluster = made(statefulset(2))
    assert go(cluster) == ["create pod web-0: place 0 is free"]
    assert go(cluster) == []
    cluster.agents_finish()
    assert go(cluster) == []  # bound, and not ready yet
    cluster.agents_finish()
    assert go(cluster) == ["create pod web-1: place 1 is free"]


def test_pods_come_together_where_order_does_not_matter():
    cluster = made(statefulset(3, parallel=True))
    assert go(cluster) == [f"create pod web-{n}: place {n} is free" for n in range(3)]


def test_a_pod_has_the_name_the_labels_and_the_storage_of_its_place():
    cluster = made(statefulset(2, claims=("data",)))
    first, second = (d for d in cluster.plan().decisions if isinstance(d, Create))
    assert first.object.metadata.name == "data-web-0"
    assert first.object.metadata.labels == {"app": "web"}
    assert first.announce.message == "create Claim data-web-0 Pod web-0 in StatefulSet web success"
    found = second.object
    (revision,) = cluster.revisions
    assert found.metadata.labels == {
        "app": "web",
        "statefulset.kubernetes.io/pod-name": "web-0",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": revision,
    }
    assert (found.spec.hostname, found.spec.subdomain) == ("web-0", "nginx")
    (volume,) = found.spec.volumes
    assert (volume.name, volume.persistent_volume_claim.claim_name) == ("data", "data-web-0")
    assert second.announce.message == "create Pod web-0 in StatefulSet web successful"
    assert PODS.validate(PODS.defaults(found), None) == []


def test_places_may_begin_anywhere():
    cluster = running(statefulset(2, ordinals=StatefulSetOrdinals(start=5)))
    assert ready_names(cluster) == ["web-5", "web-6"]
    cluster.change(ordinals=StatefulSetOrdinals(start=6))
    cluster.settle()
    assert ready_names(cluster) == ["web-6", "web-7"]


def test_a_pod_with_a_name_that_is_no_place_is_not_adopted():
    cluster = running(statefulset(1))
    for name in ("web-01", "web-x", "web-", "other-0"):
        cluster.objects["pods", name] = pod(name)
    assert steps(cluster) == []


def test_an_adopted_pod_gets_the_labels_of_its_place():
    cluster = made(statefulset(1))
    cluster.create(PODS, pod("web-0"))
    assert go(cluster) == ["update pod web-0: an orphan matches"]
    cluster.tell(of(cluster, "web-0"), ready=True)
    assert go(cluster) == ["update pod web-0: it has place 0"]
    assert of(cluster, "web-0").metadata.labels["apps.kubernetes.io/pod-index"] == "0"


# -- down, and failures


def test_the_highest_goes_first_and_the_next_when_it_is_gone():
    cluster = running(statefulset(3))
    cluster.change(replicas=1)
    assert go(cluster) == ["delete pod web-2: 1 are asked for"]
    assert go(cluster) == []
    cluster.agents_finish()
    assert go(cluster) == ["delete pod web-1: 1 are asked for"]


def test_nothing_goes_while_one_that_stays_is_not_ready():
    cluster = running(statefulset(3))
    cluster.tell(of(cluster, "web-0"), ready=False)
    cluster.change(replicas=1)
    assert go(cluster) == []


def test_a_place_is_free_only_when_its_pod_is_gone():
    cluster = running(statefulset(2, parallel=True))
    cluster.delete(PODS, "web-0")
    assert steps(cluster) == []
    cluster.agents_finish()
    assert steps(cluster) == ["create pod web-0: place 0 is free"]


def test_not_even_a_pod_that_wants_no_time_to_stop_is_gone_before_its_node_says_so():
    hasty = template()
    hasty = replace(hasty, spec=replace(hasty.spec, termination_grace_period_seconds=0))
    cluster = running(statefulset(1, template=hasty))
    cluster.delete(PODS, "web-0")
    assert of(cluster, "web-0").metadata.deletion_grace_period_seconds == 1
    assert steps(cluster) == []
    cluster.delete(PODS, "web-0", grace_s=0)
    assert steps(cluster) == ["create pod web-0: place 0 is free"]


def test_a_failed_pod_is_deleted_and_made_again_under_its_name():
    cluster = running(statefulset(2))
    cluster.fail(of(cluster, "web-1"))
    assert render(cluster.plan().decisions).startswith(
        "Warning RecreatingFailedPod on statefulset web: "
        "StatefulSet default/web is recreating failed Pod web-1\n"
        "delete pod web-1: it failed\n"
    )
    go(cluster)
    assert go(cluster) == ["create pod web-1: place 1 is free"]


def test_one_that_is_being_deleted_only_tells():
    cluster = running(statefulset(2))
    cluster.delete(STATEFUL_SETS, "web", propagation="Foreground")
    cluster.change(replicas=5)
    assert steps(cluster) == []


def test_a_pod_counts_only_after_its_seconds():
    cluster = made(statefulset(2, min_ready_seconds=10))
    go(cluster)
    cluster.agents_finish()
    cluster.agents_finish()
    assert go(cluster) == []
    assert cluster.plan().wake_at_ms > cluster.now_ms
    cluster.now_ms += 10_000
    assert go(cluster) == ["create pod web-1: place 1 is free"]


# -- other revisions


def test_a_new_template_rolls_from_the_highest_down_one_at_a_time():
    cluster = running(statefulset(3))
    cluster.change(template=template("web:2"))
    go(cluster)  # its revision
    for number in (2, 1, 0):
        assert go(cluster) == [f"delete pod web-{number}: it is of another revision"]
        assert go(cluster) == []
        cluster.agents_finish()
        assert go(cluster) == [f"create pod web-{number}: place {number} is free"]
        cluster.agents_finish()
        cluster.agents_finish()
    go(cluster)
    status = cluster.sts.status
    assert status.current_revision == status.update_revision
    assert status.updated_replicas == status.current_replicas == 3


def test_below_the_partition_the_old_template_stays_even_for_a_pod_made_anew():
    cluster = running(statefulset(3))
    first = cluster.sts.status.current_revision
    rolling = replace(cluster.sts.spec.update_strategy.rolling_update, partition=2)
    strategy = StatefulSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    cluster.change(template=template("web:2"), update_strategy=strategy)
    cluster.settle()
    cluster.delete(PODS, "web-0")
    cluster.settle()
    assert [image_of(cluster, f"web-{n}") for n in range(3)] == ["web:1", "web:1", "web:2"]
    status = cluster.sts.status
    assert (status.current_revision, status.current_replicas) == (first, 2)
    assert (status.update_revision != first, status.updated_replicas) == (True, 1)


def test_as_many_roll_at_once_as_may_be_missing():
    cluster = running(statefulset(4, unavailable="50%"))
    cluster.change(template=template("web:2"))
    go(cluster)
    assert [line.split(":")[0] for line in go(cluster)] == ["delete pod web-3", "delete pod web-2"]


def test_on_delete_nothing_rolls_but_the_next_pod_is_new():
    cluster = running(statefulset(2, on_delete=True))
    cluster.change(template=template("web:2"))
    cluster.settle()
    assert [image_of(cluster, f"web-{n}") for n in range(2)] == ["web:1", "web:1"]
    cluster.delete(PODS, "web-0")
    cluster.settle()
    assert [image_of(cluster, f"web-{n}") for n in range(2)] == ["web:2", "web:1"]


def test_a_template_that_never_gets_ready_is_undone_without_deleting_pods_by_hand():
    cluster = running(statefulset(2))
    cluster.change(template=template("web:broken"))
    for _ in range(4):
        go(cluster)
        for found in cluster.pods:
            if image_of(cluster, found.metadata.name) != "web:broken":
                cluster.agent_step(found)
    assert image_of(cluster, "web-1") == "web:broken"
    cluster.change(template=template("web:1"))
    go(cluster)  # its revision again
    assert go(cluster) == ["delete pod web-1: it is of another revision, and not ready"]
    cluster.settle()
    assert ready_names(cluster) == ["web-0", "web-1"]


def test_a_template_asked_for_again_has_its_old_revision_with_a_new_number():
    cluster = running(statefulset(1))
    (first,) = cluster.revisions
    cluster.change(template=template("web:2"))
    cluster.settle()
    cluster.change(template=template("web:1"))
    cluster.settle()
    assert cluster.revisions[first] == 3
    assert len(cluster.revisions) == 2


def test_old_revisions_go_beyond_the_limit_but_none_that_is_in_use():
    cluster = running(statefulset(1, revision_history_limit=1))
    for number in range(2, 6):
        cluster.change(template=template(f"web:{number}"))
        cluster.settle()
    assert sorted(cluster.revisions.values()) == [4, 5]


def test_a_revision_is_a_patch_that_puts_its_template_back():
    cluster = running(statefulset(1))
    (found,) = (o for (plural, _), o in cluster.objects.items() if plural == "controllerrevisions")
    assert found.data["spec"]["template"]["$patch"] == "replace"
    assert revisions.template_of(found) == cluster.sts.spec.template
    foreign = replace(found, data={"spec": {"template": {"spec": 3}}})
    assert revisions.template_of(foreign) is None


def test_another_template_of_the_same_hash_gets_another_name():
    cluster = Sets(NOW_MS)
    cluster.create(STATEFUL_SETS, statefulset(1))
    (created,) = cluster.plan().decisions
    nobodys = replace(created.object.metadata, labels={}, owner_references=())
    cluster.create(created.kind, replace(created.object, metadata=nobodys, data={"other": 1}))
    cluster.perform(cluster.plan().decisions)
    assert cluster.sts.status.collision_count == 1
    cluster.settle()
    assert ready_names(cluster) == ["web-0"]


# -- claims


def test_claims_outlive_their_pods_unless_told_otherwise():
    cluster = running(statefulset(2, claims=("data", "logs")))
    cluster.change(replicas=1)
    cluster.settle()
    assert cluster.claims == ["data-web-0", "data-web-1", "logs-web-0", "logs-web-1"]
    cluster.change(replicas=2)
    cluster.settle()
    assert names(cluster.pods) == ["web-0", "web-1"]


def test_claims_go_with_the_pods_that_are_scaled_away_and_come_anew():
    cluster = running(statefulset(2, claims=("data",), keeping=("Retain", "Delete")))
    before = cluster.objects["persistentvolumeclaims", "data-web-1"].metadata.uid
    cluster.change(replicas=1)
    assert go(cluster) == ["update persistentvolumeclaim data-web-1: with whom it goes"]
    assert go(cluster) == ["delete pod web-1: 1 are asked for"]
    cluster.agents_finish()
    cluster.change(replicas=2)
    assert go(cluster) == []  # its claim is still there, and about to go
    cluster.settle()
    assert cluster.objects["persistentvolumeclaims", "data-web-1"].metadata.uid != before


def test_claims_go_with_the_set_that_says_so():
    cluster = running(statefulset(1, claims=("data",), keeping=("Delete", "Retain")))
    (owner,) = cluster.objects["persistentvolumeclaims", "data-web-0"].metadata.owner_references
    assert (owner.kind, owner.name, owner.controller) == ("StatefulSet", "web", False)
    kept = statefulset(1).spec.persistent_volume_claim_retention_policy
    cluster.change(persistent_volume_claim_retention_policy=kept)
    cluster.settle()
    claim = cluster.objects["persistentvolumeclaims", "data-web-0"]
    assert claim.metadata.owner_references == ()
