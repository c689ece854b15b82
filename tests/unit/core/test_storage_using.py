"""What a pod's claims mean for where it runs, and what its node is told of them."""

import pytest
from msgspec.structs import replace

from orchestrator.core import binding
from orchestrator.core.decisions import render
from orchestrator.core.scheduling import Placement, schedule, table_of
from orchestrator.core.storage import ephemeral
from orchestrator.core.storage.using import Blocked, Known, Needs, assigned, needs
from proto.kinds.claim import PersistentVolumeClaimTemplate
from proto.kinds.persistentvolume import LOCAL_DIRECTORY, PROVISIONED_BY, LocalVolumeSource
from proto.kinds.pod import Pod
from proto.kinds.storage import (
    NO_PROVISIONER,
    SELECTED_NODE,
    WAIT,
    TopologySelectorRequirement,
    TopologySelectorTerm,
)
from proto.kinds.volume import EphemeralVolumeSource, Volume
from proto.messages import AssignedClaim, StoredVolume
from tests.unit.core.making import NOW_MS
from tests.unit.core.storing import LOCAL, a_class, claim, node, on, using, volume

WEB = using("web", "data")
BY_HAND = a_class("manual", provisioner=NO_PROVISIONER, volume_binding_mode=WAIT)


def known(*claims, volumes=(), classes=(LOCAL, BY_HAND), others=()) -> Known:
    return Known(
        {found.metadata.name: found for found in claims},
        {found.metadata.name: found for found in volumes},
        {found.metadata.name: found for found in classes},
        {"data": others},
    )


def refusal(pod: Pod, given: Known) -> str:
    with pytest.raises(Blocked) as blocked:
        needs(pod, given)
    return str(blocked.value)


def fitting(found: Needs) -> list[str]:
    """Of three nodes those that the scheduler would take."""
    nodes = [node(name) for name in ("n1", "n2", "n3")]
    selectors = {WEB.metadata.uid: found.selectors}
    return [
        one.metadata.name
        for one in nodes
        if schedule(table_of([one]), [WEB], volumes=selectors)[0].node is not None
    ]


def test_a_pod_without_claims_has_no_needs():
    assert needs(using("web"), known()) == Needs()


def test_it_runs_where_its_volumes_can_be_reached():
    anywhere = known(claim(bound_to="disk"), volumes=[volume(given_to="data")])
    assert needs(WEB, anywhere) == Needs()
    there = known(claim(bound_to="disk"), volumes=[volume(given_to="data", nodes=("n2", "n3"))])
    assert fitting(needs(WEB, there)) == ["n2", "n3"]
    two = using("web", "data", "more")
    both = known(
        claim(bound_to="disk"),
        claim("more", bound_to="far"),
        volumes=[
            volume(given_to="data", nodes=("n2", "n3")),
            volume("far", given_to="more", nodes=("n1", "n3")),
        ],
    )
    assert fitting(needs(two, both)) == ["n3"]


def test_no_node_with_its_volume_is_said_in_the_schedulers_words():
    table = table_of([node("n1"), node("n2")])
    (placed,) = schedule(table, [WEB], volumes={WEB.metadata.uid: (on("n3"),)})
    assert placed.message == (
        "0/2 nodes are available: 2 node(s) had volume node affinity conflict."
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (known(), 'persistentvolumeclaim "data" not found'),
        (known(claim(deleting=True)), 'persistentvolumeclaim "data" is being deleted'),
        (known(claim()), "pod has unbound immediate PersistentVolumeClaims"),
        (known(claim(of="nowhere")), "pod has unbound immediate PersistentVolumeClaims"),
        (
            known(claim(of="local", volume_name="disk")),
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        (
            known(claim(bound_to="disk")),
            'persistentvolumeclaim "data" bound to non-existent persistentvolume "disk"',
        ),
        (
            known(claim(of="manual")),
            "node(s) didn't find available persistent volumes to bind",
        ),
        (
            known(
                claim(bound_to="disk", modes=("ReadWriteOncePod",)),
                volumes=[volume(given_to="data")],
                others=[using("other", "data", node="n1")],
            ),
            (
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
                "access mode"
            ),
        ),
    ],
)
def test_a_pod_whose_claims_are_not_ready_says_what_it_waits_for(given: Known, says: str):
    assert refusal(WEB, given) == says


def test_one_pod_at_a_time_means_those_that_have_a_node():
    given = known(
        claim(bound_to="disk", modes=("ReadWriteOncePod",)),
        volumes=[volume(given_to="data")],
        others=[using("other", "data")],
    )
    assert needs(WEB, given).is_ready


