"""The world: versions, indexes, history and feeds."""

import asyncio
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from orchestrator.store import TXN_OPS_MAX, Item, Listing, keys
from orchestrator.world import Change, Entry, World
from orchestrator.world.entry import to_store, version_of
from orchestrator.world.feed import FEED_LIMIT
from proto.errors import Compacted
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import PODS, Pod
from tests import virtual_time
from tests.unit.runtime.spine import pod, stored


def item(found: Pod, revision: int, position: int = 0) -> Item:
    key = keys.of(PODS, found.metadata.namespace, found.metadata.name)
    return Item(key, to_store(found, position), revision, revision)


def listing(revision: int, *items: Item) -> Listing:
    return Listing(revision, items)


def commit(world: World, revision: int, *pods: Pod) -> list[Change]:
    """Write some pods in one transaction."""
    changes = []
    for position, found in enumerate(pods):
        old = world.entry(PODS, found.metadata.namespace, found.metadata.name)
        version = version_of(revision, position)
        changes.append(Change(version, PODS, old, Entry(PODS, found, version)))
    world.apply(revision, changes)
    return changes


def remove(world: World, revision: int, *names: str) -> None:
    changes = []
    for position, name in enumerate(names):
        old = world.entry(PODS, "default", name)
        changes.append(Change(version_of(revision, position), PODS, old, None))
    world.apply(revision, changes)


def told(changes: Iterable[Change]) -> list[str]:
    """``+a`` came, ``~a`` changed, ``-a`` went."""
    signs = {(True, False): "+", (False, False): "~", (False, True): "-"}
    return [signs[c.old is None, c.new is None] + c.entry.name for c in changes]


def test_objects_of_one_transaction_have_versions_of_their_own_in_its_order():
    world = World()
    commit(world, 7, *(stored(pod(name)) for name in "cab"))
    versions = [world.entry(PODS, "default", name).version for name in "cab"]
    assert versions == [7 * TXN_OPS_MAX, 7 * TXN_OPS_MAX + 1, 7 * TXN_OPS_MAX + 2]
    assert versions[-1] < world.version < version_of(8, 0)
    assert world.get(PODS, "default", "c").metadata.resource_version == str(versions[0])


def test_a_restart_gives_every_object_the_version_it_had():
    before, after = World(), World()
    pods = [stored(pod(name)) for name in "abc"]
    commit(before, 7, *pods)
    after.sync(listing(9, *(item(found, 7, position) for position, found in enumerate(pods))))
    assert [e.version for e in after.entries(PODS)] == [e.version for e in before.entries(PODS)]
    assert [e.raw for e in after.entries(PODS)] == [e.raw for e in before.entries(PODS)]


def test_a_sync_announces_what_differs_and_nothing_else():
    world = World()
    same, changed, gone = (stored(pod(name)) for name in ("same", "changed", "gone"))
    world.sync(listing(3, item(same, 1), item(changed, 2), item(gone, 3)))
    heard: list[Change] = []
    world.listen(heard.extend)
    world.sync(listing(9, item(same, 1), item(changed, 8), item(stored(pod("new")), 9)))
    assert told(heard) == ["-gone", "~changed", "+new"]
    assert [found.metadata.name for found in world.objects(PODS)] == ["changed", "new", "same"]


def test_what_went_unseen_gets_versions_of_its_own_so_that_no_watcher_misses_one():
    world = World()
    world.sync(listing(3, *(item(stored(pod(f"p{n}")), 3, n) for n in range(100))))
    heard: list[Change] = []
    world.listen(heard.extend)
    world.sync(listing(5, item(stored(pod("new")), 4)))
    versions = [change.version for change in heard]
    assert len(versions) == 101
    assert versions == sorted(set(versions))
    assert all(version_of(3, 127) < version <= world.version for version in versions)
    halfway = world.follow(PODS, versions[50])
    assert halfway.is_behind
    assert [c.version for c in world._history if c.version > versions[50]] == versions[51:]


def test_an_object_that_was_replaced_unseen_goes_before_its_successor_comes():
    world = World()
    others = [stored(pod(f"p{n}")) for n in range(200)]
    first = stored(pod("web"), uid="first")
    world.sync(listing(3, item(first, 3), *(item(found, 2) for found in others)))
    heard: list[Change] = []
    world.listen(heard.extend)
    world.sync(listing(9, item(stored(pod("web"), uid="second"), 5)))
    assert [mark for mark in told(heard) if mark.endswith("web")] == ["-web", "+web"]
    assert world.by_uid("first") is None
    assert world.by_uid("second").name == "web"


def test_bytes_that_are_no_object_do_not_keep_the_others_from_being_read():
    world = World()
    broken = Item(keys.of(PODS, "default", "broken"), b"\xff{", 2, 2)
    world.sync(listing(3, broken, item(stored(pod("good")), 3)))
    assert [found.metadata.name for found in world.objects(PODS)] == ["good"]


def test_a_store_restored_to_an_earlier_state_cuts_the_watchers_off():
    async def main() -> None:
        world = World()
        world.sync(listing(9, item(stored(pod("a")), 9)))
        commit(world, 10, stored(pod("b")))
        seen = world.version
        feed = world.follow(PODS, seen)
        heard: list[Change] = []
        world.listen(heard.extend)
        world.sync(listing(4, item(stored(pod("a")), 4)))
        with pytest.raises(Compacted):
            await feed.batch()
        with pytest.raises(Compacted):
            world.follow(PODS, seen)
        assert world.revision == 4
        assert set(told(heard)) == {"~a", "-b"}
        assert not world.follow(PODS, world.version).is_behind

    virtual_time.run(main())


