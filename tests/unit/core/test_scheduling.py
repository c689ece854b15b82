"""Where pods go, and why they go nowhere."""

from collections import Counter

import pytest
from msgspec.structs import replace

from orchestrator.core.scheduling import schedule, table_of
from proto.kinds.affinity import Affinity
from proto.kinds.node import NOT_READY_TAINT, Taint
from proto.kinds.node_selector import (
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PreferredSchedulingTerm,
)
from proto.kinds.toleration import Toleration
from tests.unit.core.making import bound, node, pod


def nodes(count=3, **kwargs):
    return [node(f"n{number}", **kwargs) for number in range(1, count + 1)]


def replicas(count, owner="web", **kwargs):
    return [pod(f"{owner}-{number}", owner=owner, **kwargs) for number in range(count)]


def placed(table, pods):
    return {p.pod.metadata.name: p.node or p.message for p in schedule(table, pods)}


@pytest.mark.parametrize(("count", "each"), [(3, 1), (6, 2), (9, 3)])
def test_replicas_are_spread_evenly(count, each):
    found = placed(table_of(nodes()), replicas(count, cpu="100m", memory="64Mi"))
    assert Counter(found.values()) == {"n1": each, "n2": each, "n3": each}


def test_replicas_are_spread_though_another_node_is_emptier():
    table = table_of([node("big", cpu="64", memory="512Gi"), node("small", cpu="1", memory="1Gi")])
    found = placed(table, replicas(2, cpu="100m", memory="64Mi"))
    assert set(found.values()) == {"big", "small"}


def test_the_replacement_of_a_lost_pod_goes_where_fewest_are():
    pods = [bound(p, f"n{1 + number % 3}") for number, p in enumerate(replicas(6))]
    left = [p for p in pods if p.spec.node_name != "n3"]
    lost = node("n3", ready="Unknown")
    found = placed(table_of([*nodes(2), lost], left), replicas(2, owner="web")[:2])
    assert Counter(found.values()) == {"n1": 1, "n2": 1}


def test_pods_being_deleted_do_not_count_for_spreading_but_still_take_room():
    leaving = bound(pod("web-old", owner="web", cpu="500m", deleting=True), "n1")
    small = table_of([node("n1", cpu="1"), node("n2", cpu="1")], [leaving])
    there = [bound(p, "n2") for p in replicas(1, cpu="100m")]
    for found in there:
        small.upsert_pod(found)
    assert placed(small, [pod("web-new", owner="web", cpu="100m")]) == {"web-new": "n1"}
    assert "Insufficient cpu" in placed(small, [pod("huge", cpu="950m")])["huge"]


def test_bare_pods_go_where_most_is_free():
    table = table_of([node("n1"), node("n2")], [bound(pod("a", cpu="2"), "n1")])
    assert placed(table, [pod("b", cpu="1")]) == {"b": "n2"}


def test_pods_without_requests_are_spread_too():
    found = placed(table_of(nodes()), [pod(f"p{number}") for number in range(6)])
    assert Counter(found.values()) == {"n1": 2, "n2": 2, "n3": 2}


def test_cpu_and_memory_are_filled_in_balance():
    table = table_of(
        [node("n1", cpu="10", memory="10Gi"), node("n2", cpu="10", memory="10Gi")],
        [
            bound(pod("cpu", cpu="4", memory="1Gi"), "n1"),
            bound(pod("ram", cpu="1", memory="4Gi"), "n2"),
        ],
    )
    assert placed(table, [pod("more", cpu="3", memory="1Gi")]) == {"more": "n2"}


def test_among_equals_the_name_decides_whatever_came_first():
    names = ["n3", "n1", "n2"]
    for order in (names, names[::-1]):
        assert placed(table_of([node(name) for name in order]), [pod("p")]) == {"p": "n1"}


def test_a_node_is_never_promised_more_than_it_has():
    table = table_of([node("n1", cpu="1", memory="1Gi")])
    found = placed(table, replicas(5, cpu="300m"))
    assert list(found.values()).count("n1") == 3
    assert found["web-4"] == "0/1 nodes are available: 1 Insufficient cpu."


def test_the_table_is_left_as_it_is_until_pods_are_bound():
    table = table_of(nodes())
    pods = replicas(3, cpu="3")
    first = placed(table, pods)
    assert placed(table, pods) == first


def test_selectors_choose_nodes_by_label():
    table = table_of([node("n1"), node("n2", labels={"disk": "ssd"})])
    found = placed(table, [pod("a", selector={"disk": "ssd"}), pod("b", selector={"disk": "tape"})])
    assert found["a"] == "n2"
    assert found["b"] == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    )


