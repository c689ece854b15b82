"""The client: declares workloads, changes and deletes them, and remembers what was acknowledged."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

from orchestrator.runtime.verbs import Verbs
from proto import codec, subjects
from proto.bus import Envelope
from proto.errors import AlreadyExists, NotFound, Retryable, UnknownResult
from proto.kinds.configuration import CONFIG_MAPS, ConfigMap
from proto.kinds.container import Container, ResourceRequirements
from proto.kinds.deployment import DEPLOYMENTS, Deployment, DeploymentSpec
from proto.kinds.job import JOBS, Job
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod, PodSpec, PodTemplateSpec
from proto.kinds.volume import (
    ConfigMapVolumeSource,
    EmptyDirVolumeSource,
    Volume,
    VolumeMount,
)
from proto.messages import DeployOutcome
from proto.meta import LabelSelector, ObjectMeta
from tests.simulation.cluster import Cluster
from tests.simulation.environment import IMAGES
from tests.simulation.invariants import Invariants, Wanted
from tests.simulation.loop import Killed, Violation

T = TypeVar("T")

CPU = "700m"
"""Of each pod: five fit a node of four cores, so that room is scarce when a host is lost."""

DEPLOYMENTS_MAX = 3
BARE_PODS_MAX = 2
TIMEOUT_S = 5.0
AGAIN_S = 0.2


SETTINGS = "settings"
ROOM = Volume(name="room", empty_dir=EmptyDirVolumeSource())
CACHE = Volume(name="cache", empty_dir=EmptyDirVolumeSource(medium="Memory"))
SHOWN = Volume(name="shown", config_map=ConfigMapVolumeSource(name=SETTINGS, optional=True))


class Workload:
    """See the module; one operation at a time."""

    def __init__(self, cluster: Cluster, invariants: Invariants, rng: random.Random) -> None:
        self._cluster = cluster
        self._invariants = invariants
        self._wanted = invariants.wanted
        self._rng = rng
        self._serial = 0
        self._replicas_max = cluster.shape.nodes + 1
        self._messages: list[tuple[str, bytes]] = []
        self._answers: dict[str, asyncio.Future[DeployOutcome]] = {}
        cluster.network_client("client", "_INBOX.client.*", self._answered)
        self.done: list[str] = []

    async def step(self) -> None:
        """One random change, until it is acknowledged."""
        deployments = [name for name, found in self._wanted.items() if found.replicas is not None]
        pods = [name for name, found in self._wanted.items() if found.replicas is None]
        choices: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if len(deployments) < DEPLOYMENTS_MAX:
            choices += [self._create_new, self._deploy_new] * (1 if deployments else 3)
        if deployments:
            name = self._rng.choice(deployments)
            choices += [lambda: self._change(name)] * 4 + [lambda: self._deploy(name)] * 2
        if len(deployments) > 1:
            choices += [lambda: self._delete(DEPLOYMENTS, name)]
        if len(pods) < BARE_PODS_MAX:
            choices += [self._create_pod]
        if pods:
            choices += [lambda: self._delete(PODS, pods[0])]
        if self._messages:
            choices += [self._repeat_message]
        choices += [self._change_settings]
        await self._rng.choice(choices)()

    async def last_change(self) -> None:
        """To something else than before, whatever there is."""
        deployments = [name for name, found in self._wanted.items() if found.replicas is not None]
        if deployments:
            await self._change(self._rng.choice(deployments))
        else:
            await self._create_new()

    # -- for scenes

    async def declare(self, name: str, wanted: Wanted) -> None:
        """Make it so, whether it is there or not."""
        if name in self._wanted:
            await self._modify(name, wanted)
        else:
            await self._create(name, wanted)

    async def deploy(self, name: str, wanted: Wanted) -> None:
        """The same, by message."""
        await self._publish(name, wanted)

    def publish_once(self, name: str, wanted: Wanted) -> None:
        """Leave a message, and neither wait nor ask again."""
        payload = codec.encode(_manifest(name, wanted))
        self._cluster.network.carry("client", Envelope(subjects.deploy("default"), payload))

    async def repeat_messages(self) -> None:
        """All that were ever sent, which must change nothing."""
        for message in self._messages:
            await self._repeat(*message)

    async def submit(self, job: Job) -> None:
        """A job; nobody changes it."""
        await self._until_done(
            f"create {job.metadata.name}",
            lambda verbs: verbs.create(JOBS, job),
            repeated=AlreadyExists,
        )

    # -- operations

    def _new_name(self, what: str) -> str:
        self._serial += 1
        return f"{what}-{self._serial}"

    def _draw(self, other_than: Wanted | None = None) -> Wanted:
        while True:
            found = Wanted(self._rng.choice(IMAGES), self._rng.randint(0, self._replicas_max))
            if found != other_than:
                return found

    async def _create_new(self) -> None:
        await self._create(self._new_name("web"), self._draw())

    async def _create(self, name: str, wanted: Wanted) -> None:
        await self._until_done(
            f"create {name} {wanted}",
            lambda verbs: verbs.create(DEPLOYMENTS, deployment(name, wanted)),
            repeated=AlreadyExists,
        )
        self._acknowledged(DEPLOYMENTS, name, wanted)

    async def _change(self, name: str) -> None:
        await self._modify(name, self._draw(self._wanted[name]))

    async def _modify(self, name: str, wanted: Wanted) -> None:
        def change(old: Deployment) -> Deployment:
            spec = deployment(name, wanted).spec
            template = replace(old.spec.template, spec=spec.template.spec)
            return replace(old, spec=replace(old.spec, replicas=wanted.replicas, template=template))

        await self._until_done(
            f"change {name} to {wanted}",
            lambda verbs: verbs.modify(DEPLOYMENTS, "default", name, change),
            is_done=lambda: self.declared(name) == wanted,
        )
        self._acknowledged(DEPLOYMENTS, name, wanted)

    async def _create_pod(self) -> None:
        name, wanted = self._new_name("pod"), Wanted(self._rng.choice(IMAGES))
        pod = Pod(metadata=ObjectMeta(name=name), spec=_pod_spec(wanted.image, CACHE))
        await self._until_done(
            f"create {name} {wanted}",
            lambda verbs: verbs.create(PODS, pod),
            repeated=AlreadyExists,
        )
        self._acknowledged(PODS, name, wanted)

    async def _change_settings(self) -> None:
        """What every pod's volume shows."""
        self._serial += 1
        new = ConfigMap(metadata=ObjectMeta(name=SETTINGS), data={"serial": str(self._serial)})
        if self._invariants.stored(CONFIG_MAPS, SETTINGS) is None:
            await self._until_done(
                f"create {SETTINGS} {self._serial}",
                lambda verbs: verbs.create(CONFIG_MAPS, new),
                repeated=AlreadyExists,
            )
            return
        await self._until_done(
            f"change {SETTINGS} to {self._serial}",
            lambda verbs: verbs.modify(
                CONFIG_MAPS, "default", SETTINGS, lambda old: replace(old, data=new.data)
            ),
            is_done=lambda: self._invariants.stored(CONFIG_MAPS, SETTINGS).data == new.data,
        )

    async def _delete(self, kind: Kind[Any], name: str) -> None:
        propagation = self._rng.choice(("", "Background", "Foreground"))
        await self._until_done(
            f"delete {name} {propagation}",
            lambda verbs: verbs.delete(kind, "default", name, propagation=propagation),
            repeated=NotFound,
        )
        self._wanted.pop(name)
        left = self._invariants.stored(kind, name)
        if left is not None and not left.metadata.deletion_timestamp:
            self._fail(f"the delete of {name} was acknowledged and is not in the store")

    async def _until_done(
        self,
        what: str,
        ask: Callable[[Verbs], Coroutine[Any, Any, object]],
        *,
        repeated: type[Exception] | None = None,
        is_done: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ask whoever leads, again until it is done. `repeated` says that an earlier try was."""
        may_be_done = False
        while True:
            plane = self._cluster.leader()
            if plane is None or plane.process is None or plane.control is None:
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await plane.process.call(ask(plane.control.verbs))
            except (TimeoutError, Killed, UnknownResult):
                may_be_done = True
            except Retryable as error:
                if not may_be_done and is_done():
                    self._fail(f"{what}: said not to be done, and is: {error!r}")
            except (AlreadyExists, NotFound) as error:
                if repeated is None or not isinstance(error, repeated):
                    if "namespaces" not in str(error):  # the cluster has just begun
                        self._fail(f"{what}: {error!r}")
                elif not may_be_done:
                    self._fail(f"{what}: said not to be done, and is: {error!r}")
                else:
                    break
            else:
                break
            await asyncio.sleep(AGAIN_S)
        self.done.append(f"{self._invariants.now():.3f} {what}")

    def _acknowledged(self, kind: Kind[Any], name: str, wanted: Wanted) -> None:
        """What was acknowledged is in the store then and there."""
        self._wanted[name] = wanted
        if self._invariants.stored(kind, name) is None:
            self._fail(f"{name} was acknowledged and is not in the store")
        elif kind is DEPLOYMENTS and self.declared(name) != wanted:
            self._fail(f"{name}: {wanted} was acknowledged, the store holds another")

    def declared(self, name: str) -> Wanted | None:
        """What the store says of a deployment."""
        found = self._invariants.stored(DEPLOYMENTS, name)
        if found is None:
            return None
        return Wanted(found.spec.template.spec.containers[0].image, found.spec.replicas)

    def _fail(self, text: str) -> None:
        self._cluster.loop.fail(Violation(text))

    # -- deploys by message

    async def _deploy_new(self) -> None:
        await self._publish(self._new_name("web"), self._draw())

    async def _deploy(self, name: str) -> None:
        await self._publish(name, self._draw(self._wanted[name]))

    async def _publish(self, name: str, wanted: Wanted) -> None:
        id = f"message-{len(self._messages)}"
        payload = codec.encode(_manifest(name, wanted))
        outcome = await self._outcome(id, payload)
        if outcome.outcome not in ("created", "configured"):
            self._fail(f"deploy of {name} {wanted}: {outcome}")
        self._messages.append((id, payload))
        self._acknowledged(DEPLOYMENTS, name, wanted)
        self.done.append(f"{self._invariants.now():.3f} deployed {name} {wanted}")

    async def _repeat_message(self) -> None:
        """One that was applied long ago: nothing must change."""
        await self._repeat(*self._rng.choice(self._messages))

    async def _repeat(self, id: str, payload: bytes) -> None:
        outcome = await self._outcome(id, payload)
        if not outcome.is_duplicate:
            self._fail(f"{id} was applied twice: {outcome}")
        self.done.append(f"{self._invariants.now():.3f} repeated {id}")

    async def _outcome(self, id: str, payload: bytes) -> DeployOutcome:
        """Publish under an id, again and again, until somebody answers."""
        self._serial += 1
        inbox = f"_INBOX.client.{self._serial}"
        answer = self._answers[inbox] = asyncio.get_running_loop().create_future()
        subject, headers = subjects.deploy("default"), {"Nats-Msg-Id": id}
        while True:
            self._cluster.network.carry("client", Envelope(subject, payload, inbox, headers))
            await asyncio.wait([answer], timeout=self._rng.uniform(0.5, 3.0))
            if answer.done():
                return answer.result()

    def _answered(self, envelope: Envelope) -> None:
        answer = self._answers.get(envelope.subject)
        if answer is not None and not answer.done():
            answer.set_result(codec.decode(envelope.payload, DeployOutcome))


def _pod_spec(image: str, *volumes: Volume) -> PodSpec:
    volumes = (ROOM, SHOWN, *volumes)
    container = Container(
        name="web",
        image=image,
        resources=ResourceRequirements(requests={"cpu": CPU}),
        volume_mounts=tuple(VolumeMount(name=v.name, mount_path=f"/{v.name}") for v in volumes),
    )
    return PodSpec(containers=(container,), volumes=volumes, termination_grace_period_seconds=2)


def deployment(name: str, wanted: Wanted, *, namespace: str = "") -> Deployment:
    """As a user would write it."""
    labels = {"app": name}
    return Deployment(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=DeploymentSpec(
            replicas=wanted.replicas,
            selector=LabelSelector(match_labels=labels),
            template=PodTemplateSpec(
                metadata=ObjectMeta(labels=labels), spec=_pod_spec(wanted.image)
            ),
        ),
    )


def _manifest(name: str, wanted: Wanted) -> dict[str, Any]:
    pod = codec.to_plain(_pod_spec(wanted.image))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": wanted.replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": pod,
            },
        },
    }
