"""Docker, through aiodocker: the only module that imports it.

Foreign errors are translated here and nowhere else. "Absent" is a 404 and nothing else; a 409 means
that the name is taken. Requests that stream (logs, events) go through aiodocker's own request
method: its wrappers decode bytes to text and start tasks of their own.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiodocker
import aiohttp

from node_agent.core import naming
from node_agent.core.actions import ContainerConfig, SandboxConfig
from node_agent.core.observed import Container, Credential, Sandbox, image_names
from node_agent.core.usage import Sample
from node_agent.core.volume_actions import TmpfsConfig
from node_agent.engine import (
    PING_DEADLINE_S,
    AttachOptions,
    EngineFailure,
    EngineInfo,
    EngineVolume,
    ExecOptions,
    Image,
    Listed,
    LogOptions,
    Progress,
    cgroups,
    oom,
    pause,
    pulling,
)
from node_agent.engine.console import DockerConsole
from node_agent.engine.docker_streams import DockerEvents, DockerLogs
from node_agent.engine.hijack import hijack
from node_agent.engine.hostname import set_hostname
from node_agent.engine.inspection import (
    LOG_LIMITS,
    LogLimits,
    created_config,
    parse_images,
    parse_inspection,
    parse_state,
    parse_stats,
    parse_volumes,
    sandbox_config,
    volume_config,
)
from proto.errors import AlreadyExists, BadRequest, NotFound, Unavailable, UnknownResult

DEADLINE_S = 60.0
"""For one answer. A start takes 0.1 to 3 s on two busy cores; dockerd's own locks may add."""

DETACH_KEYS = "ctrl-@,ctrl-],ctrl-@,ctrl-]"
"""Docker takes a terminal away from who types these. Its default begins with Ctrl-P, which shells
need for themselves; it cannot be switched off.
"""

_NO_CONNECTION = 900  # aiodocker's own "status"
_STREAMING = aiohttp.ClientTimeout(total=None, sock_read=None)


