"""Whose fields are whose after an update and after an apply."""

from typing import Any

import pytest
from msgspec import Raw

from orchestrator.core import field_sets, managed_fields
from orchestrator.core.managed_fields import APPLY, UPDATE, Manager
from orchestrator.core.schema import shape_of
from proto import codec
from proto.errors import ApplyConflict, BadRequest, Invalid
from proto.kinds.deployment import Deployment
from proto.kinds.service import Service
from proto.meta import ManagedFieldsEntry, ObjectMeta, Resource

SHAPE = shape_of(Deployment)
NOW_MS = 1_700_000_000_000


def deployment(*, replicas: int | None = None, labels=None, containers=None) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if replicas is not None:
        spec["replicas"] = replicas
    if containers is not None:
        spec["template"] = {"spec": {"containers": containers}}
    metadata: dict[str, Any] = {"name": "web"}
    if labels is not None:
        metadata["labels"] = labels
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def by(name: str, operation: str = APPLY, subresource: str = "") -> Manager:
    return Manager(name, operation, "apps/v1", subresource)


def apply(live, config, entries=(), name="me", *, force=False, now_ms=NOW_MS):
    return managed_fields.applied(
        live, config, SHAPE, entries, by(name), force=force, now_ms=now_ms
    )


def update(old, new, entries=(), name="someone", now_ms=NOW_MS):
    if old is None:
        return managed_fields.made(new, SHAPE, by(name, UPDATE), now_ms)
    return managed_fields.updated(old, new, SHAPE, entries, by(name, UPDATE), now_ms)


def owners(entries) -> dict[str, Any]:
    return {entry.manager: codec.decode_any(bytes(entry.fields_v1)) for entry in entries}


def test_an_applier_owns_exactly_what_it_says():
    config = deployment(
        replicas=2,
        labels={"app": "web"},
        containers=[{"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}],
    )
    _, entries = apply({}, config)
    (entry,) = entries
    assert (entry.manager, entry.operation, entry.fields_type) == ("me", "Apply", "FieldsV1")
    assert entry.time == "2023-11-14T22:13:20Z"
    assert owners(entries)["me"] == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"main"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                }
                            },
                        }
                    }
                }
            },
        },
    }


def test_selectors_have_one_owner_as_a_whole():
    config = deployment() | {"spec": {"selector": {"matchLabels": {"app": "web"}}}}
    _, entries = apply({}, config)
    assert owners(entries)["me"]["f:spec"] == {"f:selector": {}}


def test_another_value_of_what_another_owns_is_a_conflict():
    live, entries = apply({}, deployment(replicas=2), name="first")
    with pytest.raises(ApplyConflict) as caught:
        apply(live, deployment(replicas=3), entries, "second")
    assert (
        str(caught.value) == 'Apply failed with 1 conflict: conflict with "first": .spec.replicas'
    )
    (cause,) = caught.value.causes
    assert (cause.reason, cause.field, cause.message) == (
        "FieldManagerConflict",
        ".spec.replicas",
        'conflict with "first"',
    )


def test_several_conflicts_are_listed_by_manager():
    labels = {"app": "web"}
    live, entries = apply({}, deployment(replicas=2), name="first")
    entries = update(live, deployment(replicas=2, labels=labels), entries)
    live = deployment(replicas=2, labels=labels)
    with pytest.raises(ApplyConflict) as caught:
        apply(live, deployment(replicas=3, labels={"app": "db"}), entries)
    assert str(caught.value) == (
        'Apply failed with 2 conflicts: conflicts with "first":\n- .spec.replicas\n'
        'conflicts with "someone" using apps/v1:\n- .metadata.labels.app'
    )


def test_the_same_value_is_shared():
    live, entries = apply({}, deployment(replicas=2), name="first")
    found, entries = apply(live, deployment(replicas=2), entries, "second")
    assert found["spec"] == {"replicas": 2}
    assert owners(entries)["first"] == owners(entries)["second"]


