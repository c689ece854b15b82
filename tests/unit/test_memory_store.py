"""The faults that the store in memory plays on request."""

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.store import Compare, Put
from orchestrator.store.memory import FINE, Fate, MemoryServer, MemoryStore
from proto.errors import Unavailable, UnknownResult
from tests import virtual_time


def only(verb: str, fate: Fate) -> Callable[[str, str], Fate]:
    return lambda _client, asked: fate if asked == verb else FINE


def test_a_lost_request_is_not_applied():
    async def main() -> None:
        store = MemoryStore(MemoryServer(only("txn", Fate(is_request_lost=True))))
        with pytest.raises(Unavailable):
            await store.txn([], [Put("/a", b"")])
        assert await store.get("/a") is None

    virtual_time.run(main())


def test_a_transaction_whose_answer_is_lost_is_applied_and_not_known_to_be():
    async def main() -> None:
        store = MemoryStore(MemoryServer(only("txn", Fate(is_response_lost=True))))
        with pytest.raises(UnknownResult):
            await store.txn([], [Put("/a", b"")])
        assert await store.get("/a") is not None

    virtual_time.run(main())


def test_an_unknown_transaction_may_be_applied_later_unless_something_was_written_since():
    late = Fate(is_response_lost=True, request_delay_s=5, response_delay_s=1)

    async def main() -> None:
        server = MemoryServer(only("txn", late))
        store = MemoryStore(server)
        with pytest.raises(UnknownResult):
            await store.txn([Compare("/a", create_revision=0)], [Put("/a", b"late")])
        assert asyncio.get_running_loop().time() == 1
        assert await store.get("/a") is None
        server.faults = lambda _client, _verb: FINE
        await store.txn([], [Put("/b", b"now")])
        await asyncio.sleep(5)
        assert [item.key for item in (await store.range("/")).items] == ["/a", "/b"]

    virtual_time.run(main())


def test_cancelling_cannot_call_back_a_transaction_on_its_way():
    async def main() -> None:
        store = MemoryStore(MemoryServer(only("txn", Fate(request_delay_s=1))))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await store.txn([], [Put("/a", b"")])
        await asyncio.sleep(1)
        assert await store.get("/a") is not None

    virtual_time.run(main())


def test_a_lost_answer_to_a_read_is_unavailable():
    async def main() -> None:
        store = MemoryStore(MemoryServer(only("range", Fate(is_response_lost=True))))
        with pytest.raises(Unavailable):
            await store.range("/")

    virtual_time.run(main())


def test_a_server_that_is_down_answers_nobody_and_keeps_its_keys():
    async def main() -> None:
        store = MemoryStore()
        await store.txn([], [Put("/a", b"")])
        store.server.is_up = False
        for request in (store.range("/"), store.get("/a"), store.txn([], []), store.grant(2)):
            with pytest.raises(Unavailable):
                await request
        store.server.is_up = True
        assert await store.get("/a") is not None

    virtual_time.run(main())


def test_a_lagging_watch_keeps_the_order_and_loses_nothing():
    lags = iter([3.0, 1.0, 0.0, 0.0])

    def fate(_client: str, verb: str) -> Fate:
        return Fate(request_delay_s=next(lags)) if verb == "batch" else FINE

    async def main() -> None:
        store = MemoryStore(MemoryServer(fate))
        watch = await store.watch("/", 1)
        for key in ("/a", "/b", "/c"):
            await store.txn([], [Put(key, b"")])
        seen = []
        while len(seen) < 3:
            seen += [event.key for event in await watch.batch()]
        assert seen == ["/a", "/b", "/c"]
        assert asyncio.get_running_loop().time() >= 3
        await store.txn([], [Put("/d", b"")])
        assert [event.key for event in await watch.batch()] == ["/d"]

    virtual_time.run(main())


def test_a_watch_breaks_where_its_fate_says_and_resumes_there():
    fates = iter([FINE, Fate(is_request_lost=True)])

    def fate(_client: str, verb: str) -> Fate:
        return next(fates, FINE) if verb == "batch" else FINE

    async def main() -> None:
        store = MemoryStore(MemoryServer(fate))
        watch = await store.watch("/", 1)
        await store.txn([], [Put("/a", b"")])
        await store.txn([], [Put("/b", b"")])
        (seen,) = await watch.batch()
        with pytest.raises(Unavailable):
            await watch.batch()
        watch = await store.watch("/", seen.revision + 1)
        assert [event.key for event in await watch.batch()] == ["/b"]

    virtual_time.run(main())


def test_one_clients_watches_break_alone():
    async def main() -> None:
        server = MemoryServer()
        watches = {name: await MemoryStore(server, name).watch("/", 1) for name in "ab"}
        server.break_watches("a")
        await MemoryStore(server).txn([], [Put("/a", b"")])
        with pytest.raises(Unavailable):
            await watches["a"].batch()
        assert len(await watches["b"].batch()) == 1

    virtual_time.run(main())
