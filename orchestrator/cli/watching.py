"""What happens to objects, for as long as somebody wants to know.

The server ends a watch every few minutes and restarts now and then; what is watched here goes on,
from the last version that was seen, or from a new list when that version is too old.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import httpx

from orchestrator.cli.client import JSON, Client, Gone, Json, Params
from orchestrator.cli.refused import ServerRefused
from orchestrator.cli.resources import ResourceType

BREAKS_MAX = 20
BREAK_S = 0.5
"""A connection that breaks is made again: ten seconds cover a failover of the control plane."""


async def followed(
    client: Client,
    path: str,
    params: Params,
    version: str,
    *,
    accept: str = JSON,
    breaks_max: int = BREAKS_MAX,
) -> AsyncGenerator[tuple[str, Json], None]:
    """Changes after that version, for ever.

    Args:
        client: Of the cluster.
        path: A collection's.
        params: For the watch.
        version: That has been seen.
        accept: For the objects.
        breaks_max: In a row, before it is told that the server is away.

    Raises:
        Gone: The version is too old: list again.
        ServerRefused: The watch is not allowed.
        httpx.TransportError: The server has been away for too long.
    """
    breaks = 0
    while True:
        asked = {**params, "resourceVersion": version}
        try:
            async with contextlib.aclosing(client.watch(path, asked, accept=accept)) as events:
                async for type, object in events:
                    breaks, version = 0, _version_of(object) or version
                    yield type, object
        except httpx.TransportError:
            breaks += 1
            if breaks > breaks_max:
                raise
            await asyncio.sleep(BREAK_S)
        except ServerRefused as error:
            breaks += 1
            if error.code != 503 or breaks > breaks_max:
                raise
            await asyncio.sleep(BREAK_S)


async def states(
    client: Client, type: ResourceType, namespace: str, name: str
) -> AsyncGenerator[Json | None, None]:
    """An object now, and whenever it changes; None while there is none."""
    path, params = type.path(namespace), {"fieldSelector": f"metadata.name={name}"}
    while True:
        found = await client.get(path, params)
        yield next(iter(found["items"]), None)
        version = found["metadata"]["resourceVersion"]
        with contextlib.suppress(Gone):
            async with contextlib.aclosing(followed(client, path, params, version)) as changes:
                async for kind, object in changes:
                    yield None if kind == "DELETED" else object


def _version_of(object: Json) -> str:
    """Of an object, or of a Table's only row."""
    rows = object.get("rows")
    if rows:
        object = rows[0].get("object") or {}
    return str(object.get("metadata", {}).get("resourceVersion", ""))
