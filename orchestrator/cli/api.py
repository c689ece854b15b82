"""The Kubernetes API of a cluster, as a client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from orchestrator.cli.refused import Refused
from proto import codec
from proto.errors import Unavailable
from proto.kinds.kind import Kind
from proto.kinds.node import Node
from proto.meta import Resource, is_true

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.02


class Api:
    """Reads and writes objects."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def list(self, kind: Kind[R], namespace: str = "", *, labels: str = "") -> list[R]:
        """The objects of a kind, in one namespace or all, by label selector."""
        answer = await self._ask("GET", path_of(kind, namespace), params={"labelSelector": labels})
        return [codec.decode(codec.encode(item), kind.type) for item in answer["items"]]

    async def get(self, kind: Kind[R], namespace: str, name: str) -> R:
        """One object."""
        answer = await self._ask("GET", f"{path_of(kind, namespace)}/{name}")
        return codec.decode(codec.encode(answer), kind.type)

    async def create(self, kind: Kind[Any], namespace: str, manifest: dict[str, Any]) -> None:
        """Make an object."""
        await self._ask("POST", path_of(kind, namespace), body=codec.encode(manifest))

    async def delete(self, kind: Kind[Any], namespace: str, name: str) -> None:
        """Delete an object, and what it owns."""
        await self._ask("DELETE", f"{path_of(kind, namespace)}/{name}")

    async def _ask(
        self, verb: str, path: str, *, params: dict[str, str] | None = None, body: bytes = b""
    ) -> Any:
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                verb, path, params=params, data=body or None, headers=headers
            ) as response:
                answer = codec.decode_any(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the API does not answer: {error}") from error
        if response.status == 503:
            raise Unavailable(answer.get("message", "the API is not ready"))
        if response.status >= 400:
            raise Refused(f"the API refused {verb} {path}: {answer.get('message', answer)}")
        return answer


def path_of(kind: Kind[Any], namespace: str = "") -> str:
    """Where a kind's collection is.

    >>> from proto.kinds.node import NODES
    >>> path_of(NODES)
    '/api/v1/nodes'
    """
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{namespace}/{kind.plural}" if namespace else f"{root}/{kind.plural}"


def is_ready(node: Node) -> bool:
    """Its agent is heard, and its engine answers."""
    return is_true(node.status.conditions, "Ready")


@contextlib.asynccontextmanager
async def connected_api(server: str) -> AsyncIterator[Api]:
    """A client of the API at that address."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(server, timeout=timeout) as session:
        yield Api(session)


async def until(look: Callable[[], Awaitable[T]], *, within_s: float, what: str) -> T:
    """The first true value that `look` finds; an API that does not answer yet is looked at again.

    Raises:
        Refused: Nothing within that time; the text says what was waited for.
    """
    problem = ""
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    if found := await look():
                        return found
                except Unavailable as error:
                    problem = f" ({error})"
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise Refused(f"{what}: not within {within_s:g} s{problem}") from None
