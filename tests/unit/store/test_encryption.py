"""What is encrypted at rest, how its keys are changed, and what is said when one is missing."""

import asyncio
import base64

import pytest

from orchestrator.runtime.reencryption import Reencryption
from orchestrator.runtime.tokens import Tokens
from orchestrator.store import Put, encryption, keys
from orchestrator.store.encrypted import EncryptedStore
from orchestrator.store.encryption import EncryptionError, Rules
from orchestrator.store.memory import MemoryServer, MemoryStore
from orchestrator.world import World
from proto.kinds.configuration import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from proto.meta import ObjectMeta
from tests.unit.runtime.spine import clock, leading
from tests.virtual_time import run

KEYS = {name: base64.b64encode(name.encode() * 16).decode() for name in ("k1", "k2")}
PASSWORD = base64.b64encode(b"hunter2").decode()


def written(*names: str, identity: bool = False, resources: str = "[secrets]") -> bytes:
    """A configuration whose keys are these, the first one encrypting."""
    made = [f"      - {{name: {name}, secret: {KEYS[name]}}}" for name in names]
    return "\n".join(
        [
            "apiVersion: apiserver.config.k8s.io/v1",
            "kind: EncryptionConfiguration",
            "resources:",
            f"- resources: {resources}",
            "  providers:",
            *(["  - aesgcm:", "      keys:", *made] if names else []),
            *(["  - identity: {}"] if identity else []),
        ]
    ).encode()


def rules(*names: str, identity: bool = False) -> Rules:
    return encryption.parse(written(*names, identity=identity), "file.yaml")


def secret(name: str = "db") -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace="default"), data={"password": PASSWORD})


KEY = keys.of(SECRETS, "default", "db")


def test_a_secret_is_kept_as_ciphertext_and_read_as_it_was():
    server = MemoryServer()

    async def body() -> None:
        store = EncryptedStore(MemoryStore(server), rules("k1"))
        await store.txn([], [Put(KEY, b'{"data":"hunter2"}'), Put("/other", b"plain")])
        found = {item.key: item.value for item in (await store.range("/")).items}
        assert found == {KEY: b'{"data":"hunter2"}', "/other": b"plain"}
        kept = {item.key: item.value for item in (await MemoryStore(server).range("/")).items}
        assert kept[KEY].startswith(b"k8s:enc:aesgcm:v1:k1:")
        assert b"hunter2" not in kept[KEY]
        assert kept["/other"] == b"plain"

    run(body())


def test_the_same_value_is_never_the_same_ciphertext():
    server = MemoryServer()

    async def body() -> None:
        store = EncryptedStore(MemoryStore(server), rules("k1"))
        seen = set()
        for _ in range(3):
            await store.txn([], [Put(KEY, b"{}")])
            item = await MemoryStore(server).get(KEY)
            assert item is not None
            seen.add(item.value)
        assert len(seen) == 3

    run(body())


def test_a_value_in_anothers_place_is_refused():
    server = MemoryServer()

    async def body() -> None:
        inner = MemoryStore(server)
        store = EncryptedStore(inner, rules("k1"))
        await store.txn([], [Put(KEY, b'{"data":"mine"}')])
        item = await inner.get(KEY)
        assert item is not None
        elsewhere = keys.of(SECRETS, "attacker", "db")
        await inner.txn([], [Put(elsewhere, item.value)])
        with pytest.raises(EncryptionError, match=f"{elsewhere} cannot be decrypted with the key"):
            await store.get(elsewhere)

    run(body())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (("k1",), ("k2",), "it is encrypted with the key 'k1', which --encryption-config does not"),
        ((), ("k1",), "it is not encrypted, and no identity provider"),
        (("k1",), (), "it is encrypted with the key 'k1'"),
    ],
)
def test_a_value_whose_key_is_not_there_is_told_of(before, after, said):
    server = MemoryServer()

    async def body() -> None:
        inner = MemoryStore(server)
        kept = EncryptedStore(inner, rules(*before) if before else Rules())
        await kept.txn([], [Put(KEY, b"{}")])
        store = EncryptedStore(inner, rules(*after) if after else Rules())
        with pytest.raises(EncryptionError, match=said):
            await store.range("/")

    run(body())


