"""Sets of completion indexes, as intervals: a job may have a hundred thousand."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from proto.kinds.jobpolicy import parse_indexes


class Indexes(Struct, frozen=True):
    """Disjoint intervals, first and last of each, in ascending order, none touching the next."""

    intervals: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self.intervals, index, key=lambda interval: interval[0]) - 1
        return at >= 0 and index <= self.intervals[at][1]

    def __or__(self, others: "Indexes") -> "Indexes":
        merged: list[tuple[int, int]] = []
        for first, last in sorted((*self.intervals, *others.intervals)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return Indexes(tuple(merged))

    def __and__(self, others: "Indexes") -> "Indexes":
        shared = (
            (max(first, other_first), min(last, other_last))
            for first, last in self.intervals
            for other_first, other_last in others.intervals
        )
        return Indexes(tuple(sorted((first, last) for first, last in shared if first <= last)))

    def missing(self, below: int) -> Iterator[int]:
        """What is not in it, in ascending order."""
        at = 0
        for first, last in self.intervals:
            yield from range(at, min(first, below))
            at = last + 1
        yield from range(at, below)


def of(found: Iterable[int]) -> Indexes:
    """A set of single indexes."""
    return Indexes() | Indexes(tuple((index, index) for index in found))


@lru_cache(maxsize=1024)  # a status is read many times for each change of it
def parsed(text: str, below: int) -> Indexes:
    """Those of a status that are below a number of completions, which may have become smaller.

    >>> parsed("0,2-9", 4)
    Indexes(intervals=((0, 0), (2, 3)))
    """
    intervals = ((first, min(last, below - 1)) for first, last in parse_indexes(text))
    return Indexes() | Indexes(tuple((first, last) for first, last in intervals if first <= last))


def formatted(found: Indexes) -> str:
    """As a status has it: two neighbours with a comma, more with a dash.

    >>> formatted(of([0, 2, 3, 5, 6, 7]))
    '0,2,3,5-7'
    """
    parts = []
    for first, last in found.intervals:
        if last == first + 1:
            parts += [str(first), str(last)]
        else:
            parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)
