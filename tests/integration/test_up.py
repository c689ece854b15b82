"""`longshore up` as its user meets it: a process in the foreground, a folder, and kubectl's API."""

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.supervise import STOP_GRACE_S
from tests import servers
from tests.e2e.engine import Engine
from tests.e2e.images import busybox_root
from tests.e2e.kubeapi import APPS, CORE, KubeApi, Object, deployment, pod
from tests.e2e.process import Process
from tests.e2e.waiting import eventually, stopwatch

LONGSHORE = str(Path(sys.executable).parent / "longshore")
ENGINE = Engine(Path("/var/run/docker.sock"))
IMAGE = f"longshore-test-up-{uuid.uuid4().hex[:8]}:1"
NODE, CLUSTER = "longshore.dev/node", "longshore.dev/cluster"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.docker,
    pytest.mark.skipif(
        not ENGINE.answers() and os.environ.get("LONGSHORE_REQUIRE_E2E") != "1",
        reason="no Docker engine answers at /var/run/docker.sock",
    ),
]


class Up:
    """One run of `longshore up` after the other, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.process: Process | None = None
        self._logs = folder
        self._runs = 0
        self._port = servers.free_port()  # other tests run beside this one

    def start(self, *arguments: str, nodes: int = 2) -> Process:
        self._runs += 1
        argv = [LONGSHORE, "up", f"--data={self.data}", f"--nodes={nodes}", f"--port={self._port}"]
        argv += arguments
        log = self._logs / f"up-{self._runs}.log"
        self.process = Process("longshore up", argv, log, is_inner=False)
        return self.process

    def until_ready(self) -> KubeApi:
        """The API, once the file says that it is there."""
        process = self.process
        assert process is not None
        eventually(
            lambda: (self.data / "ready").exists() or not process.is_running,
            within_s=60,
            what="DIR/ready appears",
        )
        assert process.is_running, process.tail()
        config = yaml.safe_load((self.data / "kubeconfig").read_text())
        return KubeApi(config["clusters"][0]["cluster"]["server"])

    def pid(self, daemon: str) -> int:
        return int((self.data / "pids" / f"{daemon}.pid").read_text())

    @property
    def cluster(self) -> str:
        """Its id; empty before it was started."""
        file = self.data / "cluster"
        return file.read_text() if file.exists() else ""

    def containers(self, name: str = "") -> dict[str, str]:
        """Id and state of this cluster's containers with that in their name."""
        return {
            found["Id"]: found["State"]
            for found in ENGINE.containers()
            if found["Labels"].get(CLUSTER) == self.cluster and name in found["Names"][0]
        }

    def states_of(self, node: str) -> set[str]:
        """Of a node's containers."""
        mine = self.containers()
        return {
            found["State"]
            for found in ENGINE.containers()
            if found["Id"] in mine and found["Labels"].get(NODE) == node
        }

    def clean_up(self) -> None:
        if self.process is not None and self.process.is_running:
            self.process.stop(40)
        for container in self.containers():
            ENGINE.call("DELETE", f"/containers/{container}?force=1&v=1")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A cluster that this test starts itself."""
    with cleaned(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A cluster that runs already, for the tests that leave it as it was."""
    with cleaned(tmp_path_factory.mktemp("up")) as made:
        made.start()
        yield made


@contextmanager
def cleaned(folder: Path) -> Iterator[Up]:
    made = Up(folder)
    try:
        yield made
    finally:
        made.clean_up()


@pytest.fixture(scope="module", autouse=True)
def image() -> Iterator[None]:
    ENGINE.import_image(IMAGE, busybox_root())
    yield
    ENGINE.call("DELETE", f"/images/{IMAGE}?force=1")


def with_image(manifest: Object) -> Object:
    spec = manifest["spec"].get("template", manifest)["spec"]
    spec["containers"][0]["image"] = IMAGE
    return manifest


