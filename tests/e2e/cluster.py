"""A cluster on the testbed: the control plane on the machine, one agent on each host.

Every daemon is a process of its own, so that each can die alone. The servers are set up exactly as
`longshore up` does; only NATS listens where the hosts reach it.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.cli import servers
from orchestrator.cli.data_dir import Ports
from tests.e2e.host import Host
from tests.e2e.kubeapi import (
    APPS,
    ApiError,
    KubeApi,
    Object,
    Unavailable,
    deployment,
    is_ready,
    node_of,
    summary,
    uid_of,
)
from tests.e2e.process import Process
from tests.e2e.testbed import Testbed
from tests.e2e.waiting import eventually

PORTS = Ports(api=16443, etcd=12379, etcd_peer=12380, nats=14222)
"""Out of the way of an embedded cluster on the same machine."""

START_S = 30
LABEL = "longshore.dev"


class Instance(NamedTuple):
    """One run of one container: a restart changes at least one of the two."""

    id: str
    started_at: str


class Cluster:
    """The daemons, and what one can look at from outside."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.hosts = testbed.hosts
        self.api = KubeApi(f"http://{testbed.root.address}:{PORTS.api}")
        self.nats_url = f"nats://{testbed.root.address}:{PORTS.nats}"
        self._state = testbed.root.directory / "state"
        self.etcd: Process
        self.nats: Process
        self.orchestrator: Process
        self.agents: dict[str, Process] = {}

    def start(self) -> None:
        """All daemons with empty state. Returns when every node is Ready."""
        self.forget()
        self.start_etcd()
        self.start_nats()
        self.start_orchestrator()
        for host in self.hosts:
            self.start_agent(host)
        self.await_nodes(*self.hosts)

    def stop(self) -> None:
        """Stop what still runs, roughly; containers stay."""
        for process in (*self.agents.values(), *self._servers()):
            process.kill()
        self.agents.clear()

    def forget(self) -> None:
        """Remove all state of the daemons."""
        shutil.rmtree(self._state, ignore_errors=True)
        for host in self.hosts:
            shutil.rmtree(_agent_data(host), ignore_errors=True)

    def _servers(self) -> list[Process]:
        names = ("orchestrator", "nats", "etcd")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    # Daemons

    def start_etcd(self) -> None:
        argv = servers.etcd_argv(self._state / "etcd", PORTS)
        self.etcd = self.testbed.root.spawn("etcd", *_with(servers.GO_ENV), *argv)

    def start_nats(self) -> None:
        store = self._state / "nats"
        store.mkdir(parents=True, exist_ok=True)
        config = store / "nats-server.conf"
        text = servers.nats_config(store, PORTS).replace("127.0.0.1", self.testbed.root.address)
        config.write_text(text)
        argv = (servers.nats_server(), "-c", str(config))
        self.nats = self.testbed.root.spawn("nats-server", *_with(servers.GO_ENV), *argv)

    def wipe_nats(self) -> None:
        """Lose everything NATS ever stored. It must not be running."""
        shutil.rmtree(self._state / "nats")

    def start_orchestrator(self) -> None:
        self.orchestrator = self.testbed.root.spawn(
            "orchestrator",
            _script("orchestrator"),
            f"--etcd=http://127.0.0.1:{PORTS.etcd}",
            f"--nats={self.nats_url}",
            f"--listen={self.testbed.root.address}",
            f"--port={PORTS.api}",
        )

    def start_agent(self, host: Host) -> None:
        self.agents[host.name] = host.spawn(
            "node-agent",
            _script("node-agent"),
            f"--node-name={host.name}",
            f"--nats={self.nats_url}",
            f"--state-dir={_agent_data(host)}",
            f"--docker=unix://{host.engine.socket_path}",
            f"--internal-ip={host.address}",
        )

    def power_off(self, host: Host) -> None:
        host.power_off()
        self.agents.pop(host.name).reap()

    def power_on(self, host: Host) -> None:
        """Boot the host; its agent starts with it."""
        host.power_on()
        self.start_agent(host)

    # What to do and to look at

    def deploy(self, name: str, replicas: int) -> list[Object]:
        """A Deployment; its pods once all are Ready."""
        self.write(lambda: self.api.create(f"{APPS}/deployments", deployment(name, replicas)))
        return self.await_ready(name, replicas)

    def scale(self, name: str, replicas: int) -> None:
        patch = {"spec": {"replicas": replicas}}
        self.write(lambda: self.api.merge(f"{APPS}/deployments/{name}", patch))

    def write(self, write: Callable[[], object]) -> None:
        """Do as the API says: while it cannot write, try again."""
        was_tried = False

        def is_done() -> bool:
            nonlocal was_tried
            try:
                write()
            except Unavailable:
                was_tried = True
                return False
            except ApiError as error:
                if error.status == 409 and was_tried:
                    return True  # the attempt whose outcome nobody knew
                raise
            return True

        eventually(is_done, within_s=START_S, what="the API accepts a write")

    def await_ready(self, app: str, count: int, *, within_s: float = START_S) -> list[Object]:
        """The app's pods, once exactly so many exist and all are Ready."""
        return self._await_pods(
            lambda pods: len(pods) == count and all(map(is_ready, pods)),
            app,
            within_s=within_s,
            what=f"{count} pods of {app} are Ready",
        )

    def await_ready_off(self, host: Host, app: str, count: int, *, within_s: float) -> list[Object]:
        """The same, with none of them on that host."""
        return self._await_pods(
            lambda pods: (
                len(pods) == count
                and all(is_ready(pod) and node_of(pod) != host.name for pod in pods)
            ),
            app,
            within_s=within_s,
            what=f"{count} pods of {app} are Ready, none of them on {host.name}",
        )

    def _await_pods(
        self, is_so: Callable[[list[Object]], bool], app: str, *, within_s: float, what: str
    ) -> list[Object]:
        seen: list[Object] = []

        def look() -> bool:
            try:
                seen[:] = self.api.pods(app)
            except Unavailable:  # it is being restarted
                return False
            return is_so(seen)

        try:
            eventually(look, within_s=within_s, what=what)
        except AssertionError as error:
            raise AssertionError("\n".join((str(error), *summary(seen)))) from None
        return seen

    def await_nodes(self, *hosts: Host, within_s: float = START_S) -> None:
        """Exactly these nodes are Ready."""
        names = {host.name for host in hosts}

        def look() -> bool:
            for process in (*self.agents.values(), *self._servers()):
                assert process.was_ended or process.is_running, (
                    f"{process.name} ended by itself:\n{process.tail()}"
                )
            return self.api.answers() and self.api.ready_nodes() == names

        eventually(look, within_s=within_s, what=f"the Ready nodes are {sorted(names)}")

    def await_nodes_except(self, *hosts: Host) -> None:
        """Exactly the others are Ready."""
        self.await_nodes(*(host for host in self.hosts if host not in hosts))

    def await_no_surplus(self, *apps: str) -> None:
        """Every host that is on runs the pods the API shows on it, and nothing else."""

        def look() -> bool:
            wanted = {uid_of(pod) for app in apps for pod in self.api.ready_pods(app)}
            return self.instances(*self.hosts).keys() == wanted

        eventually(look, within_s=START_S, what=f"the hosts run the pods of {apps} and no others")

    def instances(self, *hosts: Host) -> dict[str, Instance]:
        """What runs for pods on hosts, by pod uid."""
        found: dict[str, Instance] = {}
        for host in hosts:
            for container in host.engine.containers(with_ended=False):
                labels = container["Labels"]
                if labels.get(f"{LABEL}/kind") == "container":
                    uid = labels[f"{LABEL}/pod-uid"]
                    assert uid not in found, f"pod {uid} runs twice"
                    found[uid] = Instance(container["Id"], host.engine.started_at(container["Id"]))
        return found


@contextmanager
def running(testbed: Testbed) -> Iterator[Cluster]:
    """A new cluster on hosts that are all well and empty; its daemons end with the block."""
    testbed.repair()
    testbed.wipe()
    cluster = Cluster(testbed)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _agent_data(host: Host) -> Path:
    return host.directory / "agent"


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _with(env: dict[str, str]) -> tuple[str, ...]:
    return ("env", *(f"{name}={value}" for name, value in env.items()))
