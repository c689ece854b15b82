"""Pods that must never be there twice, when their hosts and agents are away."""

import asyncio

from msgspec.structs import replace

from proto.kinds.node import NODES, OUT_OF_SERVICE_TAINT, Node, Taint
from proto.kinds.pod import PODS, Pod, is_ready
from proto.kinds.statefulset import STATEFUL_SETS, StatefulSet, StatefulSetSpec
from proto.meta import LabelSelector, ObjectMeta
from tests.simulation.cluster import Plane, Shape
from tests.simulation.environment import Host
from tests.simulation.invariants import Wanted
from tests.simulation.stage import Stage
from tests.simulation.test_scenarios import Script, leader
from tests.simulation.workload import deployment

AWAY_S = 30


def play(script: Script) -> None:
    """The scene, on a cluster that has come to rest with a stateful set of two."""
    stage = Stage(0, Shape(nodes=3, orchestrators=1, is_silence_loss=False))

    async def whole() -> None:
        await stage.settle()
        template = deployment("db", Wanted("web:1", 2)).spec.template
        spec = StatefulSetSpec(
            replicas=2, selector=LabelSelector(match_labels={"app": "db"}), template=template
        )
        made = StatefulSet(metadata=ObjectMeta(name="db"), spec=spec)
        await asked(stage, lambda verbs: verbs.create(STATEFUL_SETS, made))
        await stage.until(lambda: ready(stage) == ["db-0", "db-1"], 20.0, "both are ready")
        await script(stage)

    stage.play(whole())


async def asked(stage: Stage, ask) -> None:
    plane: Plane = leader(stage)
    assert plane.process is not None
    assert plane.control is not None
    await plane.process.call(ask(plane.control.verbs))


def ready(stage: Stage) -> list[str]:
    return sorted(pod.metadata.name for pod in stage.invariants.all(Pod) if is_ready(pod))


def first(stage: Stage) -> Pod:
    found: Pod = stage.invariants.stored(PODS, "db-0")
    return found


def is_replaced(stage: Stage, before: Pod) -> bool:
    found = stage.invariants.stored(PODS, "db-0")
    is_another = found is not None and found.metadata.uid != before.metadata.uid
    return is_another and ready(stage) == ["db-0", "db-1"]


def host_of_first(stage: Stage) -> Host:
    return stage.cluster.hosts[first(stage).spec.node_name]


def test_a_host_that_is_cut_off_keeps_its_pod_and_nobody_takes_its_place():
    async def script(stage: Stage) -> None:
        before, host = first(stage), host_of_first(stage)
        host.cut_off(True)
        await stage.until(lambda: ready(stage) == ["db-1"], 5.0, "it counts no more")
        await asyncio.sleep(AWAY_S)
        assert first(stage).metadata.uid == before.metadata.uid
        host.cut_off(False)
        await stage.until(lambda: ready(stage) == ["db-0", "db-1"], 10.0, "it is back")
        assert first(stage).metadata.uid == before.metadata.uid

    play(script)


def test_a_pod_deleted_on_a_host_that_is_cut_off_is_replaced_when_it_has_stopped():
    async def script(stage: Stage) -> None:
        before, host = first(stage), host_of_first(stage)
        host.cut_off(True)
        await asked(stage, lambda verbs: verbs.delete(PODS, "default", "db-0"))
        await asyncio.sleep(AWAY_S)
        assert first(stage).metadata.uid == before.metadata.uid
        host.cut_off(False)
        await stage.until(lambda: is_replaced(stage, before), 20.0, "it is replaced")

    play(script)


def test_a_pod_deleted_while_its_agent_is_dead_waits_for_the_agent():
    async def script(stage: Stage) -> None:
        before, seat = first(stage), stage.cluster.seats[host_of_first(stage).name]
        stage.cluster.kill(seat)
        await asked(stage, lambda verbs: verbs.delete(PODS, "default", "db-0"))
        await asyncio.sleep(AWAY_S)
        assert first(stage).metadata.uid == before.metadata.uid
        stage.cluster.start_agent(seat)
        await stage.until(lambda: is_replaced(stage, before), 20.0, "it is replaced")

    play(script)


def test_whoever_says_that_a_host_is_off_gets_its_pod_elsewhere():
    async def script(stage: Stage) -> None:
        host = host_of_first(stage)
        host.power_off()
        stage.cluster.kill(stage.cluster.seats[host.name])
        await asyncio.sleep(AWAY_S)
        assert first(stage).spec.node_name == host.name
        off = Taint(key=OUT_OF_SERVICE_TAINT, value="nodeshutdown", effect="NoExecute")

        def tainted(node: Node) -> Node:
            return replace(node, spec=replace(node.spec, taints=(*node.spec.taints, off)))

        await asked(stage, lambda verbs: verbs.modify(NODES, "", host.name, tainted))
        await stage.until(lambda: ready(stage) == ["db-0", "db-1"], 20.0, "it runs elsewhere")
        assert first(stage).spec.node_name != host.name

    play(script)
