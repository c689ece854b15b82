"""What nodes said last of what they and their pods use: kept in memory, by every orchestrator.

Nothing of it is stored or decided upon here. A figure is shown while its node goes on telling, and
only of what is in the world: an old message cannot bring back what is gone.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct

from orchestrator.world import Change, World
from proto import codec, subjects
from proto.bus import Bus, Envelope
from proto.errors import BadRequest, Unavailable
from proto.kinds.node import NODES
from proto.kinds.pod import Pod
from proto.messages import NodeUsage, Usage

log = structlog.get_logger()

PERIODS_MAX = 3
"""A message that is older, in periods of its node, holds no longer: two in a row were lost."""

RESUBSCRIBE_S = 1.0
"""After the bus took a subscription away: figures change slower."""


class _Told(Struct, frozen=True):
    usage: NodeUsage
    holds_until: float


class Usages:
    """See the module.

    Args:
        world: Read, and listened to.
        bus: Subscribed to.
    """

    def __init__(self, world: World, bus: Bus) -> None:
        self._world = world
        self._bus = bus
        self._told: dict[str, _Told] = {}
        self.rejected = 0
        world.listen(self._heard_change)

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._follow()
            except Unavailable as error:
                log.info("usage.interrupted", error=str(error))
            await asyncio.sleep(RESUBSCRIBE_S)

    async def _follow(self) -> None:
        subscription = await self._bus.subscribe(subjects.usage(subjects.ANY))
        try:
            while True:
                envelope = await subscription.get()
                try:
                    self._hear(envelope)
                except BadRequest as error:
                    self.rejected += 1
                    log.warning("message.rejected", subject=envelope.subject, error=str(error))
        finally:
            await subscription.close()

    def _hear(self, envelope: Envelope) -> None:
        usage = codec.decode(envelope.payload, NodeUsage)
        if subjects.node_of(envelope.subject) != usage.node:
            raise BadRequest(f"a message of node {usage.node!r} on the subject of another node")
        if self._world.get(NODES, "", usage.node) is None:
            return  # it is told again within a period
        held = self._told.get(usage.node)
        if held is not None and _fence(held.usage) >= _fence(usage):
            return
        now = asyncio.get_running_loop().time()
        self._told[usage.node] = _Told(usage, now + PERIODS_MAX * usage.period_ms / 1000)

    def _heard_change(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind is NODES and change.new is None:
                self._told.pop(change.entry.name, None)

    def of_node(self, name: str) -> Usage | None:
        """What the whole machine uses; None while that is not known."""
        told = self._present(name)
        return None if told is None else told.total

    def of_pod(self, pod: Pod) -> Mapping[str, Usage]:
        """By container, what is known: nothing of a pod that does not run."""
        if pod.status.phase != "Running":
            return {}
        told = self._present(pod.spec.node_name)
        return {} if told is None else told.pods.get(pod.metadata.uid, {})

    def _present(self, node: str) -> NodeUsage | None:
        held = self._told.get(node)
        if held is None or asyncio.get_running_loop().time() > held.holds_until:
            return None
        return held.usage


def _fence(usage: NodeUsage) -> tuple[int, int]:
    return usage.incarnation, usage.version