def test_a_follower_gets_what_it_missed_then_what_comes_of_its_kind_only():
    async def main() -> None:
        world = World()
        world.sync(listing(1))
        commit(world, 2, stored(pod("a")))
        since = world.version
        commit(world, 3, stored(pod("b")), stored(pod("c")))
        feed, others = world.follow(PODS, since), world.follow(DEPLOYMENTS, since)
        assert told(await feed.batch()) == ["+b", "+c"]
        remove(world, 4, "a")
        commit(world, 5, stored(pod("b")))
        assert told(await feed.batch()) == ["-a", "~b"]
        assert not others.is_behind
        feed.close()
        commit(world, 6, stored(pod("d")))
        assert not feed.is_behind

    virtual_time.run(main())


def test_a_follower_can_resume_in_the_middle_of_a_transaction():
    async def main() -> None:
        world = World()
        world.sync(listing(1))
        first, *_ = commit(world, 2, stored(pod("a")), stored(pod("b")))
        assert told(await world.follow(PODS, first.version).batch()) == ["+b"]

    virtual_time.run(main())


def test_history_is_bounded_and_says_when_it_does_not_reach_back():
    world = World(history_limit=3)
    world.sync(listing(1))
    start = world.version
    versions = [commit(world, n, stored(pod("a")))[0].version for n in range(2, 7)]
    for since in (0, start, versions[0]):
        with pytest.raises(Compacted):
            world.follow(PODS, since)
    assert world.follow(PODS, versions[1]).is_behind
    assert not world.follow(PODS, world.version).is_behind


def test_versions_of_the_future_and_from_before_the_start_cannot_be_followed():
    world = World()
    world.sync(listing(5, item(stored(pod("a")), 2)))
    for since in (world.version + 1, version_of(2, 0), 0):
        with pytest.raises(Compacted):
            world.follow(PODS, since)


def test_a_watcher_that_is_too_slow_is_cut_off_and_forgotten():
    async def main() -> None:
        world = World()
        world.sync(listing(1))
        slow, quick = world.follow(PODS, world.version), world.follow(PODS, world.version)
        found = stored(pod("a"))
        for revision in range(2, FEED_LIMIT + 3):
            commit(world, revision, found)
            assert len(await quick.batch()) == 1
        with pytest.raises(Compacted):
            await slow.batch()
        assert world._feeds == {quick}

    virtual_time.run(main())


def test_a_feed_waits_for_the_first_change():
    async def main() -> None:
        world = World()
        world.sync(listing(1))
        feed = world.follow(PODS, world.version)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(feed.batch())
            await asyncio.sleep(100)
            assert not waiting.done()
            commit(world, 2, stored(pod("a")))
        assert told(waiting.result()) == ["+a"]

    virtual_time.run(main())


def test_pods_are_found_by_their_node_and_move_with_it():
    world = World()
    commit(world, 2, stored(pod("b")), stored(pod("a")), stored(pod("c", node="n1")))
    assert [p.metadata.name for p in world.pods_on("")] == ["a", "b"]
    commit(world, 3, stored(pod("a", node="n1")))
    assert [p.metadata.name for p in world.pods_on("n1")] == ["a", "c"]
    assert [p.metadata.name for p in world.pods_on("")] == ["b"]
    remove(world, 4, "a", "b", "c")
    assert world.pods_on("n1") == world.pods_on("") == []


def test_owners_find_their_dependents_and_orphans_are_those_nobody_controls():
    world = World()
    commit(world, 2, stored(pod("owned", owner="rs1")), stored(pod("orphan")))
    assert [p.metadata.name for p in world.owned_by("rs1", PODS)] == ["owned"]
    assert world.owned_by("rs1", DEPLOYMENTS) == []
    assert [p.metadata.name for p in world.orphans(PODS, "default")] == ["orphan"]
    assert world.orphans(PODS, "elsewhere") == []
    commit(world, 3, stored(pod("orphan", owner="rs1")), stored(pod("owned")))
    assert [e.name for e in world.dependents("rs1")] == ["orphan"]
    assert [p.metadata.name for p in world.orphans(PODS, "default")] == ["owned"]
    remove(world, 4, "orphan")
    assert world.dependents("rs1") == []


def test_an_owner_that_does_not_control_has_a_dependent_that_is_still_an_orphan():
    world = World()
    found = stored(pod("shared", owner="rs1"))
    loose = tuple(replace(r, controller=False) for r in found.metadata.owner_references)
    commit(world, 2, replace(found, metadata=replace(found.metadata, owner_references=loose)))
    assert [e.name for e in world.dependents("rs1")] == ["shared"]
    assert [p.metadata.name for p in world.orphans(PODS, "default")] == ["shared"]


def test_uids_name_the_present_object_only():
    world = World()
    commit(world, 2, stored(pod("a"), uid="one"))
    assert world.by_uid("one").name == "a"
    remove(world, 3, "a")
    assert world.by_uid("one") is None
    commit(world, 4, stored(pod("a"), uid="two"))
    assert world.by_uid("two").version == version_of(4, 0)


def test_objects_are_listed_by_namespace_and_name_and_counted():
    world = World()
    places = (("z", "a"), ("a", "b"), ("a", "a"))
    commit(world, 2, *(stored(pod(name, namespace=room)) for room, name in places))
    assert [(e.namespace, e.name) for e in world.entries(PODS)] == sorted(places)
    assert [e.name for e in world.entries(PODS, "a")] == ["a", "b"]
    assert world.objects(PODS, "nowhere") == []
    assert world.count(PODS) == 3
