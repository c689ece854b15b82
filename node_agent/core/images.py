"""Whether a container's image is here, or what must happen first."""

from msgspec import Struct

from node_agent.core import restart
from node_agent.core.observed import Observed, image_names
from proto.kinds.container import Container as ContainerSpec


class Ready(Struct, frozen=True):
    """The image may be used."""


class Needed(Struct, frozen=True):
    """Pull it now."""


class Held(Struct, frozen=True):
    """Not now. `until_ms` is None while something else must happen first."""

    reason: str
    message: str
    until_ms: int | None


def step(
    spec: ContainerSpec, observed: Observed, *, needed_since_ms: int, now_ms: int
) -> Ready | Needed | Held:
    """What imagePullPolicy asks for (Always, IfNotPresent, Never).

    Args:
        spec: Whose image.
        observed: The node.
        needed_since_ms: Since when this attempt is wanted: Always is content with a pull as young.
        now_ms: Epoch milliseconds.
    """
    memory = observed.memory
    is_present = any(name in observed.images for name in image_names(spec.image))
    if spec.image_pull_policy == "Never":
        if is_present:
            return Ready()
        text = f'Container image "{spec.image}" is not present with pull policy of Never'
        return Held("ErrImageNeverPull", text, None)
    pull = memory.pulls.get(spec.image)
    is_fresh = pull is not None and 0 < pull.done_at_ms >= needed_since_ms
    if is_present and (is_fresh or spec.image_pull_policy == "IfNotPresent"):
        return Ready()
    failure = pull.failure if pull else None
    if spec.image in memory.pulling:
        if failure is None:
            return Held("ContainerCreating", "", None)
        return Held("ErrImagePull", failure.message, None)
    if failure is not None and not is_fresh:
        due_ms = failure.at_ms + restart.delay_ms(failure.count)
        if now_ms < due_ms:
            text = f'Back-off pulling image "{spec.image}"'
            return Held("ImagePullBackOff", f"{text}: {failure.message}", due_ms)
    return Needed()
