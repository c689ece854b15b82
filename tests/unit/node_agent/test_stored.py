"""What outlives pods: how claims are mounted, and what is removed when, and told of it."""

import pytest
from msgspec.structs import replace

from node_agent import report
from node_agent.core import naming, volumes
from node_agent.core.actions import Plan, render
from node_agent.core.contents import Absent
from node_agent.core.observed import Failure, Observed
from node_agent.core.removing import with_removals
from node_agent.core.volume_actions import Mount, NamedVolume
from node_agent.core.volumes import Places
from proto.kinds.volume import (
    EphemeralVolumeSource,
    PersistentVolumeClaimVolumeSource,
    Volume,
    VolumeMount,
)
from proto.messages import AssignedClaim, AssignedPod, StoredVolume, VolumeRemoval, VolumeReport
from tests.unit.node_agent.given import (
    NODE,
    NOW_MS,
    container,
    observed,
    planned,
    pod,
    sandbox,
    spec,
)

FOLDER = AssignedClaim(name="data", stored=StoredVolume(name="pvc-1"))
DOCKERS = AssignedClaim(
    name="data",
    stored=StoredVolume(
        name="pvc-1", handle="docker-1", driver="local", options={"type": "nfs", "o": "addr=nas"}
    ),
)
BY_HAND = AssignedClaim(name="data", path="/mnt/disk", type="Directory")
PLACES = Places(stored="/agent/stored")


def a_pod(*claims: AssignedClaim, is_read_only: bool = False, **mount: object) -> AssignedPod:
    source = PersistentVolumeClaimVolumeSource(claim_name="data", read_only=is_read_only)
    data = Volume(name="data", persistent_volume_claim=source)
    mounts = (VolumeMount(name="data", mount_path="/data", **mount),)
    return replace(pod("web", spec(volume_mounts=mounts), volumes=(data,)), claims=claims)


def steps(assigned: AssignedPod, at: Observed) -> str:
    return render(planned([assigned], at))


def mounted(assigned: AssignedPod) -> Mount:
    (found,) = volumes.mounts(NODE, assigned, assigned.spec.containers[0], PLACES, {})
    return found


def kept(*names: str, **fields: object) -> Observed:
    return replace(observed(**fields), stored=dict.fromkeys(names, ""))


def test_a_folder_is_made_once_and_outlives_the_pod():
    web = a_pod(FOLDER)
    assert steps(web, kept()) == "prepare web's volumes data: assigned"
    assert steps(web, kept("pvc-1")) == "create sandbox longshore_POD_web_default_uid-web: assigned"
    assert steps(replace(web, delete_grace_s=0), kept("pvc-1")) == ""
    assert render(planned([], kept("pvc-1"))) == ""


def test_a_volume_of_dockers_is_made_by_the_container_that_mounts_it():
    holder = "create sandbox longshore_POD_web_default_uid-web: assigned"
    assert steps(a_pod(DOCKERS), kept()) == holder


def test_a_pod_waits_for_claims_without_a_volume_and_says_so():
    assert steps(a_pod(), kept()) == (
        'tell of web\'s volumes: data: persistentvolumeclaim "data" has no volume'
    )


def test_a_path_that_somebody_else_made_is_looked_at_and_left_where_it_is():
    assert steps(a_pod(BY_HAND), kept()) == "prepare web's volumes data: assigned"
    assert mounted(a_pod(BY_HAND)).source == "/mnt/disk"


def test_containers_see_what_their_claims_stand_for():
    assert mounted(a_pod(FOLDER)) == Mount(
        name="data", target="/data", source="/agent/stored/pvc-1"
    )
    labels = naming.stored_labels(NODE, "pvc-1")
    assert mounted(a_pod(DOCKERS)) == Mount(
        name="data",
        target="/data",
        tmpfs="docker-1",
        named=NamedVolume("local", {"type": "nfs", "o": "addr=nas"}, labels),
    )
    theirs = replace(DOCKERS, stored=replace(DOCKERS.stored, is_ours=False))
    assert mounted(a_pod(theirs)).named.labels == {}, "else it would be removed as ours"


def test_a_claim_is_read_only_where_anything_says_so():
    assert not mounted(a_pod(FOLDER)).is_read_only
    assert mounted(a_pod(FOLDER, is_read_only=True)).is_read_only
    assert mounted(a_pod(FOLDER, read_only=True)).is_read_only
    assert mounted(a_pod(replace(FOLDER, is_read_only=True))).is_read_only


def test_a_part_of_a_folder_can_be_mounted_and_of_a_volume_of_dockers_cannot():
    assert mounted(a_pod(FOLDER, sub_path="a/b")).sub_path == "a/b"
    with pytest.raises(Absent, match="leave out the subPath of /data"):
        mounted(a_pod(DOCKERS, sub_path="a/b"))


def test_a_claim_of_the_pods_own_bears_its_name():
    own = Volume(name="data", ephemeral=EphemeralVolumeSource())
    web = replace(a_pod(), spec=replace(a_pod().spec, volumes=(own,)))
    assert "web-data" in steps(web, kept())
    web = replace(web, claims=(replace(FOLDER, name="web-data"),))
    assert mounted(web).source == "/agent/stored/pvc-1"


# ---------------------------------------------------------------- what must go


def removals(at: Observed, *wanted: str, desired: tuple[AssignedPod, ...] = (), now_ms=NOW_MS):
    pods = {found.uid: found for found in desired}
    return with_removals(Plan(), wanted, pods, at, now_ms)


def test_only_what_is_told_to_go_is_removed_and_only_while_no_pod_has_it():
    at = kept("pvc-1", "pvc-2")
    assert render(removals(at, "pvc-1", "pvc-9")) == (
        "remove volume pvc-1: its PersistentVolume is deleted"
    )
    assert render(removals(at)) == ""
    assert render(removals(at, "pvc-1", desired=(a_pod(FOLDER),))) == ""
    assert render(removals(kept("pvc-1", busy=frozenset({"pvc-1"})), "pvc-1")) == ""


def test_what_could_not_be_removed_is_tried_again_later():
    failed = {("pvc-1", "(volumes)"): Failure("ContainerCreating", "busy", 1, NOW_MS)}
    held_back = removals(kept("pvc-1", failures=failed), "pvc-1")
    assert (render(held_back), held_back.wake_at_ms) == ("", NOW_MS + 500)
    again = removals(kept("pvc-1", failures=failed), "pvc-1", now_ms=NOW_MS + 500)
    assert "remove volume pvc-1" in render(again)


def test_the_plan_for_the_pods_stays_as_it_is():
    at = replace(observed(sandbox(), container()), stored={"pvc-1": "docker-1"})
    pods = planned([a_pod(FOLDER)], at)
    both = with_removals(pods, ["pvc-1"], {}, at, NOW_MS)
    assert both.actions[:-1] == pods.actions
    assert both.actions[-1].engine_name == "docker-1"


def test_a_volume_is_gone_once_nothing_of_it_is_left():
    told = VolumeRemoval(name="pvc-1", uid="u")
    assert report.volume_report(told, {}, {}) == VolumeReport(name="pvc-1", uid="u", is_gone=True)
    failed = {("pvc-1", "(volumes)"): Failure("ContainerCreating", "busy", 1, NOW_MS)}
    assert report.volume_report(told, {"pvc-1": ""}, failed) == VolumeReport(
        name="pvc-1", uid="u", error="busy"
    )
