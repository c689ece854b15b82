"""A kind in a version that is served and not stored: the world shows what the stored one holds."""

from msgspec.structs import replace

from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.replica import follow
from orchestrator.store.memory import MemoryServer
from proto.kinds.autoscaler import AUTOSCALERS, AutoscalerSpec, HorizontalPodAutoscaler
from proto.kinds.autoscaler_metrics import CrossVersionObjectReference as Reference
from proto.kinds.autoscaler_v1 import AUTOSCALERS_V1
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.meta import ObjectMeta
from tests import virtual_time
from tests.unit.runtime.spine import Spine, clock, leading, until


def autoscaler(name, namespace="default"):
    target = Reference(kind="Deployment", name="web")
    return HorizontalPodAutoscaler(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=AutoscalerSpec(scale_target_ref=target, max_replicas=3),
    )


def shown(spine, kind=AUTOSCALERS_V1):
    return [(e.name, e.version, e.object.spec.max_replicas) for e in spine.world.entries(kind)]


def test_every_orchestrator_shows_the_same_whether_it_wrote_listed_or_followed():
    async def scene() -> None:
        server = MemoryServer()
        async with leading(server) as (spine, tasks):
            for name in ("a", "b", "c"):
                await spine.create(AUTOSCALERS, autoscaler(name))
            follower = Spine(server, "two")
            spine.run(tasks, follow(follower.store, follower.world))
            await until(lambda: len(shown(follower)) == 3, "it has listed them")
            await spine.verbs.modify(
                AUTOSCALERS, "default", "a",
                lambda old: replace(old, spec=replace(old.spec, max_replicas=9)),
            )  # fmt: skip
            await spine.verbs.delete(AUTOSCALERS_V1, "default", "b")
            await until(lambda: len(shown(follower)) == 2, "it has followed")
            late = Spine(server, "three")
            late.world.sync(await late.store.range("/longshore/registry/"))
            for other in (follower, late):
                assert shown(other) == shown(spine) == shown(spine, AUTOSCALERS)
            assert [row[2] for row in shown(spine)] == [9, 3]

    virtual_time.run(scene())


def test_a_namespace_with_one_goes_as_if_it_were_there_once():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
            await spine.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="team")))
            made = await spine.create(AUTOSCALERS, autoscaler("a", "team"))
            assert spine.world.by_uid(made.metadata.uid).kind is AUTOSCALERS
            await spine.verbs.delete(NAMESPACES, "", "team")
            await until(lambda: spine.world.get(NAMESPACES, "", "team") is None, "it has gone")
            assert shown(spine) == []

    virtual_time.run(scene())
