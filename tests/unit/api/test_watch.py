import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest

from orchestrator.api import watch
from orchestrator.runtime.writer import Op
from proto.kinds.pod import PODS, Pod
from proto.meta import ObjectMeta
from tests.unit.api.server import running

PATH = "/api/v1/namespaces/default/pods"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


class Events:
    """What a watch sends, one event at a time."""

    def __init__(self, response):
        self._response = response

    async def next(self):
        """The next event; None at the end of the watch."""
        async with asyncio.timeout(5):
            line = await self._response.content.readline()
        return json.loads(line) if line else None

    async def some(self, count):
        """(type, name) of the next ones."""
        found = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in found]


@asynccontextmanager
async def watching(api, query="", path=PATH, headers=None):
    url = f"{api.url}{path}?watch=true&{query}"
    async with api.http.get(url, headers=headers, timeout=None) as response:
        assert response.status == 200
        yield Events(response)


async def create(api, name, **labels):
    pod = Pod(metadata=ObjectMeta(name=name, namespace="default", labels=labels))
    op = Op(PODS, "default", name, pod, expect="")
    return await api.writer.write(op)


async def label(api, name, **labels):
    old = api.world.get(PODS, "default", name)
    meta = ObjectMeta(name=name, namespace="default", labels=labels)
    return await api.writer.write(Op(PODS, "default", name, Pod(metadata=meta, spec=old.spec)))


async def remove(api, name):
    await api.writer.write(Op(PODS, "default", name, None))


async def test_a_watch_without_a_version_begins_with_what_there_is():
    async with running() as api:
        await create(api, "a")
        async with watching(api) as events:
            assert await events.some(1) == [("ADDED", "a")]
            await create(api, "b")
            await label(api, "b", x="y")
            await remove(api, "a")
            assert await events.some(3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


async def test_a_watch_from_a_lists_version_misses_nothing_and_repeats_nothing():
    async with running() as api:
        await create(api, "a")
        _, listed = await api.ask("GET", PATH)
        await create(api, "b")
        await remove(api, "b")
        version = listed["metadata"]["resourceVersion"]
        async with watching(api, f"resourceVersion={version}") as events:
            assert await events.some(2) == [("ADDED", "b"), ("DELETED", "b")]


async def test_every_event_has_a_version_that_continues_after_it():
    async with running() as api:
        async with watching(api) as events:
            await create(api, "a")
            await remove(api, "a")
            added, deleted = await events.next(), await events.next()
        versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in (added, deleted)]
        assert versions[0] < versions[1]
        await create(api, "b")
        async with watching(api, f"resourceVersion={versions[0]}") as events:
            assert await events.some(2) == [("DELETED", "a"), ("ADDED", "b")]
        async with watching(api, f"resourceVersion={versions[1]}") as events:
            assert await events.some(1) == [("ADDED", "b")]


async def test_entering_a_selection_is_an_addition_and_leaving_it_a_deletion():
    async with running() as api, watching(api, "labelSelector=x%3Dy") as events:
        await create(api, "a")
        await label(api, "a", x="y")
        await label(api, "a", x="y", z="1")
        await label(api, "a")
        await label(api, "a", x="y")
        await remove(api, "a")
        assert [kind for kind, _ in await events.some(5)] == [
            "ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED",
        ]  # fmt: skip


async def test_what_left_a_selection_is_shown_as_it_last_was_in_it():
    async with running() as api, watching(api, "labelSelector=x") as events:
        await create(api, "a", x="y")
        changed = await label(api, "a")
        await events.next()
        deleted = await events.next()
        assert deleted["object"]["metadata"]["labels"] == {"x": "y"}
        assert deleted["object"]["metadata"]["resourceVersion"] == changed.metadata.resource_version


async def test_a_watch_sees_its_own_namespace_only():
    async with (
        running() as api,
        watching(api) as mine,
        watching(api, path="/api/v1/namespaces/other/pods") as others,
        watching(api, path="/api/v1/pods") as everyones,
    ):
        await create(api, "a")
        assert await mine.some(1) == [("ADDED", "a")]
        assert await everyones.some(1) == [("ADDED", "a")]
        pod = Pod(metadata=ObjectMeta(name="o", namespace="other"))
        await api.writer.write(Op(PODS, "other", "o", pod, expect=""))
        assert await others.some(1) == [("ADDED", "o")]


async def test_watchers_share_one_encoding_of_an_event():
    async with running() as api, watching(api) as one, watching(api) as other:
        await create(api, "a")
        assert await one.some(1) == await other.some(1)
        assert list(api.world._history[-1].frames) == ["ADDED"]


