"""``python -m tests.fuzz``: thousands of wild requests to an API of its own."""

import argparse
import logging
import multiprocessing
import sys
from collections import Counter

import structlog

from tests.fuzz import documented, mutated
from tests.fuzz.server import serving


def main() -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the first process (default: 0)")
    options = parser.parse_args()
    share = -(-options.requests // options.workers)
    answers: Counter[int] = Counter()
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        seeds = range(options.seed, options.seed + options.workers)
        for found in pool.starmap(fuzz, [(share, seed) for seed in seeds]):
            answers += found
    said = ", ".join(f"{count} of {code}" for code, count in sorted(answers.items()))
    sys.stdout.write(f"{answers.total()} requests answered: {said}\n")
    sys.stdout.write("no 5xx, nothing hung, nothing that was refused left a trace\n")
    return 0


def fuzz(requests: int, seed: int) -> Counter[int]:
    """How many answers there were of each status.

    Args:
        requests: About how many to send: half of them by the documents, half broken manifests.
        seed: The same one sends the same requests.

    Raises:
        AssertionError: An answer was wrong; it says what was asked.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    answers: Counter[int] = Counter()
    strategies = list(documented.operations())
    share = max(1, requests // 2 // len(strategies))
    for name, strategy in strategies:
        with serving() as server:
            server.drive(name, strategy, share, seed)
            answers += server.answers
    with serving() as server:
        server.drive("manifests", mutated.writes(), max(1, requests - answers.total()), seed)
        answers += server.answers
    return answers


if __name__ == "__main__":
    sys.exit(main())
