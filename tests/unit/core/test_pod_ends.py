"""What pods that others end leave behind for whoever waits for their end."""

from msgspec.structs import replace

from orchestrator.core import evictions, garbage, node_verdicts, reports
from orchestrator.core.decisions import Remove
from proto.kinds.node import Taint
from proto.kinds.pod import PodStatus
from proto.messages import PodReport
from proto.meta import condition
from tests.unit.core.making import NOW, NOW_MS, node, pod, report as report_of


def left(plan):
    (removed,) = (d.object for d in plan.decisions if isinstance(d, Remove))
    target = condition(removed.status.conditions, "DisruptionTarget")
    return removed.status.phase, target and target.reason


RUNNING = pod("a", owner="rs1", node="n1", ready_since_ms=NOW_MS)


def test_a_pod_of_a_lost_node_has_failed_for_no_fault_of_its_own():
    plan = node_verdicts.pods_of_lost_node(node("n1"), [RUNNING], NOW_MS)
    assert left(plan) == ("Failed", "DeletionByTaintManager")


def test_a_pod_of_a_node_that_is_no_more_has_failed_for_no_fault_of_its_own():
    assert left(garbage.pods_without_node([RUNNING], (), NOW_MS)) == (
        "Failed",
        "DeletionByPodGC",
    )


def test_a_pod_that_had_ended_when_its_node_went_stays_as_it_ended():
    ended = pod("a", owner="rs1", node="n1", phase="Succeeded")
    assert left(garbage.pods_without_node([ended], (), NOW_MS)) == ("Succeeded", None)


def test_a_pod_that_a_taint_drives_away_says_so_and_ends_by_itself():
    taint = Taint(key="broken", effect="NoExecute", time_added=NOW)
    plan = evictions.plan(node("n1", taints=(taint,)), [RUNNING], NOW_MS)
    assert left(plan) == ("Running", "DeletionByTaintManager")


def test_a_pod_that_its_node_has_removed_has_ended():
    going = pod("a", owner="rs1", node="n1", phase="Running", deleting=True)
    about = PodReport(
        uid=going.metadata.uid,
        namespace="default",
        name="a",
        status=PodStatus(phase="Running"),
        is_gone=True,
    )
    report = report_of(about)
    succeeded = replace(going, status=replace(going.status, phase="Succeeded"))
    assert [left(reports.plan(report, node("n1"), [found])) for found in (going, succeeded)] == [
        ("Failed", None),
        ("Succeeded", None),
    ]
