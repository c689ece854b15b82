"""What a DaemonSet asks for, as text."""

from msgspec.structs import replace

from orchestrator.core.daemon_pod import BACKOFF_MAX_MS, failures_with, retry_at_ms
from orchestrator.core.decisions import Create, render
from orchestrator.core.scheduling import NodeTable, schedule
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.node import UNREACHABLE_TAINT, Taint
from proto.kinds.pod import PODS, is_active
from proto.kinds.toleration import Toleration
from proto.meta import parse_time_ms
from tests.property.sets_model import Sets
from tests.unit.core.making import NOW_MS, bound, daemonset, node, template

TWO = (node("n1"), node("n2"))


def running(found=None, nodes=TWO):
    cluster = Sets(NOW_MS, nodes)
    cluster.create(DAEMON_SETS, found or daemonset())
    cluster.settle()
    return cluster


def steps(cluster):
    """The plan, without what is told; pods by their nodes."""
    where = {pod.metadata.name: pod.spec.node_name for pod in cluster.pods}
    lines = render(cluster.plan().decisions).splitlines()
    told = [line for line in lines if not line.startswith(("Normal", "Warning", "update status"))]
    for name, place in where.items():
        told = [line.replace(f"pod {name}:", f"pod on {place}:") for line in told]
    return told


def go(cluster):
    done = steps(cluster)
    cluster.perform(cluster.plan().decisions)
    cluster.now_ms += 1000
    return done


def nodes_of(cluster):
    return sorted(pod.spec.node_name for pod in cluster.pods if is_active(pod))


def numbers(cluster):
    status = cluster.ds.status
    return (
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.updated_number_scheduled,
        status.number_available,
        status.number_unavailable,
        status.number_misscheduled,
    )


def spec_for(**spec):
    found = template()
    return replace(found, spec=replace(found.spec, **spec))


def test_every_node_gets_one_pod_that_no_other_can_take():
    cluster = Sets(NOW_MS, TWO)
    cluster.create(DAEMON_SETS, daemonset())
    go(cluster)  # its revision
    created = [d.object for d in cluster.plan().decisions if isinstance(d, Create)]
    assert go(cluster) == [
        "create pod web-*: for n1, there is none",
        "create pod web-*: for n2, there is none",
    ]
    table = NodeTable()
    for found in TWO:
        table.upsert_node(found)
    assert [placed.node for placed in schedule(table, created)] == ["n1", "n2"]
    cluster.settle()
    assert nodes_of(cluster) == ["n1", "n2"]
    assert numbers(cluster) == (2, 2, 2, 2, 2, 0, 0)


def test_a_full_node_keeps_its_pod_waiting_in_the_schedulers_words():
    cluster = Sets(NOW_MS, [node("n1", cpu="0"), node("n2")])
    cluster.create(DAEMON_SETS, daemonset())
    go(cluster)
    created = [d.object for d in cluster.plan().decisions if isinstance(d, Create)]
    table = NodeTable()
    for found in cluster.nodes:
        table.upsert_node(replace(found, status=replace(found.status, allocatable={"pods": "0"})))
    first = schedule(table, created)[0]
    assert "1 Too many pods" in first.message
    assert "didn't match Pod's node affinity/selector" in first.message


def test_cordoned_nodes_and_those_under_pressure_get_theirs():
    taint = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")
    nodes = (node("n1", cordoned=True), node("n2", taints=(taint,)))
    cluster = running(nodes=nodes)
    assert nodes_of(cluster) == ["n1", "n2"]
    table = NodeTable()
    for found in nodes:
        table.upsert_node(found)
    unbound = [replace(p, spec=replace(p.spec, node_name="")) for p in cluster.pods]
    assert {placed.node for placed in schedule(table, unbound)} == {"n1", "n2"}


def test_pods_follow_labels_taints_and_nodes():
    cluster = running(daemonset(template=spec_for(node_selector={"disk": "ssd"})))
    assert nodes_of(cluster) == []
    cluster.nodes = [node("n1", labels={"disk": "ssd"}), node("n2", labels={"disk": "ssd"})]
    cluster.settle()
    assert nodes_of(cluster) == ["n1", "n2"]
    cluster.nodes = [node("n1", labels={"disk": "hdd"}), cluster.nodes[1]]
    assert go(cluster) == ["delete pod on n1: it does not belong on n1"]
    cluster.settle()
    tainted = node("n2", labels={"disk": "ssd"}, taints=(Taint(key="a", effect="NoSchedule"),))
    cluster.nodes = [cluster.nodes[0], tainted]
    cluster.settle()
    assert nodes_of(cluster) == ["n2"]  # it was there before
    assert numbers(cluster) == (0, 0, 0, 0, 0, 0, 1)
    driven = replace(tainted.spec, taints=(Taint(key="a", effect="NoExecute"),))
    cluster.nodes = [cluster.nodes[0], replace(tainted, spec=driven)]
    cluster.settle()
    assert nodes_of(cluster) == []


