"""Secrets in a real etcd, as an orchestrator with a key writes them, and one without reads them."""

import asyncio
import base64
from pathlib import Path

import aiohttp
import pytest
import yaml

from orchestrator.store import keys
from orchestrator.store.etcd import EtcdStore
from proto.kinds.configuration import SECRETS
from tests import servers
from tests.integration.daemon import NAMESPACES, PATIENCE_S, orchestrator

pytestmark = pytest.mark.integration

KEY = keys.of(SECRETS, "default", "db")
URL = f"{NAMESPACES}/default/secrets"


def configure(file: Path, *names: str) -> None:
    """Keys of these names, the first one encrypting."""
    made = [
        {"name": name, "secret": base64.b64encode(name.encode() * 16).decode()} for name in names
    ]
    rule = {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": made}}]}
    configuration = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [rule],
    }
    file.write_text(yaml.safe_dump(configuration))


async def held_until(store: EtcdStore, beginning: bytes) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            item = await store.get(KEY)
            if item is not None and item.value.startswith(beginning):
                return item.value
            await asyncio.sleep(0.05)


async def test_secrets_are_encrypted_in_etcd_and_their_key_can_be_changed(tmp_path):
    file = tmp_path / "encryption.yaml"
    configure(file, "k1")
    flag = f"--encryption-config={file}"
    body = {"metadata": {"name": "db"}, "stringData": {"password": "hunter2"}}
    encoded = base64.b64encode(b"hunter2")
    async with servers.etcd() as etcd, servers.nats() as nats, aiohttp.ClientSession() as http:
        store = await EtcdStore.connect([etcd.url])
        try:
            async with orchestrator(etcd, nats, flag) as (_, url):
                async with http.post(url + URL, json=body) as response:
                    assert response.status == 201, await response.text()
                assert encoded not in await held_until(store, b"k8s:enc:aesgcm:v1:k1:")
                configure(file, "k2", "k1")
                assert encoded not in await held_until(store, b"k8s:enc:aesgcm:v1:k2:")
            configure(file, "k2")
            async with (
                orchestrator(etcd, nats, flag) as (_, url),
                http.get(f"{url}{URL}/db") as got,
            ):
                assert (await got.json())["data"] == {"password": encoded.decode()}
            said = await refusal(etcd, nats)
            assert "is encrypted with the key 'k2', which --encryption-config does not have" in said
        finally:
            await store.close()


async def refusal(etcd: servers.Server, nats: servers.Server) -> str:
    """What an orchestrator without the key says as it ends."""
    argv = [f"--etcd={etcd.url}", f"--nats={nats.url}", "--port=0"]
    process = await asyncio.create_subprocess_exec(
        servers.binary("orchestrator"),
        *argv,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 1
    return said.decode()
