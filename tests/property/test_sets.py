"""Stateful and daemon sets under any interleaving of their controller, agents and people."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Remove, render
from orchestrator.core.revisions import HASH_LABEL
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.node import Taint
from proto.kinds.pod import PODS, is_active, is_ready
from proto.kinds.statefulset import (
    STATEFUL_SETS,
    RollingUpdateStatefulSet,
    StatefulSetUpdateStrategy,
)
from tests.property.sets_model import Sets, names
from tests.unit.core.making import NOW_MS, daemonset, node, statefulset, template

SETTINGS = settings(max_examples=40, deadline=None)

moves = st.lists(
    st.tuples(
        st.sampled_from(
            ["pass", "pass", "pass", "agent", "agent", "agent", "fail", "unready", "delete"]
        ),
        st.integers(0, 50),
    ),
    min_size=30,
    max_size=80,
)
policies = st.fixed_dictionaries(
    {
        "parallel": st.booleans(),
        "on_delete": st.booleans(),
        "unavailable": st.sampled_from([None, 1, 2, "50%"]),
        "claims": st.sampled_from([(), ("data",)]),
        "keeping": st.sampled_from([("Retain", "Retain"), ("Delete", "Delete")]),
    }
)
orders = st.randoms(use_true_random=False)


def started(kind, found, nodes=()):
    cluster = Sets(NOW_MS, nodes)
    cluster.create(kind, found)
    cluster.settle()
    return cluster


def move(cluster, what, number):
    cluster.now_ms += 100
    if what == "pass":
        cluster.pass_all()
        return
    if not cluster.pods:
        return
    pod = cluster.pods[number % len(cluster.pods)]
    if what == "agent":
        cluster.agent_step(pod)
    elif what == "fail" and pod.spec.node_name and is_active(pod):
        cluster.fail(pod)
    elif what == "unready" and is_active(pod) and is_ready(pod):
        cluster.tell(pod, ready=False)
    elif what == "delete":
        cluster.delete(PODS, pod.metadata.name)


def ordinal(pod):
    return int(pod.metadata.name.rpartition("-")[2])


def check_order(cluster):
    """No place is filled before those below it are well, and one goes at a time."""
    ready = {ordinal(pod) for pod in cluster.active if is_ready(pod)}
    decisions = cluster.plan().decisions
    for decision in decisions:
        if isinstance(decision, Create) and decision.kind is PODS:
            assert set(range(ordinal(decision.object))) <= ready
    removed = [d.object for d in decisions if isinstance(d, Remove) and d.kind is PODS]
    beyond = [pod for pod in removed if ordinal(pod) >= cluster.sts.spec.replicas]
    assert len(beyond) <= 1
    assert all(ordinal(pod) == max(map(ordinal, cluster.pods)) for pod in beyond)


def check_writes(cluster):
    """Every object is written once, and no pod is asked for while one of its name is there."""
    written = [
        (type(d).__name__ == "Create", d.kind.plural, d.object.metadata.name)
        for d in cluster.plan().decisions
        if type(d).__name__ != "Emit" and d.object.metadata.name
    ]
    assert len({(plural, name) for _, plural, name in written}) == len(written)
    assert not any((plural, name) in cluster.objects for new, plural, name in written if new)


def restless(cluster):
    return [line for line in render(cluster.plan().decisions).splitlines() if line]


@SETTINGS
@given(policy=policies, walk=moves, sizes=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_a_stateful_set_never_has_two_of_a_name_and_comes_to_rest_as_declared(policy, walk, sizes):
    cluster = started(STATEFUL_SETS, statefulset(sizes[0], **policy))
    cluster.change(template=template("web:2"))
    for number, step in enumerate(walk):
        if number == 15:
            cluster.change(replicas=sizes[1])
        check_writes(cluster)
        if not policy["parallel"]:
            check_order(cluster)
        move(cluster, *step)
    cluster.change(replicas=sizes[1])
    cluster.settle()
    assert names(cluster.pods) == [f"web-{number}" for number in range(sizes[1])]
    assert all(map(is_ready, cluster.pods))
    assert restless(cluster) == []
    if not policy["on_delete"]:
        images = {pod.spec.containers[0].image for pod in cluster.pods}
        assert images <= {"web:2"}
        status = cluster.sts.status
        assert status.current_revision == status.update_revision
        assert status.updated_replicas == status.ready_replicas == sizes[1]


@SETTINGS
@given(
    replicas=st.integers(1, 5),
    partition=st.integers(0, 6),
    most=st.integers(1, 3),
    parallel=st.booleans(),
    walk=moves,
)
def test_a_rolling_stateful_set_keeps_enough_pods_and_its_partition(
    replicas, partition, most, parallel, walk
):
    cluster = started(STATEFUL_SETS, statefulset(replicas, parallel=parallel))
    rolling = RollingUpdateStatefulSet(partition=partition, max_unavailable=most)
    strategy = StatefulSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    cluster.change(template=template("web:2"), update_strategy=strategy)
    for what, number in walk:
        if what in ("pass", "agent"):
            move(cluster, what, number)
            assert len(cluster.ready) >= replicas - most
    cluster.settle()
    images = [pod.spec.containers[0].image for pod in cluster.pods]
    old = min(partition, replicas)
    assert images == ["web:1"] * old + ["web:2"] * (replicas - old)
    assert restless(cluster) == []


@SETTINGS
@given(policy=policies, walk=moves, order=orders)
def test_the_order_of_what_a_stateful_set_sees_is_irrelevant(policy, walk, order):
    cluster = started(STATEFUL_SETS, statefulset(3, **policy))
    cluster.change(template=template("web:2"), replicas=2)
    check_shuffled(cluster, walk, order)


def check_shuffled(cluster, walk, order):
    """After a walk the plan is the same when objects come in another order."""
    for step in walk:
        move(cluster, *step)
    first = cluster.plan()
    by_name = cluster.of
    cluster.of = lambda kind: order.sample(found := by_name(kind), len(found))
    order.shuffle(cluster.nodes)
    assert cluster.plan() == first


taints = st.sampled_from([(), (), (), (Taint(key="a", effect="NoSchedule"),)])
disks = st.sampled_from(["ssd", "ssd", "hdd"])
clouds = st.lists(st.tuples(disks, taints), min_size=1, max_size=6).map(
    lambda found: [
        node(f"n{number}", labels={"disk": disk}, taints=on)
        for number, (disk, on) in enumerate(found)
    ]
)
bounds = st.sampled_from([(0, 1), (0, 2), (0, "50%"), (1, 0), ("50%", 0)])


def on_ssd(image):
    found = template(image)
    return replace(found, spec=replace(found.spec, node_selector={"disk": "ssd"}))


def fitting(nodes):
    return sorted(
        found.metadata.name
        for found in nodes
        if found.metadata.labels["disk"] == "ssd" and not found.spec.taints
    )


@SETTINGS
@given(before=clouds, after=clouds, bound=bounds, walk=moves)
def test_a_daemon_set_comes_to_rest_with_one_pod_on_each_node_that_fits(before, after, bound, walk):
    found = daemonset(surge=bound[0], unavailable=bound[1], template=on_ssd("web:1"))
    cluster = started(DAEMON_SETS, found, before)
    cluster.change(template=on_ssd("web:2"))
    for number, step in enumerate(walk):
        if number == 15:
            cluster.nodes = list(after)
            forget_pods_without_node(cluster)
        check_writes(cluster)
        move(cluster, *step)
    cluster.nodes = list(after)
    forget_pods_without_node(cluster)
    for _ in range(4):  # failures are waited for
        cluster.settle()
        cluster.now_ms += 120_000
    cluster.settle()
    wanted = fitting(after)
    where = [pod.spec.node_name for pod in cluster.active if pod.spec.node_name in wanted]
    assert sorted(where) == wanted
    status = cluster.ds.status
    assert status.desired_number_scheduled == status.number_ready == len(wanted)
    assert status.updated_number_scheduled == status.number_available == len(wanted)
    assert restless(cluster) == []


def forget_pods_without_node(cluster):
    """As the control plane does with those that were bound to it."""
    there = {found.metadata.name for found in cluster.nodes}
    for pod in cluster.pods:
        if pod.spec.node_name and pod.spec.node_name not in there:
            cluster.delete(PODS, pod.metadata.name, grace_s=0)


@SETTINGS
@given(count=st.integers(1, 6), bound=bounds, walk=moves)
def test_a_rolling_daemon_set_stays_within_its_bounds_at_every_step(count, bound, walk):
    nodes = [node(f"n{number}") for number in range(count)]
    cluster = started(DAEMON_SETS, daemonset(surge=bound[0], unavailable=bound[1]), nodes)
    cluster.change(template=template("web:2"))
    surge, missing = (counted(share, count) for share in bound)
    for what, number in walk:
        if what in ("pass", "agent"):
            move(cluster, what, number)
            assert len(cluster.ready) >= count - missing
            assert len(cluster.pods) <= count + surge
    cluster.settle()
    assert len({pod.metadata.labels[HASH_LABEL] for pod in cluster.pods}) == 1


def counted(share, count):
    return -(-count * int(share[:-1]) // 100) if isinstance(share, str) else share


@SETTINGS
@given(nodes=clouds, bound=bounds, walk=moves, order=orders)
def test_the_order_of_what_a_daemon_set_sees_is_irrelevant(nodes, bound, walk, order):
    found = daemonset(surge=bound[0], unavailable=bound[1], template=on_ssd("web:1"))
    cluster = started(DAEMON_SETS, found, nodes)
    cluster.change(template=on_ssd("web:2"))
    check_shuffled(cluster, walk, order)
