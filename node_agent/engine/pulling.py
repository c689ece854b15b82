"""What Docker is told for a pull, and what it tells of one. Source: Docker Engine API 1.41."""

import base64
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from node_agent.core.observed import Credential
from node_agent.engine import EngineFailure, Progress
from proto.errors import LongshoreError, NotFound

_REFUSALS = (
    "authentication required",
    "denied",
    "manifest unknown",
    "no basic auth credentials",
    "not found",
    "unauthorized",
)
"""Words of registries that say no; anything else may pass: they cannot be reached, say."""


def headers(image: str, credential: Credential | None) -> dict[str, str]:
    """What the registry of an image is told."""
    if credential is None:
        return {}
    if credential.identity_token:
        told = {"identitytoken": credential.identity_token}
    else:
        told = {"username": credential.username, "password": credential.password}
    told["serveraddress"] = image.partition("/")[0]
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(told).encode()).decode()}


def refusal(text: str) -> LongshoreError:
    """The error for what Docker says of a pull, at once or in the middle of it."""
    is_refused = any(word in text for word in _REFUSALS)
    return NotFound(text) if is_refused else EngineFailure(text)


class Layers:
    """Adds up what Docker tells of an image's layers, a JSON object a line."""

    def __init__(self) -> None:
        self._layers: dict[str, Progress] = {}

    def take(self, line: bytes) -> None:
        """One line more.

        Raises:
            NotFound: The registry has no such image, or does not give it.
            EngineFailure: Anything else went wrong.
        """
        told: dict[str, Any] = json.loads(line)
        if error := told.get("error"):
            raise refusal(str(error))
        layer, status = told.get("id", ""), told.get("status", "")
        if status == "Downloading":
            detail = told.get("progressDetail") or {}
            done = detail.get("current", 0)
            self._layers[layer] = Progress(done, max(done, detail.get("total", 0)))
        elif status == "Download complete" and layer in self._layers:
            total = self._layers[layer].total_bytes
            self._layers[layer] = Progress(total, total)

    @property
    def progress(self) -> Progress:
        """Of all of them together."""
        layers = self._layers.values()
        return Progress(sum(n.done_bytes for n in layers), sum(n.total_bytes for n in layers))


async def follow(
    response: aiohttp.ClientResponse, on_progress: Callable[[Progress], None] | None
) -> None:
    """Read to the end of a pull.

    Raises:
        NotFound, EngineFailure: See `Layers.take`.
    """
    layers = Layers()
    try:
        async for line in response.content:
            layers.take(line)
            if on_progress is not None:
                on_progress(layers.progress)
    finally:
        response.close()  # not released: a pull that nobody waits for should end
