"""What people read in ``kubectl get events``. Source of the words: the kubelet."""

from msgspec import Struct

from proto.kinds.pod import PodSpec

TOLD_WAITS = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "DeadlineExceeded",
    "ErrImageNeverPull",
    "Evicted",
    "ImagePullBackOff",
    "SysctlForbidden",
)
"""Why nothing is done for now, where people should know."""

NORMAL = "Normal"
WARNING = "Warning"


class Told(Struct, frozen=True):
    """One line for people."""

    type: str
    reason: str
    message: str


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
    return Told(NORMAL, "Pulling", f'Pulling image "{image}"')


def pulled(image: str, took_ms: int) -> Told:
    """A pull ended well."""
    return Told(NORMAL, "Pulled", f'Successfully pulled image "{image}" in {took_ms / 1000:.3g}s')


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


def sandbox_changed() -> Told:
    """A holder died: the pod starts afresh."""
    return Told(NORMAL, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")


def unhealthy(probe: str, text: str) -> Told:
    """A probe failed once."""
    return Told(WARNING, "Unhealthy", f"{probe.capitalize()} probe failed: {text}")


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
    if reason in ("Evicted", "SysctlForbidden"):
        return Told(WARNING, reason, message)
    if reason == "ErrImageNeverPull":
        return Told(WARNING, "ErrImageNeverPull", message)
    return Told(NORMAL, "BackOff", message)
