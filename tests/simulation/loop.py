"""An event loop on virtual time: the same seed gives the same run, callback by callback.

The clock jumps to the next timer as soon as nothing is ready. Nothing real can be waited for: files,
sockets and threads are refused, and `Traps` refuse the interpreter's own clock and chance.

Every callback belongs to the process that scheduled it (a context variable says which), so that a
process can be killed as by SIGKILL, with no ``finally`` running, or stopped as by SIGSTOP. What
outlives processes (servers, the network, hosts) is the environment and belongs to none.
"""

import asyncio
import contextvars
import heapq
import os
import random
import threading
import time
import uuid
import warnings
import zlib
from asyncio import events
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")

TURNS_AT_ONE_TIME_MAX = 10_000
"""Callbacks without the clock moving: far beyond any burst, so something spins."""


TIME_MAX_S = 10_000.0
"""No run lasts so long: its changes, and what follows them, have deadlines."""


class Violation(AssertionError):
    """Something happened that must never happen."""


class Killed(Exception):
    """The process that was asked has been killed: its answer will never come."""


class Process:
    """What dies together.

    Attributes:
        name: As traces show it.
        is_alive: False once it was killed: none of its callbacks runs any more.
        is_paused: Its callbacks wait until it is resumed.
    """

    def __init__(self, loop: "SimLoop", name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self._loop = loop
        self._stalled: list[asyncio.Handle] = []
        self._tasks: list[SimTask] = []
        self._prune_at = 64
        self._callers: dict[asyncio.Future[Any], None] = {}
        self._context = contextvars.Context()
        self._context.run(PROCESS.set, self)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "SimTask":
        """A task of this process."""
        return self._loop.create_task(work, context=self._context.copy())

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in this process and wait for it from outside.

        Raises:
            Killed: The process was killed before it answered.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        task = self.spawn(work)
        task.add_done_callback(lambda done: _copy_outcome(done, answer), context=ENVIRONMENT.copy())
        self._callers[answer] = None
        try:
            return await answer
        finally:
            self._callers.pop(answer, None)

    def adopt(self, task: "SimTask") -> None:
        """Keep a task of this process reachable while it runs, also once nobody else does."""
        self._tasks.append(task)
        if len(self._tasks) > self._prune_at:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._prune_at = 2 * len(self._tasks) + 64

    def hold_back(self, handle: asyncio.Handle) -> bool:
        """Whether the callback must not run now."""
        if self.is_alive and self.is_paused:
            self._stalled.append(handle)
        return not self.is_alive or self.is_paused

    def kill(self) -> None:
        """SIGKILL: no ``except``, no ``finally``; who waits for an answer learns that."""
        self.is_alive = False
        self._stalled.clear()
        self._loop.bury(self._tasks)
        for answer in self._callers:
            if not answer.done():
                answer.set_exception(Killed(self.name))

    def pause(self) -> None:
        """SIGSTOP."""
        self.is_paused = True

    def resume(self) -> None:
        """SIGCONT: everything that came due meanwhile runs now, in the order it came due."""
        self.is_paused = False
        stalled, self._stalled = self._stalled, []
        self._loop.make_ready(stalled)


def _copy_outcome(done: "asyncio.Task[T]", answer: "asyncio.Future[T]") -> None:
    if answer.done():
        if not done.cancelled():
            done.exception()  # retrieved: the caller has gone
        return
    if done.cancelled():
        answer.set_exception(Killed("the task was cancelled"))
    elif error := done.exception():
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
ENVIRONMENT = contextvars.Context()


def process_name() -> str:
    """Whose code runs now; ``-`` for the environment."""
    process = PROCESS.get()
    return process.name if process else "-"


class SimTask(asyncio.Task[Any]):
    """Task groups keep tasks in sets: hashed by address, they would be cancelled in any order."""

    _count = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SimTask._count += 1
        self._number = SimTask._count
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.BaseEventLoop):
    """See the module.

    Args:
        seed: Of the order in which ready callbacks run, when that is shuffled.
        is_shuffled: False: first come, first served, as asyncio's own loops do.
        environment: Types whose bound methods belong to the environment, whoever schedules them:
            a request under way arrives although its sender has died.
        is_traced: Keep a checksum of every callback.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        is_shuffled: bool = False,
        environment: tuple[type, ...] = (),
        is_traced: bool = False,
    ) -> None:
        super().__init__()
        SimTask._count = 0
        self.turns = 0
        self.checksum = 0
        self.errors: list[str] = []
        self._rng = random.Random(f"order {seed}")
        self._is_shuffled = is_shuffled
        self._is_environment = frozenset(environment)
        self._is_traced = is_traced
        self._now = 0.0
        self._turns_at_this_time = 0
        self._graves: list[SimTask] = []
        self._violation: Violation | None = None
        self._clock_resolution = 0.0

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if context is None:
            context = self._context_of(callback)
        handle = events.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if context is None:
            context = self._context_of(callback)
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def _context_of(self, callback: Callable[..., object]) -> contextvars.Context | None:
        if type(getattr(callback, "__self__", None)) in self._is_environment:
            return ENVIRONMENT.copy()
        return None

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> SimTask:
        # Default names count for the whole interpreter: they would differ from run to run.
        task = SimTask(coro, loop=self, name=name or "task", context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.adopt(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(f"{process_name()}: {context.get('message')}: {error!r}")

    # -- running

    def fail(self, violation: Violation) -> None:
        """End the run: product code cannot swallow this, since it is not raised into it."""
        self._violation = self._violation or violation

    def make_ready(self, handles: list[asyncio.Handle]) -> None:
        """Run these callbacks with the next turn."""
        self._ready.extend(handles)

    def bury(self, tasks: "list[SimTask]") -> None:
        """Keep tasks of the dead: collecting them would run their ``finally`` blocks."""
        self._graves.extend(tasks)

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Violation("deadlock: every task waits, and no timer is set")
            self._now = max(self._now, scheduled[0]._when)
            self._turns_at_this_time = 0
            if self._now > TIME_MAX_S:
                raise Violation(f"still going on after {TIME_MAX_S:.0f} s")
        while scheduled and scheduled[0]._when <= self._now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        for _ in range(len(ready)):
            self._run_next()
            if self._violation is not None:
                raise self._violation
            if self._stopping:
                break
        self._turns_at_this_time += 1
        if self._turns_at_this_time > TURNS_AT_ONE_TIME_MAX:
            raise Violation(f"livelock: {TURNS_AT_ONE_TIME_MAX} turns without time passing")

    def _run_next(self) -> None:
        ready = self._ready
        if self._is_shuffled and len(ready) > 1:
            chosen = int(self._rng.random() * len(ready))
            ready[0], ready[chosen] = ready[chosen], ready[0]
        handle = ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None and process.hold_back(handle):
            return
        self.turns += 1
        if self._is_traced:
            self._trace(handle, process)
        handle._run()

    def _trace(self, handle: asyncio.Handle, process: Process | None) -> None:
        callback = handle._callback
        what = getattr(callback, "__qualname__", type(callback).__name__)
        line = f"{self._now!r} {process.name if process else '-'} {what}"
        self.checksum = zlib.crc32(line.encode(), self.checksum)

    def close(self) -> None:
        """End the dead at last, now that nothing they do has any effect."""
        if self.is_closed():
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they begin in `finally` blocks nobody awaits
            for task in {*self._graves, *asyncio.all_tasks(self)}:
                task._log_destroy_pending = False
                _end(task.get_coro())
        self._graves.clear()
        self._ready.clear()
        self._scheduled.clear()
        super().close()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when they come due: runs are short."""

    # -- everything real is refused

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call that would have to be woken."""

    def _process_events(self, _event_list: object) -> None:
        """There are none."""

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise Violation("real input, output or threads in a simulation")

    run_in_executor = _refuse
    create_connection = create_server = create_datagram_endpoint = getaddrinfo = _refuse  # type: ignore[assignment]
    subprocess_exec = subprocess_shell = call_soon_threadsafe = _refuse  # type: ignore[assignment]
    add_reader = add_writer = add_signal_handler = _refuse  # type: ignore[assignment]


def _end(work: Any) -> None:
    """Close a coroutine, however often it waits again in its ``finally`` blocks."""
    for _ in range(20):
        try:
            work.close()
        except RuntimeError:  # it waited once more
            continue
        except BaseException:  # noqa: BLE001 - whatever it says, it is over
            return
        return


class Traps:
    """While entered, the interpreter's own clock, chance and threads are refused."""

    def __init__(self) -> None:
        self._saved: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Self:
        for owner, names in _FORBIDDEN:
            for name in names:
                self._saved.append((owner, name, getattr(owner, name)))
                setattr(owner, name, _trap(name))
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for owner, name, original in self._saved:
            setattr(owner, name, original)
        self._saved.clear()


_FORBIDDEN: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (time, ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
    (uuid, ("uuid1", "uuid4")),
    (os, ("urandom", "getrandom")),
    (random, ("random", "uniform", "choice", "choices", "randint", "shuffle", "getrandbits")),
    (threading.Thread, ("start",)),
)


def _trap(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise Violation(f"{name}() in a simulation: the run could not be repeated")

    return refuse
