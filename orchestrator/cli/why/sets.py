"""Why a stateful set or a daemon set does not have the pods it wants."""

from collections.abc import Iterator, Sequence

from orchestrator.cli.why.finding import Explanation, Finding, Weight
from orchestrator.cli.why.seen import Seen
from orchestrator.cli.why.workloads import explained, idle, not_looked_at, of_pods
from proto.kinds.daemonset import DaemonSet
from proto.kinds.pod import Pod, is_ready
from proto.kinds.statefulset import StatefulSet


def explain_stateful_set(found: StatefulSet, seen: Seen) -> Explanation:
    """All findings on a stateful set and its pods."""
    status, wanted = found.status, found.spec.replicas or 0
    summary = (
        f"stateful set {found.metadata.name}: {status.ready_replicas} of {wanted} ready, "
        f"{status.updated_replicas} up to date"
    )
    return explained("sts", found, summary, _of_stateful_set(found, seen), seen)


def explain_daemon_set(found: DaemonSet, seen: Seen) -> Explanation:
    """All findings on a daemon set and its pods."""
    status = found.status
    summary = (
        f"daemon set {found.metadata.name}: ready on {status.number_ready or 0} of "
        f"{status.desired_number_scheduled or 0} nodes, "
        f"{status.updated_number_scheduled} up to date"
    )
    return explained("ds", found, summary, _of_daemon_set(found, seen), seen)


def _of_stateful_set(found: StatefulSet, seen: Seen) -> Iterator[Finding]:
    pods = seen.pods_of(found)
    yield from idle("sts", found, seen)
    yield from _waiting_in_line(found, pods)
    rolling = found.spec.update_strategy.rolling_update
    is_rolling = found.status.update_revision != found.status.current_revision
    if is_rolling and found.spec.update_strategy.type == "OnDelete":
        yield Finding(
            weight=Weight.NOTE,
            reason="OnDelete",
            what="Its update strategy is OnDelete: pods get the present template once deleted",
        )
    elif is_rolling and rolling is not None and rolling.partition:
        yield Finding(
            weight=Weight.NOTE,
            reason="Partition",
            what=f"Pods below {rolling.partition} keep the earlier template: that is its partition",
        )
    yield from of_pods(pods, seen)


def _waiting_in_line(found: StatefulSet, pods: Sequence[Pod]) -> Iterator[Finding]:
    """Pods that are missing because one before them is not ready."""
    missing = (found.spec.replicas or 0) - len(pods)
    unready = [pod.metadata.name for pod in pods if not is_ready(pod)]
    if missing > 0 and unready and found.spec.pod_management_policy != "Parallel":
        yield Finding(
            weight=Weight.NOTE,
            reason="WaitsInLine",
            what=f"{missing} more are to come, one after the other: {min(unready)} is not ready",
            advice="With podManagementPolicy Parallel they would not wait for each other.",
        )


def _of_daemon_set(found: DaemonSet, seen: Seen) -> Iterator[Finding]:
    yield from not_looked_at(found)
    status, inside = found.status, seen.inside(found.metadata.namespace)
    if not status.desired_number_scheduled and status.observed_generation:
        yield Finding(
            weight=Weight.NOTE,
            reason="NoNodes",
            what="No node fits its node selector and tolerations, so it has no pods",
            next=(
                "longshore get nodes --show-labels",
                f"longshore describe ds/{found.metadata.name}{inside}",
            ),
        )
    if status.number_misscheduled:
        yield Finding(
            weight=Weight.NOTE,
            reason="Misscheduled",
            what=f"{status.number_misscheduled} of its pods are on nodes that would get none now",
        )
    yield from of_pods(seen.pods_of(found), seen)
