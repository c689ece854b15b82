"""What the server bears: requests at once, how long each may take, and how large it may be."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from orchestrator.api.errors import HttpError
from proto.errors import BadRequest

BODY_BYTES_MAX = 3 * 1024 * 1024
"""Source: apiserver, MaxRequestBodyBytes."""

HEADER_BYTES_MAX = 1024 * 1024
"""Of the first line, which holds the command of an exec, and of each header. Source: Go's
DefaultMaxHeaderBytes, which apiserver leaves as it is."""

REQUEST_TIMEOUT_S = 30.0
"""Of everything but watches and streams, from its first line to the last byte of its answer; what
a client asks for by ``?timeout=`` may be less. kubectl itself asks for 32 seconds."""

READS_MAX = 400
"""Requests that only read, besides watches and streams, at once. Source: apiserver."""

WRITES_MAX = 200
"""Requests that change something, at once. Source: apiserver. Readers cannot starve them."""

READ_METHODS = frozenset({"GET", "HEAD"})

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class InFlight:
    """Counts requests under way."""

    def __init__(self) -> None:
        self._reads = 0
        self._writes = 0

    @contextmanager
    def admitted(self, request: web.Request) -> Iterator[None]:
        """Count it while the context is open.

        Raises:
            HttpError: 429: there are as many as the server bears.
        """
        is_read = request.method in READ_METHODS
        if (self._reads >= READS_MAX) if is_read else (self._writes >= WRITES_MAX):
            raise HttpError(
                429, "TooManyRequests", "too many requests, please try again later", retry_after_s=1
            )
        self._reads += is_read
        self._writes += not is_read
        try:
            yield
        finally:
            self._reads -= is_read
            self._writes -= not is_read


def timeout_s(request: web.Request) -> float:
    """How long answering may take.

    Raises:
        BadRequest: The client's own limit cannot be understood.
    """
    asked = request.query.get("timeout")
    return REQUEST_TIMEOUT_S if not asked else min(duration_s(asked), REQUEST_TIMEOUT_S)


def duration_s(text: str) -> float:
    """Seconds of a duration as Go writes it; nothing at all is no limit.

    >>> duration_s("1m30s"), duration_s("250ms"), duration_s("0")
    (90.0, 0.25, 30.0)

    Raises:
        BadRequest: It is none.
    """
    parts = _PART.findall(text) if text.isascii() or "µ" in text else []
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise BadRequest("invalid timeout specified in the request URL")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) or REQUEST_TIMEOUT_S