def test_keys_are_changed_without_a_pause(tmp_path):
    """Added behind the old one, moved to the front, and the old one dropped."""
    file = tmp_path / "encryption.yaml"

    async def body() -> None:
        file.write_bytes(written("k1", identity=True))
        async with leading() as (spine, _):
            store = EncryptedStore(spine.store, encryption.load(str(file)))
            spine.writer._store = store
            config = ConfigMap(metadata=ObjectMeta(name="plain", namespace="default"))
            await spine.create(SECRETS, secret())
            await spine.create(CONFIG_MAPS, config)
            tokens = Tokens(store, spine.writer, spine.world, clock, lambda: "id")
            await tokens._make()
            work = Reencryption(str(file), store, spine.writer, spine.world)
            for names in (("k1", "k2"), ("k2", "k1"), ("k2",)):
                file.write_bytes(written(*names))
                work.reload()
                await work.rewrite()
                assert store.stale == []
                for key in (KEY, keys.TOKEN_KEY):
                    item = await spine.store.get(key)
                    assert item is not None
                    assert item.value.startswith(f"k8s:enc:aesgcm:v1:{names[0]}:".encode())
            world = World()
            world.sync(await store.range(keys.REGISTRY))
            found = world.get(SECRETS, "default", "db")
            assert found is not None
            assert found.data == {"password": PASSWORD}
            assert spine.world.get(SECRETS, "default", "db") == found

    run(body())


def test_what_was_there_before_is_encrypted_by_and_by(tmp_path):
    file = tmp_path / "encryption.yaml"
    file.write_bytes(written("k1", identity=True))

    async def body() -> None:
        async with leading() as (spine, tasks):
            await spine.create(SECRETS, secret())
            store = EncryptedStore(spine.store, encryption.load(str(file)))
            await store.range(keys.REGISTRY)  # as a start does
            assert store.stale == [KEY]
            spine.writer._store = store
            work = Reencryption(str(file), store, spine.writer, spine.world)
            spine.run(tasks, work.run())
            while store.stale:
                await asyncio.sleep(0.1)
            item = await spine.store.get(KEY)
            assert item is not None
            assert item.value.startswith(b"k8s:enc:aesgcm:v1:k1:")

    run(body())


def test_a_wrong_file_changes_nothing(tmp_path):
    file = tmp_path / "encryption.yaml"

    async def body() -> None:
        async with leading() as (spine, _):
            store = EncryptedStore(spine.store, rules("k1"))
            before = store.rules
            work = Reencryption(str(file), store, spine.writer, spine.world)
            work.reload()  # it is not there
            file.write_text("kind: [")
            work.reload()
            assert store.rules is before

    run(body())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (written("k1", resources='["*.*"]'), r"resources\[0\].resources: '\*\.\*': name each"),
        (written(), r"resources\[0\].providers"),
        (written("k1").replace(KEYS["k1"].encode(), b"c2hvcnQ="), "keys.0..secret: has 5 bytes"),
        (written("k1").replace(KEYS["k1"].encode(), b"'?'"), "keys.0..secret: not base64"),
        (written("k1").replace(b"aesgcm", b"kms"), r"providers.0.: give either aesgcm or identity"),
        (written("k1").replace(b"name: k1", b"name: 'a:b'"), "name: 'a:b': a name without colons"),
        (written("k1").replace(b"kind: Enc", b"kind: Denc"), "kind EncryptionConfiguration"),
        (b"resources: 7", "file.yaml: "),
    ],
)
def test_a_wrong_configuration_says_where(text, said):
    with pytest.raises(EncryptionError, match=said):
        encryption.parse(text, "file.yaml")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(EncryptionError, match="/nowhere: No such file or directory"):
        encryption.load("/nowhere")
