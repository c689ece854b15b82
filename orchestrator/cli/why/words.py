"""Words for numbers: ages, counts, exit codes, events."""

import signal
from collections.abc import Iterable

from proto.kinds.disruption import PodDisruptionBudget
from proto.kinds.event import Event
from proto.kinds.kind import format_age
from proto.meta import Resource, parse_time_ms

SIGNALLED = 128
"""Exit codes above it tell which signal ended a program. Source: POSIX shells, and Docker."""


def time_ms(text: str | None) -> int | None:
    """A time of an object as epoch milliseconds; None when there is none, or it is no time."""
    try:
        return parse_time_ms(text) if text else None
    except ValueError:
        return None


def kind_name(found: Resource) -> str:
    """What it is, CamelCase; objects in a list need not say it themselves."""
    return found.kind or type(found).__name__


def age(text: str | None, now_ms: int) -> str:
    """For how long: ``3m``; ``some time`` when nobody wrote down since when."""
    since_ms = time_ms(text)
    return "some time" if since_ms is None else format_age(since_ms, now_ms)


def count(number: int, word: str, plural: str = "") -> str:
    """The number with its word.

    >>> count(1, "pod"), count(2, "pod"), count(0, "policy", "policies")
    ('1 pod', '2 pods', '0 policies')
    """
    return f"{number} {word if number == 1 else plural or word + 's'}"


def listed(names: Iterable[str], at_most: int = 5) -> str:
    """Names with commas; of many, the first and how many more.

    >>> listed("abc"), listed("abc", at_most=2)
    ('a, b, c', 'a, b and 1 more')
    """
    found = list(names)
    if len(found) <= at_most:
        return ", ".join(found)
    return f"{', '.join(found[:at_most])} and {len(found) - at_most} more"


def signal_name(exit_code: int) -> str:
    """The signal that an exit code tells of; empty when it tells of none.

    >>> signal_name(137), signal_name(1)
    ('SIGKILL', '')
    """
    try:
        return signal.Signals(exit_code - SIGNALLED).name if exit_code > SIGNALLED else ""
    except ValueError:
        return ""


def told(event: Event, now_ms: int) -> str:
    """An event in one line: what it is called, how often and when, and what it says."""
    last = event.last_timestamp or event.event_time or event.first_timestamp
    times = f" {event.count} times" if event.count > 1 else ""
    return f"event {event.reason}{times}, {age(last, now_ms)} ago: {event.message.strip()}"


def budgeted(budget: PodDisruptionBudget) -> str:
    """What a disruption budget counts."""
    status = budget.status
    return (
        f"budget {budget.metadata.name}: {status.current_healthy} healthy, "
        f"{status.desired_healthy} must stay"
    )
