"""Manifests by message: applied once, together or not at all, answered after the commit."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from orchestrator.runtime.audit import AuditLog
from orchestrator.runtime.deploys import OBJECTS_MAX, OUTCOME_TTL_S, REASON_HEADER, Deploys
from orchestrator.store import keys
from orchestrator.store.memory import FINE, Fate
from proto import codec, subjects
from proto.bus import Envelope
from proto.bus.memory import ACK_WAIT_S, MemoryBus, Network
from proto.kinds.deployment import DEPLOYMENTS, Deployment
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.pod import PODS
from proto.messages import DeployOutcome
from proto.meta import ObjectMeta
from tests import virtual_time
from tests.manifests import pod as pod_manifest
from tests.unit.runtime.spine import Spine, leading, until

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: web:1
        env: [{name: COLOUR, value: blue}]
"""


class Publisher:
    """Publishes manifests, and hears the answers and the dead letters."""

    def __init__(self, spine: Spine, network: Network) -> None:
        self.spine = spine
        self.network = network
        self.rejected: list[Envelope] = []
        self._bus = MemoryBus(network, "publisher")
        self._asked = 0

    async def publish(
        self,
        manifest: str | bytes,
        *,
        id: str = "",
        namespace: str = "default",
        headers: Mapping[str, str] | None = None,
    ) -> DeployOutcome:
        """The outcome; asks once."""
        self._asked += 1
        inbox = f"_INBOX.publisher.{self._asked}"
        answers = await self._bus.subscribe(inbox)
        payload = manifest.encode() if isinstance(manifest, str) else manifest
        given = {"Nats-Msg-Id": id} if id else {}
        subject = subjects.deploy(namespace)
        self.network.carry(
            "publisher", Envelope(subject, payload, inbox, given | dict(headers or {}))
        )
        try:
            async with asyncio.timeout(60):
                return codec.decode((await answers.get()).payload, DeployOutcome)
        finally:
            await answers.close()

    async def collect_dead_letters(self) -> None:
        subscription = await self._bus.subscribe(subjects.deploy_rejected("*"))
        while True:
            self.rejected.append(await subscription.get())

    @property
    def web(self) -> Deployment:
        found = self.spine.world.get(DEPLOYMENTS, "default", "web")
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def deploying(
    network: Network | None = None, audit: AuditLog | None = None
) -> AsyncIterator[Publisher]:
    async with leading() as (spine, tasks):
        network = network or Network()
        bus = MemoryBus(network, "one")
        deploys = Deploys(spine.world, spine.writer, spine.verbs, spine.store, bus, audit)
        publisher = Publisher(spine, network)
        spine.run(tasks, deploys.run())
        spine.run(tasks, publisher.collect_dead_letters())
        await asyncio.sleep(0.01)
        yield publisher


def test_a_manifest_is_created_then_unchanged_then_configured():
    async def main() -> None:
        async with deploying() as publisher:
            first = await publisher.publish(WEB)
            assert first == DeployOutcome(
                outcome="created", objects=("deployment.apps/web created",)
            )
            assert publisher.web.spec.replicas == 3
            version = publisher.web.metadata.resource_version
            assert (await publisher.publish(WEB)).outcome == "unchanged"
            assert publisher.web.metadata.resource_version == version
            changed = await publisher.publish(WEB.replace("web:1", "web:2"))
            assert changed.objects == ("deployment.apps/web configured",)
            assert publisher.web.spec.template.spec.containers[0].image == "web:2"

    virtual_time.run(main())


async def written(audit: AuditLog) -> None:
    """On real time, which a thread takes."""
    async with audit.writing():
        pass


