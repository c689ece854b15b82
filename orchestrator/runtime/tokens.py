"""Tokens of service accounts, made and checked: JWTs, signed with a key that the store keeps.

Every orchestrator reads the key; the one that leads makes it, for the first token.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from orchestrator.core import tokens
from orchestrator.core.tokens import Claims, UntrustedError
from orchestrator.runtime.writer import Writer
from orchestrator.store import Put, Store, keys
from orchestrator.world import World
from proto import codec
from proto.errors import Unavailable
from proto.kinds.access import SERVICE_ACCOUNTS, ServiceAccount
from proto.meta import Resource

ALGORITHM = "ES256"
"""The shorter of the two that Kubernetes itself signs with."""

KEY_AGE_MS = 10_000
"""After which the key is read again: so long do tokens hold here once somebody removed it."""


class _Key:
    """A key, and when it was read."""

    def __init__(self, pem: bytes, read_ms: int) -> None:
        found = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{keys.TOKEN_KEY} holds no key for {ALGORITHM}")
        self.private = found
        self.public = found.public_key()
        self.read_ms = read_ms
        der = self.public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


class Believed(Struct, frozen=True):
    """A token that holds, and for whom."""

    claims: Claims
    audiences: tuple[str, ...]


class Tokens:
    """See the module.

    Args:
        store: Where the key is.
        writer: Puts it there.
        world: Whom the tokens are for.
        clock: Epoch milliseconds.
        new_id: A name for each token.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        world: World,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._writer = writer
        self._world = world
        self._clock = clock
        self._new_id = new_id
        self._key: _Key | None = None
        self._making = asyncio.Lock()

    async def issue(
        self,
        account: ServiceAccount,
        bound: Resource | None,
        audiences: Sequence[str],
        seconds: int,
        now_ms: int,
    ) -> str:
        """A token; see `core.tokens.claims`.

        Raises:
            Retryable: The store is away, or another orchestrator leads and must make the key.
        """
        async with self._making:
            key = await self._read() or await self._make()
        claims = tokens.claims(
            account, bound, audiences, seconds=seconds, now_ms=now_ms, id=self._new_id()
        )
        headers = {"kid": key.id}
        return jwt.encode(codec.to_plain(claims), key.private, ALGORITHM, headers=headers)

    async def check(self, token: str, audiences: Sequence[str] = ()) -> Believed:
        """What a token says, and whom of the audiences it is for; empty for the API.

        Raises:
            UntrustedError: It does not hold.
            Unavailable: The store is away, or nothing is known of accounts yet.
        """
        if self._world.is_empty:
            raise Unavailable("the orchestrator is still loading its state")
        claims = await self._signed(token)
        subject = claims.subject
        account = self._world.get(SERVICE_ACCOUNTS, subject.namespace, subject.serviceaccount.name)
        bound = None
        if (wanted := tokens.bound_to(subject)) is not None:
            kind, reference = wanted
            bound = self._world.get(kind, subject.namespace, reference.name)
        accepted = tokens.check(claims, audiences, account, bound, self._clock())
        return Believed(claims, accepted)

    async def _signed(self, token: str) -> Claims:
        """What a token of ours says."""
        try:
            id = jwt.get_unverified_header(token).get("kid")
            key = await self._current()
            if key is None or key.id != id:
                raise UntrustedError("it is signed with a key that is not known here")
            payload: Any = jwt.decode(
                token, key.public, algorithms=[ALGORITHM], options=_ONLY_THE_SIGNATURE
            )
            return codec.from_plain(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise UntrustedError(str(error)) from error

    async def _current(self) -> _Key | None:
        key = self._key
        if key is not None and self._clock() - key.read_ms < KEY_AGE_MS:
            return key
        return await self._read()

    async def _read(self) -> _Key | None:
        item = await self._store.get(keys.TOKEN_KEY)
        self._key = None if item is None else _Key(item.value, self._clock())
        return self._key

    async def _make(self) -> _Key:
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        await self._writer.commit((), (Put(keys.TOKEN_KEY, pem),))
        self._key = _Key(pem, self._clock())
        return self._key


_ONLY_THE_SIGNATURE: Any = {
    f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
}
"""The rest is judged in `core.tokens`, by the clock that is passed on."""
