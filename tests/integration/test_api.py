"""The API on a real etcd: what is acknowledged is kept, and reads outlive the store."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from orchestrator.store.etcd import EtcdStore
from tests import servers
from tests.unit.api.server import running

pytestmark = pytest.mark.integration

NAMESPACES = "/api/v1/namespaces"


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@asynccontextmanager
async def serving(etcd):
    store = await EtcdStore.connect([etcd.url])
    try:
        async with running(store) as api:
            yield api
    finally:
        await store.close()


async def versions(api):
    _, listed = await api.ask("GET", NAMESPACES)
    metadata = [item["metadata"] for item in listed["items"]]
    return {found["name"]: found["resourceVersion"] for found in metadata}


async def test_while_etcd_is_away_reads_go_on_and_writes_are_put_off():
    async with servers.etcd() as etcd, serving(etcd) as api:
        assert (await api.ask("POST", NAMESPACES, namespace("kept")))[0] == 201
        before = await versions(api)
        await etcd.kill()
        assert await versions(api) == before
        async with api.http.post(api.url + NAMESPACES, json=namespace("late")) as response:
            assert response.status in (503, 504)
            assert response.headers["Retry-After"] == "1"
            assert (await response.json())["status"] == "Failure"
        assert await versions(api) == before
        await etcd.start()
        async with asyncio.timeout(30):
            while (await api.ask("POST", NAMESPACES, namespace("late")))[0] not in (201, 409):
                await asyncio.sleep(0.1)
        assert set(await versions(api)) == {"default", "kept", "late"}


async def test_after_a_restart_every_object_has_the_version_it_had():
    async with servers.etcd() as etcd:
        async with serving(etcd) as api:
            async with asyncio.TaskGroup() as tasks:  # some share a transaction
                for index in range(20):
                    tasks.create_task(api.ask("POST", NAMESPACES, namespace(f"n{index}")))
            before = await versions(api)
            assert len(set(before.values())) == 21
        async with serving(etcd) as api:
            assert await versions(api) == before


async def test_a_watch_does_not_bridge_a_restart_unnoticed():
    async with servers.etcd() as etcd:
        async with serving(etcd) as api:
            _, listed = await api.ask("GET", NAMESPACES)
            await api.ask("POST", NAMESPACES, namespace("missed"))
        version = listed["metadata"]["resourceVersion"]
        async with serving(etcd) as api:
            url = f"{api.url}{NAMESPACES}?watch=true&resourceVersion={version}"
            async with api.http.get(url) as response:
                assert b'"reason":"Expired"' in await response.content.readline()
