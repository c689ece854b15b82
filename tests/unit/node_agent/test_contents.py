"""ConfigMaps and Secrets between control plane and agent: asked for, kept, used and forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec.structs import replace

from node_agent.core.contents import Held, SourceKey
from node_agent.core.observed import State
from proto import codec, subjects
from proto.messages import ContentPiece, ContentRefused, ContentReply, ContentRequest
from tests.unit.node_agent.given import key
from tests.unit.node_agent.node import Node, is_running, pod as reported, state_reason
from tests.unit.node_agent.test_loop import a_node, on_virtual_time
from tests.unit.node_agent.test_volumes import (
    CACHE,
    FILES,
    HIDDEN,
    KEYS,
    SETTINGS,
    a_pod,
    held,
    secret,
)

PIECE_BYTES = 10


@contextlib.asynccontextmanager
async def answering(node: Node, contents: dict[SourceKey, Held]) -> AsyncIterator[None]:
    """The control plane's end, which knows these contents and tells them in small pieces."""
    subscription = await node.control.subscribe(subjects.content("node-1"))

    async def answer() -> None:
        while True:
            envelope = await subscription.get()
            asked = codec.decode(envelope.payload, ContentRequest)
            found = contents.get(SourceKey(asked.kind, asked.namespace, asked.name))
            reply: ContentReply = ContentRefused(reason="not found")
            if found is not None:
                whole = codec.encode(found.content)
                piece = whole[asked.offset : asked.offset + PIECE_BYTES]
                reply = ContentPiece(version=found.version, size=len(whole), piece=piece)
            await node.control.publish(envelope.reply, codec.encode(reply))

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(answer())
        try:
            yield
        finally:
            task.cancel()
            await subscription.close()


@on_virtual_time
async def test_an_agent_asks_for_contents_in_pieces_and_remembers_them():
    async with a_node() as (node, engine):
        async with answering(node, {SETTINGS: held(), KEYS: secret()}):
            await node.assign(a_pod(FILES, HIDDEN, CACHE))
            await node.running("web")
        assert node.storage.files[key(), "files"] == {"level": b"low"}
        assert node.storage.files[key(), "hidden"] == {"password": b"hush"}
        assert b"hush" not in node.disk.content
        await node.kill()
        await node.start()  # and nobody answers
        (victim,) = engine.containers
        engine.end(victim.id, exit_code=1)
        await node.until(
            lambda r: (
                is_running(found := reported(r, "web"))
                and found.status.container_statuses[0].restart_count
            )
        )
        await node.assign()
        async with asyncio.timeout(60):
            while await node.storage.volumes() or await node.storage.open():
                await asyncio.sleep(0.1)
        assert await engine.volumes() == []


@on_virtual_time
async def test_a_change_is_asked_for_and_reaches_the_files_of_a_running_pod():
    async with a_node() as (node, engine):
        contents = {SETTINGS: held()}
        async with answering(node, contents):
            await node.assign(a_pod(FILES, keys=""))
            await node.running("web")
            contents[SETTINGS] = held("9", level="high")
            await node.assign(a_pod(FILES, keys="", settings="9"))
            async with asyncio.timeout(10):
                while node.storage.files[key(), "files"] != {"level": b"high"}:
                    await asyncio.sleep(0.1)
            (container,) = engine.containers
            assert container.attempt == 0


@on_virtual_time
async def test_a_pod_is_gone_only_when_its_volumes_are():
    async with a_node() as (node, engine):
        assigned = a_pod(CACHE, settings="", keys="")
        await node.assign(assigned)
        await node.running("web")
        engine.fails = lambda verb, name: "busy" if verb == "remove" and "_cache_" in name else ""
        await node.assign(replace(assigned, delete_grace_s=0))
        await asyncio.sleep(5)
        assert not [c for c in engine.containers if c.state is State.RUNNING]
        assert not reported(node.reports[-1], "web").is_gone
        engine.fails = lambda _verb, _name: ""
        await node.until(lambda r: reported(r, "web").is_gone, within_s=60)
        assert await engine.volumes() == []


@on_virtual_time
async def test_a_pod_that_cannot_have_its_secret_waits_and_says_why():
    async with a_node() as (node, engine):
        node.storage.has_tmpfs = False
        async with answering(node, {KEYS: secret()}):
            await node.assign(a_pod(HIDDEN, settings=""))
            await asyncio.sleep(3)
        assert state_reason(reported(node.reports[-1], "web")) == "ContainerCreating"
        assert engine.containers == ()
        (event,) = [e for e in node.events if e.reason == "FailedMount"][:1]
        assert "secrets are kept in memory only" in event.message
        assert "hush" not in str(node.events)


@on_virtual_time
async def test_after_a_loss_of_power_secrets_are_asked_for_again():
    async with a_node() as (node, engine), answering(node, {SETTINGS: held(), KEYS: secret()}):
        await node.assign(a_pod(FILES, HIDDEN))
        await node.running("web")
        await node.kill()
        engine.crash()
        node.storage.lose_power()
        assert list(await node.storage.open()) == [SETTINGS]
        before = node.reports[-1].incarnation
        await node.start()
        await node.until(lambda r: r.incarnation > before and is_running(reported(r, "web")))
        assert node.storage.files[key(), "hidden"] == {"password": b"hush"}


@on_virtual_time
async def test_who_knows_less_than_the_agent_was_told_of_is_not_believed():
    async with a_node() as (node, _):
        contents = {SETTINGS: held("4", level="old")}
        async with answering(node, contents):
            await node.assign(a_pod(FILES, keys=""))
            await asyncio.sleep(3)
            assert (key(), "files") not in node.storage.files
            contents[SETTINGS] = held("5", level="new")
            await node.running("web")
            assert node.storage.files[key(), "files"] == {"level": b"new"}


@on_virtual_time
async def test_an_object_that_changes_while_it_is_read_is_read_from_its_start():
    async with a_node() as (node, _):
        contents = {SETTINGS: held("5", level="a" * 50)}
        async with answering(node, contents):
            network, counted = node.network, 0

            def change(_sender: str, _receiver: str, subject: str) -> tuple[float, ...]:
                nonlocal counted
                counted += subject == subjects.content("node-1")
                if counted == 3:
                    contents[SETTINGS] = held("6", level="b" * 50)
                return (0.001,)

            network.faults = change
            await node.assign(a_pod(FILES, keys=""))
            await node.running("web")
        assert node.storage.files[key(), "files"] == {"level": b"b" * 50}
