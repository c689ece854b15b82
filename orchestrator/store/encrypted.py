"""A store before another one, which keeps what the rules of `encryption` say as ciphertext.

Whoever uses it sees plain values. They are kept as kube-apiserver keeps them:
``k8s:enc:aesgcm:v1:<key's name>:``, nonce, ciphertext. The etcd key is authenticated with each
value, so that one cannot be put in another's place.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from orchestrator.store import (
    Compare,
    Item,
    Listing,
    Put,
    Store,
    TxnResult,
    Watch,
    WatchEvent,
    Write,
)
from orchestrator.store.encryption import AESGCM_PREFIX, EncryptionError, Rules

ENCRYPTED = b"k8s:enc:"
"""What kube-apiserver's encrypted values begin with, whatever the provider; JSON never does."""

NONCE_BYTES = 12
"""96 random bits: by NIST SP 800-38D a key is good for 2^32 values."""


class EncryptedStore:
    """A `Store` before another one.

    Attributes:
        rules: May be replaced at any time.
    """

    def __init__(self, inner: Store, rules: Rules) -> None:
        self._inner = inner
        self.rules = rules
        self._prefixes: dict[str, bytes] = {}  # how each value with a rule was last seen kept

    @property
    def stale(self) -> Sequence[str]:
        """Keys of values that are not kept as their rule says any more."""
        return [
            key
            for key, prefix in self._prefixes.items()
            if (ciphers := self.rules.of(key)) and ciphers[0].prefix != prefix
        ]

    async def range(self, prefix: str) -> Listing:
        """See `Store`; raises `EncryptionError` if a value cannot be read."""
        found = await self._inner.range(prefix)
        return replace(found, items=tuple(self._plain(item) for item in found.items))

    async def get(self, key: str) -> Item | None:
        """See `Store`; raises `EncryptionError` if the value cannot be read."""
        found = await self._inner.get(key)
        return None if found is None else self._plain(found)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> TxnResult:
        """See `Store`."""
        kept = [self._kept(write) for write in writes]
        result = await self._inner.txn(compares, kept)
        if result.succeeded:
            for write in kept:
                self._note(write.key, write.value if isinstance(write, Put) else None)
        return result

    async def grant(self, ttl_s: int) -> int:
        """See `Store`."""
        return await self._inner.grant(ttl_s)

    async def keepalive(self, lease: int) -> bool:
        """See `Store`."""
        return await self._inner.keepalive(lease)

    async def revoke(self, lease: int) -> None:
        """See `Store`."""
        await self._inner.revoke(lease)

    async def watch(self, prefix: str, from_revision: int) -> Watch:
        """See `Store`; batches raise `EncryptionError` if a value cannot be read."""
        return _DecryptingWatch(self, await self._inner.watch(prefix, from_revision))

    async def close(self) -> None:
        """See `Store`."""
        await self._inner.close()

    def _kept(self, write: Write) -> Write:
        if not isinstance(write, Put) or not (ciphers := self.rules.of(write.key)):
            return write
        first = ciphers[0]
        if first.aead is None:
            return write
        nonce = os.urandom(NONCE_BYTES)
        sealed = first.aead.encrypt(nonce, write.value, write.key.encode())
        return replace(write, value=first.prefix + nonce + sealed)

    def _plain(self, item: Item) -> Item:
        ciphers = self.rules.of(item.key)
        if not ciphers and not item.value.startswith(ENCRYPTED):
            return item
        self._note(item.key, item.value)
        for cipher in ciphers:
            if cipher.aead is None:
                if not item.value.startswith(ENCRYPTED):
                    return item
            elif item.value.startswith(cipher.prefix):
                return replace(item, value=_opened(cipher.prefix, cipher.aead, item))
        raise EncryptionError(f"{item.key} cannot be read: {_missing(item.value)}")

    def _note(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._prefixes.pop(key, None)
        elif self.rules.of(key):
            self._prefixes[key] = _prefix_in(value)

    def heard(self, event: WatchEvent) -> WatchEvent:
        """An event of the other store's, with its value readable."""
        if event.item is None:
            self._note(event.key, None)
            return event
        return replace(event, item=self._plain(event.item))


class _DecryptingWatch:
    def __init__(self, store: EncryptedStore, inner: Watch) -> None:
        self._store = store
        self._inner = inner

    async def batch(self) -> Sequence[WatchEvent]:
        return [self._store.heard(event) for event in await self._inner.batch()]

    async def close(self) -> None:
        await self._inner.close()


def _prefix_in(value: bytes) -> bytes:
    """What says how a value was encrypted; empty if it was not."""
    if not value.startswith(AESGCM_PREFIX):
        return b""
    return value[: value.find(b":", len(AESGCM_PREFIX)) + 1]


def _opened(prefix: bytes, aead: AESGCM, item: Item) -> bytes:
    start = len(prefix) + NONCE_BYTES
    try:
        return aead.decrypt(item.value[len(prefix) : start], item.value[start:], item.key.encode())
    except (InvalidTag, ValueError) as error:
        name = prefix.removeprefix(AESGCM_PREFIX).rstrip(b":").decode()
        raise EncryptionError(
            f"{item.key} cannot be decrypted with the key {name!r}: it was encrypted with another "
            "key of that name, or the value was tampered with"
        ) from error


def _missing(value: bytes) -> str:
    if not value.startswith(ENCRYPTED):
        return "it is not encrypted, and no identity provider in --encryption-config allows that"
    name = _prefix_in(value).removeprefix(AESGCM_PREFIX).rstrip(b":").decode(errors="replace")
    return (
        f"it is encrypted with the key {name!r}, which --encryption-config does not have"
        if name
        else "it is encrypted in a way that is not known here (aesgcm is)"
    )
