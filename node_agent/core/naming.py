"""How containers are called and labelled, so that Docker alone remembers what belongs to what.

Names follow the kubelet's old scheme for Docker, ``<what>_<pod>_<namespace>_<uid>_<attempt>``: no
Kubernetes name holds an underscore. A holder from the pool becomes a pod's by being renamed (Docker
cannot change labels), so a holder's pod is in its name and nowhere else.
"""

import hashlib

import msgspec
from msgspec import Struct

from proto.kinds.container import Container as ContainerSpec
from proto.messages import AssignedPod

CLUSTER = "longshore.dev/cluster"
NODE = "longshore.dev/node"
KIND = "longshore.dev/kind"
NAMESPACE = "longshore.dev/namespace"
POD = "longshore.dev/pod"
POD_UID = "longshore.dev/pod-uid"
CONTAINER = "longshore.dev/container"
ATTEMPT = "longshore.dev/attempt"
BACKOFF = "longshore.dev/backoff"
SPEC_HASH = "longshore.dev/spec-hash"
GRACE_S = "longshore.dev/grace-s"
DEVICES = "longshore.dev/devices"
MESSAGE = "longshore.dev/termination-message"
VOLUME = "longshore.dev/volume"
PERSISTENT_VOLUME = "longshore.dev/persistent-volume"

KIND_SANDBOX = "sandbox"
KIND_CONTAINER = "container"
KIND_VOLUME = "volume"
KIND_STORED = "stored"

_PREFIX = "longshore"
_HOLDER = "POD"


class PodKey(Struct, frozen=True, order=True):
    """Which pod."""

    namespace: str
    name: str
    uid: str


def key(pod: AssignedPod) -> PodKey:
    """The pod's key."""
    return PodKey(pod.namespace, pod.name, pod.uid)


def container_name(pod: PodKey, container: str, attempt: int) -> str:
    """The name of one attempt at one container."""
    return f"{_PREFIX}_{container}_{pod.name}_{pod.namespace}_{pod.uid}_{attempt}"


def sandbox_name(pod: PodKey) -> str:
    """The name of a pod's holder."""
    return f"{_PREFIX}_{_HOLDER}_{pod.name}_{pod.namespace}_{pod.uid}"


def pool_name(node: str, token: str) -> str:
    """The name of a holder that is nobody's yet; `token` makes it unique."""
    return f"{_PREFIX}_pool_{node}_{token}"


def is_of_sandbox(name: str) -> bool:
    """Whether a holder may be called so, a pod's or one of the pool.

    >>> is_of_sandbox("longshore_pool_node-1_7f3a"), is_of_sandbox("peaceful_noether")
    (True, False)
    """
    return name.startswith(f"{_PREFIX}_pool_") or pod_of_sandbox(name) is not None


def message_name(uid: str, container: str, attempt: int) -> str:
    """The file that an attempt at a container may leave its last word in."""
    return f"{uid}_{container}_{attempt}"


def volume_name(uid: str, volume: str) -> str:
    """The name of a pod's volume that is the engine's; short enough for a folder's."""
    return f"{_PREFIX}_{volume}_{uid}"


def volume_labels(node: str, pod: PodKey, volume: str) -> dict[str, str]:
    """What a volume that is the engine's is labelled with."""
    return {
        NODE: node,
        KIND: KIND_VOLUME,
        NAMESPACE: pod.namespace,
        POD: pod.name,
        POD_UID: pod.uid,
        VOLUME: volume,
    }


def stored_labels(node: str, volume: str) -> dict[str, str]:
    """What a volume of the engine's that was made for a PersistentVolume is labelled with."""
    return {NODE: node, KIND: KIND_STORED, PERSISTENT_VOLUME: volume}


def stored_key(volume: str) -> PodKey:
    """No pod's: under which work on a PersistentVolume is remembered."""
    return PodKey("", volume, volume)


def pod_of_sandbox(name: str) -> PodKey | None:
    """Whose a holder is; None for one of the pool.

    >>> pod_of_sandbox("longshore_POD_web-1_default_u-1")
    PodKey(namespace='default', name='web-1', uid='u-1')
    >>> pod_of_sandbox("longshore_pool_node-1_7f3a")
    """
    parts = name.split("_")
    if len(parts) != 5 or parts[:2] != [_PREFIX, _HOLDER]:
        return None
    return PodKey(namespace=parts[3], name=parts[2], uid=parts[4])


def spec_hash(spec: ContainerSpec) -> str:
    """Changes when anything does that a running container cannot take over."""
    encoded = msgspec.json.encode(spec, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def container_labels(
    node: str, pod: PodKey, spec: ContainerSpec, *, attempt: int, backoff: int, grace_s: int
) -> dict[str, str]:
    """What an attempt at a container is labelled with; see `restart` for `backoff`.

    The grace is for a pod that vanishes from the assignment: nothing else would tell it then.
    """
    return {
        NODE: node,
        KIND: KIND_CONTAINER,
        NAMESPACE: pod.namespace,
        POD: pod.name,
        POD_UID: pod.uid,
        CONTAINER: spec.name,
        ATTEMPT: str(attempt),
        BACKOFF: str(backoff),
        SPEC_HASH: spec_hash(spec),
        GRACE_S: str(grace_s),
    }


def sandbox_labels(node: str) -> dict[str, str]:
    """What a holder is labelled with."""
    return {NODE: node, KIND: KIND_SANDBOX}
