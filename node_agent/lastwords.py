"""What a container's program said last, for the status of its container.

Source: the kubelet, getTerminationMessage: the file it may write, or else, where its manifest says
so and it failed, the end of its log.
"""

import contextlib

from msgspec.structs import replace

from node_agent.core import naming
from node_agent.core.observed import Container
from node_agent.engine import Engine, LogOptions
from node_agent.storage import Storage, StorageFailure
from proto.errors import LongshoreError

LOG_LINES_MAX = 80
LOG_BYTES_MAX = 2048
"""Source: the kubelet, MaxContainerTerminationMessageLogLines and …LogLength."""


async def with_message(ended: Container, engine: Engine, storage: Storage) -> Container:
    """The container with its program's last word; as it is, when there is none to be had."""
    name = naming.message_name(ended.pod.uid, ended.container, ended.attempt)
    text = ""
    with contextlib.suppress(StorageFailure):
        text = await storage.message(name)
    if not text and ended.exit_code and ended.message_policy == "FallbackToLogsOnError":
        with contextlib.suppress(LongshoreError):
            text = await _end_of_log(ended.id, engine)
    return replace(ended, message=text)


async def _end_of_log(id: str, engine: Engine) -> str:
    log = await engine.logs(id, LogOptions(tail_lines=LOG_LINES_MAX))
    end = b""
    try:
        while piece := await log.read():
            end = (end + piece)[-LOG_BYTES_MAX:]
    finally:
        await log.close()
    return end.decode(errors="replace")