async def test_a_watch_of_tables_names_its_columns_once():
    async with running() as api, watching(api, headers=TABLE) as events:
        await create(api, "a")
        await create(api, "b")
        first, second = await events.next(), await events.next()
        assert first["object"]["kind"] == "Table"
        assert first["object"]["columnDefinitions"][0]["name"] == "Name"
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_a_watch_ends_when_its_time_is_over_with_a_bookmark_if_wanted():
    async with running() as api:
        async with watching(api, "timeoutSeconds=1") as events:
            assert await events.next() is None
        async with watching(api, "timeoutSeconds=1&allowWatchBookmarks=true") as events:
            bookmark = await events.next()
            assert bookmark["type"] == "BOOKMARK"
            assert bookmark["object"]["kind"] == "Pod"
            version = bookmark["object"]["metadata"]["resourceVersion"]
            assert int(version) == api.world.version
            assert await events.next() is None


async def test_bookmarks_come_now_and_then(monkeypatch):
    monkeypatch.setattr(watch, "BOOKMARK_EVERY_S", 0.05)
    async with running() as api, watching(api, "allowWatchBookmarks=true") as events:
        kinds = [(await events.next())["type"] for _ in range(3)]
        assert kinds == ["BOOKMARK"] * 3


async def test_nothing_comes_after_a_bookmark_that_is_older_than_it(monkeypatch):
    monkeypatch.setattr(watch, "BOOKMARK_EVERY_S", 0.0)
    async with running() as api, watching(api, "allowWatchBookmarks=true") as events:

        async def write():
            for index in range(300):
                await create(api, f"p{index:03d}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            promised, bookmarks, name = 0, 0, ""
            while name != "p299":
                event = await events.next()
                metadata = event["object"]["metadata"]
                version, name = int(metadata["resourceVersion"]), metadata.get("name", "")
                if event["type"] == "BOOKMARK":
                    promised, bookmarks = version, bookmarks + 1
                else:
                    assert version > promised
        assert bookmarks


async def test_initial_events_end_with_a_bookmark():
    async with running() as api:
        await create(api, "a")
        query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with watching(api, query) as events:
            assert await events.some(1) == [("ADDED", "a")]
            end = await events.next()
            assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_begins_now_when_it_wants_no_initial_events():
    async with running() as api:
        await create(api, "a")
        query = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
        async with watching(api, query) as events:
            await create(api, "b")
            assert await events.some(1) == [("ADDED", "b")]
        async with watching(api, "resourceVersion=0") as events:
            assert await events.some(2) == [("ADDED", "a"), ("ADDED", "b")]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("sendInitialEvents=true", 422),
        ("sendInitialEvents=false", 422),
        ("resourceVersionMatch=NotOlderThan", 422),
        ("sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1", 422),
        (f"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={10**9}", 504),
    ],
)
async def test_a_watch_whose_beginning_is_not_clear_is_refused(query, status):
    async with running() as api:
        found, said = await api.ask("GET", f"{PATH}?watch=true&{query}")
        assert (found, said["kind"]) == (status, "Status")


@pytest.mark.parametrize("version", ["1", "999999999999"])
async def test_a_version_out_of_reach_is_an_error_event(version):
    async with running() as api, watching(api, f"resourceVersion={version}") as events:
        error = await events.next()
        assert error["type"] == "ERROR"
        assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
        assert await events.next() is None


async def test_a_watcher_that_is_too_slow_is_told_to_list_again(monkeypatch):
    monkeypatch.setattr("orchestrator.world.feed.FEED_LIMIT", 3)
    async with running() as api, watching(api) as events:
        async with asyncio.TaskGroup() as tasks:  # one transaction: more changes than fit
            for index in range(6):
                tasks.create_task(create(api, f"p{index}"))
        seen = [await events.next()]
        while seen[-1] is not None and seen[-1]["type"] != "ERROR":
            seen.append(await events.next())
        assert seen[-1] is not None
        assert seen[-1]["object"]["code"] == 410


@pytest.mark.parametrize(
    "query", ["resourceVersion=x", "timeoutSeconds=-1", "labelSelector=(", "fieldSelector=a"]
)
async def test_a_watch_that_cannot_be_understood_is_a_bad_request(query):
    async with running() as api:
        status, found = await api.ask("GET", f"{PATH}?watch=true&{query}")
        assert (status, found["reason"]) == (400, "BadRequest")


async def test_a_watcher_that_takes_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(watch, "WRITE_TIMEOUT_S", 0.1)
    async with running() as api:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", int(api.url.rpartition(":")[2])))
            deaf.send(b"GET /api/v1/pods?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                while not api.world._feeds:
                    await asyncio.sleep(0.01)
                index = 0
                while api.world._feeds:  # more than the sockets' buffers take
                    await create(api, f"p{index}", note="x" * 100_000)
                    index += 1


async def test_watches_end_cleanly_when_the_server_stops():
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        begun = asyncio.Event()

        async def until_the_end(api):
            async with watching(api) as events:
                begun.set()
                return await events.next()

        async with running() as api:
            ended = tasks.create_task(until_the_end(api))
            await begun.wait()
            await api.stop()
            assert await ended is None


async def test_a_client_that_leaves_is_forgotten():
    async with running() as api:
        async with watching(api) as events:
            await create(api, "a")
            await events.next()
            assert len(api.world._feeds) == 1
        async with asyncio.timeout(5):
            while api.world._feeds:
                await asyncio.sleep(0.01)
