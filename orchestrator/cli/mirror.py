"""What there is in a cluster, once or for as long as somebody looks, as `Seen`.

Each kind is listed, then followed; a change only rings a bell, and whoever hears it looks at the
whole. A kind that this user may not read, or that the server does not have, is left out.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from orchestrator.cli.client import Client, Gone, Json
from orchestrator.cli.connection import translated
from orchestrator.cli.refused import ServerRefused
from orchestrator.cli.typed import path_of, struct_of
from orchestrator.cli.watching import followed
from orchestrator.cli.why.seen import Seen
from proto.errors import BadRequest, LongshoreError
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.event import EVENTS
from proto.kinds.job import JOBS
from proto.kinds.kind import Kind
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.kinds.quota import RESOURCE_QUOTAS
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.replicationcontroller import REPLICATION_CONTROLLERS
from proto.kinds.statefulset import STATEFUL_SETS
from proto.meta import Resource

KINDS: Mapping[str, Kind[Any]] = {
    "pods": PODS,
    "nodes": NODES,
    "events": EVENTS,
    "deployments": DEPLOYMENTS,
    "replica_sets": REPLICASETS,
    "replication_controllers": REPLICATION_CONTROLLERS,
    "stateful_sets": STATEFUL_SETS,
    "daemon_sets": DAEMON_SETS,
    "jobs": JOBS,
    "budgets": DISRUPTION_BUDGETS,
    "quotas": RESOURCE_QUOTAS,
}
"""By their names in `Seen`."""

UNREADABLE = (403, 404)
RETRY_S = 1.0
"""Before a server that has been away for long is asked again."""

Name = tuple[str, str]


async def listed(client: Client, kind: Kind[Any], namespace: str = "") -> tuple[list[Any], str]:
    """All of a kind, and their version; nothing, and no version, of one that may not be read."""
    path = path_of(kind, namespace)
    try:
        found = await client.get(path)
    except ServerRefused as error:
        if error.code not in UNREADABLE:
            raise
        return [], ""
    items = (understood(kind, item) for item in found["items"])
    return [item for item in items if item is not None], found["metadata"]["resourceVersion"]


def understood(kind: Kind[Any], item: Json) -> Resource | None:
    """The object; None for one that this program is too old, or too young, to understand."""
    try:
        found: Resource = struct_of(item, kind.type)
    except BadRequest:
        return None
    return found


async def glanced(client: Client, clock: Callable[[], int], *, namespace: str = "") -> Seen:
    """One look.

    Args:
        client: Of the cluster.
        clock: Epoch milliseconds.
        namespace: Only what is in it; empty for all.
    """
    found: dict[str, Any] = {}

    async def one(name: str) -> None:
        found[name], _ = await listed(client, KINDS[name], namespace)

    async with asyncio.TaskGroup() as tasks:
        for name in KINDS:
            tasks.create_task(one(name))
    return Seen(now_ms=clock(), namespace=client.namespace, has_all_pods=not namespace, **found)


class Mirror:
    """Objects as they are now.

    Attributes:
        problem: Why it may be behind: the server does not answer. Empty while it does.
    """

    def __init__(
        self,
        client: Client,
        clock: Callable[[], int],
        namespace: str,
        names: Sequence[str],
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._objects: dict[str, dict[Name, Resource]] = {name: {} for name in names}
        self._missing = set(names)
        self._rung = asyncio.Event()
        self.problem = ""

    def seen(self) -> Seen:
        """The present."""
        objects: dict[str, Any] = {name: tuple(one.values()) for name, one in self._objects.items()}
        return Seen(
            now_ms=self._clock(),
            namespace=self._client.namespace,
            has_all_pods=not self._namespace and "pods" in self._objects,
            **objects,
        )

    def ring(self) -> None:
        """Have `changes` tell the present at once."""
        self._rung.set()

    async def changes(
        self, *, at_most_every_s: float, at_least_every_s: float
    ) -> AsyncIterator[Seen]:
        """The present once everything was listed, then whenever it changed, or time went by.

        Args:
            at_most_every_s: Changes within that time come as one.
            at_least_every_s: Ages and deadlines change by themselves.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(at_least_every_s):
                    await self._rung.wait()
            self._rung.clear()
            if not self._missing:
                yield self.seen()
            await asyncio.sleep(at_most_every_s)

    async def follow(self) -> None:
        """Keep up, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._objects:
                tasks.create_task(self._follow(name))

    async def _follow(self, name: str) -> None:
        kind = KINDS[name]
        path = path_of(kind, self._namespace)
        while True:
            try:
                with translated(self._client.server):
                    items, version = await listed(self._client, kind, self._namespace)
                    self._objects[name] = {_name_of(item): item for item in items}
                    self._heard(name)
                    if not version:
                        return
                    changes = followed(self._client, path, {}, version, breaks_max=0)
                    async with contextlib.aclosing(changes):
                        async for change, item in changes:
                            self._take(name, kind, change, item)
            except Gone:
                continue
            except LongshoreError as error:
                self.problem = str(error)
                self.ring()
                await asyncio.sleep(RETRY_S)

    def _take(self, name: str, kind: Kind[Any], change: str, item: Json) -> None:
        found = understood(kind, item)
        if found is None:
            return
        if change == "DELETED":
            self._objects[name].pop(_name_of(found), None)
        else:
            self._objects[name][_name_of(found)] = found
        self._heard(name)

    def _heard(self, name: str) -> None:
        self._missing.discard(name)
        self.problem = ""
        self.ring()


@contextlib.asynccontextmanager
async def mirrored(
    client: Client, clock: Callable[[], int], *, namespace: str = "", names: Sequence[str] = ()
) -> AsyncGenerator[Mirror, None]:
    """A mirror that keeps up for the length of the block."""
    mirror = Mirror(client, clock, namespace, list(names or KINDS))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow())
        try:
            yield mirror
        finally:
            following.cancel()


def _name_of(found: Resource) -> Name:
    return found.metadata.namespace, found.metadata.name
