"""What Docker itself can do: containers and commands through aiodocker, nothing else."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiodocker

from tests.e2e.images import BUSYBOX, SLEEP
from tests.e2e.waiting import stopwatch


async def start_s(engine: Path, count: int, at_a_time: int) -> float:
    """Seconds from the first create to the last start; the containers are removed afterwards."""
    async with aiodocker.Docker(url=f"unix://{engine}") as docker:
        made: list[Any] = []
        slots = asyncio.Semaphore(at_a_time)

        async def start() -> None:
            async with slots:
                config = {
                    "Image": BUSYBOX,
                    "Cmd": SLEEP,
                    "HostConfig": {"NetworkMode": "bridge"},
                }
                container = await docker.containers.create(config, name=f"raw-{uuid.uuid4().hex}")
                made.append(container)
                await container.start()

        async def remove(container: Any) -> None:
            async with slots:
                await container.delete(force=True)

        elapsed = stopwatch()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(count):
                    tasks.create_task(start())
            return elapsed()
        finally:
            async with asyncio.TaskGroup() as tasks:
                for container in made:
                    tasks.create_task(remove(container))


async def successor_s(engine: Path, holder: str) -> float:
    """Seconds to create and start one more container in a holder's network."""
    async with aiodocker.Docker(url=f"unix://{engine}") as docker:
        config = {
            "Image": BUSYBOX,
            "Cmd": SLEEP,
            "HostConfig": {"NetworkMode": f"container:{holder}"},
        }
        elapsed = stopwatch()
        container = await docker.containers.create(config, name=f"raw-{uuid.uuid4().hex}")
        await container.start()
        took_s = elapsed()
        await container.delete(force=True)
        return took_s


async def remove_s(engine: Path, count: int, at_a_time: int) -> float:
    """Seconds to kill and remove so many pods: each a holder, and a container in its network."""
    async with aiodocker.Docker(url=f"unix://{engine}") as docker:
        pods: list[tuple[Any, Any]] = []
        slots = asyncio.Semaphore(at_a_time)

        async def start(network: str) -> Any:
            config = {"Image": BUSYBOX, "Cmd": SLEEP, "HostConfig": {"NetworkMode": network}}
            container = await docker.containers.create(config, name=f"raw-{uuid.uuid4().hex}")
            await container.start()
            return container

        async def make() -> None:
            async with slots:
                holder = await start("bridge")
                pods.append((await start(f"container:{holder.id}"), holder))

        async def remove(container: Any, holder: Any) -> None:
            async with slots:
                await container.delete(force=True)
                await holder.delete(force=True)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(make())
        elapsed = stopwatch()
        async with asyncio.TaskGroup() as tasks:
            for pod in pods:
                tasks.create_task(remove(*pod))
        return elapsed()


def engine(socket: str) -> aiodocker.Docker:
    return aiodocker.Docker(url=f"unix://{socket}")


async def execute(docker: aiodocker.Docker, container: str, command: list[str]) -> bytes:
    """What a command prints, once it has ended well."""
    found = await docker.containers.container(container).exec(command, stdin=False)
    said = b""
    async with found.start(detach=False) as stream:
        while message := await stream.read_out():
            said += message.data
    assert (await found.inspect())["ExitCode"] == 0
    return said
