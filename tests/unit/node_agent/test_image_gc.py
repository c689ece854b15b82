"""Images that nobody uses go when the disk is full, and no others."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from node_agent.core.events import Told
from node_agent.core.image_gc import Policy, Record, Space, excess_bytes, followed, removable
from node_agent.engine import Image
from node_agent.engine.fake import FakeEngine
from node_agent.host import Clock, Machine
from node_agent.housekeeping import Housekeeper
from node_agent.observer import Observer
from node_agent.settings import Settings
from node_agent.storage.memory import MemoryStorage
from tests.unit.node_agent.given import NODE, NOW_MS

KUBELETS = Policy(85, 80, 120_000)
MINUTE_MS = 60_000


def record(id: str, *, seen: int = 0, used: int = 0, size: int = 100) -> Record:
    """Minutes ago."""
    times = NOW_MS - seen * MINUTE_MS, NOW_MS - used * MINUTE_MS
    return Record(id, (f"{id}:1",), size, *times)


@pytest.mark.parametrize(
    ("available", "excess"), [(1000, 0), (160, 0), (159, 41), (100, 100), (0, 200)]
)
def test_above_the_high_mark_so_much_is_to_go_that_the_low_one_is_met(available: int, excess: int):
    assert excess_bytes(Space(1000, available), KUBELETS) == excess


def test_at_a_hundred_percent_nothing_goes_ever():
    assert excess_bytes(Space(1000, 0), Policy(100, 80, 0)) == 0


def test_what_was_unused_for_longest_goes_first_but_nothing_young_or_in_use_or_kept():
    known = [
        record("a", seen=90, used=10),
        record("b", seen=80, used=30),
        record("young", seen=1, used=1),
        record("used", seen=90, used=0),
        record("pause", seen=90, used=80),
    ]
    records = {found.id: found for found in known}
    found = removable(records, ("pause:1",), KUBELETS.min_age_ms, NOW_MS)
    assert [r.id for r in found] == ["b", "a"]


def test_containers_and_assigned_pods_use_images():
    present = [("1", ("a:1",), 1), ("2", ("b:latest",), 1), ("3", ("c:1",), 1)]
    before = {id: Record(id, names, size, 5, 5) for id, names, size in present}
    after = followed(before, present, frozenset({"1"}), ("docker.io/library/b",), 9)
    assert {id: r.last_used_ms for id, r in after.items()} == {"1": 9, "2": 9, "3": 5}
    assert followed({}, present[2:], frozenset(), (), 9)["3"].last_used_ms == 9
    assert followed(before, present[:1], frozenset(), (), 9).keys() == {"1"}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8),
    st.sets(st.integers(0, 7)),
    st.integers(0, 9),
)
def test_nothing_that_is_in_use_or_young_is_ever_removable(ages, used, min_age):
    present = [(str(n), (f"{n}:1",), 1) for n in range(len(ages))]
    known = {str(n): record(str(n), seen=max(a), used=min(a)) for n, a in enumerate(ages)}
    in_use = frozenset(str(n) for n in used)
    records = followed(known, present, in_use, (), NOW_MS)
    for found in removable(records, (), min_age * MINUTE_MS, NOW_MS):
        assert found.id not in in_use
        assert NOW_MS - found.first_seen_ms >= min_age * MINUTE_MS


class FullDisk(Machine):
    """One on which nothing but the engine's images matters."""

    def __init__(self, engine: FakeEngine, capacity: int) -> None:
        super().__init__()
        self._engine = engine
        self.capacity = capacity

    async def space(self, path: str) -> Space | None:
        assert path == "/engine"
        images: Sequence[Image] = await self._engine.images()
        used = sum(image.size_bytes for image in images)
        return Space(self.capacity, self.capacity - used)


async def test_a_full_disk_is_emptied_as_far_as_may_be():
    now_ms = NOW_MS
    names = [f"demo/{n}:1" for n in range(10)]
    engine = FakeEngine(NODE, lambda: now_ms, random.Random(1), images=names, delays={})
    clock = Clock(lambda: now_ms * 1_000_000, lambda: 0)
    observer = Observer(engine, MemoryStorage(), lambda: None, clock=clock, resync_s=60)
    observer.info = await engine.info()
    await observer.look_at_images()
    told: list[Told] = []
    keeper = Housekeeper(
        engine,
        FullDisk(engine, 11 << 20),
        observer,
        told.append,
        Settings(),
        clock=lambda: now_ms,
        wanted=lambda: names[:4],
    )
    assert await keeper.tidy() == 0  # all of them are young
    assert [t.reason for t in told] == ["FreeDiskSpaceFailed"]
    now_ms += 2 * MINUTE_MS
    assert await keeper.tidy() == 2 << 20
    assert len(await engine.images()) == 8
    now_ms += MINUTE_MS
    await keeper.tidy()
    assert (len(told), len(await engine.images())) == (1, 8)
    keeper._machine = FullDisk(engine, 1 << 20)
    await keeper.tidy()
    assert {n for image in await engine.images() for n in image.names} == set(names[:4])
    assert "only found 4194304 bytes eligible to free" in told[-1].message
