"""Ends the node's pods, because its host goes off: those that a cluster cannot do without last.

Source of the rules and words: the kubelet, pkg/kubelet/nodeshutdown. What is over stays over: pods
of controllers are replaced, and others are to be made anew.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from node_agent.core.observed import Ended, State
from node_agent.core.pressure import CRITICAL
from node_agent.observer import Observer
from node_agent.settings import Settings
from node_agent.watchman import Pods

log = structlog.get_logger()

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."

LOOK_EVERY_S = 0.1
REPORT_S = 1.0
"""For the last word on the pods to leave the node."""


async def end_all(
    pods: Pods, observer: Observer, settings: Settings, clock: Callable[[], int]
) -> None:
    """End them, and return when nothing of them runs, or the period is over.

    Args:
        pods: Which, and how.
        observer: Knows what runs.
        settings: How long all may take, and how much of that is for critical ones.
        clock: Epoch milliseconds.
    """
    whole_s, critical_s = settings.shutdown_grace_period_s, settings.shutdown_grace_critical_s
    ordinary: list[str] = []
    critical: list[str] = []
    for uid, pod in pods.assigned().items():
        if uid not in pods.ended():
            (critical if (pod.spec.priority or 0) >= CRITICAL else ordinary).append(uid)
    for uids, within_s in (
        (ordinary, max(0, whole_s - critical_s)),
        (critical, min(critical_s, whole_s)),
    ):
        log.info("node.shutdown", pods=len(uids), within_s=within_s)
        end = Ended(REASON, MESSAGE, within_s, clock())
        for uid in uids:
            await pods.end(uid, end)
        await _until_ended(uids, observer, within_s)
    await asyncio.sleep(REPORT_S)


async def _until_ended(uids: Iterable[str], observer: Observer, within_s: float) -> None:
    ending, loop = frozenset(uids), asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while loop.time() < until_s:
        running = [c for c in observer.containers.values() if c.state is State.RUNNING]
        if not any(found.pod.uid in ending for found in running):
            return
        await asyncio.sleep(LOOK_EVERY_S)
    log.warning("node.shutdown.late", within_s=within_s)
