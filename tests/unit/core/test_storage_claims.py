"""Claims: which volume one gets, which is made for it, and what it says while it has none."""

import pytest
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Update, render
from orchestrator.core.storage.claims import PROVISIONER, Around, plan
from orchestrator.core.storage.matching import reaches
from proto.kinds.persistentvolume import DOCKER_VOLUME, LOCAL_DIRECTORY, PROVISIONED_BY
from proto.kinds.storage import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    SELECTED_NODE,
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
)
from proto.meta import LabelSelector
from tests.unit.core.storing import LOCAL, a_class, claim, node, using, volume

HERE = {SELECTED_NODE: "n1"}
BY_HAND = a_class(provisioner=NO_PROVISIONER)
BY_US = {PROVISIONER: LOCAL_DIRECTORY}


def around(*volumes, classes=(), pods=(), nodes=("n1", "n2")) -> Around:
    return Around(
        volumes,
        {found.metadata.name: found for found in classes},
        pods,
        {name: node(name) for name in nodes},
    )


def planned(found: PersistentVolumeClaim, given: Around | None = None) -> str:
    return render(plan(found, given or around()).decisions)


def only(found: PersistentVolumeClaim, given: Around):
    (decision,) = plan(found, given).decisions
    return decision


def test_a_claim_is_protected_and_of_the_default_class_when_it_names_none():
    new = claim(of=None, finalizers=())
    assert planned(new) == "update persistentvolumeclaim data: it is protected"
    assert planned(new, around(classes=[LOCAL, a_class()])) == (
        "update persistentvolumeclaim data: it is protected and local is the default class"
    )
    written = only(new, around(classes=[LOCAL])).object
    assert written.spec.storage_class_name == "local"
    assert written.metadata.finalizers == ("kubernetes.io/pvc-protection",)


