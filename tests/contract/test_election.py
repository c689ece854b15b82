"""Elections on a real etcd, whose leases have a clock of their own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.runtime.election import TTL_S, Election
from orchestrator.store import Compare, Put, keys
from orchestrator.store.etcd import EtcdStore
from tests import servers

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_S = 20.0


@pytest_asyncio.fixture(loop_scope="module")
async def store() -> AsyncIterator[EtcdStore]:
    async with servers.etcd() as server:
        store = await EtcdStore.connect([server.url])
        yield store
        await store.close()


async def test_terms_follow_each_other_after_a_crash_a_restart_and_a_resignation(store: EtcdStore):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        crashed = await Election(store, "one").campaign()
        started = loop.time()
        second = await Election(store, "two").campaign()
        assert TTL_S - 0.5 < loop.time() - started < TTL_S + 3
        assert not crashed.is_valid()

        started = loop.time()
        restarted = await Election(store, "two").campaign()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(Election(store, "three").campaign())
            await restarted.resign()
        resigned = waiting.result()
        assert loop.time() - started < TTL_S / 2

        epochs = [term.epoch for term in (crashed, second, restarted, resigned)]
        assert epochs == sorted(set(epochs))
        for epoch in epochs:
            fence = Compare(keys.LEADER, create_revision=epoch)
            result = await store.txn([fence], [Put("/written", b"")])
            assert result.succeeded == (epoch == resigned.epoch)


async def test_a_term_is_renewed_for_longer_than_its_lease(store: EtcdStore):
    term = await Election(store, "one").campaign()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5 * TTL_S):
            await term.lost()
    assert term.is_valid()
    assert await store.get(keys.LEADER) is not None
    await term.resign()
    assert await store.get(keys.LEADER) is None
