"""Keeps the world of an orchestrator that does not lead: list, then watch, again and again.

So it answers reads meanwhile, and leads at once when its turn comes.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby

import structlog

from orchestrator.store import Store, WatchEvent, keys
from orchestrator.world import Change, World
from orchestrator.world.entry import Entry, version_of
from proto.errors import Compacted, Unavailable

log = structlog.get_logger()

RETRY_S = 0.5
"""Before listing again after the store went away: a person notices no staleness."""


async def follow(store: Store, world: World) -> None:
    """Keep the world up to date until cancelled."""
    is_trouble_said = False
    while True:
        try:
            world.sync(await store.range(keys.REGISTRY))
            is_trouble_said = False
            await _watch(store, world)
        except (Compacted, Unavailable) as error:
            if not is_trouble_said:  # once, however long it takes
                log.info("replica.interrupted", error=str(error))
            is_trouble_said = True
            await asyncio.sleep(RETRY_S)


async def _watch(store: Store, world: World) -> None:
    watch = await store.watch(keys.REGISTRY, world.revision + 1)
    try:
        while True:
            events = await watch.batch()
            for revision, group in groupby(events, lambda event: event.revision):
                world.apply(revision, _changes(world, list(group)))
    finally:
        await watch.close()


def _changes(world: World, events: Sequence[WatchEvent]) -> list[Change]:
    changes = []
    for position, event in enumerate(events):
        kind = world.kinds.stored_at(event.key)
        if kind is None:  # a newer orchestrator's kind: not ours to serve
            continue
        new = None if event.item is None else Entry.stored(kind, event.item)
        namespace, _, name = event.key.removeprefix(keys.prefix(kind)).partition("/")
        old = world.entry(kind, "" if namespace == "_" else namespace, name)
        if new is None and old is None:
            continue
        version = version_of(event.revision, position) if new is None else new.version
        changes.append(Change(version, kind, old, new))
    return changes
