"""From manifests to structs, losing nothing silently."""

import pytest

from orchestrator.core.fields import parse
from proto import codec
from proto.errors import BadRequest, Invalid
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import PODS


def manifest(**spec):
    container = {"name": "main", "image": "web:1"} | spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"containers": [container]} | spec,
    }


def test_what_a_manifest_says_is_what_the_struct_holds():
    found, findings = parse(PODS, manifest(nodeSelector={"disk": "ssd"}))
    assert found.metadata.name == "a"
    assert found.spec.node_selector == {"disk": "ssd"}
    assert (findings.unknown, findings.refused, findings.ignored) == ([], [], [])


def test_what_the_server_prints_can_be_read_back():
    found, _ = parse(PODS, manifest())
    again, findings = parse(PODS, codec.to_plain(PODS.defaults(found)))
    assert again == PODS.defaults(found)
    assert findings.warnings == []


def test_nulls_are_absent():
    found, findings = parse(PODS, manifest(nodeName=None, container={"command": None}))
    assert found.spec.node_name == ""
    assert findings.warnings == []


def test_unknown_fields_are_named_with_their_paths_and_left_out():
    found, findings = parse(PODS, manifest(container={"imagee": "x"}, replica=2))
    assert findings.unknown == ["spec.containers[0].imagee", "spec.replica"]
    assert findings.warnings[0] == 'unknown field "spec.containers[0].imagee"'
    assert found.spec.containers[0].image == "web:1"


def test_fields_that_would_change_what_runs_are_refused_by_name():
    with pytest.raises(Invalid) as caught:
        parse(PODS, manifest(container={"volumeDevices": [{"name": "x"}]}, runtimeClassName="fast"))
    assert [(error.field, error.reason) for error in caught.value.errors] == [
        ("spec.containers[0].volumeDevices", "FieldValueForbidden"),
        ("spec.runtimeClassName", "FieldValueForbidden"),
    ]
    assert str(caught.value).startswith('Pod "a" is invalid: [spec.containers[0].volumeDevices: ')


@pytest.mark.parametrize("empty", [None, {}, [], "", False, 0])
def test_a_refused_field_that_says_nothing_passes(empty):
    _, findings = parse(PODS, manifest(runtimeClassName=empty, overhead=empty))
    assert findings.warnings == []


def test_harmless_fields_are_ignored_with_a_warning():
    _, findings = parse(PODS, manifest(enableServiceLinks=True))
    assert findings.ignored == ["spec.enableServiceLinks"]
    assert findings.warnings == ["spec.enableServiceLinks: ignored: Longshore does not act on it"]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"containers": "web"}, "spec.containers"),
        ({"containers": [{"image": "web:1"}]}, "spec.containers"),
        ({"nodeSelector": {"a": 1}}, "spec.nodeSelector"),
        ({"terminationGracePeriodSeconds": "soon"}, "spec.terminationGracePeriodSeconds"),
    ],
)
def test_a_wrong_type_is_answered_with_its_path(wrong, where):
    with pytest.raises(BadRequest, match=where.replace(".", r"\.")):
        parse(PODS, manifest() | {"spec": wrong})


@pytest.mark.parametrize("wrong", [{"kind": "Node"}, {"apiVersion": "v2"}])
def test_a_manifest_of_another_kind_is_refused(wrong):
    with pytest.raises(BadRequest, match="does not match the expected"):
        parse(PODS, manifest() | wrong)


@pytest.mark.parametrize("wrong", [[], "text", 7, None])
def test_what_is_no_object_is_refused(wrong):
    with pytest.raises(BadRequest, match="must be an object"):
        parse(PODS, wrong)


def test_hostile_nesting_ends_in_a_refusal():
    deep: dict = {}
    for _ in range(2000):
        deep = {"labels": deep}
    with pytest.raises(BadRequest):
        parse(DEPLOYMENTS, {"metadata": {"labels": deep}})


@pytest.mark.parametrize("text", ["garbage", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_time_that_is_none_is_refused_where_it_stands(text):
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": text}]
    with pytest.raises(BadRequest) as caught:
        parse(PODS, manifest() | {"status": {"conditions": conditions}})
    assert f'status.conditions[0].lastTransitionTime: parsing time "{text}"' in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "2026-02-28T00:00:00Z", "2026-02-28T01:00:00.5+02:00"])
def test_a_time_may_be_empty_or_in_any_zone(text):
    metadata = {"name": "a", "creationTimestamp": text}
    found, _ = parse(PODS, manifest() | {"metadata": metadata})
    assert found.metadata.creation_timestamp == (text or "")
