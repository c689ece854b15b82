"""Pods and containers that a word means: ``web``, ``pod/web``, ``deploy/web``, ``svc/web``."""

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import ResourceType, select
from orchestrator.cli.session import Session
from proto import codec
from proto.meta import LabelSelector, format_selector

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def pods_of(session: Session, word: str) -> list[Json]:
    """The pods that are meant, the most useful first: those that run, then the youngest.

    Raises:
        ServerRefused: There is no such object.
        Refused: It has no pods.
    """
    types = await session.client.types()
    words = [word] if "/" in word else ["pods", word]
    [selection] = select(words, types)
    type, [name] = selection.type, selection.names
    object: Json = await session.client.get(type.path(session.namespace, name))
    if type.kind == "Pod":
        return [object]
    params = {"labelSelector": selector_of(type, object)}
    pods = types.of_kind("v1", "Pod")
    found = await session.client.get(pods.path(session.namespace), params)
    alive = [pod for pod in found["items"] if not pod["metadata"].get("deletionTimestamp")]
    if not alive:
        raise Refused(
            f"{type.singular}/{name} has no pods", hint=f"longshore describe {type.singular} {name}"
        )
    return sorted(sorted(alive, key=_created, reverse=True), key=_rank)


async def pod_of(session: Session, word: str) -> Json:
    """The most useful one."""
    return (await pods_of(session, word))[0]


def selector_of(type: ResourceType, object: Json) -> str:
    """Of the pods of a workload or a service, as a query.

    Raises:
        Refused: It has none.
    """
    selector = (object.get("spec") or {}).get("selector")
    if not selector:
        raise Refused(f"{type.plural} have no pods", hint="name a pod, or a workload: deploy/web")
    if type.kind in ("Service", "ReplicationController"):
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return format_selector(codec.decode(codec.encode(selector), LabelSelector))


def container_of(session: Session, pod: Json, name: str, *, is_quiet: bool = False) -> str:
    """The one of that name; without a name the pod's default, which is told if it has several.

    Raises:
        Refused: It has none of that name.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    names = container_names(pod)
    if name:
        if name not in names:
            raise Refused(
                f"container {name} is not valid for pod {metadata['name']}",
                hint=f"its containers are {', '.join(names)}",
            )
        return name
    usual = (metadata.get("annotations") or {}).get(DEFAULT_CONTAINER)
    chosen = str(usual if usual in names else spec["containers"][0]["name"])
    if len(names) > 1 and not usual and not is_quiet:
        session.screen.tell(f'Defaulted container "{chosen}" out of: {", ".join(names)}')
    return chosen


def container_names(pod: Json) -> list[str]:
    """All of a pod, those that came first last."""
    kinds = ("containers", "ephemeralContainers", "initContainers")
    return [str(one["name"]) for kind in kinds for one in pod["spec"].get(kind) or ()]


def phase(pod: Json) -> str:
    """``Running``, ``Pending`` and so on."""
    return str((pod.get("status") or {}).get("phase", "Unknown"))


def _rank(pod: Json) -> int:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return 0 if is_ready else 1 if phase(pod) == "Running" else 2


def _created(pod: Json) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))
