"""Why a pod that waits for its claims has no node, over what the scheduler and a claim's plan say."""

import pytest

from orchestrator.cli.why import Finding, Seen, explain
from orchestrator.core import binding
from orchestrator.core.decisions import Emit
from orchestrator.core.scheduling import Placement, refusal, table_of
from orchestrator.core.storage import claims
from orchestrator.core.storage.using import Blocked, Known, needs
from proto.kinds.pod import Pod
from proto.kinds.storage import PersistentVolumeClaim
from tests.unit.cli.reported import event
from tests.unit.core.storing import claim, node, using
from tests.unit.node_agent.given import NOW_MS

NODE = node("node-1")
POD = using("web", "data", "logs")


def waiting(*found: PersistentVolumeClaim) -> Finding:
    """Of the pod after the scheduler looked at it, and the plans of its claims said what they do."""
    known = Known({one.metadata.name: one for one in found}, {}, {})
    with pytest.raises(Blocked) as blocked:
        needs(POD, known)
    said = refusal.blocked(table_of([NODE]), str(blocked.value), is_by_node=False)
    (written, _) = binding.plan([Placement(POD, None, said)], NOW_MS - 60_000).decisions
    told = [
        event(one, decision.reason, decision.message)
        for one in found
        for decision in claims.plan(one, claims.Around()).decisions
        if isinstance(decision, Emit)
    ]
    pod = written.object
    assert isinstance(pod, Pod)
    problem = explain(pod, Seen(now_ms=NOW_MS, nodes=(NODE,), events=told)).problem
    assert problem is not None
    return problem


def test_a_claim_that_does_not_exist_is_named():
    found = waiting(claim())
    assert found.reason == "ClaimUnbound"  # the first claim is looked at first
    found = waiting(claim("logs"))
    assert (found.reason, found.what) == (
        "ClaimMissing",
        "It waits for the claim data, which does not exist",
    )
    assert found.evidence == (
        'the scheduler says: 0/1 nodes are available: persistentvolumeclaim "data" not found.',
    )
    assert found.next == ("longshore get pvc",)


def test_a_claim_without_a_volume_says_for_itself_what_it_waits_for():
    found = waiting(claim(), claim("logs"))
    assert found.what == "It waits for a volume for its claims data and logs"
    assert found.evidence[1:] == tuple(
        f"{name}: FailedBinding: no persistent volumes available for this claim and no storage "
        "class is set"
        for name in ("data", "logs")
    )
    assert found.next[0] == "longshore describe pvc data"


def test_a_claim_that_goes_is_told_of():
    assert waiting(claim(deleting=True), claim("logs")).reason == "ClaimGoing"
