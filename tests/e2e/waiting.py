"""Waiting for the world: look again until it is so, or say what it was instead."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY_S = 0.02


def eventually(look: Callable[[], T], *, within_s: float, what: str) -> T:
    """The first true value that `look` returns.

    Raises:
        AssertionError: After `within_s` seconds, with what was seen last.
    """
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what}; last seen: {seen!r}")
        time.sleep(LOOK_EVERY_S)
    return seen


def throughout(look: Callable[[], bool], *, for_s: float, what: str) -> None:
    """`look` is true now and stays true.

    Raises:
        AssertionError: As soon as it is not.
    """
    elapsed = stopwatch()
    while elapsed() < for_s:
        assert look(), f"no longer so after {elapsed():.2f} s: {what}"
        time.sleep(LOOK_EVERY_S)


def stopwatch() -> Callable[[], float]:
    """Seconds since now."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