def processes_of(data: Path) -> list[str]:
    """Command lines of every process that was told of this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if str(data) in line:
            found.append(line)
    return found


def test_once_ready_a_pod_runs_within_three_seconds_and_the_user_knows_how_to_go_on(up: Up) -> None:
    process = up.start()
    api = up.until_ready()
    assert api.ready_nodes() == {"node-1", "node-2"}
    elapsed_s = stopwatch()
    api.create(f"{CORE}/pods", with_image(pod("first")))
    eventually(api.ready_pods, within_s=20, what="the pod runs")
    assert elapsed_s() < 3
    assert f"export KUBECONFIG={up.data}/kubeconfig" in process.tail()


def test_ctrl_c_leaves_no_process_and_the_next_run_takes_the_containers_over(up: Up) -> None:
    process = up.start()
    api = up.until_ready()
    api.create(f"{APPS}/deployments", with_image(deployment("web", 2)))
    eventually(lambda: len(api.ready_pods("web")) == 2, within_s=20, what="both pods run")
    before = up.containers("_main_web")
    os.kill(process.pid, signal.SIGINT)
    assert process.stop() == 0
    assert processes_of(up.data) == []
    assert not (up.data / "ready").exists()
    assert up.containers("_main_web") == before
    up.start()
    again = up.until_ready()
    assert again.server == api.server
    eventually(lambda: len(again.ready_pods("web")) == 2, within_s=20, what="both are back")
    assert up.containers("_main_web") == before
    assert set(before.values()) == {"running"}


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(running: Up) -> None:
    first, api = running.process, running.until_ready()
    assert first is not None
    argv = [LONGSHORE, "up", f"--data={running.data}"]
    second = Process("second", argv, running.data / "second.log", is_inner=False)
    eventually(lambda: not second.is_running, within_s=20, what="the second run ends")
    assert second.stop() == 1
    assert f"already (process {first.pid}): stop that one" in second.tail()
    assert first.is_running
    assert api.answers()


def test_two_clusters_on_one_engine_leave_each_other_alone(running: Up, up: Up) -> None:
    apis = []
    for each in (running, up):
        if each is up:
            up.start()
        api = each.until_ready()
        api.create(f"{APPS}/deployments", with_image(deployment("both", 2)))
        eventually(lambda api=api: len(api.ready_pods("both")) == 2, within_s=20, what="they run")
        apis.append(api)
    before = running.containers("_main_both"), up.containers("_main_both")
    assert [len(containers) for containers in before] == [2, 2]
    os.kill(up.pid("node-1"), signal.SIGKILL)  # it adopts its own when it is back
    eventually(lambda: "node-1 died" in up.process.tail(), within_s=10, what="it is noticed")
    apis[1].merge(f"{APPS}/deployments/both", {"spec": {"replicas": 3}})
    eventually(lambda: len(apis[1].ready_pods("both")) == 3, within_s=20, what="a third runs")
    assert running.containers("_main_both") == before[0]
    apis[0].call("DELETE", f"{APPS}/deployments/both")
    eventually(lambda: not running.containers("_main_both"), within_s=20, what="they are gone")
    assert before[1].items() <= up.containers("_main_both").items()


@pytest.mark.parametrize("daemon", ["orchestrator", "etcd", "nats-server", "node-1"])
def test_a_daemon_that_is_killed_comes_back_and_no_container_notices(
    running: Up, daemon: str
) -> None:
    app = f"web-{daemon}"
    process, api = running.process, running.until_ready()
    assert process is not None
    api.create(f"{APPS}/deployments", with_image(deployment(app, 2)))
    eventually(lambda: len(api.ready_pods(app)) == 2, within_s=20, what="both pods run")
    before = running.containers(f"_main_{app}")
    killed = running.pid(daemon)
    os.kill(killed, signal.SIGKILL)
    eventually(
        lambda: f"{daemon} died (SIGKILL): again in 0.2 s" in process.tail(),
        within_s=10,
        what="the user is told",
    )
    scale = {"spec": {"replicas": 3}}

    def scaled() -> bool:
        try:
            api.merge(f"{APPS}/deployments/{app}", scale)
        except Exception:  # noqa: BLE001 -- it may be the API that is on its way back
            return False
        return True

    eventually(scaled, within_s=20, what="the API takes a change")
    eventually(lambda: len(api.ready_pods(app)) == 3, within_s=30, what="the change is made")
    assert before.items() <= running.containers(f"_main_{app}").items()
    api.call("DELETE", f"{APPS}/deployments/{app}")
    eventually(lambda: not running.containers(f"_main_{app}"), within_s=20, what="they are gone")


def test_a_killed_node_stays_dead_until_it_is_started(up: Up) -> None:
    up.start("--simulate-host-loss")
    api = up.until_ready()
    node = "node-1"
    api.create(f"{APPS}/deployments", with_image(deployment("web", 2)))
    eventually(lambda: len(api.ready_pods("web")) == 2, within_s=20, what="both pods run")
    say(up, "kill", node)
    assert "running" not in up.states_of(node)
    eventually(
        lambda: [p["spec"]["nodeName"] for p in api.ready_pods("web")] == ["node-2"] * 2,
        within_s=20,
        what="both pods run on the other node",
    )
    assert api.ready_nodes() == {"node-2"}
    say(up, "start", node)
    eventually(lambda: node in api.ready_nodes(), within_s=20, what="the node is back")


def test_servers_that_already_run_are_used_and_left_running(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "servers"
    folder.mkdir()
    with external(folder) as (etcd_url, nats_url):
        process = up.start(f"--etcd={etcd_url}", f"--nats={nats_url}")
        api = up.until_ready()
        assert api.ready_nodes()
        assert not (up.data / "pids" / "etcd.pid").exists()
        assert process.stop() == 0


def test_a_second_ctrl_c_does_not_wait_for_a_daemon_that_hangs(up: Up) -> None:
    process = up.start()
    up.until_ready()
    os.kill(up.pid("node-1"), signal.SIGSTOP)
    os.kill(process.pid, signal.SIGINT)
    eventually(lambda: "Stopping" in process.tail(), within_s=5, what="it begins to stop")
    elapsed_s = stopwatch()
    os.kill(process.pid, signal.SIGINT)
    assert process.stop() == 0
    assert elapsed_s() < STOP_GRACE_S / 2
    assert processes_of(up.data) == []


def test_a_taken_port_is_refused_in_one_sentence(up: Up) -> None:
    with servers.socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = up.start(f"--port={port}")
        eventually(lambda: not process.is_running, within_s=20, what="it ends")
        assert process.tail() == (
            f"error: port {port} is taken: choose another with --port, or leave --port out"
        )


@contextmanager
def external(folder: Path) -> Iterator[tuple[str, str]]:
    """An etcd and a NATS that somebody else runs."""
    etcd, peer, nats = (servers.free_port() for _ in range(3))
    url, peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    argv = [servers.binary("etcd"), "--name=test", f"--data-dir={folder}/data"]
    argv += [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
    argv += [f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"]
    argv += [f"--initial-cluster=test={peer_url}", "--log-level=error"]
    first = Process("etcd", argv, folder / "etcd.log", is_inner=False)
    argv = [servers.binary("nats-server"), "-a", "127.0.0.1", "-p", str(nats), "-js"]
    second = Process("nats", [*argv, "-sd", str(folder)], folder / "nats.log", is_inner=False)
    try:
        yield url, f"nats://127.0.0.1:{nats}"
        assert first.is_running
        assert second.is_running
    finally:
        first.stop()
        second.stop()


def say(up: Up, verb: str, node: str) -> None:
    """`longshore node …`."""
    argv = [LONGSHORE, "node", verb, node, f"--data={up.data}"]
    process = Process("longshore node", argv, up.data / f"{verb}.log", is_inner=False)
    eventually(lambda: not process.is_running, within_s=20, what=f"node {verb} ends")
    assert process.stop() == 0, process.tail()
