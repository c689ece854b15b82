"""The cluster at a glance."""

from msgspec.structs import replace

from node_agent.core.observed import State
from orchestrator.cli.overview import (
    Amount,
    ControlPlane,
    Overview,
    overview,
    parse_checks,
    summed,
)
from orchestrator.cli.verbs.status import lines_of
from orchestrator.cli.why import Seen
from orchestrator.core.node_lifecycle import State as NodeState
from proto import codec
from proto.kinds.job import Job, JobSpec, JobStatus
from proto.meta import ObjectMeta, OwnerReference, format_time
from tests.unit.cli.reported import event, judged, reported
from tests.unit.core import making
from tests.unit.core.making import node
from tests.unit.node_agent.given import NOW_MS, container, pod, sandbox, spec

PLANE = ControlPlane(
    server="http://127.0.0.1:6443", version="v1.32.0", latency_ms=2.5, checks={"ready": ""}
)


def at_a_glance(*, plane=PLANE, usage=None, **around: object) -> Overview:
    return overview(Seen(now_ms=NOW_MS, **around), plane, usage or {})


def running(name: str = "web", owner: str = ""):
    return reported(pod(name), sandbox(name), container(name), owner=owner)


def crashing(name: str, owner: str = ""):
    ended = container(name, spec(), State.EXITED, 2, exit_code=1)
    return reported(pod(name), sandbox(name), ended, owner=owner)


def web(ready: int):
    found = making.deployment(3)
    status = replace(found.status, observed_generation=1, ready_replicas=ready)
    rs = making.replicaset()
    reference = OwnerReference(
        api_version="apps/v1", kind="Deployment", name="web", uid="d1", controller=True
    )
    rs = replace(rs, metadata=replace(rs.metadata, owner_references=(reference,)))
    return {"deployments": (replace(found, status=status),), "replica_sets": (rs,)}


def text(found: Overview, *, has_bars: bool = False) -> str:
    return "\n".join(line.plain for line in lines_of(found, NOW_MS, has_bars=has_bars))


def test_when_nothing_is_wrong_all_is_well():
    found = at_a_glance(nodes=(node("node-1"),), pods=(running(owner="rs1"),), **web(3))
    assert found.is_well
    assert text(found).startswith("✓ all is well   http://127.0.0.1:6443  v1.32.0\n")
    assert "default  deploy/web  3/3" in text(found)


def test_a_workloads_pods_are_one_problem_and_bare_pods_each_their_own():
    pods = (crashing("web-1", "rs1"), crashing("web-2", "rs1"), crashing("bare"))
    found = at_a_glance(nodes=(node("node-1"),), pods=pods, **web(0))
    assert [(one.kind, one.name, one.why) for one in found.problems] == [
        ("deploy", "web", "longshore why deploy/web"),
        ("pod", "bare", "longshore why bare"),
    ]
    assert not found.is_well
    assert "✗ deploy default/web: 2 of 2 pods: Its container exited with code 1" in text(found)


def test_a_lost_node_comes_first():
    lost = judged(node("node-1"), NodeState.LOST)
    found = at_a_glance(nodes=(lost, node("node-2")), pods=(crashing("bare"),))
    assert found.problems[0].why == "longshore why node/node-1"
    assert "NODES  1 of 2 ready" in text(found)


def test_what_pods_asked_for_is_told_beside_what_there_is():
    asked = making.bound(making.pod("p", cpu="1500m", memory="1Gi"), "node-1")
    over = replace(asked, status=replace(asked.status, phase="Succeeded"))
    found = at_a_glance(nodes=(node("node-1", cpu="4", memory="8Gi"),), pods=(asked, over))
    (state,) = found.nodes
    assert (state.pods, state.pods_max) == (1, 110)
    assert (state.cpu.requested, state.cpu.allocatable) == (1500, 4000)
    assert "cpu 1.5/4" in text(found)
    assert "memory 1Gi/8Gi" in text(found)
    assert found.pods == {"Pending": 1, "Succeeded": 1}


def test_usage_is_told_where_it_is_measured():
    usage = {"node-1": {"cpu": 250, "memory": 1 << 30}}
    found = at_a_glance(nodes=(node("node-1"),), usage=usage)
    assert "in use 0.25" in text(found)
    assert "in use" not in text(at_a_glance(nodes=(node("node-1"),)))


def test_a_control_plane_that_takes_no_writes_is_a_problem():
    plane = replace(PLANE, checks={"ready": "", "writes": "NATS cannot be reached"})
    found = at_a_glance(plane=plane)
    assert found.problems[0].what == "writes is not ready: NATS cannot be reached"
    assert "not well: writes" in text(found)


def test_jobs_and_bare_replica_sets_are_workloads_too():
    job = Job(
        metadata=ObjectMeta(name="import", namespace="default", uid="j1"),
        spec=JobSpec(completions=2),
        status=JobStatus(succeeded=1, active=1),
    )
    found = at_a_glance(jobs=(job,), replica_sets=(making.replicaset(),))
    assert [(one.kind, one.ready, one.wanted) for one in found.workloads] == [
        ("job", 1, 2),
        ("rs", 0, 3),
    ]


def test_recent_warnings_are_told_once_each_the_latest_first():
    about = crashing("bare")
    first, again = event(about, "BackOff", "first"), event(about, "BackOff", "again")
    again = replace(again, last_timestamp=format_time(NOW_MS - 5_000))
    old = replace(
        event(about, "Failed", "long ago"), last_timestamp=format_time(NOW_MS - 3_600_000)
    )
    found = at_a_glance(events=(first, again, old))
    assert [(one.about, one.reason, one.message) for one in found.warnings] == [
        ("pod/bare", "BackOff", "again")
    ]


def test_it_can_be_read_by_programs():
    plain = codec.to_plain(at_a_glance(nodes=(node("node-1"),), pods=(crashing("bare"),)))
    assert plain["isWell"] is False
    assert plain["problems"][0]["reason"] == "ExitsWithError"
    assert plain["controlPlane"]["latencyMs"] == 2.5


def test_checks_are_read_as_the_api_tells_them():
    assert parse_checks("ok") == {}
    assert parse_checks("[+]ping ok\n[-]etcd failed: reason withheld\n") == {
        "ping": "",
        "etcd": "reason withheld",
    }


def test_usage_of_some_nodes_is_no_usage_of_all():
    known, unknown = Amount(requested=1, allocatable=2, used=1), Amount(requested=1, allocatable=2)
    assert summed([known, known]).used == 2
    assert summed([known, unknown]).used is None


def test_many_problems_and_workloads_are_cut_short_with_how_to_see_them():
    found = at_a_glance(pods=tuple(crashing(f"p{number}") for number in range(20)))
    assert "and 8 more: longshore status -o yaml" in text(found)
    assert text(found, has_bars=True).count("✗") == 13
