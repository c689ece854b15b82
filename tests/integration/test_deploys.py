"""Deploys by message on real NATS and etcd."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client

from orchestrator.store import keys
from orchestrator.store.etcd import EtcdStore
from proto import codec, subjects
from proto.messages import DeployOutcome
from tests.integration.cluster import Cluster, cluster, until
from tests.manifests import WEB

pytestmark = pytest.mark.integration

SUBJECT = subjects.deploy("default")


@contextlib.asynccontextmanager
async def publishing(found: Cluster) -> AsyncIterator[Client]:
    """Any NATS client will do; this one stays connected through restarts."""
    client = await nats.connect(found.nats.url, reconnect_time_wait=0.1, error_cb=_unheard)
    try:
        yield client
    finally:
        await client.close()


async def _unheard(_error: Exception) -> None:
    """Its disconnections are wanted."""


async def publish(
    client: Client, manifest: str, id: str = "", timeout: float = 20
) -> DeployOutcome:
    headers = {"Nats-Msg-Id": id} if id else None
    answer = await client.request(SUBJECT, manifest.encode(), timeout=timeout, headers=headers)
    return codec.decode(answer.data, DeployOutcome)


async def test_a_published_manifest_runs_and_is_answered_after_its_commit():
    async with cluster() as found, publishing(found) as client:
        outcome = await publish(client, WEB, "release-1")
        assert (outcome.outcome, outcome.objects) == ("created", ("deployment.apps/web created",))
        store = await EtcdStore.connect([found.etcd.url])
        assert await store.get(f"{keys.REGISTRY}apps/deployments/default/web") is not None
        (record,) = (await store.range(keys.DEPLOYS)).items
        assert codec.decode(record.value, DeployOutcome) == outcome
        await store.close()
        await until(found.is_ready, "three ready pods")
        changed = await publish(client, WEB.replace("web:1", "web:2"), "release-2")
        assert changed.outcome == "configured"
        assert (await publish(client, WEB, "release-1")).outcome == "created"  # as it was told
        await until(lambda: found.is_ready(image="web:2"), "the second release, not the first")


async def test_a_manifest_that_cannot_be_taken_is_answered_and_goes_to_the_dead_letters():
    async with cluster() as found, publishing(found) as client:
        letters = await client.subscribe(subjects.deploy_rejected("default"))
        for manifest in ("a: [", "\x00\x01", WEB.replace("replicas: 3", "replicas: -3")):
            outcome = await publish(client, manifest)
            assert outcome.outcome == "rejected"
            letter = await letters.next_msg(timeout=10)
            assert letter.data == manifest.encode()
            assert letter.headers["Longshore-Reason"]
        assert (await publish(client, WEB)).outcome == "created"


async def test_a_manifest_published_while_nobody_leads_is_applied_by_the_next_leader():
    async with cluster() as found, publishing(found) as client:
        await publish(client, WEB)  # so that there is a stream
        await found.stop_plane()
        await client.publish(
            SUBJECT, WEB.replace("web:1", "web:2").encode(), headers={"Nats-Msg-Id": "late"}
        )
        await client.flush()
        await found.start_plane()
        await until(lambda: found.is_ready(image="web:2"), "the new image everywhere")
        again = await publish(client, WEB.replace("web:1", "web:2"), "late")
        assert again.outcome == "configured"  # as it was told; it would be "unchanged" now


async def test_a_message_id_is_remembered_by_the_next_leader_though_the_bus_lost_everything():
    async with cluster() as found, publishing(found) as client:
        await publish(client, WEB, "release-1")
        await publish(client, WEB.replace("web:1", "web:2"), "release-2")
        await found.stop_plane()
        await found.nats.kill()
        found.lose_streams()
        await found.nats.start()
        await found.start_plane()
        await until(lambda: client.is_connected, "the publisher to be connected again")
        outcome = None
        async with asyncio.timeout(30):
            while outcome is None:  # nobody answers until the intake has made its stream again
                try:
                    outcome = await publish(client, WEB, "release-1", timeout=1)
                except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
                    await asyncio.sleep(0.1)
        assert (outcome.outcome, outcome.is_duplicate) == ("created", True)
        await until(lambda: found.is_ready(image="web:2"), "the second release, not the first")
