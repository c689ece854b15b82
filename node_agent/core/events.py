"""What people read in ``kubectl get events``. Source of the words: the kubelet."""

from collections.abc import Sequence

from msgspec import Struct

from proto.kinds.pod import PodSpec

TOLD_WAITS = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "DeadlineExceeded",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "SysctlForbidden",
)
"""Why nothing is done for now, where people should know."""

NORMAL = "Normal"
WARNING = "Warning"


class Told(Struct, frozen=True):
    """One line for people.

    Attributes:
        series: What it tells more of, in place of what was told before; see `NodeEvent`.
    """

    type: str
    reason: str
    message: str
    series: str = ""


def field_path(container: str, spec: PodSpec | None) -> str:
    """What an event is about; empty: the pod as a whole.

    Args:
        container: Its name.
        spec: Of its pod; None when that is not known any more.
    """
    if not container:
        return ""
    kind = "containers"
    if spec is not None:
        if any(found.name == container for found in spec.init_containers):
            kind = "initContainers"
        elif any(found.name == container for found in spec.ephemeral_containers):
            kind = "ephemeralContainers"
    return f"spec.{kind}{{{container}}}"


def pulling(image: str) -> Told:
    """A pull began."""
    return Told(NORMAL, "Pulling", f'Pulling image "{image}"', image)


def pull_progress(image: str, done_bytes: int, total_bytes: int) -> Told:
    """How far a long one is, of what is known to be needed."""
    amount = f"{done_bytes / 2**20:.1f} of {total_bytes / 2**20:.1f} MiB"
    return Told(NORMAL, "Pulling", f'Pulling image "{image}": {amount}', image)


def pulled(image: str, took_ms: int, with_waiting_ms: int, size_bytes: int) -> Told:
    """A pull ended well."""
    took = f"{_seconds(took_ms)} ({_seconds(with_waiting_ms)} including waiting)"
    text = f'Successfully pulled image "{image}" in {took}. Image size: {size_bytes} bytes.'
    return Told(NORMAL, "Pulled", text)


def _seconds(ms: int) -> str:
    """As Go prints a duration below a minute."""
    return f"{ms}ms" if ms < 1000 else f"{ms / 1000:g}s"


def no_pull_secret(names: Sequence[str]) -> Told:
    """Secrets to pull images with are not there, or not what they should be."""
    text = f"Unable to retrieve some image pull secrets ({', '.join(names)})"
    return Told(
        WARNING,
        "FailedToRetrieveImagePullSecret",
        f"{text}; attempting to pull the image may not succeed.",
    )


def present(image: str) -> Told:
    """No pull was needed."""
    return Told(NORMAL, "Pulled", f'Container image "{image}" already present on machine')


def fell_back(image: str, error: str) -> Told:
    """The registry could not be asked, and there is an image of that name here."""
    text = f'Registry of image "{image}" is unreachable, using the image on this machine: {error}'
    return Told(WARNING, "RegistryUnavailable", text)


def pull_failed(image: str, error: str) -> Told:
    """A pull failed."""
    return Told(WARNING, "Failed", f'Failed to pull image "{image}": {error}')


def images_stay(wanted_bytes: int, found_bytes: int) -> Told:
    """The disk is full, and not of images."""
    text = (
        "Failed to garbage collect required amount of images. "
        f"Attempted to free {wanted_bytes} bytes, but only found {found_bytes} bytes eligible to "
        "free."
    )
    return Told(WARNING, "FreeDiskSpaceFailed", text, "images")


def image_gc_failed(error: str) -> Told:
    """Images could not be looked after."""
    return Told(WARNING, "ImageGCFailed", error)


def evicted(message: str) -> Told:
    """A pod has to go, since the node runs low, or it takes more than it may."""
    return Told(WARNING, "Evicted", message)


def reclaiming(resource: str) -> Told:
    """The node runs low."""
    return Told(WARNING, "EvictionThresholdMet", f"Attempting to reclaim {resource}")


def node_status(node: str, reason: str) -> Told:
    """A condition of the node changed. Source: the kubelet, recordNodeStatusEvent."""
    word = reason.replace("Kubelet", "Node", 1)
    return Told(NORMAL, word, f"Node {node} status is now: {word}")


def created(container: str) -> Told:
    """A container was made."""
    return Told(NORMAL, "Created", f"Created container: {container}")


def started(container: str) -> Told:
    """A container was started."""
    return Told(NORMAL, "Started", f"Started container {container}")


def failed(error: str) -> Told:
    """A container could not be made or started."""
    return Told(WARNING, "Failed", f"Error: {error}")


def mount_failed(volume: str, error: str) -> Told:
    """A volume could not be made."""
    text = f'MountVolume.SetUp failed for volume "{volume}" : {error}'
    return Told(WARNING, "FailedMount", text)


def sandbox_failed(error: str) -> Told:
    """A holder could not be made or started."""
    return Told(WARNING, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")


def kill_failed(error: str) -> Told:
    """A container, or a holder, could not be killed or removed."""
    return Told(WARNING, "FailedKillPod", f"error killing pod: {error}")


def sandbox_changed() -> Told:
    """A holder died: the pod starts afresh."""
    return Told(NORMAL, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")


def unhealthy(probe: str, text: str) -> Told:
    """A probe failed once."""
    return Told(WARNING, "Unhealthy", f"{probe.capitalize()} probe failed: {text}")


def unasked(probe: str, text: str) -> Told:
    """A probe could not be made."""
    return Told(WARNING, "Unhealthy", f"{probe.capitalize()} probe errored: {text}")


def hook_failed(hook: str, text: str) -> Told:
    """A hook (``postStart``, ``preStop``) did."""
    name = f"{hook[0].upper()}{hook[1:]}Hook"
    return Told(WARNING, f"Failed{name}", f"{name} failed: {text}")


def killing(container: str, cause: str) -> Told:
    """A container is being ended."""
    if cause == "its definition changed":
        text = f"Container {container} definition changed, will be restarted"
    elif cause.startswith("failed "):
        text = f"Container {container} {cause}, will be restarted"
    else:
        text = f"Stopping container {container}"
    return Told(NORMAL, "Killing", text)


def backing_off(reason: str, message: str) -> Told:
    """Something is not tried again yet, or never."""
    if reason == "CrashLoopBackOff":
        text = message.replace("back-off", "Back-off", 1).replace("container=", "container ")
        return Told(WARNING, "BackOff", text.replace(" pod=", " in pod "))
    if reason == "CreateContainerConfigError":
        return failed(message)
    if reason == "DeadlineExceeded":
        return Told(NORMAL, reason, message)
    if reason == "SysctlForbidden":
        return Told(WARNING, reason, message)
    if reason == "ErrImageNeverPull":
        return Told(WARNING, "ErrImageNeverPull", message)
    if reason == "InvalidImageName":
        return Told(WARNING, "InspectFailed", message)
    return Told(NORMAL, "BackOff", message)
