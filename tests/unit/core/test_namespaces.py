"""How a namespace goes."""

from msgspec.structs import replace

from orchestrator.core import objects
from orchestrator.core.decisions import Update, UpdateStatus, render
from orchestrator.core.namespaces import plan
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS
from proto.meta import ObjectMeta, condition
from tests.unit.core.making import NOW_MS, pod, replicaset


def existing():
    new = Namespace(metadata=ObjectMeta(name="team"))
    return objects.prepare_create(NAMESPACES, new, uid="ns1", suffix="", now_ms=NOW_MS)


def deleted():
    return objects.prepare_delete(NAMESPACES, existing(), grace_s=0, propagation="", now_ms=NOW_MS)


def after(namespace, found):
    for decision in found.decisions:
        if isinstance(decision, Update | UpdateStatus):
            kind = "status" if isinstance(decision, UpdateStatus) else ""
            namespace = objects.prepare_update(
                NAMESPACES, namespace, decision.object, subresource=kind, now_ms=NOW_MS
            )
    return namespace


def test_a_namespace_in_use_is_left_alone():
    assert plan(existing(), [(PODS, pod("a"))], NOW_MS).decisions == ()


def test_deleting_marks_it_and_deletes_all_that_is_in_it():
    namespace = deleted()
    assert namespace.status.phase == "Terminating"
    contents = [(PODS, pod("b")), (REPLICASETS, replicaset()), (PODS, pod("a", deleting=True))]
    found = plan(namespace, contents, NOW_MS)
    assert render(found.decisions) == (
        "delete pod b: namespace team is being deleted\n"
        "delete replicaset web: namespace team is being deleted\n"
        "update status of namespace team: Some resources are remaining: pods, replicasets.apps"
    )


def test_it_waits_for_what_is_still_going():
    contents = [(PODS, pod("a", deleting=True))]
    namespace = after(deleted(), plan(deleted(), contents, NOW_MS))
    assert plan(namespace, contents, NOW_MS).decisions == ()


def test_once_empty_it_says_so_and_then_lets_go_of_its_name():
    namespace = after(deleted(), plan(deleted(), [], NOW_MS))
    remaining = condition(namespace.status.conditions, objects.CONTENT_REMAINING)
    assert (remaining.status, remaining.reason) == ("False", "ContentRemoved")
    assert not objects.is_finished(namespace)
    namespace = after(namespace, plan(namespace, [], NOW_MS))
    assert objects.is_finished(namespace)
    assert plan(namespace, [], NOW_MS).decisions == ()


def test_nobody_takes_its_finalizer_away_before_it_is_empty():
    namespace = deleted()
    hasty = replace(namespace, spec=replace(namespace.spec, finalizers=()))
    kept = objects.prepare_update(NAMESPACES, namespace, hasty, subresource="", now_ms=NOW_MS)
    assert kept is namespace
