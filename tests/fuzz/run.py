"""One process's share of the requests."""

import logging
from collections import Counter

import structlog

from tests.fuzz import documented, mutated
from tests.fuzz.server import serving


def hush() -> None:
    """Refusals are what is wanted here: they need no line in the log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def fuzz(requests: int, seed: int) -> Counter[int]:
    """How many answers there were of each status.

    Args:
        requests: About how many to send: half of them by the documents, half broken manifests.
        seed: The same one sends the same requests.

    Raises:
        AssertionError: An answer was wrong; it says what was asked.
    """
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
