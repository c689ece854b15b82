"""Who decides: exactly one orchestrator at a time, by a leased key in the store.

The key `keys.LEADER` holds the leader's identity and lives as long as its lease. Its create
revision is the **epoch**: it grows with every term, and every transaction of a leader compares it,
so what a deposed leader still sends is refused by the store. That fence alone is what safety rests
on. The rest is for speed and quiet:

* A leader stops by itself before its lease can end: its deadline counts from when it *sent* the
  last renewal that succeeded, times `SAFETY`, for clocks that drift. A process that was frozen
  finds its deadline passed as soon as it runs.
* A leader that stops cleanly revokes its lease, and the next one leads at once. After a crash the
  next one waits for the lease to end.
* An orchestrator that finds its own identity in the key finds its previous life, and takes over at
  once: it deletes the key, if it is still that term's, and campaigns. Should the old process live
  after all, the fence has just shut it out. So an identity must be stable (it is kept in the data
  directory) and belong to one orchestrator only: two that share one would depose each other.

Deadlines are in loop time, which is monotonic and, on Linux, stands still while a host is
suspended: then the fence is what stops the old leader.
"""

import asyncio

import structlog

from orchestrator.store import Compare, Delete, Item, Put, Store, keys
from proto.errors import Retryable

TTL_S = 2
"""How long a crashed leader is waited for: the shortest that etcd grants with its default election
timeout of 1 s. A false alarm is cheap, as the same identity takes over at once."""

SAFETY = 0.8
"""Part of the time to live in which the leader trusts it: covers clocks that run 20 % apart."""

RENEWALS = 4
"""Renewals in a time to live: two may be lost before the term is."""

RETRY_S = 0.2
"""Between attempts while the store is away."""

RELOOK_S = 10.0
"""A candidate looks at the key that often, even if its watch says nothing."""

log = structlog.get_logger()


class Term:
    """One time of leading. It must be renewed, by awaiting `lost`, from its start.

    Attributes:
        epoch: Later terms have greater ones.
    """

    def __init__(self, store: Store, epoch: int, lease: int, ttl_s: int, sent_at: float) -> None:
        self.epoch = epoch
        self._store = store
        self._lease = lease
        self._ttl_s = ttl_s
        self._sent_at = sent_at
        self._is_over = False

    @property
    def _deadline(self) -> float:
        return self._sent_at + self._ttl_s * SAFETY

    def is_valid(self) -> bool:
        """Whether it may still be trusted; turns False by the passing of time alone."""
        return not self._is_over and asyncio.get_running_loop().time() < self._deadline

    async def lost(self) -> None:
        """Renew until that no longer succeeds; returns when the term is over."""
        loop = asyncio.get_running_loop()
        period_s = self._ttl_s / RENEWALS
        while self.is_valid():
            sent_at = loop.time()
            if await self._renew(min(sent_at + period_s, self._deadline)):
                self._sent_at = sent_at
            await asyncio.sleep(min(sent_at + period_s, self._deadline) - loop.time())
        log.warning("term.lost", epoch=self.epoch)

    async def _renew(self, until: float) -> bool:
        """Whether the store confirmed it in time."""
        try:
            async with asyncio.timeout_at(until):
                self._is_over = not await self._store.keepalive(self._lease)
        except (Retryable, TimeoutError) as error:
            log.info("term.renewal_failed", epoch=self.epoch, error=str(error))
            return False
        return not self._is_over

    async def resign(self) -> None:
        """End it now, so that the next leader need not wait; tried once."""
        self._is_over = True
        await _revoke(self._store, self._lease, self._ttl_s)


class Election:
    """One orchestrator's part in it.

    Args:
        store: Where the key is.
        identity: Ours; stable and unique, see the module's text.
        ttl_s: Seconds until a crashed leader's term ends. At least `TTL_S`.
    """

    def __init__(self, store: Store, identity: str, *, ttl_s: int = TTL_S) -> None:
        self._store = store
        self._identity = identity.encode()
        self._ttl_s = max(ttl_s, TTL_S)

    async def campaign(self) -> Term:
        """Wait until elected. A store that is away is waited for."""
        is_away = False
        while True:
            try:
                term = await self._attempt()
            except Retryable as error:
                if not is_away:
                    log.warning("election.store_away", error=str(error))
                is_away = True
                await asyncio.sleep(RETRY_S)
                continue
            is_away = False
            if term is not None:
                return term

    async def _attempt(self) -> Term | None:
        """One look at the key, and what follows from it."""
        listing = await self._store.range(keys.LEADER)
        leader = next((item for item in listing.items if item.key == keys.LEADER), None)
        if leader is None:
            return await self._stand()
        if leader.value == self._identity:
            await self._end_previous_life(leader)
            return None
        log.info("election.waiting", leader=leader.value.decode(errors="replace"))
        await self._vacancy(listing.revision)
        return None

    async def _end_previous_life(self, leader: Item) -> None:
        log.info("election.own_term_found", epoch=leader.create_revision)
        is_that_term = Compare(keys.LEADER, create_revision=leader.create_revision)
        await self._store.txn([is_that_term], [Delete(keys.LEADER)])

    async def _stand(self) -> Term | None:
        """Take the key if nobody has; a term that is not known to be ours is given back."""
        sent_at = asyncio.get_running_loop().time()
        lease = await self._store.grant(self._ttl_s)
        term = None
        try:
            result = await self._store.txn(
                [Compare(keys.LEADER, create_revision=0)],
                [Put(keys.LEADER, self._identity, lease)],
            )
            if result.succeeded:
                term = Term(self._store, result.revision, lease, self._ttl_s, sent_at)
        finally:
            if term is None:
                await _revoke(self._store, lease, self._ttl_s)
        return term

    async def _vacancy(self, since_revision: int) -> None:
        """Wait until the key goes."""
        watch = await self._store.watch(keys.LEADER, since_revision + 1)
        try:
            async with asyncio.timeout(RELOOK_S):
                while True:
                    for event in await watch.batch():
                        if event.key == keys.LEADER and event.item is None:
                            return
        except TimeoutError:
            return
        finally:
            await watch.close()


async def _revoke(store: Store, lease: int, ttl_s: int) -> None:
    """End a lease, tried once: it ends by itself as soon as we would give up."""
    try:
        async with asyncio.timeout(ttl_s):
            await store.revoke(lease)
    except (Retryable, TimeoutError) as error:
        log.info("election.lease_left", lease=lease, error=str(error))
