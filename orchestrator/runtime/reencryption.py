"""Follows the file that says what is encrypted, and writes anew what is not kept as it says.

A value is written anew as any client would replace an object with itself: one at a time, in the
writer's order, and skipped if somebody wrote it meanwhile.
"""

import asyncio

import structlog

from orchestrator.runtime.writer import Op, Writer
from orchestrator.store import Put, encryption, keys
from orchestrator.store.encrypted import EncryptedStore
from orchestrator.store.encryption import EncryptionError
from orchestrator.world import World
from proto.errors import LongshoreError

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
"""Reading the file takes a millisecond; whoever changed a key waits for it to be used."""


class Reencryption:
    """See the module.

    Args:
        path: The file.
        store: Whose rules these are.
        writer: Writes while this orchestrator leads.
        world: What to write.
    """

    def __init__(self, path: str, store: EncryptedStore, writer: Writer, world: World) -> None:
        self._path = path
        self._store = store
        self._writer = writer
        self._world = world
        self._refused = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._writer.epoch is not None:
                try:
                    await self.rewrite()
                except LongshoreError as error:
                    log.info("encryption.put_off", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)
            self.reload()

    def reload(self) -> None:
        """Take the rules of the file; a file that is wrong changes nothing, and is told once."""
        try:
            self._store.rules = encryption.load(self._path)
            self._refused = ""
        except EncryptionError as error:
            if str(error) != self._refused:
                log.warning("encryption.refused", error=str(error))
            self._refused = str(error)

    async def rewrite(self) -> None:
        """All values that are stale; leaves it at the first that cannot be written now."""
        await self._store.get(keys.TOKEN_KEY)  # how it is kept is known once it was read
        stale = self._store.stale
        for key in stale:
            if key == keys.TOKEN_KEY:
                found = await self._store.get(key)
                if found is not None:
                    await self._writer.commit((), (Put(key, found.value),))
            elif (op := self._replacing(key)) is not None:
                await self._writer.write(op)
        if stale:
            log.info("encryption.rewritten", values=len(stale))

    def _replacing(self, key: str) -> Op | None:
        kind = self._world.kinds.stored_at(key)
        if kind is None:
            return None
        room, _, name = key.removeprefix(keys.prefix(kind)).partition("/")
        namespace = "" if room == "_" else room
        entry = self._world.entry(kind, namespace, name)
        if entry is None:
            return None
        return Op(kind, namespace, name, entry.object, str(entry.version))
