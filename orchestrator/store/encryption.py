"""What is encrypted at rest, and with which key: kube-apiserver's EncryptionConfiguration file.

The first provider of a resource encrypts, all of them decrypt. So a key is changed without a pause:
add the new one behind the old, on every orchestrator; move it to the front; once nothing is `stale`
(`runtime.reencryption` sees to that), drop the old one.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from orchestrator.store import keys
from proto import codec, manifest
from proto.errors import BadRequest, LongshoreError
from proto.kinds.configuration import SECRETS
from proto.meta import Model

API_VERSION = "apiserver.config.k8s.io/v1"
AESGCM_PREFIX = b"k8s:enc:aesgcm:v1:"

KEY_BYTES = (16, 24, 32)


class EncryptionError(LongshoreError):
    """A value that cannot be decrypted, or a configuration that is wrong: says which and why."""


class Key(Model, frozen=True, kw_only=True):
    """One key: base64 of 16, 24 or 32 bytes."""

    name: str
    secret: str


class Keys(Model, frozen=True, kw_only=True):
    """The first encrypts."""

    keys: tuple[Key, ...]


class Identity(Model, frozen=True, kw_only=True):
    """Values as they are."""


class Provider(Model, frozen=True, kw_only=True):
    """One of its fields."""

    aesgcm: Keys | None = None
    identity: Identity | None = None


class ResourceRule(Model, frozen=True, kw_only=True):
    """How some resources are kept: ``secrets``, ``deployments.apps``."""

    resources: tuple[str, ...]
    providers: tuple[Provider, ...]


class EncryptionConfiguration(Model, frozen=True, kw_only=True):
    """The file."""

    api_version: str
    kind: str
    resources: tuple[ResourceRule, ...]


class Cipher(Struct, frozen=True):
    """One way to keep a value.

    Attributes:
        prefix: What its values begin with; empty: they are kept as they are.
        aead: None keeps them as they are.
    """

    prefix: bytes
    aead: AESGCM | None


class Rules(Struct, frozen=True):
    """How values are kept, by the prefix of their keys; the longest that fits decides."""

    ciphers: Mapping[str, tuple[Cipher, ...]] = {}

    def of(self, key: str) -> tuple[Cipher, ...]:
        """The first encrypts; empty for a key that no rule speaks of."""
        return self.ciphers.get(keys.prefix_of(key) or key, ())


def parse(text: bytes, where: str) -> Rules:
    """The rules of a configuration file.

    Args:
        text: YAML or JSON.
        where: Its path, for the error.

    Raises:
        EncryptionError: Something in it is wrong.
    """
    try:
        found = codec.from_plain(manifest.load(text), EncryptionConfiguration)
        return _rules(found)
    except (BadRequest, ValueError) as error:
        raise EncryptionError(f"{where}: {error}") from error


def _rules(found: EncryptionConfiguration) -> Rules:
    if (found.api_version, found.kind) != (API_VERSION, "EncryptionConfiguration"):
        raise ValueError(f"apiVersion must be {API_VERSION} and kind EncryptionConfiguration")
    ciphers: dict[str, tuple[Cipher, ...]] = {}
    for at, rule in enumerate(found.resources):
        made = tuple(_ciphers(f"resources[{at}].providers", rule.providers))
        if not made:
            raise ValueError(f"resources[{at}].providers: at least one is needed")
        for resource in rule.resources:
            ciphers.setdefault(_prefix(f"resources[{at}].resources", resource), made)
    secrets = ciphers.get(keys.prefix(SECRETS))
    return Rules({keys.TOKEN_KEY: secrets, **ciphers} if secrets else ciphers)


def _prefix(at: str, resource: str) -> str:
    """Where a resource's objects are kept. Wildcards are not taken."""
    plural, _, group = resource.partition(".")
    if "*" in resource or not plural:
        raise ValueError(f"{at}: {resource!r}: name each resource, as secrets or jobs.batch")
    return f"{keys.REGISTRY}{group or 'core'}/{plural}/"


def _ciphers(at: str, providers: Iterable[Provider]) -> Iterable[Cipher]:
    for index, provider in enumerate(providers):
        if (provider.aesgcm is None) == (provider.identity is None):
            raise ValueError(f"{at}[{index}]: give either aesgcm or identity")
        if provider.aesgcm is None:
            yield Cipher(b"", None)
            continue
        for number, key in enumerate(provider.aesgcm.keys):
            where = f"{at}[{index}].aesgcm.keys[{number}]"
            if not key.name or ":" in key.name:
                raise ValueError(f"{where}.name: {key.name!r}: a name without colons is needed")
            yield Cipher(AESGCM_PREFIX + f"{key.name}:".encode(), AESGCM(_secret(where, key)))


def _secret(at: str, key: Key) -> bytes:
    try:
        found = base64.b64decode(key.secret, validate=True)
    except binascii.Error:
        raise ValueError(f"{at}.secret: not base64") from None
    if len(found) not in KEY_BYTES:
        raise ValueError(f"{at}.secret: has {len(found)} bytes; 16, 24 or 32 are needed (take 32)")
    return found


def load(path: str) -> Rules:
    """The rules in a file; none without one.

    Raises:
        EncryptionError: It cannot be read, or is wrong.
    """
    if not path:
        return Rules()
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise EncryptionError(f"{path}: {error.strerror}") from error
    return parse(text, path)
