"""A replica set against any pods there may be."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core import replicaset as core
from orchestrator.core.decisions import Create, Remove, UpdateStatus, render
from proto.kinds.pod import is_active
from proto.kinds.replicaset import REPLICASETS
from tests.property.cluster_model import Cluster
from tests.unit.core.making import NOW_MS, pod, replicaset


def plan(rs, pods, now_ms):
    return core.plan(REPLICASETS, rs, pods, now_ms)


SETTINGS = settings(max_examples=80, deadline=None)

shapes = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["", "rs1", "rs1", "rs1", "rs2"]),
        "node": st.sampled_from(["", "n1", "n2"]),
        "phase": st.sampled_from(["Pending", "Running", "Failed", "Succeeded", "Unknown"]),
        "ready_since_ms": st.sampled_from([None, NOW_MS, NOW_MS - 60_000]),
        "labels": st.sampled_from([{"app": "web"}, {"app": "web"}, {"app": "db"}]),
        "deleting": st.booleans(),
    }
)
anything = st.lists(shapes, max_size=12).map(
    lambda found: [pod(f"p{index:02}", **shape) for index, shape in enumerate(found)]
)


@SETTINGS
@given(pods=anything, order=st.randoms(use_true_random=False), replicas=st.integers(0, 8))
def test_the_order_of_pods_is_irrelevant(pods, order, replicas):
    first = plan(replicaset(replicas), pods, NOW_MS)
    order.shuffle(pods)
    assert plan(replicaset(replicas), pods, NOW_MS) == first


@SETTINGS
@given(pods=anything, replicas=st.integers(0, 8))
def test_it_creates_or_deletes_exactly_what_makes_the_number_right(pods, replicas):
    owned = [p for p in pods if p.metadata.controller and p.metadata.controller.uid == "rs1"]
    strays = [p for p in pods if not p.metadata.controller]
    if any(is_active(p) and p.metadata.labels != {"app": "web"} for p in owned):
        return
    if any(is_active(p) and p.metadata.labels == {"app": "web"} for p in strays):
        return
    decisions = plan(replicaset(replicas), pods, NOW_MS).decisions
    created = sum(isinstance(decision, Create) for decision in decisions)
    removed = [decision.object for decision in decisions if isinstance(decision, Remove)]
    active = [p for p in owned if is_active(p)]
    assert len(active) + created - len(removed) == replicas
    assert not (created and removed)
    assert all(found in active for found in removed)


@SETTINGS
@given(pods=anything, replicas=st.integers(0, 8))
def test_what_serves_goes_last(pods, replicas):
    decisions = plan(replicaset(replicas), pods, NOW_MS).decisions
    removed = {d.object.metadata.uid for d in decisions if isinstance(d, Remove)}
    mine = [
        p
        for p in pods
        if is_active(p) and p.metadata.controller and p.metadata.controller.uid == "rs1"
    ]
    serving = [
        p for p in mine if p.status.phase == "Running" and p.spec.node_name and p.status.conditions
    ]
    idle = [p for p in mine if not p.spec.node_name]
    if any(p.metadata.uid in removed for p in serving):
        assert all(p.metadata.uid in removed for p in idle)


@SETTINGS
@given(replicas=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_it_comes_to_rest_at_every_size_and_is_then_left_alone(replicas):
    cluster = Cluster(NOW_MS)
    cluster.create(REPLICASETS, replicaset(0))
    for wanted in replicas:
        (rs,) = cluster.replicasets
        cluster.update(REPLICASETS, replace(rs, spec=replace(rs.spec, replicas=wanted)))
        for _ in range(6):
            cluster.perform(cluster.plan_replicaset(cluster.replicasets[0]).decisions)
            cluster.agents_finish()
        (rs,) = cluster.replicasets
        assert len(cluster.ready) == len(cluster.pods) == wanted
        assert (rs.status.replicas, rs.status.ready_replicas) == (wanted, wanted)
        assert render(cluster.plan_replicaset(rs).decisions) == ""


@SETTINGS
@given(pods=anything, seconds=st.integers(1, 120), after_ms=st.integers(0, 200_000))
def test_the_status_changes_by_itself_only_at_the_time_it_names(pods, seconds, after_ms):
    rs = replicaset(3, min_ready_seconds=seconds)

    def available(now_ms):
        found = plan(rs, pods, now_ms)
        told = [d.object.status for d in found.decisions if isinstance(d, UpdateStatus)]
        return (told[0] if told else rs.status).available_replicas, found.wake_at_ms

    now, wake_at_ms = available(NOW_MS)
    later, _ = available(NOW_MS + after_ms)
    if wake_at_ms is None or NOW_MS + after_ms < wake_at_ms:
        assert later == now
    else:
        assert later > now
