"""What is collected when an owner or a node goes."""

from msgspec.structs import replace

from orchestrator.core.decisions import Remove, Update, render
from orchestrator.core.garbage import plan, pods_without_node
from orchestrator.core.objects import FOREGROUND, ORPHAN
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS
from proto.meta import OwnerReference
from tests.unit.core.making import NOW, NOW_MS, node, pod, replicaset


def dying(found, *finalizers):
    meta = replace(found.metadata, deletion_timestamp=NOW, finalizers=finalizers)
    return replace(found, metadata=meta)


def owned_twice(found):
    other = OwnerReference(api_version="v1", kind="Node", name="n1", uid="other")
    references = (*found.metadata.owner_references, other)
    return replace(found, metadata=replace(found.metadata, owner_references=references))


def test_an_object_goes_with_its_last_owner():
    found = plan(PODS, pod("a", owner="rs1"), {}, [])
    assert render(found.decisions) == "delete pod a: its owner is gone: ReplicaSet rs1"


def test_an_object_stays_with_its_owner():
    assert plan(PODS, pod("a", owner="rs1"), {"rs1": replicaset()}, []).decisions == ()


def test_an_object_that_nobody_owns_is_nobodys_garbage():
    assert plan(PODS, pod("a"), {}, []).decisions == ()


def test_one_owner_of_two_is_enough_and_the_lost_one_is_forgotten():
    found = plan(PODS, owned_twice(pod("a", owner="rs1")), {"other": node("n1")}, [])
    assert render(found.decisions) == "update pod a: some of its owners are gone"
    assert [ref.uid for ref in found.decisions[0].object.metadata.owner_references] == ["other"]


def test_an_object_that_is_going_already_is_not_deleted_again():
    assert plan(PODS, pod("a", owner="rs1", deleting=True), {}, []).decisions == ()


def test_foreground_takes_dependents_first_and_waits_for_those_that_block():
    owner = dying(replicaset(), FOREGROUND)
    pods = [pod("b", owner="rs1"), pod("a", owner="rs1", deleting=True)]
    found = plan(REPLICASETS, owner, {}, [(PODS, p) for p in pods])
    assert render(found.decisions) == "delete pod b: its owner web is being deleted"
    waiting = plan(REPLICASETS, owner, {}, [(PODS, pods[1])])
    assert waiting.decisions == ()
    done = plan(REPLICASETS, owner, {}, [])
    (released,) = done.decisions
    assert isinstance(released, Update)
    assert released.object.metadata.finalizers == ()


def test_foreground_goes_down_the_whole_tree():
    owner = dying(replicaset(), FOREGROUND)
    child = replicaset()
    reference = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web", uid="rs1")
    child = replace(child, metadata=replace(child.metadata, owner_references=(reference,)))
    found = plan(REPLICASETS, owner, {}, [(REPLICASETS, child)])
    assert [d.propagation for d in found.decisions if isinstance(d, Remove)] == ["Foreground"]


def test_a_dependent_that_does_not_block_does_not_hold_its_owner():
    owner = dying(replicaset(), FOREGROUND)
    child = pod("a", owner="rs1", deleting=True)
    (reference,) = child.metadata.owner_references
    free = (replace(reference, block_owner_deletion=False),)
    child = replace(child, metadata=replace(child.metadata, owner_references=free))
    assert "update replicaset web" in render(
        plan(REPLICASETS, owner, {}, [(PODS, child)]).decisions
    )


def test_orphaning_leaves_dependents_behind_and_releases_the_owner_after():
    owner = dying(replicaset(), ORPHAN, "example.com/mine")
    found = plan(REPLICASETS, owner, {}, [(PODS, pod("a", owner="rs1"))])
    assert render(found.decisions) == "update pod a: its owner web leaves it behind"
    assert found.decisions[0].object.metadata.owner_references == ()
    (released,) = plan(REPLICASETS, owner, {}, []).decisions
    assert released.object.metadata.finalizers == ("example.com/mine",)


def test_an_owner_deleted_in_the_background_waits_for_nothing():
    owner = dying(replicaset(), "example.com/mine")
    assert plan(REPLICASETS, owner, {}, [(PODS, pod("a", owner="rs1"))]).decisions == ()


def test_pods_of_nodes_that_do_not_exist_are_removed_at_once():
    pods = [
        pod("b", node="gone"),
        pod("a", node="gone", deleting=True),
        pod("c", node="n1"),
        pod("d"),
    ]
    found = pods_without_node(pods, {"n1"}, NOW_MS)
    assert render(found.decisions) == (
        "delete pod a: its node gone does not exist\ndelete pod b: its node gone does not exist"
    )
    assert {d.grace_s for d in found.decisions} == {0}
