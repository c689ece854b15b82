"""Events: counted, kept for an hour, and never in the way."""

import asyncio

from msgspec.structs import replace

from orchestrator.runtime.recorder import (
    PRUNE_EVERY_S,
    QUEUE_LIMIT,
    RETENTION_MS,
    Recorder,
)
from orchestrator.store.memory import FINE, Fate
from proto.kinds.event import EVENTS, Event
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from tests import virtual_time
from tests.unit.core import making
from tests.unit.runtime.spine import Spine, leading, pod, stored, until


def record(recorder: Recorder, message: str = "it happened", name: str = "a") -> None:
    recorder.record(PODS, stored(pod(name)), "Normal", "Happened", message)


def events(spine: Spine) -> list[Event]:
    return spine.world.objects(EVENTS)


def test_an_event_says_what_happened_to_which_object():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            made = await spine.create(PODS, pod("a"))
            spine.recorder.record(PODS, made, "Warning", "Broke", "it broke")
            (event,) = await until(lambda: events(spine))
            about = event.involved_object
            assert (about.kind, about.namespace, about.name) == ("Pod", "default", "a")
            assert about.uid == made.metadata.uid
            assert (event.type, event.reason, event.message) == ("Warning", "Broke", "it broke")
            assert (event.count, event.metadata.namespace) == (1, "default")
            assert event.first_timestamp == event.last_timestamp == "2023-11-14T22:13:20.000Z"

    virtual_time.run(main())


def test_events_of_cluster_scoped_objects_are_kept_in_the_default_namespace():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            spine.recorder.record(NODES, making.node("n1"), "Normal", "NodeReady", "")
            (event,) = await until(lambda: events(spine))
            assert event.metadata.namespace == "default"

    virtual_time.run(main())


def test_the_same_thing_happening_again_is_counted():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            for _ in range(3):
                record(spine.recorder)
            record(spine.recorder, "something else")
            await until(lambda: len(events(spine)) == 2)
            await asyncio.sleep(10)
            record(spine.recorder)
            await until(lambda: sum(event.count for event in events(spine)) == 5)
            again = next(event for event in events(spine) if event.count == 4)
            assert again.first_timestamp == "2023-11-14T22:13:20.000Z"
            assert again.last_timestamp.startswith("2023-11-14T22:13:30.")

    virtual_time.run(main())


def test_similar_events_become_one_that_shows_the_latest():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            for number in range(40):
                record(spine.recorder, f"failed: {number}")
            combined = await until(
                lambda: next((e for e in events(spine) if e.message.startswith("(combined")), None)
            )
            await until(lambda: events(spine)[-1] and sum(e.count for e in events(spine)) == 25)
            combined = spine.world.get(EVENTS, "default", combined.metadata.name)
            assert combined is not None
            assert combined.message == "(combined from similar events): failed: 24"
            assert (len(events(spine)), combined.count) == (10, 16)
            assert spine.recorder.held_back == 15

    virtual_time.run(main())


def test_events_older_than_an_hour_go():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            record(spine.recorder, "old")
            await asyncio.sleep(RETENTION_MS / 1000 - 60)
            record(spine.recorder, "new")
            assert len(await until(lambda: len(events(spine)) == 2 and events(spine))) == 2
            await asyncio.sleep(60 + PRUNE_EVERY_S + 1)
            assert [event.message for event in events(spine)] == ["new"]

    virtual_time.run(main())


def test_recording_never_waits_and_under_a_flood_the_oldest_are_dropped():
    async def main() -> None:
        async with leading() as (spine, tasks):
            for n in range(QUEUE_LIMIT + 10):
                record(spine.recorder, name=f"p{n}")  # nobody writes yet: it returns all the same
            assert spine.recorder.dropped == 10
            spine.run(tasks, spine.recorder.run())
            await until(lambda: spine.world.count(EVENTS) == QUEUE_LIMIT)
            names = {event.involved_object.name for event in events(spine)}
            assert "p9" not in names
            assert {"p10", f"p{QUEUE_LIMIT + 9}"} <= names

    virtual_time.run(main())


def test_a_store_that_is_away_costs_the_events_of_that_time_and_no_others():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            spine.server.faults = lambda _client, _verb: Fate(is_request_lost=True)
            record(spine.recorder, "unheard")
            await until(lambda: spine.recorder.dropped == 1)
            spine.server.faults = lambda _client, _verb: FINE
            record(spine.recorder, "heard")
            (event,) = await until(lambda: events(spine))
            assert event.message == "heard"

    virtual_time.run(main())


def test_an_event_about_a_namespace_that_is_gone_is_dropped_quietly():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            spine.recorder.record(PODS, stored(pod("a", namespace="gone")), "Normal", "X", "")
            record(spine.recorder)
            assert len(await until(lambda: events(spine))) == 1

    virtual_time.run(main())


def test_an_object_with_the_longest_name_has_events_too():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            label = "a" * 60
            long = ".".join((label, label, label, "b" * 46, "c" * 22))
            assert long[229] == "."
            found = stored(pod("x"))
            found = replace(found, metadata=replace(found.metadata, name=long))
            spine.recorder.record(PODS, found, "Normal", "Happened", "")
            (event,) = await until(lambda: events(spine))
            assert event.involved_object.name == long

    virtual_time.run(main())


def test_what_happens_within_a_second_is_told_in_its_order():
    async def main() -> None:
        async with leading() as (spine, tasks):
            spine.run(tasks, spine.recorder.run())
            made = await spine.create(PODS, pod("a"))
            reasons = ["Scheduled", "Pulled", "Created", "Started"]
            for reason in reasons:
                spine.recorder.record(PODS, made, "Normal", reason, "")
                await asyncio.sleep(0.002)
            found = await until(lambda: len(events(spine)) == 4 and events(spine))
            told = sorted(found, key=lambda event: event.last_timestamp)
            assert [event.reason for event in told] == reasons

    virtual_time.run(main())
