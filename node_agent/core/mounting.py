"""How far a pod's volumes are: the steps towards them, before and while it runs.

Volumes are made before the pod's holder, as a whole. Those of files are made anew when what they
hold changes; one whose source went is left as it was.
"""

from collections.abc import Mapping

from msgspec import Struct

from node_agent.core import contents, volumes
from node_agent.core.configs import Host
from node_agent.core.contents import Absent, Awaited, Sources
from node_agent.core.observed import Failure, Observed, PodView
from node_agent.core.volume_actions import DropContent, FetchContent, VolumeConfig
from proto.kinds.volume import Volume
from proto.messages import AssignedPod

VOLUMES = "(volumes)"
MISSING = "(missing volumes)"
"""No container's names: under them it is remembered that volumes could not be made."""

FETCH_RETRY_MAX_MS = 5000
"""Between two times of asking: a request is small, and pods wait for it."""


class Steps(Struct, frozen=True):
    """What is to be done about a pod's volumes.

    Attributes:
        configs: To be made.
        missing: (volume, what is not there) of those that cannot be.
        are_there: Whether containers can be given all of them.
    """

    configs: tuple[VolumeConfig, ...]
    missing: tuple[tuple[str, str], ...]
    are_there: bool


def sources(pod: AssignedPod, observed: Observed) -> Sources:
    """What the pod may take values from."""
    unfetched = observed.memory.unfetched
    why_not = {source: failure.message for source, failure in unfetched.items()}
    return Sources(pod, observed.contents, why_not)


def steps(pod: AssignedPod, view: PodView, observed: Observed, host: Host) -> Steps:
    """What is to be done about them now."""
    known = sources(pod, observed)
    marks = view.volumes.marks if view.volumes else {}
    configs: list[VolumeConfig] = []
    missing: list[tuple[str, str]] = []
    is_whole = True
    for volume in pod.spec.volumes:
        present = volumes.present(pod, volume, marks, observed.stored)
        is_whole = is_whole and present is not None
        found = _step(pod, volume, present, known, host)
        if isinstance(found, str):
            missing.append((volume.name, found))
        elif found is not None:
            configs.append(found)
    return Steps(tuple(configs), tuple(missing), is_whole)


def _step(
    pod: AssignedPod, volume: Volume, present: str | None, known: Sources, host: Host
) -> VolumeConfig | str | None:
    """How to make the volume, or what is missing, or nothing for now."""
    try:
        if present == volumes.mark(pod, volume, known, host.room):
            return None
        return volumes.config(host.name, pod, volume, known, host.room)
    except Awaited:
        return None
    except Absent as absent:
        return str(absent) if present is None else None


def due_ms(failure: Failure | None) -> int:
    """When it may be tried again."""
    if failure is None:
        return 0
    return failure.at_ms + min(FETCH_RETRY_MAX_MS, 500 << min(failure.count - 1, 8))


def knowledge(
    desired: Mapping[str, AssignedPod], observed: Observed, now_ms: int
) -> tuple[list[FetchContent | DropContent], list[int]]:
    """What to ask for and to forget now, and when to try again what failed."""
    wanted = contents.wanted(desired)
    found: list[FetchContent | DropContent] = []
    dues: list[int] = []
    for source in sorted(wanted.keys() | observed.contents.keys()):
        version, held = wanted.get(source), observed.contents.get(source)
        is_right = version is not None and held is not None and held.answers(version)
        if is_right or source in observed.memory.fetching:
            continue
        due_at_ms = due_ms(observed.memory.unfetched.get(source))
        if now_ms < due_at_ms:
            dues.append(due_at_ms)
        elif version is None:
            found.append(DropContent(source, "no pod uses it"))
        else:
            cause = "it changed" if held else "a pod needs it"
            found.append(FetchContent(source, version, cause))
    return found, dues
