"""Volumes: whose they are, and what becomes of them when their claims go."""

from msgspec.structs import replace

from orchestrator.core.decisions import render
from orchestrator.core.storage.volumes import leaves, plan, reported, stored
from proto.kinds.persistentvolume import (
    DOCKER_VOLUME,
    LOCAL_DIRECTORY,
    PROVISIONED_BY,
    CSIPersistentVolumeSource,
    PersistentVolume,
)
from proto.kinds.storage import BOUND_BY_CONTROLLER
from proto.messages import StoredVolume, VolumeReport
from tests.unit.core.making import NOW, NOW_MS
from tests.unit.core.storing import claim, node, using, volume

OURS = {PROVISIONED_BY: LOCAL_DIRECTORY}
PROTECTION = "kubernetes.io/pv-protection"
ON_N1 = "node.longshore.dev/n1"


def planned(found: PersistentVolume, of=None, pods=(), nodes=("n1",), ready="True") -> str:
    known = {name: node(name, ready=ready) for name in nodes}
    return render(plan(found, of, pods, known, NOW_MS).decisions)


def phase(found: PersistentVolume, name: str) -> PersistentVolume:
    return replace(found, status=replace(found.status, phase=name))


def made(**fields: object) -> PersistentVolume:
    """One that was made for the claim ``data`` on n1."""
    given = {"given_to": "data", "policy": "Delete", "annotations": OURS}
    return volume(**given | {"finalizers": (PROTECTION, ON_N1)} | fields)


def test_a_volume_is_available_then_bound_then_released():
    assert planned(volume(finalizers=())) == (
        f"update persistentvolume disk: it waits for {PROTECTION}"
    )
    assert planned(volume()) == "update status of persistentvolume disk: now Available"
    assert planned(volume(given_to="data", uid="")).endswith("now Available")
    own = volume(given_to="data")
    assert planned(own, claim()).endswith("now Bound")
    assert planned(own, claim(bound_to="disk")).endswith("now Bound")
    assert planned(own).endswith("now Released")
    assert planned(volume(given_to="data", uid="old"), claim()).endswith("now Released")
    (told,) = plan(own, None, (), {}, NOW_MS).decisions
    assert told.object.status.last_phase_transition_time == NOW
    assert planned(phase(own, "Released")) == ""


def test_a_volume_whose_claim_took_another_is_let_go():
    taken = volume(given_to="data", annotations={BOUND_BY_CONTROLLER: "yes"})
    (freed,) = plan(taken, claim(bound_to="other"), (), {}, NOW_MS).decisions
    assert render([freed]) == "update persistentvolume disk: its claim has another volume"
    assert (freed.object.spec.claim_ref, freed.object.metadata.annotations) == (None, {})
    (kept,) = plan(volume(given_to="data"), claim(bound_to="other"), (), {}, NOW_MS).decisions
    assert (kept.object.spec.claim_ref.name, kept.object.spec.claim_ref.uid) == ("data", "")


def test_every_node_with_a_pod_that_uses_it_is_noted():
    pods = [using("a", "data", node="n2"), using("b", "data"), using("c", "data", node="n1")]
    (noted,) = plan(made(), claim(bound_to="disk"), pods, {}, NOW_MS).decisions
    assert noted.object.metadata.finalizers == (PROTECTION, ON_N1, "node.longshore.dev/n2")
    assert planned(volume(given_to="data"), claim(bound_to="disk"), pods).endswith("now Bound")


def test_what_is_released_is_deleted_if_its_policy_says_so_and_it_is_ours():
    assert planned(made()) == "update status of persistentvolume disk: now Released"
    assert planned(phase(made(), "Released")) == (
        "delete persistentvolume disk: its claim is gone, and its policy is Delete"
    )
    by_hand = planned(volume(given_to="data", policy="Delete"))
    assert by_hand.startswith("update status of persistentvolume disk: now Failed\nWarning ")
    assert "VolumeFailedDelete on persistentvolume disk: Longshore did not make it" in by_hand
    theirs = made(annotations={PROVISIONED_BY: "example.com/disk"}, finalizers=(PROTECTION,))
    assert planned(phase(theirs, "Released")) == ""


def test_a_volume_in_use_stays_though_it_is_deleted():
    going = phase(made(deleting=True), "Bound")
    assert planned(going, claim(bound_to="disk")) == ""
    assert leaves(going) == []
    assert planned(going) == "update persistentvolume disk: no claim is bound to it"


def test_its_nodes_remove_what_they_hold_once_nothing_protects_it():
    going = phase(made(deleting=True, finalizers=(ON_N1,)), "Released")
    assert leaves(going) == ["n1"]
    assert planned(going) == ""
    leaving = {"disk": going}
    gone = VolumeReport(name="disk", uid="uid-disk", is_gone=True)
    (freed,) = reported("n1", [gone], leaving, NOW_MS)
    assert render([freed]) == "update persistentvolume disk: nothing of it is left on n1"
    assert freed.object.metadata.finalizers == ()
    earlier = replace(gone, uid="another")
    assert not list(reported("n1", [earlier, replace(gone, name="x")], leaving, NOW_MS))
    (kept,) = reported("n2", [gone], leaving, NOW_MS)
    assert kept.object.metadata.finalizers == (ON_N1,)


def test_why_a_node_cannot_remove_it_is_told_once():
    going = phase(made(deleting=True, finalizers=(ON_N1,)), "Released")
    failed = VolumeReport(name="disk", uid="uid-disk", error="it is mounted")
    status, told = reported("n1", [failed], {"disk": going}, NOW_MS)
    assert told.message == "node n1 cannot remove it: it is mounted"
    assert status.object.status.phase == "Released"
    assert not list(reported("n1", [failed], {"disk": status.object}, NOW_MS))


def test_a_node_that_is_away_is_waited_for_and_one_that_is_gone_is_not():
    going = phase(made(deleting=True, finalizers=(ON_N1,)), "Released")
    said = planned(going, ready="Unknown")
    assert said.endswith(
        "Warning VolumeFailedDelete on persistentvolume disk: node n1 is not ready: what it holds "
        "of the volume is removed when it is back"
    )
    assert planned(going, nodes=()) == (
        "Warning VolumeFailedDelete on persistentvolume disk: node n1 is gone, and with it what it "
        "held of the volume\n"
        "update persistentvolume disk: what is left of it stays where it is"
    )


def test_what_is_to_be_retained_stays_on_its_node():
    going = made(deleting=True, finalizers=(ON_N1,), policy="Retain")
    assert leaves(going) == []
    assert planned(going) == "update persistentvolume disk: what is left of it stays where it is"


def test_agents_keep_what_was_made_and_volumes_of_dockers():
    assert stored(volume()) is None
    assert stored(made()) == StoredVolume(name="disk")
    csi = CSIPersistentVolumeSource(
        driver=DOCKER_VOLUME,
        volume_handle="v",
        volume_attributes={"driver": "nfs", "share": "a"},
    )
    assert stored(volume(csi=csi, host_path=None)) == StoredVolume(
        name="disk", is_ours=False, handle="v", driver="nfs", options={"share": "a"}
    )
