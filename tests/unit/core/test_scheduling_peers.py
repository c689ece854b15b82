"""Where pods go because of other pods, and what is said when that is nowhere."""

from collections import Counter

import pytest
from msgspec.structs import replace

from orchestrator.core.scheduling import schedule, table_of
from proto.kinds.affinity import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from proto.kinds.node import Taint
from proto.kinds.pod import PODS
from proto.meta import LabelSelector, LabelSelectorRequirement
from tests.unit.core.making import bound, node, pod

HOST = "kubernetes.io/hostname"


def zoned(*zones):
    """Nodes n0, n1, ... in these zones; None: a node in none."""
    return [
        node(f"n{number}", labels={"zone": zone} if zone else {})
        for number, zone in enumerate(zones)
    ]


def apps(app):
    return LabelSelector(match_labels={"app": app})


def term(app, key="zone", **more):
    return PodAffinityTerm(label_selector=apps(app), topology_key=key, **more)


def near(*terms, likes=()):
    return Affinity(pod_affinity=PodAffinity(required=terms, preferred=_weighted(likes)))


def far(*terms, likes=()):
    return Affinity(pod_anti_affinity=PodAffinity(required=terms, preferred=_weighted(likes)))


def _weighted(likes):
    return tuple(WeightedPodAffinityTerm(weight=w, pod_affinity_term=t) for w, t in likes)


def spread(app="web", key="zone", skew=1, when="DoNotSchedule", **more):
    return (
        TopologySpreadConstraint(
            max_skew=skew,
            topology_key=key,
            when_unsatisfiable=when,
            label_selector=apps(app),
            **more,
        ),
    )


def placed(table, pods):
    return {p.pod.metadata.name: p.node or p.message for p in schedule(table, pods)}


def at(name, on, **more):
    return bound(pod(name, **more), on)


def test_a_pod_goes_where_the_pods_are_that_it_must_be_near():
    table = table_of(zoned("a", "b", "b"), [at("db", "n2", labels={"app": "db"})])
    found = placed(table, [pod(f"p{n}", affinity=near(term("db"))) for n in range(4)])
    assert set(found.values()) == {"n1", "n2"}


def test_nothing_to_be_near_is_told():
    table = table_of(zoned("a", "b"))
    assert placed(table, [pod("p", affinity=near(term("db")))])["p"] == (
        "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    )


def test_the_first_of_pods_that_must_be_near_each_other_may_choose():
    table = table_of(zoned("a", "b", None))
    pods = [pod(f"p{n}", affinity=near(term("web"))) for n in range(4)]
    found = placed(table, pods)
    assert set(found.values()) == {"n0"}


def test_every_term_must_select_the_same_pod():
    table = table_of(
        zoned("a", "b"),
        [at("one", "n0", labels={"app": "db"}), at("two", "n1", labels={"tier": "back"})],
    )
    back = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"tier": "back"}), topology_key="zone"
    )
    assert "pod affinity rules" in placed(table, [pod("p", affinity=near(term("db"), back))])["p"]
    table.upsert_pod(at("both", "n1", labels={"app": "db", "tier": "back"}))
    assert placed(table, [pod("p", affinity=near(term("db"), back))])["p"] == "n1"


def test_pods_that_must_be_apart_are_one_a_node_and_the_rest_is_told_why():
    table = table_of(zoned("a", "a", "b"))
    found = placed(
        table, [pod(f"p{n}", owner="web", affinity=far(term("web", HOST))) for n in range(4)]
    )
    assert Counter(list(found.values())[:3]) == {"n0": 1, "n1": 1, "n2": 1}
    assert found["p3"] == (
        "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."
    )