def test_a_taint_that_the_template_tolerates_keeps_nobody_away():
    tolerations = (Toleration(operator="Exists"),)
    nodes = (node("n1", taints=(Taint(key="a", effect="NoExecute"),)),)
    assert nodes_of(running(daemonset(template=spec_for(tolerations=tolerations)), nodes)) == ["n1"]


def test_a_lost_node_keeps_its_pod_and_gets_no_other():
    cluster = running()
    loss = tuple(Taint(key=UNREACHABLE_TAINT, effect=e) for e in ("NoSchedule", "NoExecute"))
    cluster.nodes = [node("n1", taints=loss), node("n2"), node("n3", taints=loss)]
    cluster.settle()
    assert nodes_of(cluster) == ["n1", "n2"]


def test_a_pod_that_waits_for_a_node_that_is_gone_goes():
    cluster = Sets(NOW_MS, TWO)
    cluster.create(DAEMON_SETS, daemonset())
    go(cluster)
    go(cluster)
    cluster.nodes = [TWO[0]]
    (line,) = steps(cluster)
    assert line.endswith("its node is gone")


def test_the_younger_of_two_on_a_node_goes():
    cluster = running()
    (first, second) = cluster.pods
    moved = bound(second, first.spec.node_name)
    cluster.objects["pods", second.metadata.name] = moved
    lines = render(cluster.plan().decisions)
    assert f"delete pod {second.metadata.name}: {first.spec.node_name} has another" in lines


def test_a_new_template_rolls_node_by_node():
    cluster = running()
    cluster.change(template=template("web:2"))
    go(cluster)  # its revision
    assert go(cluster) == ["delete pod on n1: it is of another template"]
    assert go(cluster) == []
    cluster.agents_finish()
    assert go(cluster) == ["create pod web-*: for n1, there is none"]
    assert go(cluster) == []
    cluster.agents_finish()
    cluster.agents_finish()
    assert go(cluster) == ["delete pod on n2: it is of another template"]
    cluster.settle()
    assert numbers(cluster) == (2, 2, 2, 2, 2, 0, 0)
    assert {p.spec.containers[0].image for p in cluster.pods} == {"web:2"}


def test_with_a_surge_the_new_pod_comes_before_the_old_one_goes():
    cluster = running(daemonset(surge=1, unavailable=0))
    cluster.change(template=template("web:2"))
    go(cluster)
    assert go(cluster) == ["create pod web-*: for n1, before the one of another template goes"]
    assert go(cluster) == []
    cluster.agents_finish()
    assert cluster.ds.status.updated_number_scheduled == 0
    cluster.agents_finish()
    assert go(cluster) == ["delete pod on n1: n1 has another"]
    cluster.agents_finish()
    assert go(cluster) == ["create pod web-*: for n2, before the one of another template goes"]
    cluster.settle()
    assert nodes_of(cluster) == ["n1", "n2"]


def test_on_delete_only_the_next_pod_is_new():
    cluster = running(daemonset(on_delete=True))
    cluster.change(template=template("web:2"))
    cluster.settle()
    assert cluster.ds.status.updated_number_scheduled == 0
    cluster.delete(PODS, cluster.pods[0].metadata.name)
    cluster.settle()
    assert cluster.ds.status.updated_number_scheduled == 1


def test_a_failed_pod_is_replaced_and_the_more_often_the_later():
    cluster = running(nodes=TWO[:1])
    for failures in range(3):
        (failed,) = cluster.pods
        cluster.fail(failed)
        (failed,) = cluster.pods
        at_ms = retry_at_ms(failed)
        assert at_ms == NOW_MS + _since(failed) + 1000 * 2**failures
        cluster.now_ms = at_ms - 1
        assert (steps(cluster), cluster.plan().wake_at_ms) == ([], at_ms)
        cluster.now_ms = at_ms
        assert "Warning FailedDaemonPod on daemonset web: Found failed daemon pod" in render(
            cluster.plan().decisions
        )
        assert go(cluster) == [
            "delete pod on n1: it ended",
            "create pod web-*: for n1, in its place",
        ]
        cluster.settle()


def _since(pod):
    return parse_time_ms(pod.metadata.creation_timestamp) - NOW_MS


def test_the_wait_has_an_end_and_a_long_life_makes_it_short_again():
    cluster = running(nodes=TWO[:1])
    (found,) = cluster.pods
    meta = replace(found.metadata, annotations={"longshore.dev/failures": "99"})
    assert retry_at_ms(replace(found, metadata=meta)) == NOW_MS + _since(found) + BACKOFF_MAX_MS
    assert failures_with(replace(found, metadata=meta)) == 100
    odd = replace(found.metadata, annotations={"longshore.dev/failures": "many"})
    assert failures_with(replace(found, metadata=odd)) == 1


def test_one_that_is_being_deleted_only_tells():
    cluster = running()
    cluster.delete(DAEMON_SETS, "web", propagation="Foreground")
    cluster.nodes = []
    assert steps(cluster) == []
