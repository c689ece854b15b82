"""A deployment under any interleaving of controllers and agents."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core import deployment as core
from orchestrator.core.decisions import render
from proto.kinds.deployment import DEPLOYMENTS, Deployment, surge_and_unavailable
from proto.kinds.pod import is_ready
from tests.property.cluster_model import Cluster
from tests.unit.core.making import NOW_MS, deployment, template

SETTINGS = settings(max_examples=30, deadline=None)

bounds = st.sampled_from([("25%", "25%"), (1, 0), (0, 1), (0, "50%"), (3, 0), ("100%", "100%")])
steps = st.lists(
    st.tuples(st.sampled_from(["deployment", "replicaset", "agent"]), st.integers(0, 50)),
    min_size=30,
    max_size=80,
)
"""Long enough for one controller to run well ahead of the others."""


def running(found: Deployment) -> Cluster:
    cluster = Cluster(NOW_MS)
    cluster.create(DEPLOYMENTS, found)
    cluster.settle()
    return cluster


def change(cluster: Cluster, **spec: object) -> None:
    old = cluster.deployment
    cluster.update(DEPLOYMENTS, replace(old, spec=replace(old.spec, **spec)))


def take(cluster: Cluster, step: tuple[str, int]) -> None:
    who, number = step
    cluster.now_ms += 100
    if who == "deployment":
        cluster.perform(cluster.plan_deployment().decisions)
    elif who == "replicaset" and cluster.replicasets:
        rs = cluster.replicasets[number % len(cluster.replicasets)]
        cluster.perform(cluster.plan_replicaset(rs).decisions)
    elif who == "agent" and cluster.pods:
        cluster.agent_step(cluster.pods[number % len(cluster.pods)])


def images(cluster: Cluster) -> set[str]:
    return {pod.spec.containers[0].image for pod in cluster.active}


@SETTINGS
@given(replicas=st.integers(1, 8), share=bounds, walk=steps, again=st.integers(0, 79))
def test_a_rollout_stays_within_its_bounds_at_every_step(replicas, share, walk, again):
    cluster = running(deployment(replicas, surge=share[0], unavailable=share[1]))
    surge, unavailable = surge_and_unavailable(cluster.deployment)
    change(cluster, template=template("web:2"))
    for number, step in enumerate(walk):
        if number == again:
            change(cluster, template=template("web:3"))
        take(cluster, step)
        assert len(cluster.active) <= replicas + surge
        assert len(cluster.ready) >= replicas - unavailable
    cluster.settle()
    assert len(cluster.ready) == replicas
    assert images(cluster) == {cluster.deployment.spec.template.spec.containers[0].image}


@SETTINGS
@given(
    replicas=st.integers(0, 8),
    share=bounds,
    walk=steps,
    scale=st.integers(0, 10),
    at=st.integers(0, 79),
    recreate=st.booleans(),
    paused=st.booleans(),
)
def test_whatever_happens_it_comes_to_rest_as_declared(
    replicas, share, walk, scale, at, recreate, paused
):
    cluster = running(deployment(replicas, surge=share[0], unavailable=share[1], recreate=recreate))
    change(cluster, template=template("web:2"))
    for number, step in enumerate(walk):
        if number == at:
            change(cluster, replicas=scale, paused=paused)
        if number == at + 10:
            change(cluster, paused=False)
        take(cluster, step)
    change(cluster, replicas=scale, paused=False)
    cluster.settle()
    status = cluster.deployment.status
    assert len(cluster.ready) == len(cluster.active) == scale
    assert images(cluster) <= {"web:2"}
    assert status.updated_replicas == status.replicas == status.available_replicas == scale
    assert render(cluster.plan_deployment().decisions) == ""


@SETTINGS
@given(
    replicas=st.integers(1, 8),
    share=bounds,
    walk=st.lists(
        st.tuples(
            st.sampled_from(["deployment", "replicaset", "agent", "fail"]), st.integers(0, 50)
        ),
        min_size=30,
        max_size=80,
    ),
)
def test_pods_that_fail_never_lead_to_more_than_the_surge(replicas, share, walk):
    cluster = running(deployment(replicas, surge=share[0], unavailable=share[1]))
    surge, _ = surge_and_unavailable(cluster.deployment)
    change(cluster, template=template("web:2"))
    for who, number in walk:
        if who == "fail" and cluster.ready:
            cluster.tell(cluster.ready[number % len(cluster.ready)], ready=False)
        else:
            take(cluster, (who, number))
        assert len(cluster.active) <= replicas + surge
    cluster.settle()
    assert len(cluster.ready) == replicas


@SETTINGS
@given(replicas=st.integers(1, 5), walk=steps)
def test_recreate_never_runs_two_templates_at_once(replicas, walk):
    cluster = running(deployment(replicas, recreate=True))
    change(cluster, template=template("web:2"))
    for step in walk:
        take(cluster, step)
        assert len({pod.spec.containers[0].image for pod in cluster.pods}) <= 1
    cluster.settle()
    assert images(cluster) == {"web:2"}


@SETTINGS
@given(walk=steps, order=st.randoms(use_true_random=False))
def test_the_order_of_what_it_sees_is_irrelevant(walk, order):
    cluster = running(deployment(4))
    change(cluster, template=template("web:2"))
    for step in walk:
        take(cluster, step)
    replicasets = cluster.replicasets
    by_rs = {rs.metadata.uid: cluster.pods_of(rs) for rs in replicasets}
    first = core.plan(cluster.deployment, replicasets, by_rs, cluster.now_ms)
    order.shuffle(replicasets)
    for pods in by_rs.values():
        order.shuffle(pods)
    assert core.plan(cluster.deployment, replicasets, by_rs, cluster.now_ms) == first


@SETTINGS
@given(replicas=st.integers(1, 6), walk=steps)
def test_a_plan_follows_from_the_past_by_one_write_an_object(replicas, walk):
    cluster = running(deployment(replicas))
    change(cluster, template=template("web:2"))
    for step in walk:
        take(cluster, step)
        writes = [
            (decision.kind.plural, decision.object.metadata.name)
            for decision in cluster.plan_deployment().decisions
            if type(decision).__name__ in ("Create", "Update", "UpdateStatus", "Remove")
        ]
        assert len(writes) == len(set(writes))


def test_a_pod_that_was_ready_all_along_survives_a_rollback():
    cluster = running(deployment(3, surge=1, unavailable=0))
    kept = {pod.metadata.name for pod in cluster.ready}
    change(cluster, template=template("web:broken"))
    cluster.pass_all()
    cluster.pass_all()
    change(cluster, template=template("web:1"))
    cluster.settle()
    assert {pod.metadata.name for pod in cluster.pods if is_ready(pod)} == kept
