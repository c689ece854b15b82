"""Objects of our own kinds as structs, for `up` and `demo`, which know what they look at."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from orchestrator.cli.client import Client, Json
from orchestrator.cli.refused import Refused, ServerRefused
from proto import codec
from proto.errors import Unavailable
from proto.kinds.kind import Kind
from proto.kinds.node import Node
from proto.meta import Resource, is_true

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

LOOK_EVERY_S = 0.02


async def listed(
    client: Client, kind: Kind[R], namespace: str = "", *, labels: str = ""
) -> list[R]:
    """The objects of a kind, in one namespace or all, by label selector."""
    answer = await client.get(path_of(kind, namespace), {"labelSelector": labels})
    return [struct_of(item, kind.type) for item in answer["items"]]


def struct_of(item: Json, type: type[R]) -> R:
    """The struct that an object is.

    Raises:
        BadRequest: It is none of that type.
    """
    return codec.decode(codec.encode(item), type)


def path_of(kind: Kind[Any], namespace: str = "", name: str = "") -> str:
    """Where a kind's collection is, or one object; `namespace` counts where there are any.

    >>> from proto.kinds.node import NODES
    >>> path_of(NODES), path_of(NODES, "default", "node-1")
    ('/api/v1/nodes', '/api/v1/nodes/node-1')
    """
    parts = [f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"]
    if namespace and kind.is_namespaced:
        parts += ["namespaces", namespace]
    return "/".join([*parts, kind.plural, *filter(None, (name,))])


def is_ready(node: Node) -> bool:
    """Its agent is heard, and its engine answers."""
    return is_true(node.status.conditions, "Ready")


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
                except ServerRefused as error:
                    if error.code != 503:
                        raise
                    problem = f" ({error.message})"
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise Refused(f"{what}: not within {within_s:g} s{problem}") from None