def test_force_takes_over():
    live, entries = apply({}, deployment(replicas=2), name="first")
    found, entries = apply(live, deployment(replicas=3), entries, "second", force=True)
    assert found["spec"]["replicas"] == 3
    assert set(owners(entries)) == {"second"}


def test_what_an_applier_leaves_out_goes_when_nobody_else_wants_it():
    both = deployment(replicas=2, labels={"a": "1", "b": "2"})
    live, entries = apply({}, both, name="first")
    live, entries = apply(live, deployment(labels={"a": "1"}), entries, "second")
    found, entries = apply(live, deployment(replicas=2), entries, "first")
    assert found["metadata"]["labels"] == {"a": "1"}
    assert set(owners(entries)) == {"first", "second"}


def test_an_item_goes_with_what_was_filled_in_below_it():
    one, two = {"name": "one", "image": "a"}, {"name": "two", "image": "b"}
    live, entries = apply({}, deployment(containers=[one, two]))
    for container in live["spec"]["template"]["spec"]["containers"]:
        container["imagePullPolicy"] = "Always"  # a default: nobody's
    found, _ = apply(live, deployment(containers=[{"name": "two", "image": "b"}]), entries)
    assert found["spec"]["template"]["spec"]["containers"] == [two | {"imagePullPolicy": "Always"}]


def test_an_item_that_another_has_a_field_of_stays():
    one = {"name": "one", "image": "a"}
    live, entries = apply({}, deployment(containers=[one, {"name": "two", "image": "b"}]))
    theirs = deployment(containers=[{"name": "two", "tty": True}])
    live, entries = apply(live, theirs, entries, "other")
    found, _ = apply(live, deployment(containers=[one]), entries)
    left = found["spec"]["template"]["spec"]["containers"]
    assert left == [one, {"name": "two", "tty": True}]


def test_what_nobody_owns_is_left_alone():
    live = deployment(replicas=2, labels={"a": "1"})
    _, entries = apply({}, deployment(replicas=2))
    found, _ = apply(live, deployment(labels={"b": "2"}), entries)
    assert found["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert "spec" not in found


def test_a_first_apply_to_an_object_without_owners_finds_what_was_there_before():
    live = deployment(replicas=2)
    with pytest.raises(ApplyConflict, match='"before-first-apply" using apps/v1'):
        apply(live, deployment(replicas=3))
    _, entries = apply(live, deployment(labels={"a": "1"}))
    assert set(owners(entries)) == {"me", "before-first-apply"}


def test_the_time_moves_only_with_the_set():
    live, before = apply({}, deployment(replicas=2))
    _, same = apply(live, deployment(replicas=2), before, now_ms=NOW_MS + 5000)
    assert same == before
    _, more = apply(live, deployment(replicas=2, labels={}), before, now_ms=NOW_MS + 5000)
    assert more[0].time == "2023-11-14T22:13:25Z"


def test_an_update_takes_what_it_changes():
    live, entries = apply({}, deployment(replicas=2, labels={"a": "1"}))
    entries = update(live, deployment(replicas=3, labels={"a": "1"}), entries)
    assert owners(entries) == {
        "me": {"f:metadata": {"f:labels": {"f:a": {}}}},
        "someone": {"f:spec": {"f:replicas": {}}},
    }


def test_what_an_update_removes_is_nobodys():
    live, entries = apply({}, deployment(replicas=2, labels={"a": "1"}))
    entries = update(live, deployment(replicas=2), entries)
    assert owners(entries) == {"me": {"f:spec": {"f:replicas": {}}}}


def test_an_object_that_is_not_tracked_stays_so():
    assert update(deployment(replicas=1), deployment(replicas=2), ()) == ()


def test_the_oldest_of_many_updaters_become_one():
    live, entries = deployment(replicas=0), update(None, deployment(replicas=0), (), "u0")
    for number in range(1, 15):
        new = deployment(
            replicas=0, labels={**live["metadata"].get("labels", {}), f"l{number}": ""}
        )
        entries = update(live, new, entries, f"u{number}", NOW_MS + number * 1000)
        live = new
    assert len(entries) == 10
    found = owners(entries)
    assert "ancient-changes" in found
    assert {f"u{number}" for number in range(6, 15)} <= set(found)
    owned = frozenset().union(*(field_sets.decode(entry.fields_v1) for entry in entries))
    assert len(owned) == 15


def test_what_is_not_an_entry_is_refused():
    wrong = ManagedFieldsEntry(manager="m" * 129, operation="Guess", fields_type="FieldsV2")
    with pytest.raises(Invalid) as caught:
        managed_fields.check("Deployment", "web", [wrong])
    assert [error.field for error in caught.value.errors] == [
        "metadata.managedFields[0].operation",
        "metadata.managedFields[0].fieldsType",
        "metadata.managedFields[0].manager",
    ]


def test_only_one_empty_entry_forgets_all_owners():
    _, entries = apply({}, deployment(replicas=2))
    old = Resource(metadata=ObjectMeta(name="web", managed_fields=entries))
    assert managed_fields.chosen("Deployment", old, ()) == entries
    assert managed_fields.chosen("Deployment", old, [ManagedFieldsEntry()]) == ()
    unreadable = ManagedFieldsEntry(operation="Apply", fields_v1=Raw(b'{"x":{}}'))
    assert managed_fields.chosen("Deployment", old, [unreadable]) == entries


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        ([{"name": "a"}, {"name": "a"}], 'duplicate entries for key [name="a"]'),
        ([{"image": "a"}], 'omits key field "name"'),
        (["a"], "must be an object"),
    ],
)
def test_items_that_cannot_be_told_apart_are_refused(containers, said):
    with pytest.raises(BadRequest) as caught:
        apply({}, deployment(containers=containers))
    assert said in str(caught.value)
    assert str(caught.value).startswith(".spec.template.spec.containers: ")


