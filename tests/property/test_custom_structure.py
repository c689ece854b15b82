"""Pruning and defaulting by a structural schema: done twice is done once, and what is valid stays."""

from hypothesis import given, strategies as st

from orchestrator.core.custom.check import compile_
from orchestrator.core.custom.structure import defaulted, pruned

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "size": {"type": "integer", "minimum": 1, "default": 3},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"kind": {"type": "string", "default": "a"}},
            },
        },
    },
}

leaves = st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=3)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*SCHEMA["properties"], "kind", "other"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), anything, max_size=5)
valid = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=3)},
    optional={
        "size": st.integers(1, 9),
        "open": st.dictionaries(st.text(max_size=3), anything, max_size=3),
        "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
        "items": st.lists(
            st.fixed_dictionaries({}, optional={"kind": st.text(max_size=2)}), max_size=3
        ),
    },
)


@given(objects)
def test_what_is_pruned_has_nothing_left_to_prune(value):
    once = pruned(value, SCHEMA, "", [])
    unknown: list[str] = []
    assert pruned(once, SCHEMA, "", unknown) == once
    assert unknown == []
    assert "other" not in once


@given(objects)
def test_what_has_its_defaults_gets_no_more(value):
    once = defaulted(value, SCHEMA)
    assert defaulted(once, SCHEMA) == once


@given(valid)
def test_what_is_valid_loses_nothing_and_stays_valid(value):
    check = compile_(SCHEMA)
    unknown: list[str] = []
    found = defaulted(pruned(value, SCHEMA, "", unknown), SCHEMA)
    assert unknown == []
    assert not list(check(found))
    assert found["size"] == value.get("size", 3)
