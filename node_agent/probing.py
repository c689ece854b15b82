"""Makes the probes that containers want, each by a task of its own, and keeps the verdicts.

Nothing waits for a probe: the loop is rung when a verdict changes, and plans from what is known.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable

import structlog

from node_agent.checks import Checks, Outcome
from node_agent.core import events
from node_agent.core.health import UNASKED, Good, Health, Kind, Verdict, after
from node_agent.core.probes import Target
from node_agent.volumes import Tell

log = structlog.get_logger()


class Probing:
    """The agent's stethoscope."""

    def __init__(
        self,
        checks: Checks,
        tell: Tell,
        *,
        clock: Callable[[], int],
        rng: random.Random,
        on_change: Callable[[], None],
    ) -> None:
        """Idle until `follow`.

        Args:
            checks: Asks the questions.
            tell: Where events go.
            clock: Epoch milliseconds.
            rng: Spreads the first questions of an agent that finds many containers.
            on_change: Called whenever a verdict changes.
        """
        self._checks = checks
        self._tell = tell
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._verdicts: dict[tuple[str, Kind], Verdict] = {}
        self._tasks: dict[tuple[str, Kind], asyncio.Task[None]] = {}

    @property
    def health(self) -> Health:
        """What is known now."""
        return Health(dict(self._verdicts))

    @property
    def good(self) -> tuple[Good, ...]:
        """What an agent that is started again should know from the first moment on.

        Without it every container that wants a readiness probe would be unready until asked.
        """
        return tuple(
            sorted(
                Good(id, kind, verdict.since_ms)
                for (id, kind), verdict in self._verdicts.items()
                if verdict.is_good
            )
        )

    def remember(self, good: Iterable[Good]) -> None:
        """Take over what an earlier agent knew."""
        self._verdicts |= {
            (known.container_id, known.kind): Verdict(
                is_good=True, since_ms=known.since_ms, was_success=True
            )
            for known in good
        }

    def follow(
        self, targets: Iterable[Target], existing: Collection[str], tasks: asyncio.TaskGroup
    ) -> None:
        """Make these probes and no others; forget containers that do not exist."""
        wanted = {(target.question.container_id, target.kind): target for target in targets}
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
        for key, target in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = tasks.create_task(self._probe(key, target))
        self._verdicts = {key: v for key, v in self._verdicts.items() if key[0] in existing}

    async def _probe(self, key: tuple[str, Kind], target: Target) -> None:
        """Ask every so often until cancelled."""
        period_s = target.probe.period_seconds
        delay_s = target.probe.initial_delay_seconds
        due_ms = target.started_at_ms + delay_s * 1000
        wait_s = min(delay_s, max(0, due_ms - self._clock()) / 1000)  # the clock may be set back
        if self._verdicts.get(key, UNASKED).is_good:  # known from before: there is no hurry
            wait_s = max(wait_s, self._rng.uniform(0, period_s))
        await asyncio.sleep(wait_s)
        loop = asyncio.get_running_loop()
        while True:
            next_s = loop.time() + period_s
            try:
                self._note(key, target, await self._checks.ask(target.question))
            except Exception:  # a mistake of ours says nothing of the container
                log.exception(
                    "probe.failed", pod=target.pod.name, container=target.question.spec.name
                )
            await asyncio.sleep(max(0.0, next_s - loop.time()))

    def _note(self, key: tuple[str, Kind], target: Target, outcome: Outcome) -> None:
        if outcome.is_success is None:  # as the kubelet: such a result is thrown away
            told = events.unasked(target.kind, outcome.text)
            self._tell(target.pod, target.question.spec.name, told)
            return
        before = self._verdicts.get(key, UNASKED)
        now_ms = self._clock()
        now = after(before, target.probe, is_success=outcome.is_success, now_ms=now_ms)
        self._verdicts[key] = now
        if not outcome.is_success:
            self._tell(
                target.pod, target.question.spec.name, events.unhealthy(target.kind, outcome.text)
            )
        if now.is_good is not before.is_good:
            log.info(
                "probe.verdict",
                pod=target.pod.name,
                container=target.question.spec.name,
                probe=str(target.kind),
                is_good=now.is_good,
                text="" if now.is_good else outcome.text,
            )
            self._on_change()
