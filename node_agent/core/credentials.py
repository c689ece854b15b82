"""What a registry is told, so that it gives an image: from Secrets of pods and Docker's own config.

Source of the rules: the kubelet, pkg/credentialprovider (keyring.go, config.go). Registries are
named by host, port and the beginning of a path; a host's parts may be patterns (``*.example.com``).
The longest name is tried first.
"""

import base64
import binascii
import fnmatch
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from node_agent.core.contents import Absent, Sources
from node_agent.core.observed import Credential
from proto.kinds.references import SECRET
from proto.messages import AssignedPod, Content

DOCKER_HUB = "index.docker.io"
"""What images without a registry are looked up under."""

_KEYS = (".dockerconfigjson", ".dockercfg")
"""Of Secrets; their types are ``kubernetes.io/`` and the same without the dot."""


class Entry(Struct, frozen=True):
    """What one registry, or a part of one, is told."""

    registry: str
    credential: Credential


class _Auth(Struct, frozen=True):
    """As Docker writes it; `auth` is ``user:password`` in base64."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identitytoken: str = ""


class _Config(Struct, frozen=True):
    auths: dict[str, _Auth] = {}


class Found(Struct, frozen=True):
    """What a pod has to show for one image.

    Attributes:
        credentials: Which may be tried, the most fitting first; none: it is asked for without.
        lacking: Names of secrets that are not there, or cannot be read.
    """

    credentials: tuple[Credential, ...] = ()
    lacking: tuple[str, ...] = ()


def of_pod(pod: AssignedPod, image: str, sources: Sources) -> Found:
    """What its secrets say of the image.

    Raises:
        Awaited: A secret is still on its way.
    """
    entries: list[Entry] = []
    lacking: list[str] = []
    for secret in pod.spec.image_pull_secrets:
        try:
            content = sources.get(SECRET, secret.name, is_optional=False)
            entries += of_secret(content)
        except (Absent, ValueError):
            lacking.append(secret.name)
    return Found(matching(image, entries), tuple(lacking))


def of_secret(content: Content) -> list[Entry]:
    """What a Secret holds.

    Raises:
        ValueError: It holds nothing of the kind.
    """
    for key in _KEYS:
        if key in content.data:
            return parse(content.data[key], has_auths=key == _KEYS[0])
    raise ValueError(f"it has neither {_KEYS[0]} nor {_KEYS[1]}")


def parse(text: bytes, *, has_auths: bool = True) -> list[Entry]:
    """What a ``config.json`` of Docker's says; without `has_auths` the older ``.dockercfg``.

    Raises:
        ValueError: It is neither. What it said is not in the message.
    """
    try:
        if has_auths:
            auths: Mapping[str, _Auth] = msgspec.json.decode(text, type=_Config).auths
        else:
            auths = msgspec.json.decode(text, type=dict[str, _Auth])
        return [Entry(_registry(name), _credential(auth)) for name, auth in auths.items()]
    except (msgspec.MsgspecError, UnicodeError, binascii.Error):
        raise ValueError("not a Docker configuration with credentials") from None


def _credential(auth: _Auth) -> Credential:
    username, password = auth.username, auth.password
    if auth.auth:
        decoded = base64.b64decode(auth.auth).decode()
        username, _, password = decoded.partition(":")
    return Credential(username, password.rstrip("\0"), auth.identitytoken)


def _registry(name: str) -> str:
    """Host, port and path, without the version that Docker's own config names."""
    parts = _split(name)
    path = parts.path[3:] if parts.path.startswith(("/v1/", "/v2/")) else parts.path
    return parts.netloc + ("" if path == "/" else path)


def _split(name: str) -> SplitResult:
    return urlsplit(name if name.startswith(("http://", "https://")) else f"https://{name}")


def matching(image: str, entries: Iterable[Entry]) -> tuple[Credential, ...]:
    """What the registry of an image may be told, each once, the most fitting first."""
    by_length = sorted(entries, key=lambda entry: entry.registry, reverse=True)
    found = [e.credential for e in by_length if _is_of(e.registry, image)]
    if not found and _is_on_docker_hub(image):
        found = [e.credential for e in by_length if _is_of(e.registry, DOCKER_HUB)]
    return tuple(dict.fromkeys(found))


def _is_of(registry: str, image: str) -> bool:
    """Whether an image is in what the registry's name says."""
    pattern, target = _split(registry), _split(image)
    hosts = pattern.netloc.split(":"), target.netloc.split(":")
    if hosts[0][1:] != hosts[1][1:] or not target.path.startswith(pattern.path):
        return False
    parts = hosts[0][0].split("."), hosts[1][0].split(".")
    return len(parts[0]) == len(parts[1]) and all(
        fnmatch.fnmatchcase(part, wanted) for wanted, part in zip(*parts, strict=True)
    )


def _is_on_docker_hub(image: str) -> bool:
    first, slash, _ = image.partition("/")
    return not slash or first in ("docker.io", DOCKER_HUB) or not set(first) & set(".:")
