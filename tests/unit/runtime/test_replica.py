"""A replica sees what the leader sees, whatever happens to its watch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from orchestrator.runtime import replica
from orchestrator.store import Put, keys
from orchestrator.store.memory import FINE, Fate, MemoryStore
from orchestrator.world import Change, World
from proto import kinds
from proto.kinds.pod import PODS
from tests import virtual_time
from tests.unit.runtime.spine import Spine, create_op, leading, pod, stored, until
from tests.unit.runtime.test_writer import remove, update


@contextlib.asynccontextmanager
async def following() -> AsyncIterator[tuple[Spine, World]]:
    """A leader, and a world that follows its store and has caught up."""
    async with leading() as (spine, tasks):
        world = World()
        spine.run(tasks, replica.follow(MemoryStore(spine.server, "two"), world))
        await until(lambda: world.revision == spine.world.revision)
        yield spine, world


def content(world: World) -> list[tuple[str, int, bytes]]:
    """Everything a client can see of it."""
    return [(e.name, e.version, bytes(e.raw)) for kind in kinds.ALL for e in world.entries(kind)]


async def caught_up(spine: Spine, world: World) -> None:
    await until(lambda: world.revision == spine.world.revision)
    assert content(world) == content(spine.world)


def test_a_replica_has_the_same_objects_at_the_same_versions():
    async def main() -> None:
        async with following() as (spine, world):
            heard: list[Change] = []
            world.listen(heard.extend)
            led: list[Change] = []
            spine.world.listen(led.extend)
            a, _, _ = await spine.commit(*(create_op(stored(pod(n))) for n in "abc"))
            record = Put(keys.deploy("default", "x"), b"")
            await spine.writer.commit((remove("b"), update(a, seen="1")), (record,))
            await caught_up(spine, world)
            assert [(c.version, c.entry.name) for c in heard] == [
                (c.version, c.entry.name) for c in led
            ]

    virtual_time.run(main())


def test_a_replica_whose_watch_breaks_or_lags_catches_up():
    for fate in (Fate(is_request_lost=True), Fate(request_delay_s=3)):

        async def main(fate: Fate = fate) -> None:
            async with following() as (spine, world):
                spine.server.faults = lambda client, verb: (
                    fate if (client, verb) == ("two", "batch") else FINE
                )
                await spine.commit(*(create_op(stored(pod(n))) for n in "abc"))
                await spine.commit(remove("b"))
                spine.server.faults = lambda _client, _verb: FINE
                await spine.commit(create_op(stored(pod("d"))))
                await caught_up(spine, world)

        virtual_time.run(main())


def test_a_replica_whose_history_was_compacted_lists_again():
    async def main() -> None:
        async with following() as (spine, world):
            (a, _) = await spine.commit(*(create_op(stored(pod(n))) for n in "ab"))

            def compact_before_the_watch(_client: str, verb: str) -> Fate:
                if verb == "watch":
                    spine.server.apply([], [Put("/busy", b"")])
                    spine.server.apply([], [Put("/busy", b"")])
                    spine.server.compact(spine.server.revision)
                    spine.server.faults = lambda _client, _verb: FINE
                return FINE

            spine.server.faults = compact_before_the_watch
            spine.server.break_watches("two")
            await asyncio.sleep(1)
            await spine.commit(remove("b"), update(a, seen="1"))
            await caught_up(spine, world)

    virtual_time.run(main())


def test_a_replica_waits_for_a_store_that_is_away_and_keeps_what_it_knows():
    async def main() -> None:
        async with following() as (spine, world):
            await spine.commit(create_op(stored(pod("a"))))
            await caught_up(spine, world)
            spine.server.is_up = False
            spine.server.break_watches("two")
            with structlog.testing.capture_logs() as logged:
                await asyncio.sleep(30)
            said = [entry["event"] for entry in logged]
            assert said.count("replica.interrupted") == 1
            assert content(world) == content(spine.world)
            spine.server.is_up = True
            await spine.commit(create_op(stored(pod("b"))))
            await caught_up(spine, world)

    virtual_time.run(main())


def test_what_a_replica_cannot_read_does_not_stop_it():
    async def main() -> None:
        async with following() as (spine, world):
            prefix = keys.prefix(PODS)
            for key in (f"{prefix}default/broken", f"{prefix}nameless", f"{keys.REGISTRY}x/y/z"):
                spine.server.apply([], [Put(key, b"\xff")])
            await spine.commit(create_op(stored(pod("a"))))
            await caught_up(spine, world)

    virtual_time.run(main())
