"""Terms over a node's labels and its name: what they select, and what is wrong with them."""

import pytest

from proto.kinds import node_selector
from proto.kinds.node_selector import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)

LABELS = {"disk": "ssd", "cores": "8"}


def term(*expressions, fields=()):
    return NodeSelectorTerm(
        match_expressions=tuple(
            NodeSelectorRequirement(key=key, operator=operator, values=values)
            for key, operator, *values in expressions
        ),
        match_fields=tuple(
            NodeSelectorRequirement(key=key, operator=operator, values=values)
            for key, operator, *values in fields
        ),
    )


@pytest.mark.parametrize(
    ("expression", "is_selected"),
    [
        (("disk", "In", "tape", "ssd"), True),
        (("disk", "In", "tape"), False),
        (("rack", "In", "tape"), False),
        (("disk", "NotIn", "tape"), True),
        (("disk", "NotIn", "ssd"), False),
        (("rack", "NotIn", "r1"), True),
        (("disk", "Exists"), True),
        (("rack", "Exists"), False),
        (("rack", "DoesNotExist"), True),
        (("disk", "DoesNotExist"), False),
        (("cores", "Gt", "7"), True),
        (("cores", "Gt", "8"), False),
        (("cores", "Lt", "9"), True),
        (("cores", "Lt", "8"), False),
        (("disk", "Gt", "7"), False),
        (("rack", "Lt", "7"), False),
        (("cores", "Gt", "many"), False),
    ],
)
def test_an_expression_selects_by_label(expression, is_selected):
    assert term(expression).matches("n1", LABELS) is is_selected


def test_a_field_selects_by_the_nodes_name():
    named = term(fields=[("metadata.name", "In", "n1")])
    others = term(fields=[("metadata.name", "NotIn", "n1")])
    assert [named.matches(name, {}) for name in ("n1", "n2")] == [True, False]
    assert [others.matches(name, {}) for name in ("n1", "n2")] == [False, True]


def test_all_of_a_term_and_one_of_the_terms_must_hold():
    ssd, tape = ("disk", "In", "ssd"), ("disk", "In", "tape")
    assert not term(ssd, tape).matches("n1", LABELS)
    assert NodeSelector(node_selector_terms=(term(tape), term(ssd))).matches("n1", LABELS)


def test_what_says_nothing_selects_nothing():
    assert not term().matches("n1", LABELS)
    assert not NodeSelector().matches("n1", LABELS)
    assert not NodeSelector(node_selector_terms=(term(),)).matches("n1", LABELS)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            term(("disk", "In")),
            (
                "matchExpressions[0].values: Required value: must be specified when `operator` is "
                "'In' or 'NotIn'"
            ),
        ),
        (
            term(("disk", "Exists", "a")),
            (
                "matchExpressions[0].values: Forbidden: may not be specified when `operator` is "
                "'Exists' or 'DoesNotExist'"
            ),
        ),
        (
            term(("disk", "Gt", "1", "2")),
            (
                "matchExpressions[0].values: Required value: must be specified single value when "
                "`operator` is 'Lt' or 'Gt'"
            ),
        ),
        (
            term(("disk", "Near", "a")),
            'matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        ),
        (
            term(fields=[("metadata.name", "In", "a", "b")]),
            (
                "matchFields[0].values: Required value: must be only one value when `operator` is "
                "'In' or 'NotIn' for node field selector"
            ),
        ),
        (
            term(fields=[("metadata.uid", "In", "a")]),
            'matchFields[0].key: Invalid value: "metadata.uid": not a valid field selector key',
        ),
        (
            term(fields=[("metadata.name", "Exists")]),
            'matchFields[0].operator: Invalid value: "Exists": not a valid selector operator',
        ),
    ],
)
def test_wrong_terms_are_named(wrong, said):
    errors = node_selector.validate("s", NodeSelector(node_selector_terms=(wrong,)))
    assert [str(error) for error in errors] == [f"s.nodeSelectorTerms[0].{said}"]


def test_a_required_selector_needs_a_term_and_a_weight_is_from_1_to_100():
    found = NodeAffinity(
        required=NodeSelector(),
        preferred=(PreferredSchedulingTerm(weight=101, preference=term(("a", "Exists"))),),
    )
    assert [str(error) for error in node_selector.validate_affinity("a", found)] == [
        (
            "a.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must "
            "have at least one node selector term"
        ),
        (
            "a.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be "
            "in the range 1-100"
        ),
    ]
