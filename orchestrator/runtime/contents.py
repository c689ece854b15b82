"""Tells agents what the ConfigMaps and Secrets hold that their pods take values from.

Every orchestrator answers from its world, so that agents are served while nobody leads. Who follows
may not know yet what the leader told an agent of: then it stays silent rather than refuse.
"""

import base64
from collections.abc import Callable

import structlog

from orchestrator.world import World
from proto import codec, subjects
from proto.bus import Bus
from proto.errors import BadRequest, Unavailable
from proto.kinds.configuration import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from proto.messages import (
    CONTENT_PIECE_BYTES_MAX,
    Content,
    ContentPiece,
    ContentRefused,
    ContentReply,
    ContentRequest,
)

log = structlog.get_logger()

_KINDS = {kind.name: kind for kind in (CONFIG_MAPS, SECRETS)}


class Contents:
    """See the module."""

    def __init__(self, world: World, bus: Bus, is_leading: Callable[[], bool]) -> None:
        self._world = world
        self._bus = bus
        self._is_leading = is_leading
        self.rejected = 0
        """Requests that could not be understood."""

    async def run(self) -> None:
        """Answer until cancelled."""
        subscription = await self._bus.subscribe(subjects.content(subjects.ANY))
        while True:
            envelope = await subscription.get()
            try:
                request = codec.decode(envelope.payload, ContentRequest)
            except BadRequest as error:
                self.rejected += 1
                log.warning("message.rejected", subject=envelope.subject, error=str(error))
                continue
            reply = self._reply(subjects.node_of(envelope.subject), request)
            if reply is None or not envelope.reply:
                continue
            try:
                await self._bus.publish(envelope.reply, codec.encode(reply))
            except Unavailable as error:  # the agent asks again
                log.info("content.unsent", name=request.name, error=str(error))

    def _reply(self, node: str, request: ContentRequest) -> ContentReply | None:
        kind = _KINDS.get(request.kind)
        if kind is None:
            return ContentRefused(reason=f"contents of a {request.kind} are not handed out")
        found = self._world.entry(kind, request.namespace, request.name)
        is_used = node in self._world.nodes_using(kind, request.namespace, request.name)
        if found is None or not is_used:
            why = "not found" if found is None else f"not used by any pod on node {node}"
            text = f'{kind.singular} "{request.name}" {why}'
            return ContentRefused(reason=text) if self._is_leading() else None
        if str(found.version) != request.version and not self._is_leading():
            return None
        encoded = codec.encode(_content(found.object))
        piece = encoded[request.offset : request.offset + CONTENT_PIECE_BYTES_MAX]
        return ContentPiece(version=str(found.version), size=len(encoded), piece=piece)


def _content(found: ConfigMap | Secret) -> Content:
    if isinstance(found, ConfigMap):
        return Content(text=found.data, data=_bytes(found.binary_data))
    return Content(data=_bytes(found.data))


def _bytes(values: dict[str, str]) -> dict[str, bytes]:
    """Of base64, which was checked when the object was written."""
    return {key: base64.b64decode(text) for key, text in values.items()}
