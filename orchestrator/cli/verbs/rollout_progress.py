"""How far a rollout is, in kubectl's words. Source: kubectl, polymorphichelpers/rollout_status."""

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused


class Progress(Struct, frozen=True):
    """Of one object.

    Attributes:
        ready: Pods of the new template that can be used.
        wanted: How many there should be.
    """

    text: str
    is_done: bool
    ready: int
    wanted: int


def progress_of(object: Json) -> Progress:
    """Of a Deployment, DaemonSet or StatefulSet.

    Raises:
        Refused: It is none, or it will not get any further.
    """
    kinds = {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}
    if object["kind"] not in kinds:
        raise Refused(
            f"no rollout status for a {object['kind']}",
            hint="deployments, daemonsets and statefulsets have one",
        )
    status = object.get("status") or {}
    if object["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        text = f"Waiting for {_WORDS[object['kind']]} spec update to be observed..."
        return Progress(text, is_done=False, ready=0, wanted=object["spec"].get("replicas", 1))
    name = f'{_WORDS[object["kind"]]} "{object["metadata"]["name"]}"'
    return kinds[object["kind"]](name, object["spec"], status)


_WORDS = {"Deployment": "deployment", "DaemonSet": "daemon set", "StatefulSet": "statefulset"}


def _deployment(name: str, spec: Json, status: Json) -> Progress:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == _DEADLINE:
            raise Refused(
                f"{name} exceeded its progress deadline",
                hint="see why: longshore describe; go back: longshore rollout undo",
            )
    wanted = spec.get("replicas", 1)
    total, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    available = status.get("availableReplicas", 0)
    head = f"Waiting for {name} rollout to finish: "
    if updated < wanted:
        text = f"{head}{updated} out of {wanted} new replicas have been updated..."
    elif total > updated:
        text = f"{head}{total - updated} old replicas are pending termination..."
    elif available < updated:
        text = f"{head}{available} of {updated} updated replicas are available..."
    else:
        return Progress(f"{name} successfully rolled out", True, available, wanted)
    return Progress(text, is_done=False, ready=min(available, updated), wanted=wanted)


_DEADLINE = "ProgressDeadlineExceeded"


def _daemon_set(name: str, spec: Json, status: Json) -> Progress:
    _check_rolling(spec)
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    head = f"Waiting for {name} rollout to finish: "
    if updated < wanted:
        text = f"{head}{updated} out of {wanted} new pods have been updated..."
    elif available < wanted:
        text = f"{head}{available} of {wanted} updated pods are available..."
    else:
        return Progress(f"{name} successfully rolled out", True, available, wanted)
    return Progress(text, is_done=False, ready=min(available, updated), wanted=wanted)


def _stateful_set(_name: str, spec: Json, status: Json) -> Progress:
    _check_rolling(spec)
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    partition = rolling.get("partition") or 0
    if ready < wanted:
        return Progress(f"Waiting for {wanted - ready} pods to be ready...", False, ready, wanted)
    if partition and updated < wanted - partition:
        text = (
            f"Waiting for partitioned roll out to finish: {updated} out of {wanted - partition} "
            "new pods have been updated..."
        )
        return Progress(text, is_done=False, ready=updated, wanted=wanted - partition)
    if not partition and status.get("updateRevision") != status.get("currentRevision"):
        text = f"waiting for statefulset rolling update to complete {updated} pods at revision..."
        return Progress(text, is_done=False, ready=updated, wanted=wanted)
    text = f"statefulset rolling update complete {wanted} pods at revision "
    return Progress(f"{text}{status.get('currentRevision', '')}...", True, ready, wanted)


def _check_rolling(spec: Json) -> None:
    if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        raise Refused("rollout status is only available for RollingUpdate strategy type")