def test_items_keep_their_places():
    names = [{"name": name} for name in "abcd"]
    live = deployment(containers=names)
    _, entries = apply({}, deployment(replicas=1))
    wanted = deployment(containers=[{"name": "d"}, {"name": "new"}, {"name": "b"}])
    found, _ = apply(live, wanted, entries)
    order = [c["name"] for c in found["spec"]["template"]["spec"]["containers"]]
    assert order == ["c", "d", "new", "a", "b"]


def test_items_that_an_update_doubled_are_one_field_together():
    twice = [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]
    live = deployment(containers=[{"name": "c", "env": twice}])
    entries = update(None, live, ())
    fields = field_sets.decode(entries[0].fields_v1)
    at = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}', "f:env")
    assert {path for path in fields if path[:6] == at} == {(*at, 'k:{"name":"a"}')}
    found, entries = apply(live, deployment(replicas=1), entries)
    assert found["spec"]["template"] == live["spec"]["template"]
    config = deployment(containers=[{"name": "c", "env": [{"name": "a", "value": "3"}]}])
    found, _ = apply(found, config, entries, force=True)
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [
        {"name": "a", "value": "3"}
    ]


@pytest.mark.parametrize(
    "raw",
    [b"[]", b'{"x:y":{}}', b'{"f:a":1}', b'{"f:a":' * 200 + b"{}" + b"}" * 200, b"{", b""],
)
def test_what_is_no_set_of_fields_cannot_be_read(raw):
    with pytest.raises(BadRequest):
        field_sets.decode(Raw(raw))


def test_a_key_that_a_client_made_up_is_said_as_it_is():
    assert field_sets.say(("f:a", "k:[1]", "k:{", "i:3")) == ".a[[1]][{][3]"


def test_ports_of_a_service_are_told_apart_by_their_protocol_too():
    ports = [{"port": 53}, {"port": 53, "protocol": "UDP"}]
    fields = field_sets.leaves(
        {"spec": {"ports": ports, "selector": {"a": "b"}}}, shape_of(Service)
    )
    at = ("f:spec", "f:ports")
    assert {path for path in fields if len(path) == 3} == {
        (*at, 'k:{"port":53,"protocol":"TCP"}'),
        (*at, 'k:{"port":53,"protocol":"UDP"}'),
    }
    assert ("f:spec", "f:selector") in fields
