"""Whether an engine may keep containers from being killed when memory is short.

A score below the engine's own needs a right (CAP_SYS_RESOURCE) that an engine without all of
root's has not, and then such a container does not start. Nothing tells, so it is tried.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from node_agent.engine import EngineFailure
from proto.errors import NotFound, Rejected

LOWEST = -1000
"""Source: proc(5), oom_score_adj."""

Ask = Callable[..., Awaitable[Any]]
"""(method, path, body=, params=) to Docker's answer."""


async def lowest(ask: Ask, image: str, token: str) -> int:
    """The lowest score that works: `LOWEST` or 0.

    Args:
        ask: The engine.
        image: Of a program that does nothing.
        token: Makes the trial's name its own; an earlier one that was cut short is removed.
    """
    name = f"longshore_trial_{token}"
    path = f"containers/{name}"
    await _remove(ask, path)
    host = {"OomScoreAdj": LOWEST, "NetworkMode": "none", "LogConfig": {"Type": "none"}}
    body = {"Image": image, "HostConfig": host}
    await ask("POST", "containers/create", body=body, params={"name": name})
    try:
        await ask("POST", f"{path}/start")
    except (EngineFailure, Rejected):
        return 0
    else:
        return LOWEST
    finally:
        await _remove(ask, path)


async def _remove(ask: Ask, path: str) -> None:
    try:
        await ask("DELETE", path, params={"force": 1, "v": 1})
    except NotFound:
        return
