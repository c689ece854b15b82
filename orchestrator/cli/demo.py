"""`longshore demo`: a cluster of three nodes shows what it does, step by step.

Each step prints the command that a user would type, does the same through the API, waits until it
is so, and shows it. Whatever happens, everything it made is removed at the end.
"""

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import structlog
import yaml
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from orchestrator.cli import control, web_image
from orchestrator.cli.client import Client
from orchestrator.cli.connection import connected
from orchestrator.cli.data_dir import DataDir
from orchestrator.cli.engine import Engine, connected_engine
from orchestrator.cli.refused import Refused, first_of
from orchestrator.cli.supervise import Daemon, running, script
from orchestrator.cli.typed import listed, path_of, until
from orchestrator.cli.where import Where
from proto import codec, subjects
from proto.bus.nats import NatsBus
from proto.errors import LongshoreError
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.pod import PODS, Pod, is_ready
from proto.messages import DeployOutcome

NAMESPACE = "default"
STEP_S_MAX = 60.0


class Demo:
    """The steps, on a cluster that runs."""

    def __init__(self, console: Console, data: DataDir, engine: Engine, client: Client) -> None:
        self._console = console
        self._data = data
        self._engine = engine
        self._client = client

    async def run(self) -> None:
        """All of them, in order."""
        await self.build_images()
        await self.deploy()
        await self.fetch_pages()
        await self.lose_a_node()
        await self.roll_out()
        await self.delete()

    async def build_images(self) -> None:
        """Two versions of a web server, from a tar: no registry is needed."""
        self._title("Build a small web image, in two versions")
        root = web_image.root()
        file = self._data.path / "web.tar"
        file.write_bytes(root)
        for version in (1, 2):
            changes, image = web_image.changes(version), web_image.image(version)
            options = " ".join(f"-c '{change}'" for change in changes)
            self._command(f"docker import {options} {file} {image}")
            await self._engine.import_image(image, root, changes)

    async def deploy(self) -> None:
        """A Deployment with three replicas becomes three ready pods."""
        self._title("Deploy it with three replicas")
        file = self._write_manifest(1)
        self._command(f"kubectl apply -f {file}")
        began_s = time.monotonic()
        path = path_of(DEPLOYMENTS, NAMESPACE)
        await self._client.ask("POST", path, body=web_image.manifest(1))
        pods = await self._until_pods(1, within_s=STEP_S_MAX)
        self._say(f"3 of 3 Ready after {time.monotonic() - began_s:.1f} s")
        self._show(pods)

    async def fetch_pages(self) -> None:
        """Each pod has an address of its own, and answers on it."""
        self._title("Fetch a page from each pod")
        for pod in await self._pods():
            self._command(f"curl http://{pod.status.pod_ip}/")
            self._say(await _page(pod))

    async def lose_a_node(self) -> None:
        """Its pods run elsewhere within seconds."""
        lost = (await self._pods())[0].spec.node_name
        self._title(f"Kill a node: {lost}, its agent and its containers")
        self._command(f"longshore node kill {lost} --data {self._data.path}")
        began_s = time.monotonic()
        self._say(await control.ask(self._data.control, control.Command("kill", lost)))
        pods = await self._until_pods(1, without=lost, within_s=STEP_S_MAX)
        took_s = time.monotonic() - began_s
        self._say(f"[bold]replacement Running {took_s:.2f} s after the kill[/bold]")
        self._command("kubectl get pods -o wide")
        self._show(pods)

    async def roll_out(self) -> None:
        """A deploy event on NATS changes the image; pods are replaced one by one."""
        self._title("Publish a deploy event on NATS: version 2")
        file = self._write_manifest(2)
        subject = subjects.deploy(NAMESPACE)
        self._command(f'nats request {subject} "$(cat {file})"')
        began_s = time.monotonic()
        url = f"nats://127.0.0.1:{self._data.ports().nats}"
        bus = await NatsBus.connect(url, name="longshore-demo", timeout_s=STEP_S_MAX)
        try:
            answer = await bus.request(subject, file.read_bytes(), timeout_s=STEP_S_MAX)
        finally:
            await bus.close()
        outcome = codec.decode(answer, DeployOutcome)
        if outcome.outcome != "configured":
            raise Refused(f"the deploy event was {outcome.outcome}: {outcome.reason}")
        self._say(f"acknowledged: {', '.join(outcome.objects)}")
        self._command("kubectl rollout status deployment/web")
        pods = await self._until_pods(2, within_s=STEP_S_MAX)
        self._say(f"rolled out after {time.monotonic() - began_s:.1f} s")
        self._show(pods)
        for pod in pods:
            self._say(await _page(pod))

    async def delete(self) -> None:
        """The Deployment goes, and its pods with it."""
        self._title("Clean up")
        self._command("kubectl delete deployment web")
        await self._client.ask("DELETE", f"{path_of(DEPLOYMENTS, NAMESPACE)}/web")

        async def look() -> bool:
            return not await listed(self._client, PODS, NAMESPACE)

        await until(look, within_s=STEP_S_MAX, what="no pods are left")
        self._say("no pods are left")

    async def _until_pods(self, version: int, *, within_s: float, without: str = "") -> list[Pod]:
        """Exactly three pods, all of that version, ready, and none on the lost node."""

        async def look() -> list[Pod]:
            pods = await self._pods()
            is_done = len(pods) == 3 and all(
                is_ready(pod)
                and pod.spec.containers[0].image == web_image.image(version)
                and pod.spec.node_name != without
                for pod in pods
            )
            return pods if is_done else []

        what = f"three pods of version {version} are Ready"
        with self._console.status(f"waiting until {what}"):
            return await until(look, within_s=within_s, what=what)

    async def _pods(self) -> list[Pod]:
        """The pods that are not being deleted, by name."""
        pods = await listed(self._client, PODS, NAMESPACE, labels="app=web")
        return sorted(
            (pod for pod in pods if not pod.metadata.deletion_timestamp),
            key=lambda pod: pod.metadata.name,
        )

    def _write_manifest(self, version: int) -> Path:
        file = self._data.path / f"web-{version}.yaml"
        text = yaml.safe_dump(web_image.manifest(version), sort_keys=False)
        file.write_text(text, encoding="utf-8")
        return file

    def _title(self, text: str) -> None:
        title(self._console, text)

    def _command(self, text: str) -> None:
        command(self._console, text)

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}", highlight=False)

    def _show(self, pods: list[Pod]) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("NAME", "READY", "IP", "NODE", "IMAGE"):
            table.add_column(column)
        for pod in pods:
            table.add_row(
                pod.metadata.name,
                "1/1" if is_ready(pod) else "0/1",
                pod.status.pod_ip,
                pod.spec.node_name,
                pod.spec.containers[0].image,
            )
        self._console.print(Padding.indent(table, 2))


