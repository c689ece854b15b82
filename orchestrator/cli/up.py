"""`longshore up`: a whole cluster on one machine, in the foreground.

Blocks nest in the order of need: servers, control plane, agents. Leaving them stops the agents
first and etcd last, for Ctrl-C, an error and a daemon that never worked alike. The agents leave
their containers running; the next `up` in the same folder finds all state in etcd.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from orchestrator.cli import control, servers
from orchestrator.cli.data_dir import DataDir, Ports
from orchestrator.cli.engine import connected_engine, engine_address
from orchestrator.cli.refused import Refused, first_of
from orchestrator.cli.supervise import Daemon, Say, running, script
from orchestrator.cli.typed import is_ready, listed, until
from orchestrator.cli.where import Where
from proto.errors import LongshoreError
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES

SERVER_START_S_MAX = 30.0
READY_S_MAX = 60.0

POOL = 30
"""Pod sandboxes kept ready on the whole machine: some 4 MB each, made when nothing else is to do.

A pod that finds one starts at half the cost: a burst of this many starts twice as fast as raw
``docker run`` (measured, `make bench`).
"""


class UpOptions(Struct, frozen=True, kw_only=True):
    """What was asked for on the command line.

    Attributes:
        data: The cluster's folder, see `data_dir`.
        nodes: How many.
        port: Of the API; None for the one of the last run, or 6443, or a free one.
        etcd: An etcd that runs already; empty to run one. `nats` likewise.
        is_host_lost_with_agent: Killing a node's agent counts as the loss of its host.
    """

    data: Path
    nodes: int
    port: int | None = None
    etcd: str = ""
    nats: str = ""
    is_host_lost_with_agent: bool = False


YIELDING = (
    "--image-gc-high-percent=100",
    *(
        f"--eviction-threshold={filesystem}.{signal}=0%"
        for filesystem in ("nodefs", "imagefs")
        for signal in ("available", "inodesFree")
    ),
)
"""The machine is somebody's own: neither its images nor its full disk are the agents' business.

