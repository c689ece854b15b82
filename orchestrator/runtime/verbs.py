"""Create, update, patch and delete, the same for every kind and every way in.

The API, the deploy intake and the controllers all write through these; what a write does to an
object is decided by `core.objects`, which is pure.
"""

import random
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from orchestrator.core import objects
from orchestrator.runtime.writer import Op, Writer
from orchestrator.world import World
from proto.errors import Conflict, Forbidden, NotFound
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES
from proto.meta import Resource

R = TypeVar("R", bound=Resource)

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no suffix spells a word. Source: apimachinery, rand.go."""

MODIFY_ATTEMPTS = 5
"""How often a patch without a resourceVersion is applied afresh. Source: apiserver, MaxRetryWhenPatchConflicts."""


class Deleted(Struct, frozen=True):
    """What a delete left.

    Attributes:
        object: As it is now, or as it last was.
        is_gone: False while somebody must still confirm.
    """

    object: Any
    is_gone: bool


class Verbs:
    """See the module."""

    def __init__(
        self, world: World, writer: Writer, clock: Callable[[], int], chance: random.Random
    ) -> None:
        self._world = world
        self._writer = writer
        self._clock = clock
        self._chance = chance

    def new_uid(self) -> str:
        """A random version-4 UUID."""
        bits = self._chance.getrandbits(128)
        bits = (bits & ~(0xF << 76)) | (4 << 76)
        bits = (bits & ~(0x3 << 62)) | (2 << 62)
        text = f"{bits:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _suffix(self) -> str:
        return "".join(self._chance.choices(NAME_ALPHABET, k=5))

    def prepared(self, kind: Kind[R], new: R) -> R:
        """The object as it would be created, with name, uid and defaults.

        Raises:
            Invalid: With every wrong field.
            NotFound: Its namespace does not exist.
            Forbidden: Its namespace is being deleted.
        """
        found = objects.prepare_create(
            kind, new, uid=self.new_uid(), suffix=self._suffix(), now_ms=self._clock()
        )
        if kind.is_namespaced:
            namespace = self._world.get(NAMESPACES, "", found.metadata.namespace)
            if namespace is None:
                raise NotFound(f'namespaces "{found.metadata.namespace}" not found')
            if namespace.metadata.deletion_timestamp:
                raise Forbidden(
                    f'{kind.resource} "{found.metadata.name}" is forbidden: unable to create new '
                    f"content in namespace {found.metadata.namespace} because it is being terminated"
                )
        return found

    async def create(self, kind: Kind[R], new: R, *, dry_run: bool = False) -> R:
        """Make an object.

        Raises:
            Invalid, NotFound, Forbidden: See `prepared`.
            AlreadyExists: There is one of that name.
        """
        found = self.prepared(kind, new)
        meta = found.metadata
        op = Op(kind, meta.namespace, meta.name, found, expect="")
        return await self._write(op, dry_run=dry_run)

    async def modify(
        self,
        kind: Kind[R],
        namespace: str,
        name: str,
        change: Callable[[R], R],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> R:
        """Change an object from what it is now.

        Args:
            kind: Of the object.
            namespace: Empty for a cluster-scoped object.
            name: Of the object.
            change: From the present object to the wanted one. Its result may carry the
                resourceVersion that the client insists on; then there is one attempt only.
            subresource: ``status`` or ``scale``; empty for the object itself.
            dry_run: Say what would be, and write nothing.

        Raises:
            NotFound: There is none.
            Invalid: With every wrong field.
            Conflict: It is not at the version the client insists on.
        """
        for attempt in range(MODIFY_ATTEMPTS):
            old = self._world.get(kind, namespace, name)
            if old is None:
                raise NotFound(f'{kind.resource} "{name}" not found')
            wanted = change(old)
            current = old.metadata.resource_version
            insisted = wanted.metadata.resource_version not in ("", current)
            written = objects.prepare_update(
                kind, old, wanted, subresource=subresource, now_ms=self._clock()
            )
            if insisted:
                raise _stale(kind, name)
            if written is old:
                return old
            op = Op(kind, namespace, name, written, expect=current)
            try:
                return await self._write(op, dry_run=dry_run)
            except Conflict:
                if attempt == MODIFY_ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _write(self, op: Op, *, dry_run: bool) -> Any:
        if not dry_run:
            return await self._writer.write(op)
        if op.expect == "" and self._world.entry(op.kind, op.namespace, op.name) is not None:
            return await self._writer.write(op)  # raises AlreadyExists
        return op.object


def _stale(kind: Kind[Any], name: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
