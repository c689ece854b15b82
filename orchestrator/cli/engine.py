"""The Docker engine over its HTTP API, as far as the command line needs it.

The agents have the real door to Docker (`node_agent.engine`); this is what a user would type
``docker`` for: build the demo's images, and take a killed host's containers with it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from orchestrator.cli.refused import Refused
from proto import codec
from proto.errors import Unavailable

SOCKET = "unix:///var/run/docker.sock"
TIMEOUT_S = 30.0

NODE_LABEL = "longshore.dev/node"
CLUSTER_LABEL = "longshore.dev/cluster"
"""Every container carries the name of its node, and the id of the node's cluster."""


def engine_address() -> str:
    """Where Docker is: ``DOCKER_HOST``, or its usual socket."""
    return os.environ.get("DOCKER_HOST") or SOCKET


class Engine:
    """A Docker engine that has answered."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def containers(self, cluster: str, node: str = "") -> dict[str, str]:
        """Ids and states of the containers of a cluster, or of one node of it."""
        labels = [f"{CLUSTER_LABEL}={cluster}", *([f"{NODE_LABEL}={node}"] if node else [])]
        filters = codec.encode({"label": labels}).decode()
        found = await self._ask("GET", "/containers/json", params={"filters": filters, "all": "1"})
        return {container["Id"]: container["State"] for container in found}

    async def kill(self, containers: Iterable[str]) -> None:
        """SIGKILL them, all at once."""
        async with asyncio.TaskGroup() as group:
            for container in containers:
                path = f"/containers/{container}/kill"
                # 404: it is gone; 409: it does not run. Both are what was wanted.
                group.create_task(self._ask("POST", path, fine=(404, 409)))

    async def remove(self, containers: Iterable[str]) -> None:
        """Kill and remove them, all at once."""
        params = {"force": "1", "v": "1"}
        async with asyncio.TaskGroup() as group:
            for container in containers:
                path = f"/containers/{container}"
                group.create_task(self._ask("DELETE", path, params=params, fine=(404, 409)))

    async def import_image(self, image: str, root: bytes, changes: Sequence[str]) -> None:
        """``docker import``: a tar of a root file system becomes an image.

        Args:
            image: Name and tag.
            root: The tar.
            changes: Dockerfile instructions: ``CMD ["sh"]``.
        """
        repo, _, tag = image.rpartition(":")
        params = [
            ("fromSrc", "-"),
            ("repo", repo),
            ("tag", tag),
            *(("changes", c) for c in changes),
        ]
        await self._ask("POST", "/images/create", params=params, body=root)

    async def remove_image(self, image: str) -> None:
        """``docker rmi``."""
        await self._ask("DELETE", f"/images/{image}", params={"force": "1"}, fine=(404,))

    async def _ask(
        self,
        verb: str,
        path: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        fine: tuple[int, ...] = (),
    ) -> Any:
        try:
            async with self._session.request(verb, path, params=params, data=body) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"Docker does not answer: {error}") from error
        if response.status >= 400 and response.status not in fine:
            raise Refused(f"Docker refused {verb} {path}: {answer.decode(errors='replace')}")
        return codec.decode_any(answer) if verb == "GET" else None


@contextlib.asynccontextmanager
async def connected_engine() -> AsyncIterator[Engine]:
    """The engine, for the length of the block.

    Raises:
        Refused: None answers, or this user may not use it.
    """
    address = engine_address()
    base, connector = "http://docker", None
    if address.startswith("unix://"):
        connector = aiohttp.UnixConnector(_usable(Path(address.removeprefix("unix://"))))
    elif address.startswith("tcp://"):
        base = "http" + address.removeprefix("tcp")
    else:
        raise Refused(f"DOCKER_HOST={address}: only unix:// and tcp:// are understood")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(base, connector=connector, timeout=timeout) as session:
        try:
            async with session.get("/_ping") as response:
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"no Docker engine answers at {address}: start it ({error})") from error
        yield Engine(session)


def _usable(socket: Path) -> str:
    if not socket.exists():
        raise Refused(
            f"no Docker engine at {socket}: install and start it (Debian and Ubuntu: "
            "sudo apt-get install docker.io), or set DOCKER_HOST"
        )
    if not os.access(socket, os.R_OK | os.W_OK):
        raise Refused(
            f"you may not use the Docker engine at {socket}: join its group "
            "(sudo usermod -aG docker $USER) and log in again, or run this as root"
        )
    return str(socket)
