"""``python -m tests.simulation``: many seeds on several cores, or one seed in detail."""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator

from tests.simulation.run import Outcome, run


def outcomes(seeds: Iterable[int], workers: int) -> Iterator[Outcome]:
    """Of each seed, as they come."""
    if workers == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=4)


def told(outcome: Outcome) -> str:
    """What failed, and how to see it again."""
    return (
        f"seed {outcome.seed}: {outcome.violation}\n"
        f"  repeat: python -m tests.simulation --seed {outcome.seed} [--trace]"
    )


def main() -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--trace", action="store_true", help="with every log event of the daemons")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed, is_told=options.trace)
    return _many(range(options.first, options.first + options.seeds), options.workers)


def _one(seed: int, *, is_told: bool) -> int:
    outcome = run(seed, is_traced=True, is_told=is_told)
    sys.stdout.write("\n".join(outcome.story) + "\n")
    sys.stdout.write(
        f"{outcome.seconds:.0f} virtual seconds, {outcome.turns} turns, {outcome.commits} commits, "
        f"{outcome.starts} containers started, checksum {outcome.checksum:08x}\n"
        f"{outcome.violation or 'all held'}\n"
    )
    return 1 if outcome.violation else 0


def _many(seeds: range, workers: int) -> int:
    began = time.monotonic()
    done = failed = 0
    seconds = 0.0
    for outcome in outcomes(seeds, workers):
        done += 1
        seconds += outcome.seconds
        if outcome.violation:
            failed += 1
            sys.stdout.write(told(outcome) + "\n")
            sys.stdout.flush()
    took = time.monotonic() - began
    sys.stdout.write(
        f"{done} seeds, {failed} failed; {seconds / 3600:.1f} virtual hours in {took:.0f} s "
        f"({done / took:.1f} seeds/s)\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