def test_the_audit_log_has_a_line_for_each_object_and_for_what_was_rejected(tmp_path):
    audit = AuditLog(tmp_path / "audit.log", new_id=iter("abc").__next__, clock=lambda: 0)

    async def main() -> None:
        async with deploying(audit=audit) as publisher:
            await publisher.publish(f"{pod_manifest('x')}\n---\n{WEB}", id="release-1")
            await publisher.publish("kind: Pod", id="wrong")
            await publisher.publish(WEB, id="release-1")

    virtual_time.run(main())
    asyncio.run(written(audit))
    found = [codec.decode_any(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    assert [
        (e["auditID"], e["verb"], e["objectRef"].get("resource"), e["responseStatus"]["code"])
        for e in found
    ] == [
        ("a", "create", "pods", 201),
        ("a", "create", "deployments", 201),
        ("b", "create", None, 422),
        ("c", "create", "pods", 201),
        ("c", "create", "deployments", 201),
    ]
    assert found[0]["requestURI"] == "nats:longshore.v1.deploy.default"
    assert found[1]["objectRef"] == {
        "resource": "deployments",
        "namespace": "default",
        "name": "web",
        "apiGroup": "apps",
        "apiVersion": "v1",
    }
    assert found[3]["annotations"] == {
        "longshore.dev/message": "release-1",
        "longshore.dev/duplicate": "true",
    }


def test_nothing_is_deployed_that_the_audit_log_could_not_hold():
    audit = AuditLog(Path("/dev/full"), new_id=lambda: "", clock=lambda: 0)

    async def rejected() -> None:
        async with deploying(audit=audit) as publisher:
            await publisher.publish("kind: Pod")

    async def refused() -> None:
        async with deploying(audit=audit) as publisher:
            with pytest.raises(TimeoutError):
                await publisher.publish(WEB)
            assert publisher.spine.world.get(DEPLOYMENTS, "default", "web") is None

    virtual_time.run(rejected())
    asyncio.run(written(audit))
    virtual_time.run(refused())


def test_what_a_manifest_no_longer_says_is_removed_and_what_others_set_stays():
    async def main() -> None:
        async with deploying() as publisher:
            await publisher.publish(WEB)
            await publisher.spine.verbs.modify(
                DEPLOYMENTS,
                "default",
                "web",
                lambda old: codec.decode(
                    codec.encode(old).replace(b'"tier":"front"', b'"tier":"front","team":"a"'),
                    Deployment,
                ),
            )
            shorter = WEB.replace("labels: {tier: front}", "labels: {}").replace("replicas: 3", "")
            shorter = shorter.replace("env: [{name: COLOUR, value: blue}]", "")
            await publisher.publish(shorter)
            assert publisher.web.metadata.labels == {"team": "a"}
            assert publisher.web.spec.template.spec.containers[0].env == ()
            assert publisher.web.spec.replicas == 1  # its default again

    virtual_time.run(main())


def test_a_message_that_comes_twice_is_applied_once_and_answered_the_same():
    async def main() -> None:
        async with deploying() as publisher:
            first = await publisher.publish(WEB, id="release-1")
            await publisher.publish(WEB.replace("web:1", "web:2"), id="release-2")
            again = await publisher.publish(WEB, id="release-1")
            assert (again.outcome, again.is_duplicate) == (first.outcome, True)
            assert publisher.web.spec.template.spec.containers[0].image == "web:2"
            elsewhere = await publisher.publish(pod_manifest("a"), id="release-1", namespace="b")
            assert elsewhere.outcome == "rejected"  # an id is of its namespace

    virtual_time.run(main())


def test_an_answer_that_got_lost_is_given_again_and_nothing_is_applied_again():
    async def main() -> None:
        network = Network()
        async with deploying(network) as publisher:
            network.faults = lambda _sender, receiver, _subject: (
                () if receiver == "publisher" else (0.0,)
            )
            with pytest.raises(TimeoutError):
                await publisher.publish(pod_manifest("a"), id="1")
            network.faults = lambda _sender, _receiver, _subject: (0.0,)
            uid = publisher.spine.world.get(PODS, "default", "a").metadata.uid
            again = await publisher.publish(pod_manifest("a"), id="1")
            assert (again.outcome, again.is_duplicate) == ("created", True)
            assert publisher.spine.world.get(PODS, "default", "a").metadata.uid == uid

    virtual_time.run(main())


def test_outcomes_are_forgotten_after_a_day():
    async def main() -> None:
        async with deploying() as publisher:
            await publisher.publish(pod_manifest("a"), id="1")
            outcomes = publisher.spine.server.list(keys.DEPLOYS)
            assert len(outcomes.items) == 1
            await asyncio.sleep(OUTCOME_TTL_S + 1)
            assert publisher.spine.server.list(keys.DEPLOYS).items == ()

    virtual_time.run(main())


def test_every_outcome_is_kept_for_most_of_a_day_whenever_it_came():
    async def main() -> None:
        async with deploying() as publisher:
            for hour in range(30):
                await publisher.publish(pod_manifest(f"p{hour}"), id=str(hour))
                await asyncio.sleep(3_600)
            again = await publisher.publish(pod_manifest("p20"), id="20")
            assert again.is_duplicate
            assert len(publisher.spine.server.list(keys.DEPLOYS).items) < 26

    virtual_time.run(main())


def test_the_objects_of_a_manifest_are_applied_together_or_not_at_all():
    async def main() -> None:
        async with deploying() as publisher:
            revision = publisher.spine.server.revision
            broken = "\n---\n".join((WEB, pod_manifest("a"), pod_manifest("Not A Name")))
            outcome = await publisher.publish(broken)
            assert outcome.outcome == "rejected"
            assert "Not A Name" in outcome.reason
            assert publisher.spine.server.revision == revision
            good = "\n---\n".join((WEB, pod_manifest("a"), pod_manifest("b")))
            outcome = await publisher.publish(good)
            assert outcome.objects == (
                "deployment.apps/web created",
                "pod/a created",
                "pod/b created",
            )
            assert publisher.spine.server.revision == revision + 1

    virtual_time.run(main())


def test_a_list_is_its_items():
    async def main() -> None:
        async with deploying() as publisher:
            items = [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name},
                    "spec": {"containers": [{"name": "main", "image": "web:1"}]},
                }
                for name in "ab"
            ]
            whole = {"apiVersion": "v1", "kind": "List", "items": items}
            outcome = await publisher.publish(codec.encode(whole))
            assert outcome.objects == ("pod/a created", "pod/b created")

    virtual_time.run(main())


