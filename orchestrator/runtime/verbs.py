"""Create, update, patch and delete, the same for every kind and every way in.

The API, the deploy intake and the controllers all write through these; what a write does to an
object is decided by `core.objects`, which is pure.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import objects, service_accounts
from orchestrator.core.managed_fields import Manager
from orchestrator.runtime.writer import Op, Writer
from orchestrator.world import World
from proto.errors import Conflict, Forbidden, Invalid, NotFound
from proto.kinds.access import SERVICE_ACCOUNTS
from proto.kinds.definition import DEFINITIONS
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES
from proto.kinds.pod import Pod
from proto.meta import ObjectMeta, Resource

R = TypeVar("R", bound=Resource)

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no suffix spells a word. Source: apimachinery, rand.go."""

MODIFY_ATTEMPTS = 5
"""How often a patch without a resourceVersion is applied afresh.

Source: apiserver, MaxRetryWhenPatchConflicts.
"""


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

    def prepared(self, kind: Kind[R], new: R, *, manager: Manager | None = None) -> R:
        """The object as it would be created, with name, uid and defaults.

        Args:
            kind: Of the object.
            new: As asked for.
            manager: Who owns its fields; None: nobody keeps track.

        Raises:
            Invalid: With every wrong field.
            NotFound: Its namespace does not exist.
            Forbidden: Its namespace is being deleted.
        """
        found = objects.prepare_create(
            kind,
            self._admitted(new),
            uid=self.new_uid(),
            suffix=self._suffix(),
            now_ms=self._clock(),
            manager=manager,
        )
        if kind.schema is not None:
            definition = self._world.get(DEFINITIONS, "", kind.resource)
            if definition is None or definition.metadata.deletion_timestamp:
                raise Forbidden(
                    f"create not allowed while custom resource definition {kind.resource} is "
                    "terminating"
                )
        if kind.is_namespaced:
            meta = found.metadata
            namespace = self._world.get(NAMESPACES, "", meta.namespace)
            if namespace is None:
                raise NotFound(f'namespaces "{meta.namespace}" not found')
            if namespace.metadata.deletion_timestamp:
                raise Forbidden(
                    f'{kind.resource} "{meta.name}" is forbidden: unable to create new content in '
                    f"namespace {meta.namespace} because it is being terminated"
                )
        return found

    def _admitted(self, new: R) -> R:
        """With what other objects add to it."""
        if not isinstance(new, Pod):
            return new
        name = new.spec.service_account_name or service_accounts.DEFAULT
        account = self._world.get(SERVICE_ACCOUNTS, new.metadata.namespace or "default", name)
        return cast("R", service_accounts.admit(new, account))

    async def create(
        self, kind: Kind[R], new: R, *, manager: Manager | None = None, dry_run: bool = False
    ) -> R:
        """Make an object.

        Raises:
            Invalid, NotFound, Forbidden: See `prepared`.
            AlreadyExists: There is one of that name.
        """
        if (version := kind.conversion) is not None:
            made = await self.create(
                version.kind,
                version.to_stored(_checked(kind, new, None)),
                manager=_in_version(manager, version.kind),
                dry_run=dry_run,
            )
            return cast("R", version.from_stored(made))
        found = self.prepared(kind, new, manager=manager)
        meta = found.metadata
        op = Op(kind, meta.namespace, meta.name, found, expect="")
        return cast("R", await self._write(op, dry_run=dry_run))

    async def modify(
        self,
        kind: Kind[R],
        namespace: str,
        name: str,
        change: Callable[[R], R],
        *,
        subresource: str = "",
        manager: Manager | None = None,
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
            manager: Who changes it; None: the fields stay whose they are.
            dry_run: Say what would be, and write nothing.

        Raises:
            NotFound: There is none.
            Invalid: With every wrong field.
            Conflict: It is not at the version the client insists on.
        """
        if (version := kind.conversion) is not None:
            seen = version.from_stored
            changed = await self.modify(
                version.kind,
                namespace,
                name,
                lambda old: version.to_stored(_checked(kind, change(seen(old)), seen(old))),
                subresource=subresource,
                manager=_in_version(manager, version.kind),
                dry_run=dry_run,
            )
            return cast("R", version.from_stored(changed))
        for attempt in range(MODIFY_ATTEMPTS):
            old = self.existing(kind, namespace, name)
            wanted = change(old)
            prepared = self._prepared_update(kind, old, wanted, subresource, manager)
            if prepared is old:
                return old
            op = _update_op(kind, old, prepared)
            try:
                written = await self._write(op, dry_run=dry_run)
            except Conflict:
                if attempt == MODIFY_ATTEMPTS - 1:
                    raise
                continue
            # What went with its last finalizer is answered as it was asked to be.
            return prepared if op.object is None else cast("R", written)
        raise AssertionError("the last attempt returns or raises")

    def existing(self, kind: Kind[R], namespace: str, name: str) -> R:
        """The object.

        Raises:
            NotFound: There is none.
        """
        found = self._world.get(kind, namespace, name)
        if found is None:
            raise NotFound(f'{kind.resource} "{name}" not found')
        return found

    def update_op(
        self,
        kind: Kind[R],
        wanted: R,
        *,
        subresource: str = "",
        manager: Manager | None = None,
    ) -> Op | None:
        """The write that replaces the object `wanted` was derived from; None: nothing changes.

        Raises:
            NotFound, Conflict: It is gone, or not at that version any more.
            Invalid: With every wrong field.
        """
        meta = wanted.metadata
        old = self.existing(kind, meta.namespace, meta.name)
        prepared = self._prepared_update(kind, old, wanted, subresource, manager)
        return None if prepared is old else _update_op(kind, old, prepared)

    def _prepared_update(
        self, kind: Kind[R], old: R, wanted: R, subresource: str, manager: Manager | None
    ) -> R:
        meta = old.metadata
        if wanted.metadata.resource_version not in ("", meta.resource_version):
            raise _stale(kind, meta.name)
        return objects.prepare_update(
            kind,
            old,
            wanted,
            subresource=subresource,
            now_ms=self._clock(),
            manager=manager,
        )

    async def delete(
        self,
        kind: Kind[R],
        namespace: str,
        name: str,
        *,
        grace_s: int | None = None,
        propagation: str = "",
        uid: str = "",
        resource_version: str = "",
        prepare: Callable[[R], tuple[R, Sequence[Op]]] | None = None,
        dry_run: bool = False,
    ) -> Deleted:
        """Delete an object, or begin to.

        Args:
            kind: Of the object.
            namespace: Empty for a cluster-scoped object.
            name: Of the object.
            grace_s: Seconds for a graceful end; None: the object's own; 0: at once.
            propagation: ``Background`` (or empty), ``Foreground`` or ``Orphan``.
            uid: Only if it has this one.
            resource_version: Only at this version.
            prepare: From the object as it is to what it should be while it goes, and to what must
                be written together with its deletion; called for each attempt.
            dry_run: Say what would be, and write nothing.

        Raises:
            NotFound: There is none.
            Conflict: A precondition does not hold.
        """
        stored: Kind[Any] = kind.stored
        for attempt in range(MODIFY_ATTEMPTS):
            old = self.existing(stored, namespace, name)
            _check_preconditions(stored, old.metadata, uid, resource_version)
            wanted, along = (old, ()) if prepare is None else prepare(old)
            op = self.delete_op(stored, wanted, grace_s=grace_s, propagation=propagation)
            if op is None:
                return Deleted(_seen_as(kind, old), is_gone=False)
            try:
                written = await self._write(op, along=along, dry_run=dry_run)
            except Conflict:
                if attempt == MODIFY_ATTEMPTS - 1:
                    raise
            else:
                left = old if written is None else written
                return Deleted(_seen_as(kind, left), is_gone=written is None)
        raise AssertionError("the last attempt returns or raises")

    def delete_op(
        self, kind: Kind[R], old: R, *, grace_s: int | None = None, propagation: str = ""
    ) -> Op | None:
        """The write that deletes the object as it was seen; None when that is under way already.

        Raises:
            NotFound: It is gone.
            Conflict: It changed since.
        """
        meta = old.metadata
        left = objects.prepare_delete(
            kind, old, grace_s=grace_s, propagation=propagation, now_ms=self._clock()
        )
        if left is old:
            return None
        return Op(kind, meta.namespace, meta.name, left, expect=meta.resource_version)

    async def _write(self, op: Op, *, along: Sequence[Op] = (), dry_run: bool) -> Any:
        if not dry_run:
            return (await self._writer.commit((op, *along)))[0]
        if op.expect == "" and self._world.entry(op.kind, op.namespace, op.name) is not None:
            return await self._writer.write(op)  # raises AlreadyExists
        return op.object


def _check_preconditions(
    kind: Kind[Any], meta: ObjectMeta, uid: str, resource_version: str
) -> None:
    if uid not in ("", meta.uid):
        raise Conflict(
            f'Operation cannot be fulfilled on {kind.resource} "{meta.name}": Precondition '
            f"failed: UID in precondition: {uid}, UID in object meta: {meta.uid}"
        )
    if resource_version not in ("", meta.resource_version):
        raise _stale(kind, meta.name)


def _checked(kind: Kind[R], new: R, old: R | None) -> R:
    """An object as it came in another version than the stored one, if it is right by that.

    Raises:
        Invalid: With every wrong field.
    """
    if errors := kind.validate(kind.defaults(new), old):
        raise Invalid(kind.name, new.metadata.name, errors)
    return new


def _seen_as(kind: Kind[Any], found: Any) -> Any:
    """A stored object in the version that was asked for."""
    return found if kind.conversion is None else kind.conversion.from_stored(found)


def _in_version(manager: Manager | None, kind: Kind[Any]) -> Manager | None:
    """Whose fields are whose is kept of the stored version."""
    return None if manager is None else replace(manager, api_version=kind.api_version)


def _update_op(kind: Kind[R], old: R, prepared: R) -> Op:
    """The write of a change; of one that ends the object, its removal."""
    meta = old.metadata
    written = None if objects.is_finished(prepared) else prepared
    return Op(kind, meta.namespace, meta.name, written, expect=meta.resource_version)


def _stale(kind: Kind[Any], name: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