Source: kind, whose nodes are as forgiving, for the same reason.
"""


class Cluster:
    """The daemons of one embedded cluster, and what can be done to its nodes."""

    def __init__(self, options: UpOptions, data: DataDir, ports: Ports, say: Say) -> None:
        self._options = options
        self._data = data
        self._ports = ports
        self._say = say
        self.server = f"http://127.0.0.1:{ports.api}"
        self.etcd_url = options.etcd or f"http://127.0.0.1:{ports.etcd}"
        self.nats_url = options.nats or f"nats://127.0.0.1:{ports.nats}"
        self._etcd = None if options.etcd else self._etcd_daemon()
        self._nats = None if options.nats else self._nats_daemon()
        self.servers = [daemon for daemon in (self._etcd, self._nats) if daemon is not None]
        self.orchestrator = self._orchestrator()
        names = [f"node-{number}" for number in range(1, options.nodes + 1)]
        self.agents = {name: self._agent(name) for name in names}

    def _etcd_daemon(self) -> Daemon:
        argv = servers.etcd_argv(self._data.path / "etcd", self._ports)
        return self._daemon("etcd", argv, servers.GO_ENV)

    def _nats_daemon(self) -> Daemon:
        config = self._data.folder("nats") / "nats-server.conf"
        config.write_text(servers.nats_config(config.parent, self._ports), encoding="utf-8")
        return self._daemon(
            "nats-server", [servers.nats_server(), "-c", str(config)], servers.GO_ENV
        )

    def _orchestrator(self) -> Daemon:
        argv = [
            script("orchestrator"),
            f"--etcd={self.etcd_url}",
            f"--nats={self.nats_url}",
            "--listen=127.0.0.1",
            f"--port={self._ports.api}",
            f"--identity={socket.gethostname()}:{self._data.path}",  # as unique as the folder
            f"--encryption-config={self._data.encryption_config()}",
            f"--audit-log={self._data.folder('logs') / 'audit.log'}",
        ]
        return self._daemon("orchestrator", argv)

    def _agent(self, node: str) -> Daemon:
        argv = [
            script("node-agent"),
            f"--node-name={node}",
            f"--cluster={self._data.cluster_id()}",
            f"--nats={self.nats_url}",
            f"--docker={engine_address()}",
            f"--state-dir={self._data.folder('nodes', node)}",
            f"--sandbox-pool={max(2, POOL // self._options.nodes)}",
            *YIELDING,
        ]
        if self._options.is_host_lost_with_agent:
            argv.append("--simulate-host-loss")
        return self._daemon(node, argv)

    def _daemon(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> Daemon:
        return Daemon(
            name,
            argv,
            env=env,
            log=self._data.log(name),
            pid_file=self._data.pid_file(name),
            say=self._say,
        )

    async def obey(self, command: control.Command) -> str:
        """Do what `longshore node` asks."""
        agent = self.agents.get(command.node)
        if agent is None:
            raise Refused(f"no node {command.node}: there are {', '.join(self.agents)}")
        match command.verb:
            case "kill":
                await agent.kill()
                if not self._options.is_host_lost_with_agent:
                    return f"{command.node}: agent killed; its containers run on"
                count = await _kill_containers(self._data.cluster_id(), command.node)
                return f"{command.node}: agent and {count} containers killed"
            case "start":
                agent.revive()
                return f"{command.node}: agent starts"
            case verb:
                raise Refused(f"no such thing as {verb}: there are kill and start")

    async def until_servers_answer(self) -> None:
        """Their ports are open. The daemons would wait, too; this keeps their logs clean."""
        for daemon, port in ((self._etcd, self._ports.etcd), (self._nats, self._ports.nats)):
            if daemon is not None:
                look, what = partial(_is_open, port), f"{daemon.name} answers"
                await until(look, within_s=SERVER_START_S_MAX, what=what)
                daemon.is_proven = True

    async def until_ready(self) -> None:
        """The API answers, a pod may be created, and every node is Ready.

        Raises:
            Refused: Not in time; the text ends with what the culprit wrote last.
        """
        from orchestrator.cli.connection import connected  # noqa: PLC0415 -- while daemons start

        culprit = self.orchestrator

        async def look() -> bool:
            nonlocal culprit
            nodes = await listed(client, NODES)
            ready = {node.metadata.name for node in nodes if is_ready(node)}
            missing = [agent for name, agent in self.agents.items() if name not in ready]
            culprit = missing[0] if missing else self.orchestrator
            namespaces = {found.metadata.name for found in await listed(client, NAMESPACES)}
            return not missing and "default" in namespaces

        try:
            port = partial(_is_open, self._ports.api)
            await until(port, within_s=READY_S_MAX, what="the API answers")
            where = Where(kubeconfig=str(self._data.kubeconfig))
            async with connected(where) as client:
                await until(look, within_s=READY_S_MAX, what="every node is Ready")
        except Refused as error:
            said = f"{culprit.name} wrote last:\n{culprit.log_tail()}"
            raise Refused(f"{error}; {said}") from None
        for daemon in (self.orchestrator, *self.agents.values()):
            daemon.is_proven = True

    def kill(self) -> None:
        """Everything at once: somebody is in a hurry."""
        for daemon in (*self.servers, self.orchestrator, *self.agents.values()):
            daemon.kill_now()


async def run(options: UpOptions, say: Say) -> None:
    """Run the cluster until Ctrl-C or SIGTERM; a second one does not wait for anything.

    Raises:
        Refused: It cannot run here; the text says why and what to do.
    """
    data = DataDir(options.data)
    with data.locked():
        async with connected_engine():  # it answers now; the agents say it if it should go later
            pass
        cluster = Cluster(options, data, data.settle_ports(options.port), say)
        data.write_kubeconfig(cluster.server)
        with _cancelled_by_signals(hurry=cluster.kill):
            try:
                await _run(cluster, data, say)
            except* LongshoreError as group:
                raise first_of(group) from None


async def _run(cluster: Cluster, data: DataDir, say: Say) -> None:
    began_s = time.monotonic()
    async with running(*cluster.servers):
        await cluster.until_servers_answer()
        async with (
            running(cluster.orchestrator),
            running(*cluster.agents.values()),
            control.serving(data.control, cluster.obey),
        ):
            await cluster.until_ready()
            data.ready.touch()
            say(_ready_text(cluster, data, time.monotonic() - began_s))
            try:
                await asyncio.Event().wait()  # for ever: we leave by being cancelled
            finally:
                data.ready.unlink(missing_ok=True)
                say("Stopping. Containers keep running; the next `longshore up` takes them over.")


@contextlib.contextmanager
def _cancelled_by_signals(hurry: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP ends the block early and quietly, more call `hurry`."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 -- we are in a coroutine
    asked = 0

    def on_signal() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            task.cancel()
        else:
            hurry()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    except asyncio.CancelledError:
        if not asked:
            raise
        task.uncancel()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _ready_text(cluster: Cluster, data: DataDir, took_s: float) -> str:
    return f"""\
Ready after {took_s:.1f} s: {", ".join(cluster.agents)}.

    export KUBECONFIG={data.kubeconfig}
    kubectl get nodes

API {cluster.server}   NATS {cluster.nats_url}   logs {data.path / "logs"}
Ctrl-C stops the cluster."""


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _kill_containers(cluster: str, node: str) -> int:
    """What a power failure does to them. Returns how many ran."""
    async with connected_engine() as engine:
        containers = await engine.containers(cluster, node)
        alive = [id for id, state in containers.items() if state == "running"]
        await engine.kill(alive)
        # The agent's last request may be under way: removing waits for it.
        await engine.remove(id for id, state in containers.items() if state == "created")
    return len(alive)