def test_a_claim_that_waits_for_its_pod_gets_its_node_first_and_the_pod_later():
    waiting = claim(of="local")
    found = needs(WEB, known(waiting))
    assert (found.choosing, found.is_ready, found.selectors) == ((waiting,), False, ())
    plan = binding.plan([Placement(WEB, "n2")], NOW_MS, {WEB.metadata.uid: found})
    assert render(plan.decisions) == ("update persistentvolumeclaim data: pod web is to run on n2")
    chosen = plan.decisions[0].object
    assert chosen.metadata.annotations == {SELECTED_NODE: "n2"}
    found = needs(WEB, known(chosen))
    assert (found.choosing, found.is_ready, fitting(found)) == ((), False, ["n2"])
    plan = binding.plan([Placement(WEB, "n2")], NOW_MS, {WEB.metadata.uid: found})
    assert plan.decisions == ()
    bound = claim(of="local", bound_to="disk")
    found = needs(WEB, known(bound, volumes=[volume(given_to="data", nodes=("n2",))]))
    plan = binding.plan([Placement(WEB, "n2")], NOW_MS, {WEB.metadata.uid: found})
    assert render(plan.decisions).startswith("bind pod web: to n2\n")


def test_a_class_may_say_where_its_volumes_can_be_made():
    term = TopologySelectorTerm(
        match_label_expressions=(
            TopologySelectorRequirement(key="kubernetes.io/hostname", values=("n1", "n3")),
        )
    )
    narrow = replace(LOCAL, allowed_topologies=(term,))
    assert fitting(needs(WEB, known(claim(of="local"), classes=[narrow]))) == ["n1", "n3"]


def test_volumes_made_by_hand_are_looked_for_where_they_are():
    disks = [volume("a", of="manual", nodes=("n1",)), volume("b", of="manual", nodes=("n3",))]
    given = known(claim(of="manual"), volumes=disks)
    assert fitting(needs(WEB, given)) == ["n1", "n3"]
    anywhere = known(claim(of="manual"), volumes=[*disks, volume("c", of="manual")])
    assert fitting(needs(WEB, anywhere)) == ["n1", "n2", "n3"]


# ------------------------------------------------------------- of the pod's own

SCRATCH = Volume(
    name="scratch",
    ephemeral=EphemeralVolumeSource(
        volume_claim_template=PersistentVolumeClaimTemplate(spec=claim(of="local").spec)
    ),
)


def with_scratch() -> Pod:
    return replace(WEB, spec=replace(WEB.spec, volumes=(SCRATCH,)))


def test_a_claim_is_made_for_a_pod_that_wants_one_of_its_own():
    pod = with_scratch()
    assert refusal(pod, known()) == (
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-scratch"'
    )
    (made,) = ephemeral.plan(pod, {}).decisions
    assert render([made]) == "create persistentvolumeclaim web-scratch: for pod web"
    assert made.object.metadata.controller.uid == pod.metadata.uid
    assert made.object.spec.storage_class_name == "local"
    assert ephemeral.plan(pod, {"web-scratch": made.object}).decisions == ()
    assert needs(pod, known(made.object)).choosing == (made.object,)


def test_somebody_elses_claim_of_that_name_is_not_taken():
    pod = with_scratch()
    says = "PVC default/web-scratch was not created for pod default/web (pod is not owner)"
    theirs = claim("web-scratch", of="local")
    assert refusal(pod, known(theirs)) == says
    assert render(ephemeral.plan(pod, {"web-scratch": theirs}).decisions).endswith(says)


# ---------------------------------------------------------------- to its node


def test_a_node_is_told_what_each_claim_stands_for():
    bound = claim(bound_to="disk")

    def told(**fields) -> list[AssignedClaim]:
        return list(assigned(WEB, known(bound, volumes=[volume(given_to="data", **fields)])))

    by_us = {PROVISIONED_BY: LOCAL_DIRECTORY}
    kept = AssignedClaim(name="data", stored=StoredVolume(name="disk"))
    assert told(annotations=by_us) == [kept]
    assert told() == [AssignedClaim(name="data", path="/srv/disk")]
    disk = {"local": LocalVolumeSource(path="/mnt/d"), "host_path": None, "nodes": ("n1",)}
    assert told(**disk) == [AssignedClaim(name="data", path="/mnt/d", type="Directory")]
    assert told(uid="another") == []
    assert list(assigned(WEB, known())) == []
