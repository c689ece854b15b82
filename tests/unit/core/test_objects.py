"""What writes make of objects."""

import pytest
from msgspec.structs import replace

from orchestrator.core.objects import (
    FOREGROUND,
    ORPHAN,
    is_finished,
    prepare_create,
    prepare_delete,
    prepare_update,
)
from proto.errors import BadRequest, Conflict, Forbidden, Invalid
from proto.kinds import ALL
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.meta import ObjectMeta, parse_time_ms
from tests.unit.core.making import NOW, NOW_MS, deployment, node, pod, template

SUFFIX = "x2z4c"


def created(kind, new):
    return prepare_create(kind, new, uid="u1", suffix=SUFFIX, now_ms=NOW_MS)


def updated(kind, old, new, subresource=""):
    return prepare_update(kind, old, new, subresource=subresource, now_ms=NOW_MS + 5000)


def deleted(kind, old, grace_s=None, propagation="", now_ms=NOW_MS):
    return prepare_delete(kind, old, grace_s=grace_s, propagation=propagation, now_ms=now_ms)


def running(**kwargs):
    return created(PODS, pod("a", node="n1", **kwargs))


def with_meta(found, **kwargs):
    return replace(found, metadata=replace(found.metadata, **kwargs))


def test_a_new_object_is_named_identified_and_complete():
    new = deployment(2)
    found = created(DEPLOYMENTS, with_meta(new, uid="mine", generation=9, deletion_timestamp=NOW))
    meta = found.metadata
    assert (meta.uid, meta.generation, meta.creation_timestamp) == ("u1", 1, NOW)
    assert (meta.deletion_timestamp, meta.resource_version) == ("", "")
    assert (found.api_version, found.kind) == ("apps/v1", "Deployment")


def test_a_generated_name_has_the_suffix_and_stays_a_label():
    new = with_meta(pod("a"), name="", generate_name="web-" * 20)
    name = created(PODS, new).metadata.name
    assert name == ("web-" * 20)[:58] + SUFFIX
    assert len(name) == 63


def test_a_name_is_wanted():
    with pytest.raises(Invalid) as caught:
        created(PODS, with_meta(pod("a"), name="", generate_name=""))
    assert [(e.field, e.reason) for e in caught.value.errors] == [
        ("metadata.name", "FieldValueRequired")
    ]


def test_a_client_does_not_choose_the_status_but_a_node_describes_itself():
    new = deployment()
    boast = replace(new, status=replace(new.status, ready_replicas=9))
    assert created(DEPLOYMENTS, boast).status == Deployment().status
    assert created(NODES, node("n1")).status.allocatable["cpu"] == "4"


def test_every_wrong_field_is_named_once():
    wrong = with_meta(replace(deployment(-1), metadata=ObjectMeta(name="Web", namespace="default")))
    with pytest.raises(Invalid) as caught:
        created(DEPLOYMENTS, wrong)
    assert [error.field for error in caught.value.errors] == ["metadata.name", "spec.replicas"]
    with pytest.raises(Invalid) as caught:
        created(NAMESPACES, Namespace(metadata=ObjectMeta(name="No.Label")))
    assert [error.field for error in caught.value.errors] == ["metadata.name"]


def test_defaults_are_idempotent_for_every_kind():
    for kind in ALL:
        once = kind.defaults(kind.type(metadata=ObjectMeta(name="a", namespace="default")))
        assert kind.defaults(once) == once


def test_a_write_that_changes_nothing_gives_the_same_object_back():
    old = created(DEPLOYMENTS, deployment())
    assert updated(DEPLOYMENTS, old, with_meta(old, uid="", generation=7)) is old
    assert updated(DEPLOYMENTS, old, old, "status") is old
    assert updated(DEPLOYMENTS, old, old, "scale") is old