REFUSED = {
    "no manifest": "",
    "not YAML": "a: [",
    "a manifest is an object": "- a\n- b",
    "kind: Required": "apiVersion: v1",
    "no matches for kind": "apiVersion: v1\nkind: Cabbage\nmetadata: {name: a}",
    "only objects of a namespace": "apiVersion: v1\nkind: Node\nmetadata: {name: a}",
    'no matches for kind "Event"': "apiVersion: v1\nkind: Event\nmetadata: {name: a}",
    "metadata: Required": "apiVersion: v1\nkind: Pod",
    "metadata.name: Required": "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}",
    "does not match the one": pod_manifest("a, namespace: other"),
    "is invalid": pod_manifest("a").replace("main", "Not A Name"),
    "in the manifest twice": pod_manifest("a") + "---" + pod_manifest("a"),
    "publish at most": "---".join(pod_manifest(f"p{n}") for n in range(OBJECTS_MAX + 1)),
    "not supported by Longshore": pod_manifest("a").replace(
        "spec: {", "spec: {runtimeClassName: fast, "
    ),
    "items": "apiVersion: v1\nkind: List\nitems: [1]",
}


def test_what_cannot_be_applied_is_answered_and_set_aside_with_the_reason():
    async def main() -> None:
        async with deploying() as publisher:
            revision = publisher.spine.server.revision
            for count, (reason, manifest) in enumerate(REFUSED.items(), start=1):
                outcome = await publisher.publish(manifest, headers={"Trace": "7"})
                assert outcome.outcome == "rejected"
                assert reason in outcome.reason, outcome.reason
                letter = publisher.rejected[-1]
                assert len(publisher.rejected) == count
                assert letter.payload == manifest.encode()
                assert reason in letter.headers[REASON_HEADER]
                assert letter.headers["Trace"] == "7"
            assert publisher.spine.server.revision == revision

    virtual_time.run(main())


def test_a_namespace_must_exist():
    async def main() -> None:
        async with deploying() as publisher:
            outcome = await publisher.publish(pod_manifest("a"), id="1", namespace="later")
            assert outcome.reason == 'namespaces "later" not found'
            later = Namespace(metadata=ObjectMeta(name="later"))
            await publisher.spine.create(NAMESPACES, later)
            outcome = await publisher.publish(pod_manifest("a"), id="1", namespace="later")
            assert outcome.outcome == "created"

    virtual_time.run(main())