def on_nodes(*wanted, preferred=()):
    """Affinity to nodes with these labels, and a liking for those with others, by weight."""
    terms = tuple(
        NodeSelectorTerm(match_expressions=(requirement(key, value),)) for key, value in wanted
    )
    likes = tuple(
        PreferredSchedulingTerm(
            weight=weight,
            preference=NodeSelectorTerm(match_expressions=(requirement(key, value),)),
        )
        for key, value, weight in preferred
    )
    required = NodeSelector(node_selector_terms=terms) if terms else None
    return Affinity(node_affinity=NodeAffinity(required=required, preferred=likes))


def requirement(key, value):
    return NodeSelectorRequirement(key=key, operator="In", values=(value,))


def test_an_affinity_chooses_nodes_of_either_term():
    labels = [{"disk": "ssd"}, {"disk": "tape"}, {}]
    table = table_of([node(f"n{n}", labels=labels[n]) for n in range(3)])
    both = on_nodes(("disk", "ssd"), ("disk", "tape"))
    found = placed(table, replicas(4, affinity=both))
    assert Counter(found.values()) == {"n0": 2, "n1": 2}
    assert placed(table, [pod("a", affinity=on_nodes(("disk", "none")))])["a"] == (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    )


def test_an_affinity_can_name_a_node():
    term = NodeSelectorTerm(match_fields=(requirement("metadata.name", "n2"),))
    required = NodeSelector(node_selector_terms=(term,))
    wanted = Affinity(node_affinity=NodeAffinity(required=required))
    assert placed(table_of(nodes()), [pod("a", affinity=wanted)]) == {"a": "n2"}


def test_the_nodes_that_a_pod_prefers_are_filled_first_by_weight():
    table = table_of(
        [
            node("n1"),
            node("n2", labels={"disk": "ssd"}),
            node("n3", labels={"disk": "ssd", "zone": "a"}),
            node("n4", labels={"zone": "a"}),
        ]
    )
    likes = on_nodes(preferred=[("disk", "ssd", 50), ("zone", "a", 20)])
    found = placed(table, replicas(4, cpu="3", affinity=likes))
    assert list(found.values()) == ["n3", "n2", "n4", "n1"]


def test_a_taint_to_avoid_outweighs_a_preference():
    slow = (Taint(key="slow", effect="PreferNoSchedule"),)
    table = table_of([node("n1"), node("n2", labels={"disk": "ssd"}, taints=slow)])
    likes = on_nodes(preferred=[("disk", "ssd", 100)])
    assert placed(table, [pod("a", affinity=likes)]) == {"a": "n1"}


def test_taints_keep_pods_away_that_do_not_tolerate_them():
    taints = (Taint(key="gpu", value="yes", effect="NoSchedule"),)
    table = table_of([node("n1", taints=taints)])
    fine = Toleration(key="gpu", operator="Exists")
    found = placed(table, [pod("a"), pod("b", tolerations=(fine,))])
    assert found == {
        "a": "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.",
        "b": "n1",
    }


def test_a_preference_against_a_node_gives_way_only_when_no_other_fits():
    avoided = (Taint(key="old", effect="PreferNoSchedule"),)
    table = table_of([node("n1", taints=avoided), node("n2", cpu="1")])
    found = placed(table, replicas(3, cpu="500m"))
    assert sorted(found.values()) == ["n1", "n2", "n2"]


@pytest.mark.parametrize("ready", ["False", "Unknown", ""])
def test_nodes_that_are_not_ready_take_nothing(ready):
    found = placed(table_of([node("n1", ready=ready)]), [pod("a")])["a"]
    assert found == (
        f"0/1 nodes are available: 1 node(s) had untolerated taint {{{NOT_READY_TAINT}: }}."
    )


def test_cordoned_nodes_take_nothing():
    found = placed(table_of([node("n1", cordoned=True)]), [pod("a")])["a"]
    assert found == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_a_refusal_counts_every_node_once_by_its_first_obstacle():
    table = table_of(
        [
            node("n1", cpu="1"),
            node("n2", cpu="1", memory="1Mi"),
            node("n3", taints=(Taint(key="k", value="v", effect="NoExecute"),)),
            node("n4", pods="0"),
        ]
    )
    assert placed(table, [pod("a", cpu="2", memory="1Gi")])["a"] == (
        "0/4 nodes are available: 1 Insufficient memory, 1 Too many pods, "
        "1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu."
    )


def test_without_nodes_the_refusal_says_so():
    assert placed(table_of([]), [pod("a")]) == {"a": "no nodes available to schedule pods"}


