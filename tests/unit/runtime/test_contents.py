"""ConfigMaps and Secrets on their way to nodes: who is told of which, and when."""

import asyncio

from msgspec.structs import replace

from orchestrator.runtime.contents import Contents
from proto import codec, subjects
from proto.bus.memory import MemoryBus, Network
from proto.errors import Unavailable
from proto.kinds.configuration import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from proto.kinds.pod import PODS, Pod
from proto.kinds.volume import ConfigMapVolumeSource, SecretVolumeSource, Volume
from proto.messages import (
    CONTENT_PIECE_BYTES_MAX,
    AssignedSource,
    Content,
    ContentPiece,
    ContentRefused,
    ContentReply,
    ContentRequest,
)
from proto.meta import ObjectMeta
from tests import virtual_time
from tests.unit.runtime.spine import Spine, leading, pod, until
from tests.unit.runtime.test_dispatch import dispatching

SETTINGS = Volume(name="v", config_map=ConfigMapVolumeSource(name="settings"))
KEYS = Volume(name="k", secret=SecretVolumeSource(secret_name="keys"))


def using(name: str, *volumes: Volume, node: str = "") -> Pod:
    made = pod(name, node=node)
    return replace(made, spec=replace(made.spec, volumes=volumes))


def settings(**data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data=data)


def keys() -> Secret:
    meta = ObjectMeta(name="keys", namespace="default")
    return Secret(metadata=meta, data={"password": "aHVzaA=="})


def test_an_assignment_says_which_versions_there_are_and_never_what_they_hold():
    async def main() -> None:
        async with dispatching() as (spine, _, agent, _):
            await spine.create(PODS, using("a", SETTINGS, KEYS, node="n1"))
            await until(lambda: len(agent.heard) == 2)
            (told,) = agent.heard[-1].pods
            assert told.sources == (
                AssignedSource(kind="ConfigMap", name="settings"),
                AssignedSource(kind="Secret", name="keys"),
            )
            made = await spine.create(SECRETS, keys())
            await until(lambda: len(agent.heard) == 3)
            (told,) = agent.heard[-1].pods
            assert told.sources[1].version == made.metadata.resource_version
            assert b"aHVzaA" not in codec.encode(agent.heard)

    virtual_time.run(main())


def test_a_change_is_told_to_the_nodes_that_use_it_and_to_no_other():
    async def main() -> None:
        async with dispatching() as (spine, _, agent, _):
            await spine.create(CONFIG_MAPS, settings(a="1"))
            await spine.create(PODS, using("other", KEYS, node="n1"))
            await spine.create(PODS, using("elsewhere", SETTINGS, node="n2"))
            await spine.create(PODS, using("nowhere", SETTINGS))
            await until(lambda: len(agent.heard) == 2)
            await spine.verbs.modify(CONFIG_MAPS, "default", "settings", lambda _: settings(a="2"))
            await asyncio.sleep(1)
            assert len(agent.heard) == 2
            assert spine.world.nodes_using(CONFIG_MAPS, "default", "settings") == {"n2"}
            await spine.create(PODS, using("here", SETTINGS, node="n1"))
            await until(lambda: len(agent.heard) == 3)
            await spine.verbs.delete(CONFIG_MAPS, "default", "settings")
            await until(lambda: len(agent.heard) == 4)
            assert agent.heard[-1].pods[0].sources == (
                AssignedSource(kind="ConfigMap", name="settings"),
            )
            await spine.verbs.delete(PODS, "default", "here", grace_s=0)
            await spine.verbs.delete(PODS, "default", "elsewhere", grace_s=0)
            assert spine.world.nodes_using(CONFIG_MAPS, "default", "settings") == frozenset()

    virtual_time.run(main())


async def ask(
    bus: MemoryBus, kind: str, name: str, *, node: str = "n1", version: str = "1", offset: int = 0
) -> ContentReply:
    request = ContentRequest(
        kind=kind, namespace="default", name=name, version=version, offset=offset
    )
    answer = await bus.request(subjects.content(node), codec.encode(request), timeout_s=1)
    return codec.decode(answer, ContentReply)


def answering(spine: Spine, tasks: asyncio.TaskGroup, *, leads: bool = True) -> MemoryBus:
    network = Network()
    contents = Contents(spine.world, MemoryBus(network, "one"), lambda: leads)
    spine.run(tasks, contents.run())
    return MemoryBus(network, "agent")


def test_a_secret_is_told_to_the_nodes_whose_pods_use_it_and_to_no_other():
    async def main() -> None:
        async with leading() as (spine, tasks):
            bus = answering(spine, tasks)
            made = await spine.create(SECRETS, keys())
            await spine.create(PODS, using("a", KEYS, node="n1"))
            await spine.create(PODS, using("b", SETTINGS, node="n2"))
            found = await ask(bus, "Secret", "keys")
            assert isinstance(found, ContentPiece)
            assert found.version == made.metadata.resource_version
            assert codec.decode(found.piece, Content) == Content(data={"password": b"hush"})
            for refused in (
                await ask(bus, "Secret", "keys", node="n2"),
                await ask(bus, "Secret", "none"),
                await ask(bus, "Pod", "a"),
            ):
                assert isinstance(refused, ContentRefused)
                assert "hush" not in refused.reason
            await spine.verbs.delete(PODS, "default", "a", grace_s=0)
            assert isinstance(await ask(bus, "Secret", "keys"), ContentRefused)

    virtual_time.run(main())


def test_who_follows_answers_of_the_version_that_was_asked_for_and_is_silent_otherwise():
    async def main() -> None:
        async with leading() as (spine, tasks):
            bus = answering(spine, tasks, leads=False)
            made = await spine.create(SECRETS, keys())
            await spine.create(PODS, using("a", KEYS, node="n1"))
            version = made.metadata.resource_version
            assert isinstance(await ask(bus, "Secret", "keys", version=version), ContentPiece)
            for request in (
                ask(bus, "Secret", "keys", version="1"),
                ask(bus, "Secret", "none"),
                ask(bus, "Secret", "keys", version=version, node="n2"),
            ):
                try:
                    raise AssertionError(f"it said {await request}")
                except Unavailable:
                    pass

    virtual_time.run(main())


def test_the_largest_object_comes_in_pieces_that_any_bus_carries():
    async def main() -> None:
        async with leading() as (spine, tasks):
            bus = answering(spine, tasks)
            text = "x" * 1_000_000
            await spine.create(CONFIG_MAPS, settings(a=text))
            await spine.create(PODS, using("a", SETTINGS, node="n1"))
            received, size, count = b"", 1, 0
            while len(received) < size:
                piece = await ask(bus, "ConfigMap", "settings", offset=len(received))
                assert isinstance(piece, ContentPiece)
                assert len(piece.piece) <= CONTENT_PIECE_BYTES_MAX
                assert len(codec.encode(piece)) <= 512 * 1024
                received, size, count = received + piece.piece, piece.size, count + 1
            assert codec.decode(received, Content).text == {"a": text}
            assert count == 3

    virtual_time.run(main())