class Docker:
    """The engine behind one socket, for one node of one cluster."""

    def __init__(
        self,
        url: str,
        node: str,
        cluster: str = "",
        *,
        logs: LogLimits = LOG_LIMITS,
        cgroup_root: Path = cgroups.ROOT,
    ) -> None:
        """Connects when first used.

        Args:
            url: ``unix:///var/run/docker.sock`` or ``tcp://host:port``.
            node: Whose objects to see and make.
            cluster: Of the node; nodes of other clusters may have its name.
            logs: How much of each container's output to keep.
            cgroup_root: Where the kernel's counts would be, if they can be seen from here.
        """
        self._docker = aiodocker.Docker(url=url)
        self._url = url
        self._node = node
        self._ours = {naming.CLUSTER: cluster, naming.NODE: node}
        labels = [f"{name}={value}" for name, value in self._ours.items()]
        self._filters = json.dumps({"label": labels})
        self._logs = logs
        self._cgroup_root = cgroup_root
        self._has_holder_image = False
        self._trial = asyncio.Lock()
        self._lowest_oom_score: int | None = None

    async def close(self) -> None:
        """Disconnect."""
        await self._docker.close()

    async def ping(self) -> None:
        """See `Engine`."""
        async with _translated(PING_DEADLINE_S), self._docker._query("_ping"):  # noqa: SLF001
            pass

    async def info(self) -> EngineInfo:
        """See `Engine`."""
        async with _translated():
            found = await self._docker.system.info()
        return EngineInfo(
            version=found.get("ServerVersion", ""),
            cpus=found.get("NCPU", 0),
            memory_bytes=found.get("MemTotal", 0),
            architecture=found.get("Architecture", ""),
            operating_system=found.get("OSType", "linux"),
            os_image=found.get("OperatingSystem", ""),
            kernel_version=found.get("KernelVersion", ""),
            root_dir=found.get("DockerRootDir", ""),
        )

    async def list(self) -> Sequence[Listed]:
        """See `Engine`."""
        async with _translated():
            found = await self._docker.containers.list(all="1", filters=self._filters)
        return [
            Listed(c.id, c["Names"][0].removeprefix("/"), parse_state(c["State"])) for c in found
        ]

    async def inspect(self, id: str) -> Sandbox | Container | None:
        """See `Engine`."""
        try:
            async with _translated():
                found = await self._docker.containers.container(id).show()
        except NotFound:
            return None
        return parse_inspection(found, self._node)

    async def images(self) -> Sequence[Image]:
        """See `Engine`."""
        async with _translated():
            found = await self._docker.images.list()
        return parse_images(found)

    async def image_user(self, image: str) -> str:
        """See `Engine`."""
        async with _translated():
            found = await self._docker.images.inspect(image)
        return found["Config"].get("User") or ""

    async def lowest_oom_score(self) -> int:
        """See `Engine`. Tried once: nothing tells."""
        async with self._trial:
            if self._lowest_oom_score is None:
                await self._load_holder_image()
                self._lowest_oom_score = await oom.lowest(
                    self._ask, pause.IMAGE, "-".join(self._ours.values())
                )
        return self._lowest_oom_score

    async def pull(
        self,
        image: str,
        credential: Credential | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """See `Engine`."""
        try:
            async with _translated(None):
                response = await self._docker._do_query(  # noqa: SLF001
                    "images/create",
                    "POST",
                    params={"fromImage": image_names(image)[0]},  # no tag would mean all of them
                    headers=pulling.headers(image, credential),
                    timeout=_STREAMING,
                )
                await pulling.follow(response, on_progress)
        except EngineFailure as error:
            raise pulling.refusal(str(error)) from error

    async def images_in_use(self) -> frozenset[str]:
        """See `Engine`."""
        found = await self._ask("GET", "containers/json", params={"all": 1})
        return frozenset(container["ImageID"] for container in found)

    async def remove_image(self, image: Image) -> None:
        """See `Engine`."""
        # By its names first: never by force, which would take it from containers that ended.
        for name in image.names or (image.id,):
            with contextlib.suppress(NotFound):  # gone, with the name before
                async with _translated():
                    await self._docker.images.delete(name)

    async def volumes(self) -> Sequence[EngineVolume]:
        """See `Engine`."""
        found = await self._ask("GET", "volumes", params={"filters": self._filters})
        return parse_volumes(found["Volumes"] or ())

    async def create_volume(self, config: TmpfsConfig) -> None:
        """See `Engine`."""
        await self._ask("POST", "volumes/create", body=volume_config(config, self._ours))

    async def volume_path(self, name: str) -> str:
        """See `Engine`."""
        return str((await self._ask("GET", f"volumes/{name}"))["Mountpoint"])

    async def remove_volume(self, name: str) -> None:
        """See `Engine`."""
        try:
            async with (
                _translated(),
                self._docker._query(  # noqa: SLF001
                    f"volumes/{name}", "DELETE"
                ),
            ):
                pass
        except NotFound:
            return

    async def create_sandbox(self, config: SandboxConfig) -> str:
        """See `Engine`."""
        await self._load_holder_image()
        try:
            return await self._create(config.name, sandbox_config(config, pause.IMAGE, self._ours))
        except NotFound as error:  # somebody removed the image
            self._has_holder_image = False
            raise EngineFailure(f"the holder's image has gone: {error}") from error

    async def create_container(self, config: ContainerConfig) -> str:
        """See `Engine`."""
        return await self._create(config.name, created_config(config, self._ours, self._logs))

    async def _create(self, name: str, config: Mapping[str, Any]) -> str:
        async with _translated():
            created = await self._docker.containers.create(dict(config), name=name)
        return created.id

    async def _load_holder_image(self) -> None:
        if self._has_holder_image:
            return
        arch = pause.architecture((await self.info()).architecture)
        async with _translated():
            try:
                await self._docker.images.inspect(pause.IMAGE)
            except aiodocker.DockerError as error:
                if error.status != 404:
                    raise
                await self._docker.images.import_image(pause.archive(arch))
        self._has_holder_image = True

    async def start(self, id: str, *, hostname: str = "") -> None:
        """See `Engine`."""
        container = self._docker.containers.container(id)
        async with _translated():
            await container.start()
            if hostname:
                pid = (await container.show())["State"]["Pid"]
                await set_hostname(pid, id, hostname)

    async def signal(self, id: str, signal: str) -> None:
        """See `Engine`."""
        try:
            async with _translated():
                await self._docker.containers.container(id).kill(signal=signal)
        except AlreadyExists:  # 409: it does not run
            return

    async def rename(self, id: str, name: str) -> None:
        """See `Engine`."""
        async with _translated():
            await self._docker.containers.container(id).rename(name)

    async def remove(self, id: str) -> None:
        """See `Engine`."""
        try:
            async with _translated():
                await self._docker.containers.container(id).delete(force=True, v=True)
        except (NotFound, AlreadyExists):  # gone, or being removed already
            return

    async def usage(self, id: str) -> Sample:
        """See `Engine`."""
        seen = await asyncio.to_thread(cgroups.sample, id, self._cgroup_root)
        if seen is not None:
            return seen
        how = {"stream": 0, "one-shot": 1}
        told = parse_stats(await self._ask("GET", f"containers/{id}/stats", params=how))
        if told is None:
            raise BadRequest(f"container {id} does not run")
        return told

    async def written(self) -> Mapping[str, int]:
        """See `Engine`."""
        how: dict[str, int | str] = {"all": 1, "size": 1, "filters": self._filters}
        found = await self._ask("GET", "containers/json", params=how)
        return {container["Id"]: container.get("SizeRw", 0) for container in found}

    async def logs(self, id: str, options: LogOptions) -> DockerLogs:
        """See `Engine`."""
        params: dict[str, Any] = {
            "stdout": 1,
            "stderr": 1,
            "follow": int(options.is_following),
            "timestamps": int(options.has_timestamps),
            "tail": "all" if options.tail_lines is None else options.tail_lines,
        }
        if options.since_ms is not None:
            params["since"] = f"{options.since_ms / 1000:.3f}"
        async with _translated():
            found = await self._docker.containers.container(id).show()
        response = await self._open(f"containers/{id}/logs", params)
        return DockerLogs(response, is_raw=found["Config"]["Tty"])

    async def execute(self, id: str, options: ExecOptions) -> DockerConsole:
        """See `Engine`."""
        body = {
            "Cmd": list(options.command),
            "AttachStdin": options.has_stdin,
            "AttachStdout": options.has_stdout,
            "AttachStderr": options.has_stderr,
            "Tty": options.is_tty,
            "DetachKeys": DETACH_KEYS,
        }
        exec_id = (await self._ask("POST", f"containers/{id}/exec", body=body))["Id"]
        start = {"Detach": False, "Tty": options.is_tty}
        return DockerConsole(
            await self._hijack(f"/exec/{exec_id}/start", start),
            self._resizing(f"exec/{exec_id}/resize"),
            is_raw=options.is_tty,
            can_end_input=not options.is_tty,
            look=lambda: self._ask("GET", f"exec/{exec_id}/json"),
            container_id=id,
        )

    async def attach(self, id: str, options: AttachOptions) -> DockerConsole:
        """See `Engine`."""
        async with _translated():
            found = await self._docker.containers.container(id).show()
        if not found["State"]["Running"]:
            raise BadRequest(f"container {id} does not run")
        wanted = {
            "stream": 1,
            "stdin": int(options.has_stdin),
            "stdout": int(options.has_stdout),
            "stderr": int(options.has_stderr),
            "detachKeys": DETACH_KEYS,
        }
        return DockerConsole(
            await self._hijack(f"/containers/{id}/attach?{urlencode(wanted)}", {}),
            self._resizing(f"containers/{id}/resize"),
            is_raw=found["Config"]["Tty"],
            can_end_input=found["Config"]["StdinOnce"] and not found["Config"]["Tty"],
        )

    def _resizing(self, path: str) -> Callable[[int, int], Awaitable[None]]:
        async def resize(width: int, height: int) -> None:
            await self._ask("POST", path, params={"w": width, "h": height})

        return resize

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, int | str] | None = None,
    ) -> Any:
        """Docker's own JSON, where aiodocker's wrappers say too little; None for no answer."""
        try:
            async with (
                _translated(),
                self._docker._query(  # noqa: SLF001
                    path, method, params=params, data=json.dumps(body) if body else None
                ) as response,
            ):
                content = await response.read()
        except AlreadyExists as error:  # 409: it does not run
            raise BadRequest(str(error)) from error
        return json.loads(content) if content else None

    async def _hijack(
        self, path: str, body: Mapping[str, Any]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with _translated():
            return await hijack(self._url, path, body)

    async def events(self) -> DockerEvents:
        """See `Engine`."""
        # Two kinds in one stream cannot be filtered by label: images have none of ours.
        filters = json.dumps({"type": ["container", "image"]})
        return DockerEvents(await self._open("events", {"filters": filters}), self._ours)

    async def _open(self, path: str, params: Mapping[str, Any]) -> aiohttp.ClientResponse:
        """A response whose body goes on until whoever asked closes it."""
        async with _translated():
            return await self._docker._do_query(  # noqa: SLF001
                path, "GET", params=params, timeout=_STREAMING
            )


@contextlib.asynccontextmanager
async def _translated(deadline_s: float | None = DEADLINE_S) -> AsyncIterator[None]:
    """A deadline, and our errors for aiodocker's."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except aiodocker.DockerError as error:
        raise _translation(error) from error
    except TimeoutError as error:
        raise UnknownResult(f"Docker did not answer within {deadline_s or 0:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"Docker does not answer: {error}") from error


def _translation(error: aiodocker.DockerError) -> Exception:
    text = str(error.message)
    if error.status == _NO_CONNECTION:
        return Unavailable(text)
    if error.status == 404:
        return NotFound(text)
    if error.status == 409:
        return AlreadyExists(text)
    if 400 <= error.status < 500:
        return BadRequest(text)
    return EngineFailure(text)