def test_it_gets_the_smallest_volume_that_suits_it_which_is_given_to_it_first():
    disks = [
        volume("small", size="500Mi"),
        volume("large", size="4Gi"),
        volume("right", size="2Gi"),
        volume("first", size="1Gi", given_to="other"),
        volume("fast", of="fast"),
        volume("many", modes=("ReadOnlyMany",)),
        volume("going", deleting=True),
        replace(volume("old"), status=replace(volume().status, phase="Released")),
    ]
    given = only(claim(), around(*disks))
    assert render([given]) == "update persistentvolume right: it is for claim default/data"
    assert given.object.spec.claim_ref.uid == "uid-data"
    assert given.object.metadata.annotations == {BOUND_BY_CONTROLLER: "yes"}
    bound = only(claim(), around(given.object))
    assert render([bound]) == "update persistentvolumeclaim data: volume right is its own"
    assert bound.object.spec.volume_name == "right"
    assert bound.object.metadata.annotations == {BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"}


def test_a_selector_narrows_the_choice():
    wanted = claim(selector=LabelSelector(match_labels={"tier": "gold"}))
    disks = [volume("a"), volume("b", labels={"tier": "gold"})]
    assert planned(wanted, around(*disks)) == (
        "update persistentvolume b: it is for claim default/data"
    )


def test_a_volume_kept_for_it_by_name_comes_before_all_others_and_is_noted_as_such():
    kept = volume("kept", size="9Gi", given_to="data", uid="")
    given = only(claim(), around(volume("a"), kept))
    assert render([given]) == "update persistentvolume kept: it is for claim default/data"
    assert given.object.metadata.annotations == {}


def test_a_volume_asked_for_by_name_must_do_and_be_free():
    asked = claim(volume_name="disk")
    assert planned(asked) == ""
    assert planned(asked, around(volume(size="1Mi"))) == (
        'Warning VolumeMismatch on persistentvolumeclaim data: Cannot bind to requested volume "disk"'
        ": requested PV is too small"
    )
    assert planned(asked, around(volume(of="fast"))).endswith("storageClassName does not match")
    assert planned(asked, around(volume(given_to="other"))).endswith(
        'volume "disk" already bound to a different claim.'
    )
    given = only(asked, around(volume()))
    bound = only(asked, around(given.object)).object
    assert bound.metadata.annotations == {BIND_COMPLETED: "yes"}  # whoever asked, bound it


def test_what_it_has_it_tells():
    own = volume(given_to="data", modes=("ReadWriteOnce", "ReadOnlyMany"), size="2Gi")
    told = only(claim(bound_to="disk"), around(own))
    assert render([told]) == "update status of persistentvolumeclaim data: bound to disk"
    assert told.object.status == PersistentVolumeClaimStatus(
        phase="Bound",
        access_modes=("ReadWriteOnce", "ReadOnlyMany"),
        capacity={"storage": "2Gi"},
    )
    assert planned(told.object, around(own)) == ""


def test_a_claim_whose_volume_is_gone_or_anothers_is_lost_and_says_so_once():
    bound = claim(bound_to="disk")
    lost = plan(bound, around()).decisions
    assert render(lost) == (
        "update status of persistentvolumeclaim data: Bound claim has lost its PersistentVolume. "
        "Data on the volume is lost!\n"
        "Warning ClaimLost on persistentvolumeclaim data: Bound claim has lost its "
        "PersistentVolume. Data on the volume is lost!"
    )
    assert lost[0].object.status.phase == "Lost"
    assert planned(lost[0].object) == ""
    assert "Warning ClaimMisbound" in planned(bound, around(volume(given_to="other")))
    assert "Warning ClaimMisbound" in planned(bound, around(volume(given_to="data", uid="old")))


@pytest.mark.parametrize(
    ("found", "given", "says"),
    [
        (
            claim(),
            around(),
            (
                "Normal FailedBinding on persistentvolumeclaim data: no persistent volumes available "
                "for this claim and no storage class is set"
            ),
        ),
        (
            claim(of="fast"),
            around(),
            (
                "Warning ProvisioningFailed on persistentvolumeclaim data: "
                'storageclass.storage.k8s.io "fast" not found'
            ),
        ),
        (
            claim(of="local"),
            around(classes=[LOCAL]),
            (
                "Normal WaitForFirstConsumer on persistentvolumeclaim data: waiting for first consumer "
                "to be created before binding"
            ),
        ),
        (
            claim(of="local"),
            around(classes=[LOCAL], pods=[using("web", "data")]),
            (
                "Normal WaitForPodScheduled on persistentvolumeclaim data: waiting for pod web to be "
                "scheduled"
            ),
        ),
        (
            claim(of="local"),
            around(classes=[LOCAL], pods=[using("web", "data", node="n2")]),
            "update persistentvolumeclaim data: a pod that uses it is there",
        ),
        (
            claim(of="fast"),
            around(classes=[BY_HAND]),
            (
                "Normal FailedBinding on persistentvolumeclaim data: no persistent volume of class "
                '"fast" suits it, and nothing makes any'
            ),
        ),
        (
            claim(of="fast", annotations=HERE),
            around(volume(of="fast", nodes=("n2",)), classes=[BY_HAND]),
            "update persistentvolumeclaim data: no volume that suits it is left on node n1",
        ),
        (
            claim(of="local", annotations={SELECTED_NODE: "n9"}),
            around(classes=[LOCAL]),
            "update persistentvolumeclaim data: node n9 does not exist",
        ),
        (
            claim(of="fast"),
            around(classes=[a_class()]),
            "update persistentvolumeclaim data: longshore.dev/local-directory makes its volume",
        ),
    ],
)
def test_a_claim_without_a_volume_says_what_it_waits_for(found, given, says: str):
    assert planned(found, given) == says


def test_somebody_elses_provisioner_is_waited_for():
    theirs = a_class(provisioner="example.com/disk")
    marked = claim(of="fast", annotations={PROVISIONER: "example.com/disk"})
    assert planned(marked, around(classes=[theirs])).startswith(
        "Normal ExternalProvisioning on persistentvolumeclaim data: Waiting for a volume to be "
        "created either by the external provisioner 'example.com/disk' or manually"
    )


def test_a_folder_is_made_on_the_node_that_the_scheduler_chose():
    made = only(claim(of="local", annotations=HERE | BY_US), around(classes=[LOCAL]))
    assert isinstance(made, Create)
    assert render([made]) == "create persistentvolume pvc-uid-data: for claim default/data"
    assert made.announce.message == "Successfully provisioned volume pvc-uid-data"
    found = made.object
    assert found.spec.local.path == "/var/n1/pvc-uid-data"
    assert found.spec.claim_ref.uid == "uid-data"
    assert [reaches(found, node(name)) for name in ("n1", "n2")] == [True, False]
    assert (found.spec.persistent_volume_reclaim_policy, found.spec.capacity["storage"]) == (
        "Delete",
        "1Gi",
    )
    assert found.metadata.annotations == {PROVISIONED_BY: LOCAL_DIRECTORY}
    assert found.metadata.finalizers == ("kubernetes.io/pv-protection", "node.longshore.dev/n1")


def test_what_waits_for_nobody_is_made_on_the_ready_node_with_the_fewest():
    held = volume(finalizers=("node.longshore.dev/n1",), given_to="other")
    given = around(held, classes=[a_class()])
    given = replace(given, nodes=given.nodes | {"n0": node("n0", ready="False")})
    made = only(claim(of="fast", annotations=BY_US), given).object
    assert made.spec.local.path == "/var/n2/pvc-uid-data"
    nowhere = around(classes=[a_class()], nodes=())
    assert planned(claim(of="fast", annotations=BY_US), nowhere).endswith(
        "no node is ready that it could be made on"
    )


@pytest.mark.parametrize(
    ("parameters", "is_on_a_node"),
    [
        ({}, True),
        ({"type": "tmpfs", "device": "tmpfs"}, True),
        ({"driver": "local", "type": "nfs", "o": "addr=nas", "device": ":/x"}, False),
        ({"driver": "vieux/sshfs"}, False),
    ],
)
def test_a_volume_of_dockers_is_on_one_node_unless_its_driver_reaches_it_from_all(
    parameters: dict[str, str], is_on_a_node: bool
):
    found = a_class(provisioner=DOCKER_VOLUME, parameters=parameters)
    wanted = claim(of="fast", annotations=HERE | {PROVISIONER: DOCKER_VOLUME})
    made = only(wanted, around(classes=[found])).object
    assert (made.spec.nodes is not None) is is_on_a_node
    assert made.spec.csi.volume_attributes == parameters
    many = claim(
        of="fast", modes=("ReadWriteMany",), annotations=HERE | {PROVISIONER: DOCKER_VOLUME}
    )
    assert ("ProvisioningFailed" in planned(many, around(classes=[found]))) is is_on_a_node


def test_parameters_may_name_the_claim_and_its_volume():
    found = a_class(
        provisioner=DOCKER_VOLUME,
        parameters={
            "type": "nfs",
            "device": ":/exports/${pvc.metadata.namespace}/${pvc.metadata.name}/${pv.metadata.name}",
        },
    )
    wanted = claim(of="fast", annotations={PROVISIONER: DOCKER_VOLUME})
    made = only(wanted, around(classes=[found])).object
    assert made.spec.csi.volume_attributes["device"] == ":/exports/default/data/pvc-uid-data"


@pytest.mark.parametrize(
    ("found", "of", "says"),
    [
        (claim(selector=LabelSelector()), a_class(), "claim.spec.selector is not supported"),
        (claim(modes=("ReadWriteMany",)), a_class(), "only the access modes ReadWriteOnce and"),
        (claim(), a_class(parameters={"path": "/x"}), "has no parameters: leave out path"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(found, of, says: str):
    found = replace(found, spec=replace(found.spec, storage_class_name="fast"))
    found = replace(found, metadata=replace(found.metadata, annotations=BY_US))
    told = planned(found, around(classes=[of]))
    assert told.startswith(
        "Warning ProvisioningFailed on persistentvolumeclaim data: failed to provision volume with "
        'StorageClass "fast": '
    )
    assert says in told


def test_a_claim_grows_where_its_class_lets_it():
    own = volume(given_to="data", of="local", annotations={PROVISIONED_BY: LOCAL_DIRECTORY})
    bound = claim(bound_to="disk", of="local", size="3Gi")
    bound = replace(bound, status=replace(bound.status, phase="Bound"))
    grown = plan(bound, around(own, classes=[LOCAL])).decisions
    assert render(grown) == (
        "update persistentvolume disk: its claim asks for 3Gi\n"
        "Normal VolumeResizeSuccessful on persistentvolumeclaim data: Volume disk has now 3Gi"
    )
    assert isinstance(grown[0], Update)
    assert grown[0].object.spec.capacity == {"storage": "3Gi"}
    fixed = replace(LOCAL, allow_volume_expansion=None)
    assert planned(bound, around(own, classes=[fixed])).startswith(
        "Warning VolumeResizeFailed on persistentvolumeclaim data: only dynamically provisioned pvc"
    )


def test_a_claim_that_a_pod_uses_stays_until_that_is_gone():
    going = claim(bound_to="disk", deleting=True)
    status = PersistentVolumeClaimStatus(
        phase="Bound", access_modes=("ReadWriteOnce",), capacity={"storage": "1Gi"}
    )
    going = replace(going, status=status)
    own = volume(given_to="data")
    assert planned(going, around(own, pods=[using("web", "data", node="n1")])) == ""
    let_go = "update persistentvolumeclaim data: no pod uses it"
    assert planned(going, around(own, pods=[using("web", "data")])) == let_go
    assert planned(going, around(own)) == let_go
