"""Spans of time as users write them (``1m30s``), and as kubectl prints ages (``5m12s``)."""

import re
import time

from orchestrator.cli.refused import Refused
from proto.meta import parse_time_ms

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

WEEK_S = 7 * 24 * 3600.0
"""What a negative timeout means. Source: kubectl wait."""


def seconds(text: str) -> float:
    """Of a duration; a number alone is seconds, a negative one a week.

    Raises:
        Refused: It is none.

    >>> seconds("1m30s"), seconds("500ms"), seconds("5"), seconds("-1s")
    (90.0, 0.5, 5.0, 604800.0)
    """
    if text.startswith("-"):
        return WEEK_S
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or _PART.sub("", text):
        raise Refused(f"{text!r} is no duration", hint="write 30s, 5m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def age(since: str | None) -> str:
    """How long ago a time was; empty text is ``<unknown>``."""
    if not since:
        return "<unknown>"
    return span(time.time() - parse_time_ms(since) / 1000)


def span(seconds: float) -> str:
    """As kubectl writes it, in two units at most. Source: apimachinery, HumanDuration.

    >>> span(5), span(130), span(3 * 60 * 60 + 60), span(3 * 24 * 3600)
    ('5s', '2m10s', '3h1m', '3d')
    """
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
