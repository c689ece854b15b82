"""Whether a container's image is here, or what must happen first. Source of the words: the kubelet.

An image is pulled once at a time, however many pods want it, and a failure of it is shared by all
who would ask with the same credentials.
"""

import re
from collections.abc import Collection, Iterable

from msgspec import Struct

from node_agent.core import credentials, restart
from node_agent.core.actions import PullImage
from node_agent.core.contents import Awaited, Sources
from node_agent.core.naming import PodKey
from node_agent.core.observed import Observed, PullKey, image_names
from proto.kinds.container import Container as ContainerSpec
from proto.messages import AssignedPod


class Ready(Struct, frozen=True):
    """The image may be used."""


class Needed(Struct, frozen=True):
    """Pull it now.

    Attributes:
        lacking: Names of secrets that would be used, and cannot be.
    """

    key: PullKey
    lacking: tuple[str, ...] = ()


class Held(Struct, frozen=True):
    """Not now. `until_ms` is None while something else must happen first."""

    reason: str
    message: str
    until_ms: int | None


def step(
    pod: AssignedPod,
    spec: ContainerSpec,
    observed: Observed,
    sources: Sources,
    *,
    needed_since_ms: int,
    now_ms: int,
) -> Ready | Needed | Held:
    """What imagePullPolicy asks for (Always, IfNotPresent, Never).

    Args:
        pod: Whose secrets open registries.
        spec: Whose image.
        observed: The node.
        sources: What the secrets hold.
        needed_since_ms: Since when this attempt is wanted: Always is content with a pull as young.
        now_ms: Epoch milliseconds.
    """
    image = spec.image
    if wrong := invalid(image):
        text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"'
        return Held("InvalidImageName", f"{text}: {wrong}", None)
    is_present = any(name in observed.images for name in image_names(image))
    if spec.image_pull_policy == "Never":
        if is_present:
            return Ready()
        text = f'Container image "{image}" is not present with pull policy of Never'
        return Held("ErrImageNeverPull", text, None)
    if is_present and spec.image_pull_policy == "IfNotPresent":
        return Ready()
    try:
        found = credentials.of_pod(pod, image, sources)
    except Awaited:
        return Held("ContainerCreating", "", None)
    key = PullKey(image, found.credentials)
    pull = observed.memory.pulls.get(key)
    is_fresh = pull is not None and 0 < pull.done_at_ms >= needed_since_ms
    if is_present and is_fresh:
        return Ready()
    failure = pull.failure if pull else None
    if key in observed.memory.pulling:
        if failure is None:
            return Held("ContainerCreating", "", None)
        return Held("ErrImagePull", failure.message, None)
    if failure is not None and not is_fresh:
        due_ms = failure.at_ms + restart.delay_ms(failure.count)
        if now_ms < due_ms:
            text = f'Back-off pulling image "{image}"'
            return Held("ImagePullBackOff", f"{text}: {failure.message}", due_ms)
    return Needed(key, found.lacking)


class Pulls:
    """What one pass found missing."""

    def __init__(self) -> None:
        self._wanted: dict[PullKey, list[tuple[PodKey, str]]] = {}
        self._lacking: dict[PullKey, dict[PodKey, tuple[str, ...]]] = {}

    def add(self, needed: Needed, pod: PodKey, container: str) -> None:
        """One more container waits for it."""
        self._wanted.setdefault(needed.key, []).append((pod, container))
        if needed.lacking:
            self._lacking.setdefault(needed.key, {})[pod] = needed.lacking

    def actions(self, pulling: Collection[PullKey]) -> list[PullImage]:
        """Each image once for all that wait for it, and not while it is pulled for others."""
        found: dict[str, PullImage] = {}
        under_way = {key.image for key in pulling}
        for key, wanted_by in self._wanted.items():
            if key.image not in under_way and key.image not in found:
                found[key.image] = PullImage(
                    key.image,
                    tuple(wanted_by),
                    "the image is needed",
                    key.credentials,
                    tuple(self._lacking.get(key, {}).items()),
                )
        return [found[image] for image in sorted(found)]


def of_pods(pods: Iterable[AssignedPod]) -> frozenset[str]:
    """The images that they name."""
    return frozenset(spec.image for pod in pods for spec in pod.spec.all_containers)


def pullable(image: str, names: tuple[str, ...]) -> str:
    """The digest under which a registry has an image, of the names that it has here.

    >>> pullable("reg:5000/a:1", ("reg:5000/a:1", "other/a@sha256:12", "reg:5000/a@sha256:34"))
    'reg:5000/a@sha256:34'
    """
    digests = sorted(name for name in names if "@" in name)
    repository = _repository(image_names(image)[0])
    own = [name for name in digests if _repository(name) == repository]
    return next(iter(own or digests), "")


def _repository(name: str) -> str:
    """Of a name with its tag, or its digest, or both."""
    plain = name.partition("@")[0]
    last = plain.rpartition("/")[2]
    return plain.removesuffix(f":{last.partition(':')[2]}") if ":" in last else plain


_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_PATH = rf"{_PART}(?:/{_PART})*"
_TAG = r"(?::[\w][\w.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PATH}{_TAG}{_DIGEST}", re.ASCII)
_NAME_MAX = 255


def invalid(image: str) -> str:
    """What is wrong with an image's name; empty when nothing is.

    Source: distribution, reference/regexp.go.

    >>> invalid("registry:5000/team/web:1.2"), invalid("web:")
    ('', 'invalid reference format')
    """
    if not _REFERENCE.fullmatch(image):
        if _REFERENCE.fullmatch(image.lower()):
            return "invalid reference format: repository name must be lowercase"
        return "invalid reference format"
    if len(_repository(image)) > _NAME_MAX:
        return f"repository name must not be more than {_NAME_MAX} characters"
    return ""
