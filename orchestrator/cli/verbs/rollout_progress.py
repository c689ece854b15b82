"""How far a rollout is, in kubectl's words. Source: kubectl, pkg/polymorphichelpers/rollout_status."""

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
        kind = {"Deployment": "deployment", "DaemonSet": "daemon set", "StatefulSet": "statefulset"}
        text = f"Waiting for {kind[object['kind']]} spec update to be observed..."
        return Progress(text, is_done=False, ready=0, wanted=object["spec"].get("replicas", 1))
    return kinds[object["kind"]](object["metadata"]["name"], object["spec"], status)


def _deployment(name: str, spec: Json, status: Json) -> Progress:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == _DEADLINE:
            raise Refused(
                f'deployment "{name}" exceeded its progress deadline',
                hint=f"longshore describe deployment {name}; back: longshore rollout undo deploy/{name}",
            )
    wanted = spec.get("replicas", 1)
    total, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    available = status.get("availableReplicas", 0)
    head = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        text = f"{head}{updated} out of {wanted} new replicas have been updated..."
    elif total > updated:
        text = f"{head}{total - updated} old replicas are pending termination..."
    elif available < updated:
        text = f"{head}{available} of {updated} updated replicas are available..."
    else:
        return Progress(f'deployment "{name}" successfully rolled out', True, available, wanted)
    return Progress(text, is_done=False, ready=min(available, updated), wanted=wanted)


_DEADLINE = "ProgressDeadlineExceeded"


def _daemon_set(name: str, spec: Json, status: Json) -> Progress:
    _check_rolling(spec)
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    head = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        text = f"{head}{updated} out of {wanted} new pods have been updated..."
    elif available < wanted:
        text = f"{head}{available} of {wanted} updated pods are available..."
    else:
        return Progress(f'daemon set "{name}" successfully rolled out', True, available, wanted)
    return Progress(text, is_done=False, ready=min(available, updated), wanted=wanted)


def _stateful_set(name: str, spec: Json, status: Json) -> Progress:
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
