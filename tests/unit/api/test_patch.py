import copy

import pytest
from hypothesis import given, strategies as st

from orchestrator.api import patch
from orchestrator.core.schema import ANYTHING, shape_of
from proto.errors import BadRequest, Invalid, TooLarge
from proto.kinds.deployment import Deployment
from proto.kinds.pod import PodSpec

POD = shape_of(PodSpec)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def containers(*names):
    return [{"name": name, "image": name} for name in names]


def names(document):
    return [container["name"] for container in document["containers"]]


@pytest.mark.parametrize(
    ("document", "change", "wanted"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(document, change, wanted):
    assert patch.merge(document, change) == wanted


@given(json_values, json_values)
def test_a_merge_patch_applied_twice_changes_nothing_more(document, change):
    once = patch.merge(document, change)
    assert patch.merge(once, change) == once


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4), json_values)
def test_no_patch_changes_what_it_is_given(document, change):
    before = copy.deepcopy((document, change))
    patch.merge(document, change)
    for apply in (
        lambda: patch.json_patch(document, change),
        lambda: patch.strategic(document, change, ANYTHING),
    ):
        try:
            apply()
        except (BadRequest, Invalid):
            pass
    assert (document, change) == before


def test_a_json_patch_applies_its_operations_in_order():
    document = {"spec": {"replicas": 1, "list": [1, 2]}}
    found = patch.json_patch(
        document,
        [
            {"op": "test", "path": "/spec/replicas", "value": 1},
            {"op": "replace", "path": "/spec/replicas", "value": 5},
            {"op": "add", "path": "/spec/list/-", "value": 3},
            {"op": "remove", "path": "/spec/list/0"},
            {"op": "copy", "from": "/spec/replicas", "path": "/count"},
            {"op": "move", "from": "/count", "path": "/moved"},
        ],
    )
    assert found == {"spec": {"replicas": 5, "list": [2, 3]}, "moved": 5}
    assert document == {"spec": {"replicas": 1, "list": [1, 2]}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b/c", "value": 2},
        {"op": "add", "path": "/a/b/c", "value": 2},
        {"op": "add", "path": "/l/9", "value": 2},
        {"op": "remove", "path": "/l/x"},
    ],
)
def test_an_operation_that_does_not_fit_is_invalid(operation):
    with pytest.raises(Invalid):
        patch.json_patch({"a": 1, "l": [1]}, [operation])


def test_what_does_not_fit_is_said_without_the_whole_document():
    document = {"spec": {"replicas": 8, "much": "x" * 1000}}
    for operation, said in (
        ({"op": "test", "path": "/spec/replicas", "value": 1}, "the value is another one"),
        ({"op": "replace", "path": "/spec/none/x", "value": 1}, "the object has no such path"),
    ):
        with pytest.raises(Invalid) as caught:
            patch.json_patch(document, [operation])
        assert str(caught.value).endswith(f"cannot be applied: {said}")


@pytest.mark.parametrize("body", [{}, "x", [1], [{"path": "/a"}], [{"op": "fly", "path": "/a"}]])
def test_what_is_no_json_patch_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        patch.json_patch({"a": 1}, body)


def test_a_json_patch_cannot_blow_an_object_up():
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{i}"} for i in range(60)]
    with pytest.raises(TooLarge):
        patch.json_patch({"a": {"x": "y" * 1000}}, doubling)


def test_a_strategic_merge_merges_containers_by_name_and_keeps_the_rest():
    document = {"containers": [{"name": "a", "image": "1", "command": ["x"]}, {"name": "b"}]}
    found = patch.strategic(document, {"containers": [{"name": "a", "image": "2"}]}, POD)
    assert found["containers"] == [{"name": "a", "image": "2", "command": ["x"]}, {"name": "b"}]


def test_a_strategic_merge_reaches_through_a_template():
    document = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "1"}]}}}}
    change = {
        "spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "E"}]}]}}}
    }
    found = patch.strategic(document, change, shape_of(Deployment))
    assert found["spec"]["template"]["spec"]["containers"] == [
        {"name": "a", "image": "1", "env": [{"name": "E"}]}
    ]


def test_a_strategic_merge_replaces_lists_without_a_key():
    document = {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1", "2"]}]}
    change = {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["3"]}]}
    assert patch.strategic(document, change, POD) == change


def test_null_removes_and_an_unknown_object_is_merged():
    found = patch.strategic(
        {"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": None}, "d": None}, ANYTHING
    )
    assert found == {"a": {"c": 2}}


def test_an_item_is_deleted_by_its_key():
    found = patch.strategic(
        {"containers": containers("a", "b")},
        {"containers": [{"name": "a", "$patch": "delete"}]},
        POD,
    )
    assert names(found) == ["b"]


def test_a_list_is_replaced_when_an_item_says_so():
    found = patch.strategic(
        {"containers": containers("a", "b")},
        {"containers": [{"$patch": "replace"}, {"name": "c"}]},
        POD,
    )
    assert found["containers"] == [{"name": "c"}]


def test_an_object_is_replaced_when_it_says_so():
    found = patch.strategic({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, ANYTHING)
    assert found == {"a": {"c": 2}}


def test_an_object_is_emptied_when_it_says_so():
    assert patch.strategic({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, ANYTHING) == {"a": {}}


def test_directives_never_become_part_of_the_object():
    change = {
        "containers": [{"name": "n", "env": [{"name": "x", "$patch": "merge"}]}],
        "$setElementOrder/containers": [{"name": "n"}],
    }
    assert "$" not in str(patch.strategic({}, change, POD))


def test_only_retained_keys_stay():
    document = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    change = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert patch.strategic(document, change, ANYTHING) == {"strategy": {"type": "Recreate"}}


def test_a_key_that_is_set_must_be_retained():
    with pytest.raises(BadRequest, match="retainKeys"):
        patch.strategic({}, {"$retainKeys": ["a"], "b": 1}, ANYTHING)


@pytest.mark.parametrize(
    ("before", "change", "order", "wanted"),
    [
        ("abc", "", "cba", "cba"),
        ("xab", "", "ba", "xba"),  # the server's own stay before what they were before
        ("abc", "d", "da", "dabc"),
        ("xa", "b", "ba", "bxa"),
        ("ax", "b", "ab", "abx"),
        ("ab", "c", "", "cab"),  # without an order, that of the patch
        ("ab", "bc", "", "abc"),
    ],
)
def test_items_stand_in_the_order_a_client_asks_for(before, change, order, wanted):
    body = {"containers": containers(*change)}
    if order:
        body["$setElementOrder/containers"] = [{"name": name} for name in order]
    found = patch.strategic({"containers": containers(*before)}, body, POD)
    assert "".join(names(found)) == wanted


def test_an_order_alone_sorts_what_is_there():
    body = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    assert names(patch.strategic({"containers": containers("a", "b")}, body, POD)) == ["b", "a"]


def test_finalizers_are_a_set():
    document = {"metadata": {"finalizers": ["a", "b"]}}
    change = {
        "metadata": {
            "finalizers": ["c", "b"],
            "$deleteFromPrimitiveList/finalizers": ["a"],
        }
    }
    found = patch.strategic(document, change, shape_of(Deployment))
    assert found == {"metadata": {"finalizers": ["c", "b"]}}


def test_an_item_without_its_key_is_refused():
    with pytest.raises(BadRequest, match="does not contain declared merge key: name"):
        patch.strategic({}, {"containers": [{"image": "x"}]}, POD)


def test_an_unknown_directive_is_refused():
    with pytest.raises(BadRequest, match="unknown patch type"):
        patch.strategic({}, {"$patch": "paint"}, ANYTHING)