HOSTILE = (
    "metadata: {name: a, annotations: abc}",
    "metadata: {name: a, annotations: [1, 2]}",
    "metadata: {name: a, annotations: {b: 1}}",
    "metadata: {name: a, labels: {b: 99999999999999999999999}}",
    "metadata: {name: a, finalizers: {b: c}}",
    "metadata: {name: a, ownerReferences: [a]}",
    "metadata: {name: 5}",
    "metadata: {name: [a]}",
    "metadata: {name: a, namespace: [default]}",
    "metadata: [name]",
    "metadata: {name: a}\nspec: 5",
    "metadata: {name: a}\nspec: {containers: {name: a}}",
    "metadata: {name: a}\nspec: {containers: [5]}",
    "metadata: {name: a}\nspec: {containers: [{name: 2024-01-01, image: !!binary aGk=}]}",
    "metadata: {name: a}\nspec: {terminationGracePeriodSeconds: 1e400}",
    "metadata: &a {name: *a}",
    "metadata: {name: a}\nspec: " + "{a: " * 90 + "1" + "}" * 90,
)


def test_no_manifest_ends_the_leader_however_strange_it_is():
    async def main() -> None:
        chance = random.Random(5)
        async with deploying() as publisher:
            await publisher.publish(pod_manifest("a"))
            for text in HOSTILE:
                for there in (text, text.replace("name: a", "name: b")):  # changed, or made
                    outcome = await publisher.publish(f"apiVersion: v1\nkind: Pod\n{there}")
                    assert outcome.outcome == "rejected", there
                    assert "cannot be handled: " not in outcome.reason, outcome.reason
            for size in (1, 10, 1_000, 100_000):
                outcome = await publisher.publish(chance.randbytes(size))
                assert outcome.outcome == "rejected"
            assert (await publisher.publish(pod_manifest("c"))).outcome == "created"

    virtual_time.run(main())


def test_a_message_is_not_answered_before_the_store_has_it_however_long_that_takes():
    async def main() -> None:
        async with deploying() as publisher:
            server = publisher.spine.server
            server.faults = lambda _client, verb: (
                Fate(is_request_lost=True) if verb == "txn" else FINE
            )
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(publisher.publish(pod_manifest("a"), id="1"))
                await asyncio.sleep(ACK_WAIT_S * 2)
                assert not asking.done()
                server.faults = lambda _client, _verb: FINE
            assert asking.result().outcome == "created"

    virtual_time.run(main())


def test_a_bus_without_durable_storage_is_waited_for():
    async def main() -> None:
        network = Network(has_jetstream=False)
        async with deploying(network) as publisher:
            with pytest.raises(TimeoutError):
                await publisher.publish(pod_manifest("a"))
            network.has_jetstream = True
            await asyncio.sleep(10)
            assert (await publisher.publish(pod_manifest("a"))).outcome == "created"

    virtual_time.run(main())


def test_a_bus_that_lost_everything_it_kept_takes_manifests_again():
    async def main() -> None:
        network = Network()
        async with deploying(network) as publisher:
            await publisher.publish(pod_manifest("a"), id="1")
            network.wipe()
            await asyncio.sleep(1)
            assert (await publisher.publish(pod_manifest("b"), id="2")).outcome == "created"
            again = await publisher.publish(pod_manifest("a"), id="1")
            assert again.is_duplicate

    virtual_time.run(main())


def test_a_message_that_nobody_took_waits_for_the_next_leader():
    async def main() -> None:
        network = Network()
        async with deploying(network) as publisher:
            server = publisher.spine.server
        with pytest.raises(TimeoutError):
            await publisher.publish(pod_manifest("a"), id="1")
        async with leading(server) as (spine, tasks):
            bus = MemoryBus(network, "two")
            deploys = Deploys(spine.world, spine.writer, spine.verbs, spine.store, bus)
            spine.run(tasks, deploys.run())
            await until(lambda: spine.world.get(PODS, "default", "a"))

    virtual_time.run(main())


def test_a_field_that_does_not_exist_is_refused_by_its_path():
    async def main() -> None:
        async with deploying() as publisher:
            outcome = await publisher.publish(WEB.replace("  replicas: 3", "  replica: 3"))
            assert outcome.outcome == "rejected"
            assert 'strict decoding error: unknown field "spec.replica"' in outcome.reason
            assert publisher.spine.world.get(DEPLOYMENTS, "default", "web") is None

    virtual_time.run(main())


def test_a_harmless_field_that_is_not_acted_on_is_warned_about():
    async def main() -> None:
        async with deploying() as publisher:
            manifest = WEB.replace("{name: web, labels", "{name: web, selfLink: x, labels")
            outcome = await publisher.publish(manifest)
            assert outcome.outcome == "created"
            assert outcome.warnings == (
                "deployment.apps/web: metadata.selfLink: ignored: Longshore does not act on it",
            )

    virtual_time.run(main())