def title(console: Console, text: str) -> None:
    """The head of a step."""
    console.print(f"\n[bold cyan]==>[/] [bold]{text}[/]", highlight=False)


def command(console: Console, text: str) -> None:
    """What a user would type."""
    console.print(f"  [green]$[/] {text}", highlight=False, soft_wrap=True)


async def run() -> None:
    """The whole demo.

    Raises:
        Refused: A step failed; the text says which and why. The cluster's logs are kept.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console()
    began_s = time.monotonic()
    data = DataDir(Path(tempfile.mkdtemp(prefix="longshore-demo-")))
    try:
        async with (
            connected_engine() as engine,
            _tidied(engine, data),
            _cluster(console, data) as client,
        ):
            await Demo(console, data, engine, client).run()
    except* LongshoreError as group:
        reason = first_of(group)
        raise Refused(f"{reason}\nThe daemons' logs are in {data.path / 'logs'}.") from None
    shutil.rmtree(data.path)
    took_s = time.monotonic() - began_s
    console.print(f"\n[bold]Done in {took_s:.0f} s;[/] nothing is left behind.", highlight=False)


@contextlib.asynccontextmanager
async def _cluster(console: Console, data: DataDir) -> AsyncIterator[Client]:
    """`longshore up` in a process of its own, Ready, with a client of its API."""
    title(console, "Start a cluster: etcd, nats-server, an orchestrator, three node agents")
    argv = [script("longshore"), "up", "--simulate-host-loss"]
    argv.append(f"--data={data.path}")
    command(console, " ".join(["longshore", *argv[1:]]))
    command(console, f"export KUBECONFIG={data.kubeconfig}")
    cluster = Daemon(
        "longshore up", argv, log=data.log("up"), pid_file=data.pid_file("up"), say=print
    )

    async def look() -> bool:
        return data.ready.exists()

    async with running(cluster):
        with console.status("waiting until every node is Ready"):
            began_s = time.monotonic()
            await until(look, within_s=STEP_S_MAX, what="the cluster is ready")
        console.print(f"  ready after {time.monotonic() - began_s:.1f} s", highlight=False)
        async with connected(Where(kubeconfig=str(data.kubeconfig))) as client:
            yield client


@contextlib.asynccontextmanager
async def _tidied(engine: Engine, data: DataDir) -> AsyncIterator[None]:
    """Afterwards no container and no image of the demo is left."""
    try:
        yield
    finally:
        await engine.remove(await engine.containers(data.cluster_id()))
        for version in (1, 2):
            await engine.remove_image(web_image.image(version))


async def _page(pod: Pod) -> str:
    """What the pod serves."""

    async def look() -> str:
        try:
            async with session.get(f"http://{pod.status.pod_ip}/") as response:
                return (await response.text()).strip()
        except aiohttp.ClientError:
            return ""  # Running says that the process has started, not that it listens yet

    async with aiohttp.ClientSession() as session:
        return await until(look, within_s=10, what=f"{pod.metadata.name} serves its page")
