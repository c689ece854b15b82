"""Jobs under faults: every index succeeds, and what is counted is what came about."""

import asyncio
import random
from collections import Counter

import pytest

from node_agent.core.observed import Container, State
from orchestrator.core.job.view import is_tracked
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.job import INDEX_KEY, JOBS, Job, JobSpec, ending_of
from proto.kinds.pod import Pod, PodSpec, PodTemplateSpec, is_active
from proto.meta import ObjectMeta
from tests.simulation.cluster import Shape
from tests.simulation.environment import IMAGES
from tests.simulation.stage import Stage

COMPLETIONS, PARALLELISM = 6, 2
SECONDS_MAX = 200.0
"""Back-off after failures, twice a lost leader, twice a lost host."""


def indexed_job() -> Job:
    container = ContainerSpec(name="main", image=IMAGES[0])
    return Job(
        metadata=ObjectMeta(name="sums", namespace="default"),
        spec=JobSpec(
            completions=COMPLETIONS,
            parallelism=PARALLELISM,
            completion_mode="Indexed",
            backoff_limit=50,
            template=PodTemplateSpec(spec=PodSpec(containers=(container,), restart_policy="Never")),
        ),
    )


class Programs:
    """Ends what runs, and keeps its own count."""

    def __init__(self, stage: Stage, rng: random.Random) -> None:
        self._stage = stage
        self._rng = rng
        self.successes: Counter[str] = Counter()

    def end_one(self) -> None:
        running = [
            (host, container)
            for host in self._stage.cluster.hosts.values()
            for container in host.engine.containers
            if container.state is State.RUNNING
        ]
        if running:
            host, container = self._rng.choice(running)
            code = self._rng.choice((0, 0, 0, 1))
            host.engine.end(container.id, exit_code=code)
            if not code:
                self.successes[self._index(container)] += 1

    def _index(self, container: Container) -> str:
        return container.pod.name.split("-")[1]


def check(stage: Stage) -> None:
    job = stage.invariants.stored(JOBS, "sums")
    active = [pod for pod in stage.invariants.all(Pod) if is_active(pod)]
    assert len(active) <= PARALLELISM
    indexes = [pod.metadata.annotations[INDEX_KEY] for pod in active]
    assert len(set(indexes)) == len(indexes)
    assert job.status.succeeded <= COMPLETIONS


async def faults(stage: Stage, rng: random.Random) -> None:
    """A leader and a host go and come back, again and again."""
    while True:
        await asyncio.sleep(rng.uniform(0.5, 5))
        plane = stage.cluster.leader()
        if plane is not None and rng.random() < 0.5:
            stage.cluster.kill(plane)
            await asyncio.sleep(rng.uniform(0.1, 4))
            stage.cluster.start_plane(plane)
        else:
            host = rng.choice(sorted(stage.cluster.hosts.values(), key=lambda host: host.name))
            seat = stage.cluster.seats[host.name]
            host.power_off()
            stage.cluster.kill(seat)
            await asyncio.sleep(rng.uniform(0.1, 6))
            host.power_on()
            stage.cluster.start_agent(seat)


@pytest.mark.parametrize("seed", range(3))
def test_every_index_succeeds_though_leaders_and_hosts_go(seed: int):
    stage = Stage(seed, Shape(nodes=3, orchestrators=2, is_silence_loss=False))
    rng = random.Random(f"jobs {seed}")
    programs = Programs(stage, rng)

    def is_over() -> bool:
        check(stage)
        if rng.random() < 0.01:
            programs.end_one()
        return ending_of(stage.invariants.stored(JOBS, "sums")) is not None

    async def script() -> None:
        await stage.workload.submit(indexed_job())
        async with asyncio.TaskGroup() as tasks:
            raging = tasks.create_task(faults(stage, rng))
            await stage.until(is_over, SECONDS_MAX, "the job is over")
            raging.cancel()

    stage.play(script())
    status = stage.invariants.stored(JOBS, "sums").status
    assert (status.succeeded, status.completed_indexes) == (COMPLETIONS, f"0-{COMPLETIONS - 1}")
    assert sorted(programs.successes) == [str(index) for index in range(COMPLETIONS)]
    assert not any(is_tracked(pod) for pod in stage.invariants.all(Pod))
