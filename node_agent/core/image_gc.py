"""Which images may go when the disk is full. Source of the rules: the kubelet, image_gc_manager.go.

Above the high mark unused images go, those that were not used for the longest time first, until the
disk is below the low mark. What this agent did not see in use yet counts as used when it was first
seen, so an agent that has just started removes nothing.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from node_agent.core.observed import image_names


class Space(Struct, frozen=True):
    """Of a file system."""

    capacity_bytes: int
    available_bytes: int
    inodes: int = 0
    inodes_free: int = 0


class Policy(Struct, frozen=True):
    """When to begin, how far to go, and what to leave alone.

    Attributes:
        high_percent: In use, and images begin to go; 100: never.
        low_percent: In use, and enough have gone.
        min_age_ms: Younger images stay.
    """

    high_percent: int
    low_percent: int
    min_age_ms: int


class Record(Struct, frozen=True):
    """What is known of an image that is here.

    Attributes:
        first_seen_ms: Epoch milliseconds, as all times.
        last_used_ms: The latest time at which a container or an assigned pod had it.
    """

    id: str
    names: tuple[str, ...]
    size_bytes: int
    first_seen_ms: int
    last_used_ms: int


def followed(
    known: Mapping[str, Record],
    present: Iterable[tuple[str, tuple[str, ...], int]],
    used_ids: frozenset[str],
    wanted: Iterable[str],
    now_ms: int,
) -> dict[str, Record]:
    """The records after a look.

    Args:
        known: Those from before.
        present: Id, names and size of what is here.
        used_ids: What containers were made of.
        wanted: What assigned pods name.
        now_ms: Of the look.
    """
    in_use = {name for image in wanted for name in image_names(image)}
    records = {}
    for id, names, size_bytes in present:
        old = known.get(id)
        is_used = id in used_ids or not in_use.isdisjoint(names)
        last_used_ms = now_ms if is_used or old is None else old.last_used_ms
        first_ms = now_ms if old is None else old.first_seen_ms
        records[id] = Record(id, names, size_bytes, first_ms, last_used_ms)
    return records


def excess_bytes(space: Space, policy: Policy) -> int:
    """How much must go to be below the low mark; 0 while the high one was not reached."""
    used_percent = 100 - space.available_bytes * 100 // space.capacity_bytes
    if policy.high_percent >= 100 or used_percent < policy.high_percent:
        return 0
    return space.capacity_bytes * (100 - policy.low_percent) // 100 - space.available_bytes


def removable(
    records: Mapping[str, Record], kept_names: Iterable[str], min_age_ms: int, now_ms: int
) -> list[Record]:
    """What may go, in that order: what is not in use now, and not young.

    Args:
        records: As of `now_ms`.
        kept_names: Names of images that stay, whatever becomes of them.
        min_age_ms: Since it was first seen.
        now_ms: Of the last look.
    """
    kept = frozenset(kept_names)
    unused = (
        record
        for record in records.values()
        if record.last_used_ms < now_ms
        and now_ms - record.first_seen_ms >= min_age_ms
        and kept.isdisjoint(record.names)
    )
    return sorted(unused, key=lambda r: (r.last_used_ms, r.first_seen_ms, r.id))
