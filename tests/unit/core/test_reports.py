"""What becomes of a pod's status when its node tells of it."""

import pytest
from msgspec.structs import replace

from orchestrator.core.reports import plan
from orchestrator.core.storage.provision import FOLDER_ANNOTATION
from proto.kinds.container import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStatus,
)
from proto.kinds.node import Node
from proto.kinds.pod import Pod, PodSpec, PodStatus
from proto.messages import PodReport
from proto.meta import ObjectMeta
from tests.unit.core.making import report as report_of

RUNNING = ContainerState(running=ContainerStateRunning(started_at="2026-01-01T00:00:00Z"))
ENDED = ContainerState(terminated=ContainerStateTerminated(exit_code=137, reason="Error"))


def status(phase: str, sidecar: ContainerState) -> PodStatus:
    beside = ContainerStatus(name="s", state=sidecar, ready=sidecar is RUNNING)
    return PodStatus(phase=phase, init_container_statuses=(beside,), pod_ip="10.0.0.9")


def told(before: PodStatus, now: PodStatus) -> PodStatus | None:
    """The status that is written; None: nothing is."""
    meta = ObjectMeta(name="web", namespace="default", uid="u")
    pod = Pod(metadata=meta, spec=PodSpec(containers=(Container(name="c"),)), status=before)
    report = report_of(PodReport(uid="u", namespace="default", name="web", status=now))
    node = Node(metadata=ObjectMeta(name="n1"))
    written = [d.object.status for d in plan(report, node, [pod]).decisions if d.kind.name == "Pod"]
    return written[0] if written else None


@pytest.mark.parametrize("phase", ["Pending", "Running", "Failed"])
def test_a_pod_that_has_succeeded_stays_so_whatever_a_late_report_says(phase):
    assert told(status("Succeeded", ENDED), status(phase, RUNNING)) is None


def test_what_ran_beside_a_pods_containers_is_seen_to_end_after_them():
    before = status("Succeeded", RUNNING)
    after = told(before, replace(status("Succeeded", ENDED), pod_ip=""))
    assert after == replace(
        before, init_container_statuses=status("", ENDED).init_container_statuses
    )
    assert told(after, status("Succeeded", ENDED)) is None


def test_where_a_node_keeps_volumes_is_noted_beside_what_others_note_of_it():
    report = report_of(volumes_folder="/var/stored")
    node = Node(metadata=ObjectMeta(name="n1", annotations={"note": "mine"}))
    (decision,) = plan(report, node, []).decisions
    assert decision.object.metadata.annotations == {
        "note": "mine",
        FOLDER_ANNOTATION: "/var/stored",
    }