def test_generation_counts_changes_of_the_spec_only():
    old = created(DEPLOYMENTS, deployment())
    labelled = updated(DEPLOYMENTS, old, with_meta(old, labels={"a": "b"}))
    assert labelled.metadata.generation == 1
    scaled = updated(DEPLOYMENTS, old, replace(old, spec=replace(old.spec, replicas=9)))
    assert scaled.metadata.generation == 2


def test_a_write_to_the_object_leaves_the_status_and_the_other_way_round():
    old = created(DEPLOYMENTS, deployment(2))
    other = replace(
        with_meta(old, labels={"a": "b"}),
        spec=replace(old.spec, replicas=9),
        status=replace(old.status, ready_replicas=5),
    )
    written = updated(DEPLOYMENTS, old, other)
    assert (written.spec.replicas, written.status.ready_replicas) == (9, 0)
    told = updated(DEPLOYMENTS, old, other, "status")
    assert (told.spec.replicas, told.status.ready_replicas) == (2, 5)
    assert told.metadata == old.metadata
    sized = updated(DEPLOYMENTS, old, other, "scale")
    assert (sized.spec.replicas, sized.status.ready_replicas) == (9, 0)
    assert sized.metadata.labels == {}


def test_identity_cannot_be_written():
    old = created(DEPLOYMENTS, deployment())
    cheat = with_meta(old, creation_timestamp="", deletion_timestamp=NOW, labels={"a": "b"})
    meta = updated(DEPLOYMENTS, old, cheat).metadata
    assert (meta.creation_timestamp, meta.deletion_timestamp) == (NOW, "")


def test_a_write_meant_for_an_earlier_object_of_that_name_is_refused():
    old = created(DEPLOYMENTS, deployment())
    with pytest.raises(Conflict, match="UID in precondition: another"):
        updated(DEPLOYMENTS, old, with_meta(old, uid="another"))


def test_what_a_kind_forbids_to_change_is_refused():
    old = created(DEPLOYMENTS, deployment())
    other = replace(old.spec, selector=replace(old.spec.selector, match_labels={"app": "x"}))
    other = replace(other, template=template(labels={"app": "x"}))
    with pytest.raises(Invalid, match="field is immutable"):
        updated(DEPLOYMENTS, old, replace(old, spec=other))


def test_a_wrong_status_is_refused_and_an_old_spec_does_not_stand_in_its_way():
    old = created(NODES, node("n1"))
    wrong = replace(old.status, allocatable={"cpu": "many"})
    with pytest.raises(Invalid, match=r"status\.allocatable\.cpu"):
        updated(NODES, old, replace(old, status=wrong), "status")
    stored_before_the_rule = with_meta(old, labels={"-": "-"})
    fine = replace(stored_before_the_rule, status=replace(old.status, allocatable={"cpu": "1"}))
    assert updated(NODES, stored_before_the_rule, fine, "status").status.allocatable == {"cpu": "1"}


def test_a_pod_that_runs_nowhere_goes_at_once():
    assert deleted(PODS, created(PODS, pod("a"))) is None
    assert deleted(PODS, running(phase="Pending"), grace_s=0) is None


def test_an_ended_pod_goes_at_once():
    old = running()
    ended = replace(old, status=replace(old.status, phase="Failed"))
    assert deleted(PODS, ended) is None


def test_a_running_pod_gets_its_grace_and_waits_for_its_agent():
    marked = deleted(PODS, running())
    meta = marked.metadata
    assert meta.deletion_grace_period_seconds == 30
    assert parse_time_ms(meta.deletion_timestamp) == NOW_MS + 30_000
    assert not is_finished(marked)
    assert deleted(PODS, marked, grace_s=0) is None


def test_a_second_delete_may_shorten_the_grace_and_never_lengthen_it():
    marked = deleted(PODS, running(), grace_s=20)
    assert deleted(PODS, marked, grace_s=60, now_ms=NOW_MS + 1000) is marked
    shorter = deleted(PODS, marked, grace_s=5, now_ms=NOW_MS + 1000)
    assert shorter.metadata.deletion_grace_period_seconds == 5
    assert parse_time_ms(shorter.metadata.deletion_timestamp) == NOW_MS + 5000


