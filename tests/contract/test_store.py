"""What every store does: one suite for the one in memory and for etcd."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import pytest_asyncio
from aetcd import rpc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.store import Compare, Delete, Item, Put, Store, Watch, WatchEvent, etcd
from orchestrator.store.encrypted import EncryptedStore
from orchestrator.store.encryption import Cipher, Rules
from orchestrator.store.etcd import EtcdStore
from orchestrator.store.memory import MemoryServer, MemoryStore
from proto.errors import Compacted, Unavailable, UnknownResult
from tests import servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_S = 20.0


class Rig:
    """A running store, and what only its operator can do."""

    def __init__(
        self,
        store: Store,
        *,
        compact: Callable[[int], Awaitable[None]],
        interrupt: Callable[[], Awaitable[None]],
    ) -> None:
        self.store = store
        self.compact = compact
        self.interrupt = interrupt


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[Rig]:
    server = MemoryServer()

    async def compact(revision: int) -> None:
        server.compact(revision)

    async def interrupt() -> None:
        server.break_watches()

    yield Rig(MemoryStore(server), compact=compact, interrupt=interrupt)


class Everything(Rules, frozen=True):
    """Encrypts every value, whatever its key."""

    def of(self, key: str) -> tuple[Cipher, ...]:
        return (Cipher(b"k8s:enc:aesgcm:v1:one:", AESGCM(bytes(32))),)


@contextlib.asynccontextmanager
async def encrypted() -> AsyncIterator[Rig]:
    async with memory() as rig:
        store = EncryptedStore(rig.store, Everything())
        yield Rig(store, compact=rig.compact, interrupt=rig.interrupt)


@contextlib.asynccontextmanager
async def on_etcd(server: servers.Server) -> AsyncIterator[Rig]:
    store = await EtcdStore.connect([server.url])
    await wipe(store)

    async def compact(revision: int) -> None:
        await store._endpoints[0].kv.Compact(rpc.CompactionRequest(revision=revision))

    try:
        yield Rig(store, compact=compact, interrupt=server.restart)
    finally:
        await store.close()


async def wipe(store: Store) -> None:
    keys = [item.key for item in (await store.range("/")).items]
    for at in range(0, len(keys), 128):
        await store.txn([], [Delete(key) for key in keys[at : at + 128]])


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["memory", "encrypted", pytest.param("etcd", marks=pytest.mark.integration)],
)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[servers.Server | str]:
    """One etcd for all tests, as it takes a second to start; or which store in memory."""
    if request.param != "etcd":
        yield request.param
        return
    async with servers.etcd() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def rig(server: servers.Server | str) -> AsyncIterator[Rig]:
    in_memory = {"memory": memory, "encrypted": encrypted}
    async with in_memory[server]() if isinstance(server, str) else on_etcd(server) as made:
        yield made


@pytest.fixture
def store(rig: Rig) -> Store:
    return rig.store


async def put(store: Store, key: str, value: bytes = b"", lease: int = 0) -> int:
    result = await store.txn([], [Put(key, value, lease)])
    assert result.succeeded
    return result.revision


async def events_until(watch: Watch, is_last: Callable[[WatchEvent], bool]) -> list[WatchEvent]:
    found: list[WatchEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        while not (found and is_last(found[-1])):
            found += await watch.batch()
    return found


def keys_of(events: Sequence[WatchEvent]) -> list[str]:
    return [event.key for event in events]


# Transactions


async def test_an_item_tells_when_it_was_made_and_last_written(store: Store):
    made = await put(store, "/a", b"one")
    written = await put(store, "/a", b"two")
    assert written > made
    assert await store.get("/a") == Item("/a", b"two", create_revision=made, mod_revision=written)


async def test_an_absent_key_is_none(store: Store):
    assert await store.get("/absent") is None


async def test_a_transaction_writes_everything_at_one_revision(store: Store):
    await put(store, "/old")
    result = await store.txn([], [Put("/a", b"1"), Put("/b", b"2"), Delete("/old")])
    listing = await store.range("/")
    assert listing.revision == result.revision
    assert [(item.key, item.mod_revision) for item in listing.items] == [
        ("/a", result.revision),
        ("/b", result.revision),
    ]


async def test_a_key_that_must_be_absent_is_made_only_once(store: Store):
    is_absent = [Compare("/a", create_revision=0)]
    assert (await store.txn(is_absent, [Put("/a", b"first")])).succeeded
    assert not (await store.txn(is_absent, [Put("/a", b"second")])).succeeded
    found = await store.get("/a")
    assert found is not None
    assert found.value == b"first"


async def test_a_stale_version_writes_nothing_at_all(store: Store):
    read = await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    result = await store.txn([Compare("/a", mod_revision=read)], [Put("/a", b"3"), Put("/b", b"")])
    assert not result.succeeded
    assert [item.value for item in (await store.range("/")).items] == [b"2"]


async def test_every_compare_must_hold(store: Store):
    epoch = await put(store, "/leader")
    good, bad = Compare("/leader", create_revision=epoch), Compare("/b", mod_revision=epoch)
    assert not (await store.txn([good, bad], [Put("/b", b"")])).succeeded
    assert (await store.txn([good], [Put("/b", b"")])).succeeded


async def test_both_revisions_of_one_key_can_be_compared(store: Store):
    made = await put(store, "/a")
    written = await put(store, "/a")
    wrong = Compare("/a", create_revision=written, mod_revision=written)
    right = Compare("/a", create_revision=made, mod_revision=written)
    assert not (await store.txn([wrong], [Put("/a", b"")])).succeeded
    assert (await store.txn([right], [Put("/a", b"")])).succeeded


async def test_a_deleted_key_made_again_has_a_new_create_revision(store: Store):
    first = await put(store, "/leader")
    await store.txn([], [Delete("/leader")])
    second = await put(store, "/leader")
    assert second > first
    assert not (await store.txn([Compare("/leader", create_revision=first)], [])).succeeded


async def test_removing_what_is_not_there_changes_no_revision(store: Store):
    revision = await put(store, "/a")
    assert (await store.txn([], [Delete("/absent")])).revision == revision


@pytest.mark.parametrize(
    "writes",
    [
        [Put(f"/{number}", b"") for number in range(129)],
        [Put("/a", b"1"), Put("/a", b"2")],
        [Put("/a", bytes(1_600_000))],
    ],
    ids=["too many", "a key twice", "too large"],
)
async def test_an_impossible_transaction_is_the_callers_error(store: Store, writes: list[Put]):
    with pytest.raises(ValueError):
        await store.txn([], writes)
    assert (await store.range("/")).items == ()


async def test_a_full_transaction_is_taken(store: Store):
    writes = [Put(f"/{number:03}", bytes(10_000)) for number in range(128)]
    assert (await store.txn([], writes)).succeeded
    assert len((await store.range("/")).items) == 128


# Listings


async def test_a_listing_is_sorted_and_ends_with_its_prefix(store: Store):
    for key in ("/b/2", "/a/1", "/b/1", "/c", "/b0", "/b"):
        await put(store, key)
    assert [item.key for item in (await store.range("/b/")).items] == ["/b/1", "/b/2"]


async def test_a_long_listing_is_of_one_moment(store: Store):
    keys = [f"/many/{number:04}" for number in range(4500)]  # three pages of etcd
    for at in range(0, len(keys), 100):
        await store.txn([], [Put(key, b"0") for key in keys[at : at + 100]])
    ends = keys[0], keys[-1]
    is_done = False

    async def write_both_ends() -> None:
        round = 0
        while not is_done:
            round += 1
            await store.txn([], [Put(key, b"%d" % round) for key in ends])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write_both_ends())
        for _ in range(5):
            listing = await store.range("/many/")
            assert [item.key for item in listing.items] == keys
            first, last = listing.items[0], listing.items[-1]
            assert first.value == last.value
            assert max(item.mod_revision for item in listing.items) <= listing.revision
        is_done = True


async def test_large_values_are_listed_and_read_as_written(store: Store):
    for number in range(20):
        await put(store, f"/{number:02}", bytes([number]) * 1_000_000)
    listing = await store.range("/")
    assert [item.value[:1] for item in listing.items] == [bytes([n]) for n in range(20)]
    assert {len(item.value) for item in listing.items} == {1_000_000}


# Watches


async def test_a_watch_from_an_old_revision_replays_history_and_goes_on(store: Store):
    first = await put(store, "/w/a", b"1")
    await put(store, "/elsewhere")
    await put(store, "/w/b")
    watch = await store.watch("/w/", first)
    await store.txn([], [Delete("/w/a")])
    events = await events_until(watch, lambda event: event.item is None)
    assert keys_of(events) == ["/w/a", "/w/b", "/w/a"]
    assert events[0].item == Item("/w/a", b"1", first, first)
    assert [event.revision for event in events] == sorted(event.revision for event in events)
    await watch.close()


async def test_a_watch_from_the_next_revision_sees_only_what_follows(store: Store):
    revision = await put(store, "/a")
    watch = await store.watch("/", revision + 1)
    await put(store, "/b")
    assert keys_of(await events_until(watch, lambda event: event.key == "/b")) == ["/b"]
    await watch.close()


async def test_a_batch_never_splits_a_transaction(store: Store):
    revisions = []
    for _ in range(6):  # six megabytes: more than etcd puts in one message
        writes = [Put(f"/{number:03}", bytes(10_000)) for number in range(100)]
        revisions.append((await store.txn([], writes)).revision)
    watch = await store.watch("/", revisions[0])
    seen: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < 6:
            batch = [event.revision for event in await watch.batch()]
            assert all(batch.count(revision) == 100 for revision in set(batch))
            seen += sorted(set(batch))
    assert seen == revisions
    await watch.close()


async def test_a_broken_watch_says_so_and_resumes_without_loss_or_repetition(rig: Rig):
    store = rig.store
    revision = await put(store, "/a")
    watch = await store.watch("/", revision)
    seen = await events_until(watch, lambda event: event.key == "/a")
    await put(store, "/b")
    await rig.interrupt()
    with pytest.raises(Unavailable):
        seen += await events_until(watch, lambda _: False)
    await watch.close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await put(store, "/c")
                watch = await store.watch("/", seen[-1].revision + 1)
                break
            except (Unavailable, UnknownResult):
                await asyncio.sleep(0.05)
    seen += await events_until(watch, lambda event: event.key == "/c")
    assert sorted(set(keys_of(seen))) == ["/a", "/b", "/c"]
    assert keys_of(seen)[:3] == ["/a", "/b", "/c"]
    await watch.close()


async def test_compacted_history_asks_for_a_new_listing(rig: Rig):
    first = await put(rig.store, "/a", b"1")
    last = await put(rig.store, "/a", b"2")
    await rig.compact(last)
    watch = await rig.store.watch("/", first)
    with pytest.raises(Compacted):
        async with asyncio.timeout(PATIENCE_S):
            await watch.batch()
    await watch.close()
    watch = await rig.store.watch("/", last + 1)
    await put(rig.store, "/b")
    assert keys_of(await events_until(watch, lambda event: event.key == "/b")) == ["/b"]
    await watch.close()


async def test_closing_a_watch_wakes_its_reader(store: Store):
    watch = await store.watch("/", await put(store, "/a") + 1)

    async def read() -> None:
        with pytest.raises(Unavailable):
            await watch.batch()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await asyncio.sleep(0)  # let it wait
        await watch.close()


async def test_a_cancelled_reader_ends_its_watch(store: Store):
    watch = await store.watch("/", await put(store, "/a") + 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await watch.batch()
    with pytest.raises(Unavailable):
        await watch.batch()


# Leases


async def test_a_lease_that_is_not_renewed_takes_its_keys_with_it(store: Store):
    lease = await store.grant(2)
    revision = await put(store, "/leased", lease=lease)
    watch = await store.watch("/", revision + 1)
    events = await events_until(watch, lambda event: event.item is None)
    assert keys_of(events) == ["/leased"]
    assert await store.get("/leased") is None
    assert not await store.keepalive(lease)
    await watch.close()


async def test_a_renewed_lease_outlives_its_first_time_to_live(store: Store):
    loop = asyncio.get_running_loop()
    lease = await store.grant(2)
    await put(store, "/leased", lease=lease)
    until = loop.time() + 4.5
    while loop.time() < until:
        assert await store.keepalive(lease)
        assert await store.get("/leased") is not None
        await asyncio.sleep(0.25)


async def test_a_revoked_lease_takes_its_keys_at_once(store: Store):
    lease = await store.grant(60)
    await put(store, "/a", lease=lease)
    await put(store, "/b", lease=lease)
    await put(store, "/c")
    await store.revoke(lease)
    assert [item.key for item in (await store.range("/")).items] == ["/c"]
    await store.revoke(lease)  # twice is no error


async def test_a_key_put_again_without_its_lease_stays(store: Store):
    lease = await store.grant(60)
    await put(store, "/a", lease=lease)
    await put(store, "/a")
    await store.revoke(lease)
    assert await store.get("/a") is not None


async def test_a_write_with_an_ended_lease_is_not_applied(store: Store):
    lease = await store.grant(60)
    await store.revoke(lease)
    with pytest.raises(Unavailable):
        await put(store, "/a", lease=lease)
    assert await store.get("/a") is None


# Failures that only a real server has; the memory store's are in tests/unit/test_memory_store.py


@pytest.mark.integration
async def test_a_listing_that_fits_no_message_is_read_in_smaller_pages(
    monkeypatch: pytest.MonkeyPatch,
):
    options = tuple(option for option in etcd._CHANNEL_OPTIONS if "receive" not in option[0])
    small = ("grpc.max_receive_message_length", 200_000)
    monkeypatch.setattr(etcd, "_CHANNEL_OPTIONS", (*options, small))
    async with servers.etcd() as server, on_etcd(server) as rig:
        keys = [f"/{number:02}" for number in range(30)]
        for key in keys:
            await put(rig.store, key, bytes(50_000))
        assert [item.key for item in (await rig.store.range("/")).items] == keys


@pytest.mark.integration
async def test_a_refused_connection_is_certainly_not_applied():
    store = await EtcdStore.connect([f"http://127.0.0.1:{servers.free_port()}"])
    with pytest.raises(Unavailable):
        await put(store, "/a")
    with pytest.raises(Unavailable):
        await store.range("/")
    with pytest.raises(Unavailable):
        await store.watch("/", 1)
    with pytest.raises(Unavailable):
        await store.grant(2)
    await store.close()


@pytest.mark.integration
async def test_a_dead_endpoint_costs_nothing_but_the_first_attempt():
    dead = f"http://127.0.0.1:{servers.free_port()}"
    async with servers.etcd() as server:
        store = await EtcdStore.connect([dead, server.url])
        await put(store, "/a", b"here")
        found = await store.get("/a")
        assert found is not None
        assert found.value == b"here"
        await store.close()


@pytest.mark.integration
async def test_a_transaction_without_answer_has_an_unknown_result_and_repeating_it_makes_it_certain():
    async with servers.etcd() as server:
        store = await EtcdStore.connect([server.url])
        before = await put(store, "/a", b"before")
        unchanged = Compare("/a", mod_revision=before)
        server.signal(signal.SIGSTOP)
        with pytest.raises(UnknownResult):
            await store.txn([unchanged], [Put("/a", b"after")])
        server.signal(signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_S):
            found = None
            while found is None or found.value != b"after":
                with contextlib.suppress(Unavailable, UnknownResult):
                    await store.txn([unchanged], [Put("/a", b"after")])
                    found = await store.get("/a")
                await asyncio.sleep(0.05)
        listing = await store.range("/")
        assert found.mod_revision == listing.revision, "of all attempts one was applied"
        await store.close()
