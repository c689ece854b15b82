"""The audit log: who asked for what, when, and what came of it; a line of JSON for each.

A line is Kubernetes' audit.k8s.io/v1 Event at the level Metadata: no bodies, so no secrets. The
event loop only queues lines; a thread of its own writes them, some at a time, and keeps the files
bounded. What the log could not hold is refused before it is done, and nothing is dropped silently:
see docs/decisions/0014.
"""

import asyncio
import itertools
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from msgspec import UNSET, Struct, UnsetType, field

from proto import codec
from proto.errors import Unavailable
from proto.meta import format_time

log = structlog.get_logger()

QUEUE_BYTES_MAX = 8 * 1024 * 1024
"""Lines waiting to be written: some ten thousand, several seconds of writes at the full rate. A
disk that stands still for longer stops requests. Those that were let in before may add as much
again, beyond which lines are lost, and counted."""

GATHER_S = 0.1
"""Lines of this long are written together: ten wake-ups a second at most, each of which takes the
interpreter from the event loop for a moment."""

RETRY_S = 0.5
"""Before the disk is tried again."""

CLOSE_S = 5.0
"""For what is queued at the end."""


class Reference(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a request is about."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""
    api_version: str = ""
    subresource: str = ""


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """One line.

    Attributes:
        audit_id: Joins the lines of one request, and its answer's header ``Audit-Id``.
        stage: ``ResponseStarted`` (of streams) or ``ResponseComplete``.
        user: As authentication.k8s.io/v1 UserInfo.
        response_status: As `Status`; without a code when nobody was left to be answered.
        request_received_timestamp: RFC 3339 with microseconds; likewise `stage_timestamp`.
    """

    kind: str = "Event"
    api_version: str = "audit.k8s.io/v1"
    level: str = "Metadata"
    audit_id: str = field(name="auditID")
    stage: str
    request_uri: str = field(name="requestURI")
    verb: str
    user: Any
    source_ips: Sequence[str] | UnsetType = field(name="sourceIPs", default=UNSET)
    user_agent: str | UnsetType = UNSET
    object_ref: Reference | UnsetType = UNSET
    response_status: Mapping[str, Any] | UnsetType = UNSET
    request_received_timestamp: str
    stage_timestamp: str
    annotations: Mapping[str, str] | UnsetType = UNSET


def format_micro_time(epoch_ms: int) -> str:
    """RFC 3339 in UTC with microseconds.

    >>> format_micro_time(1_700_000_000_042)
    '2023-11-14T22:13:20.042000Z'
    """
    return f"{format_time(epoch_ms)[:-1]}.{epoch_ms % 1000:03}000Z"


class AuditLog:
    """A file, and those it was before.

    Args:
        path: Of the file that is written now; older ones are ``path.1`` (the youngest) and so on.
        new_id: A unique text.
        clock: Epoch milliseconds.
        includes_reads: Whether what only reads is of interest.
        file_bytes_max: Of one file; a batch of lines is never torn apart.
        files_max: How many there are, the present one among them.

    Attributes:
        lost: How many events were not written, since the start.
        trouble: Why the file cannot be written now; empty when it can.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        new_id: Callable[[], str],
        clock: Callable[[], int],
        includes_reads: bool = False,
        file_bytes_max: int = 100 * 1024 * 1024,
        files_max: int = 10,
    ) -> None:
        self.new_id = new_id
        self.clock = clock
        self.includes_reads = includes_reads
        self.lost = 0
        self._path = path
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._file = _opened(path)
        self._lines: deque[bytes] = deque()
        # Each is changed by one thread alone: the event loop's, and the writer's.
        self._queued_bytes = 0
        self._written_bytes = 0
        self.trouble = ""
        self._filled = threading.Event()
        self._ending = threading.Event()

    def check(self) -> None:
        """Whether what is done now can be written down.

        Raises:
            Unavailable: It cannot.
        """
        trouble = self.trouble or (
            "the disk does not keep up" if self._waiting_bytes > QUEUE_BYTES_MAX else ""
        )
        if trouble:
            raise Unavailable(
                f"the audit log {self._path} cannot be written ({trouble}), and nothing is done "
                "that it would not hold: make room for it on the orchestrator's host"
            )

    def add(self, event: Event) -> None:
        """Write it soon."""
        if self._waiting_bytes > 2 * QUEUE_BYTES_MAX:
            self._lose(1)
            return
        line = codec.encode(event) + b"\n"
        self._lines.append(line)
        self._queued_bytes += len(line)
        if not self._filled.is_set():
            self._filled.set()

    @property
    def _waiting_bytes(self) -> int:
        return self._queued_bytes - self._written_bytes

    def _lose(self, events: int) -> None:
        if not self.lost:
            log.error("audit.losing", path=str(self._path), reason=self.trouble)
        self.lost += events

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write what is added while the context is open, and at its end all that is left."""
        thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._filled.set()
            await asyncio.to_thread(thread.join, CLOSE_S)
            if self.lost:
                log.error("audit.lost", path=str(self._path), events=self.lost)

    # -- the writer's thread

    def _write_all(self) -> None:
        while True:
            self._filled.wait()
            is_last = self._ending.is_set()
            self._filled.clear()
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            if not self._write(b"".join(lines)):
                self._lose(len(lines))
            if is_last:
                os.close(self._file)
                return
            self._ending.wait(GATHER_S)

    def _write(self, chunk: bytes) -> bool:
        """Until it is in the file; False when the end comes before."""
        size = len(chunk)
        left = memoryview(chunk)
        while left:
            try:
                if len(left) == size:
                    self._rotate_before(size)
                left = left[os.write(self._file, left) :]
            except OSError as error:
                if not self.trouble:
                    log.warning("audit.unwritable", path=str(self._path), error=str(error))
                self.trouble = error.strerror or str(error)
                if self._ending.wait(RETRY_S):
                    return False
            else:
                if self.trouble:
                    log.info("audit.writable", path=str(self._path))
                self.trouble = ""
        self._written_bytes += size
        return True

    def _rotate_before(self, size: int) -> None:
        """Begin a new file when this one would grow too large."""
        held = os.fstat(self._file).st_size
        if not held or held + size <= self._file_bytes_max:
            return
        numbered = (f"{self._path.name}.{n}" for n in range(1, self._files_max))
        names = [self._path, *map(self._path.with_name, numbered)]
        names[-1].unlink(missing_ok=True)
        for younger, older in reversed(list(itertools.pairwise(names))):
            if younger.exists():
                younger.replace(older)
        file = _opened(self._path)
        os.close(self._file)
        self._file = file


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