def test_finalizers_keep_an_object_until_the_last_is_removed():
    old = with_meta(created(DEPLOYMENTS, deployment()), finalizers=("example.com/a",))
    marked = deleted(DEPLOYMENTS, old)
    assert marked.metadata.deletion_timestamp == NOW
    assert deleted(DEPLOYMENTS, marked) is marked
    assert not is_finished(marked)
    assert is_finished(updated(DEPLOYMENTS, marked, with_meta(marked, finalizers=())))


def test_no_finalizer_is_added_to_what_is_being_deleted():
    old = with_meta(created(DEPLOYMENTS, deployment()), finalizers=("example.com/a",))
    marked = deleted(DEPLOYMENTS, old)
    more = with_meta(marked, finalizers=("example.com/a", "example.com/b"))
    with pytest.raises(Invalid, match="no new finalizers can be added"):
        updated(DEPLOYMENTS, marked, more)


def test_a_pod_with_a_finalizer_is_not_gone_when_its_agent_confirms():
    marked = deleted(PODS, with_meta(running(), finalizers=("example.com/a",)))
    confirmed = deleted(PODS, marked, grace_s=0)
    assert not is_finished(confirmed)
    assert is_finished(updated(PODS, confirmed, with_meta(confirmed, finalizers=())))


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [("Foreground", (FOREGROUND,)), ("Orphan", (ORPHAN,))],
)
def test_propagation_becomes_a_finalizer(propagation, finalizers):
    old = created(DEPLOYMENTS, deployment())
    marked = deleted(DEPLOYMENTS, old, propagation=propagation)
    assert marked.metadata.finalizers == finalizers
    assert deleted(DEPLOYMENTS, marked, propagation="") is marked
    assert deleted(DEPLOYMENTS, marked, propagation="Background") is None


def test_an_unknown_propagation_is_refused():
    with pytest.raises(BadRequest, match="Sideways"):
        deleted(DEPLOYMENTS, created(DEPLOYMENTS, deployment()), propagation="Sideways")


def test_a_namespace_is_never_gone_at_once():
    old = created(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
    marked = deleted(NAMESPACES, old, grace_s=0)
    assert deleted(NAMESPACES, marked, grace_s=0) is marked
    assert not is_finished(marked)
    finalized = replace(marked, spec=replace(marked.spec, finalizers=()))
    assert is_finished(updated(NAMESPACES, marked, finalized, "finalize"))


@pytest.mark.parametrize("name", ["default", "kube-public", "kube-system"])
def test_what_a_cluster_cannot_be_without_is_not_deleted(name):
    old = created(NAMESPACES, Namespace(metadata=ObjectMeta(name=name)))
    with pytest.raises(
        Forbidden, match=f'"{name}" is forbidden: this namespace may not be deleted'
    ):
        deleted(NAMESPACES, old)


@pytest.mark.parametrize("amount", [1e30, -1e30, 1e-30, 10**80, "many", "1e400", "-1", "٣"])
@pytest.mark.parametrize("where", ["requests", "limits"])
def test_amounts_that_are_no_quantities_are_refused_by_name(amount, where):
    found = pod("a")
    (container,) = found.spec.containers
    resources = replace(container.resources, **{where: {"cpu": amount, "memory": amount}})
    spec = replace(found.spec, containers=(replace(container, resources=resources),))
    new = replace(found, spec=spec, status=replace(found.status, qos_class=""))
    with pytest.raises(Invalid, match=rf"spec\.containers\[0\]\.resources\.{where}\.cpu"):
        created(PODS, new)


def test_a_grace_beyond_the_calendar_is_cut_short():
    marked = deleted(PODS, running(), grace_s=10**15)
    assert marked.metadata.deletion_grace_period_seconds == 2**31 - 1
    assert deleted(PODS, running(), grace_s=-5) is None