def test_unknown_resources_are_insufficient_everywhere_and_known_ones_are_counted():
    table = table_of([node("n1", **{"example.com/gpu": "1"})])
    found = pod("a")
    container = found.spec.containers[0]

    def asking(name, resource):
        resources = replace(container.resources, requests={resource: "1"})
        spec = replace(found.spec, containers=(replace(container, resources=resources),))
        return replace(pod(name), spec=spec)

    result = placed(
        table,
        [asking("a", "example.com/gpu"), asking("b", "example.com/gpu"), asking("c", "x.y/z")],
    )
    assert result == {
        "a": "n1",
        "b": "0/1 nodes are available: 1 Insufficient example.com/gpu.",
        "c": "0/1 nodes are available: 1 Insufficient x.y/z.",
    }


def test_a_host_port_is_given_once_a_node():
    table = table_of(nodes(2))
    found = placed(table, replicas(3, host_port=80))
    assert sorted(found.values()) == [
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
        "n1",
        "n2",
    ]


def test_host_ports_on_different_addresses_share_a_node_unless_one_means_all():
    holder = bound(pod("a", host_port=80, host_ip="10.0.0.1"), "n1")
    table = table_of(nodes(1), [holder])
    found = placed(
        table,
        [
            pod("same", host_port=80, host_ip="10.0.0.1"),
            pod("other", host_port=80, host_ip="10.0.0.2"),
            pod("zall", host_port=80),
        ],
    )
    assert found["other"] == "n1"
    assert "free ports" in found["same"]
    assert "free ports" in found["zall"]


def test_what_ends_or_goes_gives_its_room_back():
    table = table_of([node("n1", cpu="1")])
    holder = bound(pod("a", cpu="1", host_port=80), "n1")
    table.upsert_pod(holder)
    table.upsert_pod(holder)
    assert "Insufficient cpu" in placed(table, [pod("b", cpu="1")])["b"]
    table.upsert_pod(replace(holder, status=replace(holder.status, phase="Succeeded")))
    assert placed(table, [pod("b", cpu="1", host_port=80)]) == {"b": "n1"}
    table.upsert_pod(holder)
    table.remove_pod(holder.metadata.uid)
    table.remove_pod(holder.metadata.uid)
    assert placed(table, [pod("b", cpu="1", host_port=80)]) == {"b": "n1"}


def test_a_node_that_returns_still_holds_its_pods():
    table = table_of([node("n1", cpu="1")], [bound(pod("a", cpu="1"), "n1")])
    table.remove_node("n1")
    assert placed(table, [pod("b", cpu="1")])["b"] == "no nodes available to schedule pods"
    table.upsert_node(node("n1", cpu="1"))
    assert "Insufficient cpu" in placed(table, [pod("b", cpu="1")])["b"]


def test_a_node_may_come_after_the_pods_bound_to_it():
    table = table_of([], [bound(pod("a", cpu="1"), "n1")])
    table.upsert_node(node("n1", cpu="1"))
    assert "Insufficient cpu" in placed(table, [pod("b", cpu="1")])["b"]


def test_labels_and_taints_that_change_are_seen():
    table = table_of([node("n1", labels={"disk": "ssd"})])
    wanted = pod("a", selector={"disk": "ssd"})
    assert placed(table, [wanted]) == {"a": "n1"}
    table.upsert_node(node("n1", labels={"disk": "tape"}))
    assert "affinity/selector" in placed(table, [wanted])["a"]
    table.upsert_node(node("n1", labels={"disk": "ssd"}, cordoned=True))
    assert "unschedulable" in placed(table, [wanted])["a"]


def test_older_pods_are_served_first():
    table = table_of([node("n1", cpu="1")])
    young = pod("a", cpu="1", created_ms=2_000_000)
    old = pod("b", cpu="1", created_ms=1_000_000)
    found = placed(table, [young, old])
    assert found["b"] == "n1"
    assert "Insufficient cpu" in found["a"]


def test_absurd_amounts_fit_nowhere_and_break_nothing():
    table = table_of([node("n1")])
    assert "Insufficient memory" in placed(table, [pod("a", memory="8Ei")])["a"]
    for number in range(20):
        table.upsert_pod(bound(pod(f"forced-{number}", memory="8Ei", cpu="900P"), "n1"))
    assert "Insufficient" in placed(table, [pod("b", cpu="1m")])["b"]


def test_a_table_grows_with_its_nodes():
    table = table_of(nodes(200, cpu="1"))
    found = placed(table, replicas(200, cpu="1"))
    assert len(set(found.values())) == 200


def test_pods_of_one_owner_are_spread_together_though_they_differ():
    table = table_of([node("big", cpu="64", memory="512Gi"), node("n2"), node("n3")])
    pods = [*replicas(4, cpu="100m"), *(pod(f"x{n}", owner="web", cpu="200m") for n in range(2))]
    assert Counter(placed(table, pods).values()) == {"big": 2, "n2": 2, "n3": 2}
