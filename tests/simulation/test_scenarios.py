"""Moments too rare for random faults to meet often, each played as a scene of its own."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from node_agent.core.observed import Container, State
from orchestrator.store.memory import Fate
from proto.errors import Retryable
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.node import NODES
from proto.kinds.pod import Pod, is_active, is_ready
from proto.meta import ObjectMeta, condition
from tests.simulation.cluster import Plane, Shape
from tests.simulation.environment import Host
from tests.simulation.invariants import Wanted
from tests.simulation.loop import Violation
from tests.simulation.stage import Stage
from tests.simulation.workload import deployment

Script = Callable[[Stage], Awaitable[None]]


def play(
    script: Script,
    *,
    nodes: int = 3,
    orchestrators: int = 1,
    is_silence_loss: bool = False,
    forgets_disks: bool = False,
) -> None:
    """The scene, on a cluster that has come to rest with one deployment of three."""
    shape = Shape(nodes=nodes, orchestrators=orchestrators, is_silence_loss=is_silence_loss)
    stage = Stage(0, shape)
    stage.invariants.may_go_back = forgets_disks

    async def whole() -> None:
        await stage.workload.declare("web", Wanted("web:1", 3))
        await stage.settle()
        await script(stage)

    stage.play(whole())


def running(host: Host) -> list[Container]:
    return [c for c in host.engine.containers if c.state is State.RUNNING]


def a_host_with_work(stage: Stage) -> Host:
    return next(host for host in stage.cluster.hosts.values() if running(host))


def ready_elsewhere(stage: Stage, host: Host) -> int:
    pods = [pod for pod in stage.invariants.all(Pod) if pod.spec.node_name != host.name]
    return sum(is_ready(pod) for pod in pods)


def ready_reason(stage: Stage, host: Host) -> str:
    node = stage.invariants.stored(NODES, host.name, namespace="")
    found = condition(node.status.conditions, "Ready")
    return found.reason if found else ""


def leader(stage: Stage) -> Plane:
    found = stage.cluster.leader()
    assert found is not None
    return found


def test_the_pods_of_a_lost_host_run_elsewhere_within_two_seconds():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        host.power_off()
        stage.cluster.kill(stage.cluster.seats[host.name])
        await stage.until(lambda: ready_elsewhere(stage, host) == 3, 2.0, "three elsewhere")

    play(script)


def test_a_host_that_returns_gives_up_what_runs_elsewhere():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        host.cut_off(True)
        await stage.until(lambda: ready_elsewhere(stage, host) == 3, 3.0, "three elsewhere")
        assert running(host)
        host.cut_off(False)
        await stage.until(lambda: not running(host), 5.0, "rid of them")
        await stage.settle()
        await stage.stay()

    play(script)


def test_a_dead_agent_on_a_living_host_costs_no_container():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        starts, before = stage.invariants.starts, running(host)
        stage.cluster.kill(stage.cluster.seats[host.name])
        await asyncio.sleep(30)
        assert ready_reason(stage, host) == "AgentDown"
        stage.cluster.start_agent(stage.cluster.seats[host.name])
        await stage.settle()
        await stage.stay()
        assert (stage.invariants.starts, running(host)) == (starts, before)

    play(script)


whether_or_not_peers_can_be_asked = pytest.mark.parametrize("is_silence_loss", [False, True])


@whether_or_not_peers_can_be_asked
def test_an_outage_of_the_bus_moves_no_pod(is_silence_loss: bool):
    async def script(stage: Stage) -> None:
        starts = stage.invariants.starts
        stage.cluster.weather.loss = 1.0
        await asyncio.sleep(60)
        stage.cluster.weather.loss = 0.0
        await stage.settle()
        await stage.stay()
        assert stage.invariants.starts == starts

    play(script, is_silence_loss=is_silence_loss)


@whether_or_not_peers_can_be_asked
def test_beats_that_come_back_one_by_one_after_an_outage_cost_nobody_his_pods(
    is_silence_loss: bool,
):
    async def script(stage: Stage) -> None:
        weather, starts = stage.cluster.weather, stage.invariants.starts
        names = list(stage.cluster.hosts)
        weather.cuts = {(name, "o1") for name in names}
        await asyncio.sleep(10)
        for name in names:
            weather.cuts -= {(name, "o1")}
            await asyncio.sleep(0.4)
        await stage.settle()
        assert stage.invariants.starts == starts

    play(script, nodes=5, is_silence_loss=is_silence_loss)


def test_a_crash_of_the_whole_control_plane_touches_no_container():
    async def script(stage: Stage) -> None:
        starts = stage.invariants.starts
        for plane in stage.cluster.planes.values():
            stage.cluster.kill(plane)
        for seat in stage.cluster.seats.values():
            stage.cluster.kill(seat)
            stage.cluster.start_agent(seat)
        await asyncio.sleep(60)
        for plane in stage.cluster.planes.values():
            stage.cluster.start_plane(plane)
        await stage.settle()
        await stage.stay()
        assert stage.invariants.starts == starts

    play(script, orchestrators=2)


@whether_or_not_peers_can_be_asked
def test_another_orchestrator_leads_soon_after_the_leader_crashed_and_moves_nothing(
    is_silence_loss: bool,
):
    async def script(stage: Stage) -> None:
        starts, old = stage.invariants.starts, leader(stage)
        stage.cluster.kill(old)
        await stage.until(lambda: stage.cluster.leader() is not None, 3.0, "led again")
        stage.cluster.start_plane(old)
        await stage.settle()
        await stage.stay()
        assert stage.invariants.starts == starts

    play(script, orchestrators=2, is_silence_loss=is_silence_loss)


def test_a_new_leader_gives_the_only_node_time_to_be_heard():
    async def script(stage: Stage) -> None:
        starts, plane = stage.invariants.starts, leader(stage)
        stage.cluster.kill(plane)
        await asyncio.sleep(5)
        stage.cluster.start_plane(plane)
        await stage.settle()
        await stage.stay()
        assert stage.invariants.starts == starts

    play(script, nodes=1, is_silence_loss=True)


def test_an_agent_that_was_never_told_what_to_run_leaves_alone_what_it_finds():
    async def script(stage: Stage) -> None:
        starts, host, plane = stage.invariants.starts, a_host_with_work(stage), leader(stage)
        seat = stage.cluster.seats[host.name]
        stage.cluster.kill(plane)
        stage.cluster.kill(seat)
        host.disk.content = None
        stage.cluster.start_agent(seat)
        await asyncio.sleep(60)
        stage.cluster.start_plane(plane)
        await stage.settle()
        assert stage.invariants.starts == starts

    # What it followed went with its disk, so the promise that this never goes back is off.
    play(script, forgets_disks=True)


def test_a_leader_that_was_frozen_past_its_lease_writes_nothing():
    async def script(stage: Stage) -> None:
        old = leader(stage)
        assert old.process is not None
        assert old.control is not None
        old.process.pause()
        verbs = old.control.verbs
        late = asyncio.get_running_loop().create_task(
            old.process.call(verbs.delete(DEPLOYMENTS, "default", "web"))
        )
        await asyncio.sleep(5)
        await stage.workload.declare("web", Wanted("web:2", 2))
        old.process.resume()
        with pytest.raises(Retryable):
            await late
        await stage.settle()
        await stage.stay()

    play(script, orchestrators=2)


@pytest.mark.parametrize(
    "fate",
    [
        Fate(request_delay_s=0.01, response_delay_s=0.2, is_response_lost=True),
        Fate(request_delay_s=0.5, response_delay_s=0.2, is_response_lost=True),
        Fate(request_delay_s=0.2, is_request_lost=True, is_response_lost=True),
    ],
    ids=["applied", "applied later", "not applied"],
)
def test_a_write_whose_outcome_is_unknown_is_made_once(fate: Fate):
    async def script(stage: Stage) -> None:
        server = stage.cluster.server
        usual, doomed = server.faults, [fate]

        def faults(client: str, verb: str) -> Fate:
            return doomed.pop() if verb == "txn" and doomed else usual(client, verb)

        server.faults = faults
        await stage.workload.declare("web", Wanted("web:2", 5))
        await stage.settle()
        await stage.stay()
        assert not doomed

    play(script)


def test_a_deploy_message_whose_leader_dies_between_commit_and_answer_is_applied_once():
    async def script(stage: Stage) -> None:
        old, commits = leader(stage), stage.invariants.commits
        stage.cluster.weather.cuts = {("o1", "client"), ("o2", "client")}
        deploying = asyncio.get_running_loop().create_task(
            stage.workload.deploy("web", Wanted("web:2", 2))
        )
        await stage.until(lambda: stage.invariants.commits > commits, 5.0, "committed")
        stage.cluster.kill(old)
        stage.cluster.weather.cuts = set()
        await deploying
        await stage.workload.declare("web", Wanted("web:3", 4))
        await stage.workload.repeat_messages()
        stage.cluster.start_plane(old)
        await stage.settle()

    play(script, orchestrators=2)


def test_a_deploy_message_published_once_is_applied_though_its_leader_dies_over_it():
    async def script(stage: Stage) -> None:
        old = leader(stage)
        stage.cluster.weather.store_delay_s = 2.0
        wanted = Wanted("web:2", 2)
        stage.workload.publish_once("web", wanted)
        await asyncio.sleep(0.01)
        stage.cluster.kill(old)
        stage.cluster.weather.store_delay_s = 0.0
        stage.cluster.start_plane(old)
        await stage.until(lambda: stage.workload.declared("web") == wanted, 20.0, "applied")
        stage.invariants.wanted["web"] = wanted
        await stage.settle()

    play(script, orchestrators=2)


def test_a_container_that_crashes_again_restarts_when_its_back_off_is_over():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        uid = running(host)[0].pod.uid

        def mine() -> list[Container]:
            return [c for c in running(host) if c.pod.uid == uid]

        host.engine.end(mine()[0].id, exit_code=1)
        await stage.until(lambda: bool(mine()), 0.5, "restarted at once")
        host.engine.end(mine()[0].id, exit_code=1)
        await asyncio.sleep(9.5)
        assert not mine()
        await stage.until(lambda: bool(mine()), 1.5, "restarted after ten seconds")

    play(script)


def test_a_container_that_will_not_end_is_killed_when_its_grace_is_over():
    async def script(stage: Stage) -> None:
        for host in stage.cluster.hosts.values():
            host.engine.ignores_signals = lambda _: True
        await stage.workload.declare("web", Wanted("web:1", 0))
        hosts = stage.cluster.hosts.values()
        await asyncio.sleep(1.8)
        assert sum(len(running(host)) for host in hosts) == 3
        await stage.until(lambda: not any(map(running, hosts)), 1.5, "killed after two seconds")

    play(script)


def test_an_agent_that_restarts_with_its_clock_set_back_is_heard():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        seat = stage.cluster.seats[host.name]
        stage.cluster.clocks[host.name] = -3_600_000
        stage.cluster.kill(seat)
        stage.cluster.start_agent(seat)
        await stage.workload.declare("web", Wanted("web:2", 3))
        await stage.settle()

    play(script)


def test_a_report_that_was_lost_is_asked_for():
    async def script(stage: Stage) -> None:
        host = a_host_with_work(stage)
        subject = f"longshore.v1.node.{host.name}.report"
        network, lost = stage.cluster.network, [0]
        usual = network.faults

        def faults(sender: str, receiver: str, about: str) -> list[float]:
            if about == subject and lost[0] < 20 and not asked_for():
                lost[0] += 1
                return []
            return list(usual(sender, receiver, about))

        began = stage.loop.time()

        def asked_for() -> bool:
            return stage.loop.time() - began > 3.0

        network.faults = faults
        await stage.workload.declare("web", Wanted("web:2", 3))
        await stage.settle()
        assert lost[0]

    play(script)


def test_a_follower_whose_watch_broke_over_a_compaction_knows_everything_again():
    async def script(stage: Stage) -> None:
        follower = next(p for p in stage.cluster.planes.values() if p is not leader(stage))
        stage.cluster.weather.store_cuts = {follower.name}
        stage.cluster.server.break_watches(follower.name)
        await stage.workload.declare("web", Wanted("web:2", 1))
        await asyncio.sleep(5)
        stage.cluster.server.compact(stage.cluster.server.revision)
        stage.cluster.weather.store_cuts = set()
        await stage.settle()

    play(script, orchestrators=2)


def test_a_rollout_never_has_fewer_ready_pods_than_asked_for_nor_more_than_one_extra():
    async def script(stage: Stage) -> None:
        counts: list[tuple[int, int]] = []

        async def count() -> None:
            while True:
                pods = [p for p in stage.invariants.all(Pod) if is_active(p)]
                counts.append((sum(map(is_ready, pods)), len(pods)))
                await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(count())
            await stage.workload.declare("web", Wanted("web:2", 3))
            await stage.settle()
            counting.cancel()
        assert min(ready for ready, _ in counts) == 3
        assert max(active for _, active in counts) == 4

    play(script)


def test_a_namespace_goes_with_all_that_is_in_it_though_the_leader_dies_on_the_way():
    async def script(stage: Stage) -> None:
        old = leader(stage)
        assert old.process is not None
        assert old.control is not None
        verbs = old.control.verbs
        await old.process.call(
            verbs.create(NAMESPACES, Namespace(metadata=ObjectMeta(name="room")))
        )
        inside = deployment("inside", Wanted("web:1", 2), namespace="room")
        await old.process.call(verbs.create(DEPLOYMENTS, inside))
        await stage.until(lambda: len(stage.invariants.all(Pod)) == 5, 5.0, "there")
        await old.process.call(verbs.delete(NAMESPACES, "", "room"))
        await asyncio.sleep(0.05)
        stage.cluster.kill(old)
        await asyncio.sleep(1)
        stage.cluster.start_plane(old)
        await stage.settle()
        assert not [key for key in stage.stored_keys() if "/room" in key]

    play(script, orchestrators=2)


def test_what_must_never_happen_is_noticed():
    """The checker's own check: a container that the store knows nothing of."""

    async def script(stage: Stage) -> None:
        one, other = list(stage.cluster.hosts.values())[:2]
        stolen = next(c for host in (one, other) for c in running(host))
        thief = other if stolen in running(one) else one
        assert thief.engine.on_start is not None
        thief.engine.on_start(stolen)
        await asyncio.sleep(1)

    with pytest.raises(Violation, match="runs on"):
        play(script)
