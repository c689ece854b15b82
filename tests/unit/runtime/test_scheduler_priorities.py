"""The scheduler's loop where pods matter to each other: priorities, gates, and who is near whom."""

from msgspec.structs import replace

from proto.kinds.affinity import Affinity, PodAffinity, PodAffinityTerm
from proto.kinds.event import EVENTS
from proto.kinds.gates import PodSchedulingGate
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES
from proto.kinds.pod import PODS, Pod
from proto.kinds.quota import PRIORITY_CLASSES, PriorityClass
from proto.meta import LabelSelector, ObjectMeta, condition
from tests import virtual_time
from tests.unit.runtime.spine import Spine, node, pod, until
from tests.unit.runtime.test_scheduler import refusal, scheduling, wanting, where


def urgent(name: str) -> Pod:
    found = wanting(name)
    return replace(found, spec=replace(found.spec, priority_class_name="urgent"))


async def with_class(spine: Spine) -> None:
    made = PriorityClass(metadata=ObjectMeta(name="urgent"), value=1000)
    await spine.create(PRIORITY_CLASSES, made)


def nominated(spine: Spine, name: str) -> str:
    return spine.world.get(PODS, "default", name).status.nominated_node_name


def near(selector: LabelSelector | None = None) -> Affinity:
    term = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"app": "web"}),
        topology_key="kubernetes.io/hostname",
        namespace_selector=selector,
    )
    return Affinity(pod_affinity=PodAffinity(required=(term,)))


def drawn(name: str, affinity: Affinity) -> Pod:
    found = pod(name)
    meta = replace(found.metadata, labels={})
    return replace(found, metadata=meta, spec=replace(found.spec, affinity=affinity))


def test_the_more_important_gets_the_room_once_the_other_has_left_gracefully():
    async def main() -> None:
        async with scheduling() as spine:
            await with_class(spine)
            await spine.create(NODES, node("n1", cpu="1"))
            await spine.create(PODS, wanting("low"))
            await until(lambda: where(spine) == {"low": "n1"})
            await spine.create(PODS, urgent("vip"))
            await until(lambda: nominated(spine, "vip") == "n1")
            low = spine.world.get(PODS, "default", "low")
            assert low.metadata.deletion_grace_period_seconds == 30
            why = condition(low.status.conditions, "DisruptionTarget")
            assert (why.status, why.reason) == ("True", "PreemptionByScheduler")
            await spine.create(PODS, wanting("late"))
            await until(lambda: refusal(spine, "late"))
            await spine.verbs.delete(PODS, "default", "low", grace_s=0)  # as its agent confirms
            await until(lambda: where(spine) == {"vip": "n1", "late": ""})
            assert nominated(spine, "vip") == ""
            uid = spine.world.get(PODS, "default", "vip").metadata.uid
            said = f"Preempted by pod {uid} on node n1"
            await until(lambda: said in [e.message for e in spine.world.objects(EVENTS, "default")])

    virtual_time.run(main())


def test_a_pod_is_placed_once_its_gates_are_gone():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1"))
            found = pod("gated")
            gates = (PodSchedulingGate(name="example.com/ready"),)
            await spine.create(
                PODS, replace(found, spec=replace(found.spec, scheduling_gates=gates))
            )
            await spine.create(PODS, pod("other"))
            await until(lambda: where(spine) == {"gated": "", "other": "n1"})
            said = condition(
                spine.world.get(PODS, "default", "gated").status.conditions, "PodScheduled"
            )
            assert (said.status, said.reason) == ("False", "SchedulingGated")
            await spine.verbs.modify(
                PODS,
                "default",
                "gated",
                lambda old: replace(old, spec=replace(old.spec, scheduling_gates=())),
            )
            await until(lambda: where(spine)["gated"] == "n1")

    virtual_time.run(main())


def test_a_pod_that_must_be_near_others_waits_for_them():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1"))
            await spine.create(PODS, drawn("p", near()))
            await until(lambda: "pod affinity rules" in refusal(spine, "p"))
            await spine.create(PODS, pod("web"))
            await until(lambda: where(spine) == {"p": "n1", "web": "n1"})

    virtual_time.run(main())


def test_a_namespace_that_gets_a_label_lets_its_pods_be_seen():
    async def main() -> None:
        async with scheduling() as spine:
            await spine.create(NODES, node("n1"))
            await spine.create(PODS, pod("web"))
            team = LabelSelector(match_labels={"team": "a"})
            await spine.create(PODS, drawn("p", near(team)))
            await until(lambda: "pod affinity rules" in refusal(spine, "p"))

            def labelled(old):
                return replace(old, metadata=replace(old.metadata, labels={"team": "a"}))

            await spine.verbs.modify(NAMESPACES, "", "default", labelled)
            await until(lambda: where(spine)["p"] == "n1")

    virtual_time.run(main())