def test_pods_that_are_there_keep_others_away():
    table = table_of(zoned("a", "b"), [at("shy", "n0", affinity=far(term("web")))])
    assert placed(table, [pod("p"), pod("q", labels={"app": "db"})]) == {"p": "n1", "q": "n0"}
    table.upsert_pod(at("shy2", "n1", affinity=far(term("web"))))
    assert placed(table, [pod("p")])["p"] == (
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_pods_placed_in_the_same_pass_are_seen():
    table = table_of(zoned("a", "b"))
    first = pod("a", labels={"app": "db"}, created_ms=1_600_000_000_000)
    assert placed(table, [first, pod("b", affinity=near(term("db")))]) == {"a": "n0", "b": "n0"}
    shy = pod("a", affinity=far(term("web")), created_ms=1_600_000_000_000)
    found = placed(table_of(zoned("a")), [shy, pod("b")])
    assert "existing pods anti-affinity" in found["b"]


def test_a_term_is_about_the_pods_own_namespace_or_those_it_names():
    other = at("db", "n1", labels={"app": "db"})
    other = replace(other, metadata=replace(other.metadata, namespace="data"))
    table = table_of(zoned("a", "b"), [other])
    assert "affinity rules" in placed(table, [pod("p", affinity=near(term("db")))])["p"]
    named = near(term("db", namespaces=("data",)))
    assert placed(table, [pod("p", affinity=named)])["p"] == "n1"
    chosen = near(term("db", namespace_selector=LabelSelector(match_labels={"team": "x"})))
    assert "affinity rules" in placed(table, [pod("p", affinity=chosen)])["p"]
    table.namespaces["data"] = {"team": "x"}
    assert placed(table, [pod("p", affinity=chosen)])["p"] == "n1"
    anywhere = near(term("db", namespace_selector=LabelSelector()))
    assert placed(table, [pod("p", affinity=anywhere)])["p"] == "n1"


def test_labels_in_common_narrow_a_term():
    wanted = far(term("web", HOST, match_label_keys=("version",)))
    old = at("old", "n0", labels={"app": "web", "version": "1"}, affinity=wanted)
    table = table_of(zoned("a"), [old])
    new = pod("new", labels={"app": "web", "version": "2"}, affinity=wanted)
    assert placed(table, [new])["new"] == "n0"
    same = pod("same", labels={"app": "web", "version": "1"}, affinity=wanted)
    assert "anti-affinity rules" in placed(table, [same])["same"]


def test_preferences_draw_and_repel_but_never_refuse():
    table = table_of(zoned("a", "b"), [at("db", "n1", labels={"app": "db"}, cpu="3")])
    drawn = pod("p", affinity=near(likes=[(10, term("db"))]))
    assert placed(table, [drawn])["p"] == "n1"
    repelled = pod("p", affinity=far(likes=[(10, term("db"))]))
    assert placed(table, [repelled])["p"] == "n0"
    full = pod("p", cpu="2", affinity=near(likes=[(10, term("db"))]))
    assert placed(table, [full])["p"] == "n0"


def test_pods_are_spread_over_zones_not_nodes():
    table = table_of(zoned("a", "a", "a", "b"))
    wanted = spread()
    found = placed(table, [pod(f"p{n}", topology_spread_constraints=wanted) for n in range(4)])
    assert Counter("b" if n == "n3" else "a" for n in found.values()) == {"a": 2, "b": 2}


def test_a_skew_that_cannot_be_kept_is_told():
    small = node("n1", cpu="100m", labels={"zone": "b"})
    table = table_of([node("n0", labels={"zone": "a"}), small, node("n2")])
    pods = [pod(f"p{n}", cpu="200m", topology_spread_constraints=spread()) for n in range(2)]
    found = placed(table, pods)
    assert found["p0"] == "n0"
    assert found["p1"] == (
        "0/3 nodes are available: 1 Insufficient cpu, "
        "1 node(s) didn't match pod topology spread constraints, "
        "1 node(s) didn't match pod topology spread constraints (missing required label)."
    )


def test_with_too_few_domains_the_smallest_number_is_none():
    table = table_of(zoned("a", "b"))
    wanted = spread(min_domains=3)
    found = placed(table, [pod(f"p{n}", topology_spread_constraints=wanted) for n in range(3)])
    assert Counter(found.values())["n0"] == Counter(found.values())["n1"] == 1
    assert "topology spread constraints" in found["p2"]


@pytest.mark.parametrize(("policy", "is_placed"), [("Honor", True), ("Ignore", False)])
def test_nodes_that_a_pod_cannot_be_on_count_or_not(policy, is_placed):
    there = [at("web0", "n0")]
    by_affinity = spread(node_affinity_policy=policy)
    wanted = pod("p", selector={"zone": "a"}, topology_spread_constraints=by_affinity)
    found = placed(table_of(zoned("a", "b"), there), [wanted])
    assert (found["p"] == "n0") is is_placed
    taints = (Taint(key="gpu", effect="NoSchedule"),)
    nodes = [node("n0", labels={"zone": "a"}), node("n1", labels={"zone": "b"}, taints=taints)]
    wanted = pod("p", topology_spread_constraints=spread(node_taints_policy=policy))
    assert (placed(table_of(nodes, there), [wanted])["p"] == "n0") is is_placed


def test_pods_being_deleted_do_not_count_for_a_spread():
    table = table_of(zoned("a", "b"), [at("old", "n0", deleting=True), at("web", "n1")])
    assert placed(table, [pod("p", topology_spread_constraints=spread())])["p"] == "n0"


def test_schedule_anyway_prefers_evenness_and_never_refuses():
    table = table_of(zoned("a", "a", "b"), [at("w0", "n0"), at("w1", "n1"), at("x", "n2", cpu="3")])
    wanted = spread(when="ScheduleAnyway")
    assert placed(table, [pod("p", topology_spread_constraints=wanted)])["p"] == "n2"
    assert placed(table, [pod("p", cpu="2", topology_spread_constraints=wanted)])["p"] in {
        "n0",
        "n1",
    }


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        (
            {"affinity": near(PodAffinityTerm())},
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
            "Required value: can not be empty",
        ),
        (
            {"affinity": far(likes=[(0, term("a"))])},
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
            "Invalid value: 0: must be in the range 1-100",
        ),
        (
            {"topology_spread_constraints": spread(skew=0)},
            "spec.topologySpreadConstraints[0].maxSkew",
            "Invalid value: 0: must be greater than zero",
        ),
        (
            {"topology_spread_constraints": spread(when="Perhaps")},
            "spec.topologySpreadConstraints[0].whenUnsatisfiable",
            'Unsupported value: "Perhaps": supported values: "DoNotSchedule", "ScheduleAnyway"',
        ),
        (
            {"topology_spread_constraints": spread(when="ScheduleAnyway", min_domains=2)},
            "spec.topologySpreadConstraints[0].minDomains",
            (
                "Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                "ScheduleAnyway"
            ),
        ),
        (
            {"topology_spread_constraints": spread() * 2},
            "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}",
            'Duplicate value: "{zone, DoNotSchedule}"',
        ),
    ],
)
def test_wrong_rules_are_refused_in_kubernetes_words(spec, field, said):
    (error,) = PODS.validate(pod("p", **spec), None)
    assert (error.field, error.message) == (field, said)


def test_expressions_select_too():
    expression = LabelSelectorRequirement(key="app", operator="In", values=("db", "cache"))
    selector = LabelSelector(match_expressions=(expression,))
    table = table_of(zoned("a", "b"), [at("cache", "n1", labels={"app": "cache"})])
    wanted = near(PodAffinityTerm(label_selector=selector, topology_key="zone"))
    assert placed(table, [pod("p", affinity=wanted)])["p"] == "n1"
