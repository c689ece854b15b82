"""Placement over any nodes and pods, against a plain reading of the rules."""

from collections import Counter

from hypothesis import given, settings, strategies as st

from orchestrator.core.scheduling import schedule, table_of
from proto.kinds.node import Taint, allocatable
from proto.kinds.pod import host_ports, requests
from proto.kinds.toleration import Toleration, tolerates
from tests.unit.core.making import bound, node, pod

SETTINGS = settings(max_examples=80, deadline=None)

GPU = Taint(key="gpu", value="yes", effect="NoSchedule")
SLOW = Taint(key="slow", effect="PreferNoSchedule")

node_shapes = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from(["1", "2", "4"]),
        "memory": st.sampled_from(["1Gi", "2Gi", "8Gi"]),
        "pods": st.sampled_from(["0", "2", "5", "110"]),
        "taints": st.sampled_from([(), (), (GPU,), (SLOW,)]),
        "labels": st.sampled_from([{}, {"disk": "ssd"}, {"disk": "tape"}]),
        "ready": st.sampled_from(["True", "True", "True", "Unknown"]),
        "cordoned": st.sampled_from([False, False, False, True]),
    }
)
pod_shapes = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["", "a", "b"]),
        "cpu": st.sampled_from(["", "100m", "700m", "1"]),
        "memory": st.sampled_from(["", "64Mi", "1Gi"]),
        "selector": st.sampled_from([{}, {}, {"disk": "ssd"}]),
        "tolerations": st.sampled_from([(), (), (Toleration(key="gpu", operator="Exists"),)]),
        "host_port": st.sampled_from([0, 0, 0, 80]),
        "host_ip": st.sampled_from(["", "10.0.0.1", "10.0.0.2"]),
    }
)
nodes_st = st.lists(node_shapes, max_size=6).map(
    lambda shapes: [node(f"n{number}", **shape) for number, shape in enumerate(shapes)]
)
pods_st = st.lists(pod_shapes, max_size=14).map(
    lambda shapes: [pod(f"p{number:02}", **shape) for number, shape in enumerate(shapes)]
)


def fits(found, onto, there):
    """The rules, read plainly."""
    free = allocatable(onto)
    for other in there:
        for name, units in (requests(other.spec) | {"pods": 1}).items():
            free[name] = free.get(name, 0) - units
    ready = onto.status.conditions[0].status == "True"
    return (
        ready
        and not onto.spec.unschedulable
        and all(onto.metadata.labels.get(k) == v for k, v in found.spec.node_selector.items())
        and all(
            tolerates(found.spec.tolerations, t.key, t.value, t.effect)
            for t in onto.spec.taints
            if t.effect != "PreferNoSchedule"
        )
        and all(
            free.get(name, 0) >= units
            for name, units in (requests(found.spec) | {"pods": 1}).items()
        )
        and not any(
            port == other_port and ("" in (ip, other_ip) or ip == other_ip)
            for other in there
            for ip, _, port in host_ports(found.spec)
            for other_ip, _, other_port in host_ports(other.spec)
        )
    )


@SETTINGS
@given(nodes=nodes_st, pods=pods_st)
def test_every_pod_goes_where_it_fits_and_is_refused_only_where_nothing_does(nodes, pods):
    by_name = {found.metadata.name: found for found in nodes}
    there = {name: [] for name in by_name}
    for placement in schedule(table_of(nodes), pods):
        found = placement.pod
        if placement.node is None:
            assert not any(fits(found, by_name[name], there[name]) for name in by_name)
        else:
            assert fits(found, by_name[placement.node], there[placement.node])
            there[placement.node].append(found)


@SETTINGS
@given(nodes=nodes_st, pods=pods_st, order=st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_pods_is_irrelevant(nodes, pods, order):
    first = schedule(table_of(nodes), pods)
    order.shuffle(nodes)
    order.shuffle(pods)
    assert schedule(table_of(nodes), pods) == first


@SETTINGS
@given(nodes=nodes_st, pods=pods_st, data=st.data())
def test_a_table_kept_up_to_date_equals_one_made_afresh(nodes, pods, data):
    names = [found.metadata.name for found in nodes] or ["n0"]
    table = table_of(nodes)
    present_nodes = {found.metadata.name: found for found in nodes}
    present_pods = {}
    for _ in range(data.draw(st.integers(0, 20))):
        name = data.draw(st.sampled_from(names))
        what = data.draw(st.sampled_from(["bind", "forget", "drop node", "node"]))
        if what == "bind" and pods:
            found = bound(data.draw(st.sampled_from(pods)), name)
            present_pods[found.metadata.uid] = found
            table.upsert_pod(found)
        elif what == "forget" and pods:
            uid = data.draw(st.sampled_from(pods)).metadata.uid
            present_pods.pop(uid, None)
            table.remove_pod(uid)
        elif what == "drop node":
            present_nodes.pop(name, None)
            table.remove_node(name)
        elif what == "node":
            present_nodes[name] = node(name, **data.draw(node_shapes))
            table.upsert_node(present_nodes[name])
    waiting = [found for found in pods if found.metadata.uid not in present_pods]
    fresh = table_of(present_nodes.values(), present_pods.values())
    assert schedule(table, waiting) == schedule(fresh, waiting)


@SETTINGS
@given(count=st.integers(1, 30), nodes=st.integers(1, 9), there=st.integers(0, 30))
def test_replicas_on_equal_nodes_differ_by_one_at_most(count, nodes, there):
    table = table_of([node(f"n{number}", cpu="64", memory="64Gi") for number in range(nodes)])
    spread = Counter()
    for number in range(there):
        name = f"n{number % nodes}"
        table.upsert_pod(bound(pod(f"old{number}", owner="a", cpu="100m"), name))
        spread[name] += 1
    placements = schedule(table, [pod(f"p{n:02}", owner="a", cpu="100m") for n in range(count)])
    spread.update(placement.node for placement in placements)
    assert max(spread.values()) - min(spread[f"n{number}"] for number in range(nodes)) <= 1


@SETTINGS
@given(nodes=nodes_st, shape=pod_shapes, count=st.integers(0, 20))
def test_placing_together_equals_placing_one_after_another(nodes, shape, count):
    """The heap is a short cut to what single decisions give."""
    alike = [pod(f"p{number:02}", **shape) for number in range(count)]
    together = [placement.node for placement in schedule(table_of(nodes), alike)]
    table = table_of(nodes)
    single = []
    for found in alike:
        (placement,) = schedule(table, [found])
        single.append(placement.node)
        if placement.node:
            table.upsert_pod(bound(found, placement.node))
    assert together == single
