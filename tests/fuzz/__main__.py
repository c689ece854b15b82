"""``python -m tests.fuzz``: thousands of wild requests to an API of its own."""

import argparse
import multiprocessing
import sys
from collections import Counter

from tests.fuzz.run import fuzz, hush


def main() -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the first process (default: 0)")
    options = parser.parse_args()
    share = -(-options.requests // options.workers)
    answers: Counter[int] = Counter()
    with multiprocessing.get_context("spawn").Pool(options.workers, hush) as pool:
        seeds = range(options.seed, options.seed + options.workers)
        for found in pool.starmap(fuzz, [(share, seed) for seed in seeds]):
            answers += found
    said = ", ".join(f"{count} of {code}" for code, count in sorted(answers.items()))
    sys.stdout.write(f"{answers.total()} requests answered: {said}\n")
    sys.stdout.write("no 5xx, nothing hung, nothing that was refused left a trace\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
