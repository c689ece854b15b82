"""What the node and its containers use: when to look at each, and what two looks say. Pure.

Kernels count the CPU time that something has used since it began; its use is what two looks differ
by, over the time between them. Whatever is new is looked at twice in a row, so that there is a
figure soon; then it has its own moment in each period, so that the looks spread over it.
"""

import zlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from node_agent.core.observed import Container, State
from proto.messages import Usage

AGAIN_MS = 1_000
"""Between the first two looks: a hundred of the ticks in which kernels count a machine's CPU."""

WINDOW_NS_MIN = 100_000_000
"""Less says nothing: ten of those ticks; or the clock was set meanwhile."""

NODE = ""
"""The machine itself, among the ids of what is looked at."""


class Sample(Struct, frozen=True):
    """One look.

    Attributes:
        at_ns: Of the wall clock there.
        cpu_ns: Used since it began, all cores together.
        memory_bytes: In use now, but for page cache that could be dropped.
    """

    at_ns: int
    cpu_ns: int
    memory_bytes: int


class Track(Struct, frozen=True):
    """What is known of one thing.

    Attributes:
        due_ms: When to look next, milliseconds of a clock that nobody sets.
        sample: The newest; None when there is none, or looking failed.
        usage: What the newest two say.
    """

    due_ms: int
    sample: Sample | None = None
    usage: Usage | None = None


def follow(tracks: Mapping[str, Track], ids: Iterable[str], now_ms: int) -> dict[str, Track]:
    """The tracks of what there is now; what is new is due at once."""
    return {id: tracks.get(id) or Track(now_ms) for id in ids}


def due(tracks: Mapping[str, Track], now_ms: int) -> list[str]:
    """What to look at now, the longest due first."""
    late = sorted((track.due_ms, id) for id, track in tracks.items() if track.due_ms <= now_ms)
    return [id for _, id in late]


def advance(id: str, track: Track, sample: Sample | None, now_ms: int, period_ms: int) -> Track:
    """The track after a look; None: it could not be had."""
    usage = between(track.sample, sample) if track.sample and sample else None
    if sample is not None and usage is None:
        return Track(now_ms + min(AGAIN_MS, period_ms), sample)
    return Track(_next_moment(id, now_ms, period_ms), sample, usage)


def _next_moment(id: str, now_ms: int, period_ms: int) -> int:
    """Its moment in a period, half of one from now at least: shorter windows say less.

    >>> [_next_moment(id, 0, 15_000) for id in ("", "a", "b")]
    [15000, 20907, 8681]
    """
    earliest = now_ms + period_ms // 2
    return earliest + (zlib.crc32(id.encode()) - earliest) % period_ms


def between(before: Sample, after: Sample) -> Usage | None:
    """What two looks at one thing say; None when they are no such two."""
    window_ns, used_ns = after.at_ns - before.at_ns, after.cpu_ns - before.cpu_ns
    if window_ns < WINDOW_NS_MIN or used_ns < 0:
        return None
    return Usage(
        at_ms=after.at_ns // 1_000_000,
        window_ms=window_ns // 1_000_000,
        cpu_nano=used_ns * 1_000_000_000 // window_ns,
        memory_bytes=after.memory_bytes,
    )


def running(containers: Iterable[Container]) -> list[Container]:
    """Those that use something."""
    return [found for found in containers if found.state is State.RUNNING]


def by_pod(
    containers: Iterable[Container], tracks: Mapping[str, Track]
) -> dict[str, dict[str, Usage]]:
    """By pod uid and container, what is known."""
    found: dict[str, dict[str, Usage]] = {}
    for container in sorted(containers, key=lambda c: (c.pod, c.container, c.attempt)):
        track = tracks.get(container.id)
        if track is not None and track.usage is not None:
            found.setdefault(container.pod.uid, {})[container.container] = track.usage
    return found


def total(tracks: Mapping[str, Track]) -> Usage | None:
    """Of the machine; where that cannot be told, of all containers together."""
    machine = tracks.get(NODE)
    if machine is not None and machine.usage is not None:
        return machine.usage
    if machine is not None and machine.sample is not None:
        return None  # soon
    usages = [track.usage for track in tracks.values() if track.usage is not None]
    if not usages:
        return None
    oldest = min(usages, key=lambda usage: usage.at_ms)
    return Usage(
        at_ms=oldest.at_ms,
        window_ms=oldest.window_ms,
        cpu_nano=sum(usage.cpu_nano for usage in usages),
        memory_bytes=sum(usage.memory_bytes for usage in usages),
    )
