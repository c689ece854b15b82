"""Tells the control plane what the agent did to pods, for ``kubectl get events``.

At most once, by design: whatever cannot be told now is left out, and nothing waits for it.
"""

import asyncio
import contextlib
from collections.abc import Callable

from node_agent.core.events import Told, field_path
from node_agent.core.naming import PodKey
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import Unavailable
from proto.kinds.pod import PodSpec
from proto.messages import NodeEvent

EVENTS_MAX = 1024
"""Waiting for the bus: a hundred pods that start at once tell four times as many."""


class Teller:
    """The agent's voice.

    Args:
        bus: To the control plane; may be away.
        node: Whose events.
        spec_of: By pod uid; None for one that is not known any more.
        clock: Epoch milliseconds.
    """

    def __init__(
        self,
        bus: Bus,
        node: str,
        spec_of: Callable[[str], PodSpec | None],
        clock: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._node = node
        self._spec_of = spec_of
        self._clock = clock
        self._events: asyncio.Queue[NodeEvent] = asyncio.Queue(EVENTS_MAX)
        self._told_ms = 0

    async def run(self) -> None:
        """Publish until cancelled."""
        subject = subjects.node_event(self._node)
        while True:
            event = await self._events.get()
            with contextlib.suppress(Unavailable):
                await self._bus.publish(subject, codec.encode(event))

    def tell(self, pod: PodKey, container: str, told: Told) -> None:
        """Something happened to a pod's container; to the pod, when it has no name."""
        event = NodeEvent(
            node=self._node,
            namespace=pod.namespace,
            pod=pod.name,
            pod_uid=pod.uid,
            type=told.type,
            reason=told.reason,
            message=told.message,
            at_ms=self._now_ms(),
            field_path=field_path(container, self._spec_of(pod.uid)),
            series=told.series,
        )
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(event)

    def tell_node(self, told: Told) -> None:
        """Something happened to the node itself."""
        self.tell(PodKey("", "", ""), "", told)

    def _now_ms(self) -> int:
        """Now, or just after what was told last: events are read in the order of their times."""
        now_ms = self._clock()
        is_same_moment = now_ms <= self._told_ms < now_ms + 1000
        self._told_ms = self._told_ms + 1 if is_same_moment else now_ms
        return self._told_ms
