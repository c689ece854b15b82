"""The official client, `kubernetes`: typed, dynamic, and what it brings besides."""

import json
import threading
from collections.abc import Iterator

import pytest
import yaml
from kubernetes import client, config, utils, watch
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

from tests.e2e.clients import manifests
from tests.e2e.clients.conftest import Cluster
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENCE_S = 40


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """Made from DIR/kubeconfig, as a user would."""
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made
        made.rest_client.pool_manager.clear()


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api: client.ApiClient) -> client.AppsV1Api:
    return client.AppsV1Api(api)


@pytest.fixture
def streams(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    """For WebSockets: `stream` changes the client it is given for good."""
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield client.CoreV1Api(made)
        made.rest_client.pool_manager.clear()


def running(core: client.CoreV1Api, namespace: str, name: str) -> client.V1Pod:
    def look():
        pod = core.read_namespaced_pod(name, namespace)
        return pod if pod.status.phase == "Running" else None

    return eventually(look, within_s=PATIENCE_S, what=f"{name} runs")


def refused(status: int, call, *args, **kwargs) -> dict:
    """The Status of a call that must fail."""
    with pytest.raises(ApiException) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status, caught.value
    return json.loads(caught.value.body)


def test_a_namespace_is_made_without_naming_its_kind_and_goes_with_what_is_in_it(core, namespace):
    name = f"{namespace}-own"
    made = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    assert (made.kind, made.status.phase) == ("Namespace", "Active")
    labelled = core.patch_namespace(name, {"metadata": {"labels": {"mine": namespace}}})
    assert labelled.metadata.labels["mine"] == namespace
    listed = core.list_namespace(label_selector=f"mine={namespace}")
    assert [found.metadata.name for found in listed.items] == [name]
    core.create_namespaced_config_map(name, manifests.config_map("c"))
    core.delete_namespace(name)
    eventually(
        lambda: not core.list_namespace(field_selector=f"metadata.name={name}").items,
        within_s=PATIENCE_S,
        what="it goes",
    )
    refused(404, core.read_namespaced_config_map, "c", name)


def test_objects_are_made_read_changed_and_deleted(core, namespace):
    made = core.create_namespaced_config_map(namespace, manifests.config_map("c", k="1"))
    assert made.metadata.uid
    again = refused(409, core.create_namespaced_config_map, namespace, made)
    assert again["reason"] == "AlreadyExists"
    made.data["k"] = "2"
    made.metadata.resource_version = None
    replaced = core.replace_namespaced_config_map("c", namespace, made)
    assert replaced.data == {"k": "2"}
    made.metadata.resource_version = "1"
    stale = refused(409, core.replace_namespaced_config_map, "c", namespace, made)
    assert stale["reason"] == "Conflict"
    core.delete_namespaced_config_map("c", namespace)
    assert refused(404, core.read_namespaced_config_map, "c", namespace)["details"] == {
        "name": "c",
        "kind": "configmaps",
    }
    secret = client.V1Secret(
        metadata=client.V1ObjectMeta(name="s"), string_data={"password": "hunter2"}
    )
    assert core.create_namespaced_secret(namespace, secret).data == {"password": "aHVudGVyMg=="}


def test_a_deployment_is_scaled_patched_and_deleted_with_its_pods(apps, core, cluster, namespace):
    apps.create_namespaced_deployment(namespace, manifests.deployment("web", cluster.image, 1))

    def ready(count):
        def look():
            status = apps.read_namespaced_deployment_status("web", namespace).status
            return status.ready_replicas == count and status.replicas == count

        eventually(look, within_s=PATIENCE_S, what=f"{count} ready")

    ready(1)
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}})
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    assert (scale.kind, scale.spec.replicas, scale.status.selector) == ("Scale", 2, "app=web")
    ready(2)
    scale.spec.replicas, scale.metadata.resource_version = 1, None
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    ready(1)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    eventually(
        lambda: not core.list_namespaced_pod(namespace, label_selector="app=web").items,
        within_s=PATIENCE_S,
        what="its pods go",
    )


def test_each_kind_of_patch_is_what_it_says(apps, cluster, namespace):
    apps.create_namespaced_deployment(namespace, manifests.deployment("p", cluster.image, 0))

    def patched(body, kind):
        return apps.patch_namespaced_deployment("p", namespace, body, _content_type=kind)

    extra = {"name": "x", "image": cluster.image}
    strategic = patched(
        {"spec": {"template": {"spec": {"containers": [extra]}}}},
        "application/strategic-merge-patch+json",
    )
    assert {c.name for c in strategic.spec.template.spec.containers} == {"c", "x"}
    merged = patched(
        {"spec": {"template": {"spec": {"containers": [extra]}}}}, "application/merge-patch+json"
    )
    assert [c.name for c in merged.spec.template.spec.containers] == ["x"]
    steps = [
        {"op": "test", "path": "/metadata/labels/app", "value": "p"},
        {"op": "add", "path": "/metadata/labels/tier", "value": "web"},
    ]
    assert patched(steps, "application/json-patch+json").metadata.labels == {
        "app": "p",
        "tier": "web",
    }
    applied = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "p", "labels": {"mine": "yes"}},
    }
    found = apps.patch_namespaced_deployment(
        "p",
        namespace,
        applied,
        field_manager="me",
        _content_type="application/apply-patch+yaml",
    )
    assert found.metadata.labels == {"app": "p", "tier": "web", "mine": "yes"}
    assert "me" in {owner.manager for owner in found.metadata.managed_fields}
    untrue = refused(
        422,
        patched,
        [{"op": "test", "path": "/metadata/labels/app", "value": "q"}],
        "application/json-patch+json",
    )
    assert untrue["reason"] == "Invalid"


def test_lists_come_in_parts_of_one_moment(core, namespace):
    for index in range(5):
        core.create_namespaced_config_map(namespace, manifests.config_map(f"c{index}"))
    first = core.list_namespaced_config_map(namespace, limit=2)
    assert first.metadata.remaining_item_count == 3
    core.delete_namespaced_config_map("c4", namespace)
    second = core.list_namespaced_config_map(namespace, limit=2, _continue=first.metadata._continue)
    third = core.list_namespaced_config_map(namespace, limit=2, _continue=second.metadata._continue)
    assert third.metadata._continue is None
    pages = [first, second, third]
    assert [o.metadata.name for page in pages for o in page.items] == [f"c{i}" for i in range(5)]
    assert len({page.metadata.resource_version for page in pages}) == 1
    expired = refused(410, core.list_namespaced_config_map, namespace, limit=2, _continue=OLD_TOKEN)
    assert expired["reason"] == "Expired"


OLD_TOKEN = "MS0xLjI="
"""Of a list that an orchestrator began that is no more."""


def test_a_watch_resumes_where_it_was_and_after_410_from_a_list(core, namespace):
    listed = core.list_namespaced_config_map(namespace)
    core.create_namespaced_config_map(namespace, manifests.config_map("a"))
    core.create_namespaced_config_map(namespace, manifests.config_map("b"))
    core.delete_namespaced_config_map("a", namespace)

    def events(count, **kwargs):
        watcher, found = watch.Watch(), []
        for event in watcher.stream(core.list_namespaced_config_map, namespace, **kwargs):
            metadata = event["object"].metadata
            found.append((event["type"], metadata.name, metadata.resource_version))
            if len(found) == count:
                watcher.stop()
        return found

    seen = events(3, resource_version=listed.metadata.resource_version)
    assert [event[:2] for event in seen] == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert events(2, resource_version=seen[0][2]) == seen[1:]
    with pytest.raises(ApiException) as caught:
        events(1, resource_version="1")
    assert caught.value.status == 410
    again = core.list_namespaced_config_map(namespace)
    assert [found.metadata.name for found in again.items] == ["b"]
    core.create_namespaced_config_map(namespace, manifests.config_map("c"))
    assert events(1, resource_version=again.metadata.resource_version)[0][:2] == ("ADDED", "c")
    assert events(9, resource_version=again.metadata.resource_version, timeout_seconds=1)[1:] == []


def test_an_informer_keeps_up_with_a_collection(core, namespace):
    core.create_namespaced_config_map(namespace, manifests.config_map("before", {"x": "y"}))
    informer = SharedInformer(
        core.list_namespaced_config_map, namespace=namespace, label_selector="x=y", resync_period=1
    )
    gone: list[str] = []
    informer.add_event_handler("DELETED", lambda found: gone.append(found.metadata.name))
    informer.start()
    try:

        def keys(*names):
            wanted = {f"{namespace}/{name}" for name in names}
            eventually(
                lambda: set(informer.cache.list_keys()) == wanted,
                within_s=PATIENCE_S,
                what=f"it holds {names}",
            )

        keys("before")
        core.create_namespaced_config_map(namespace, manifests.config_map("after", {"x": "y"}))
        core.create_namespaced_config_map(namespace, manifests.config_map("other"))
        keys("before", "after")
        core.patch_namespaced_config_map("before", namespace, {"metadata": {"labels": {"x": "z"}}})
        core.patch_namespaced_config_map("other", namespace, {"metadata": {"labels": {"x": "y"}}})
        keys("after", "other")
        assert gone == ["before"]
    finally:
        informer.stop()


def test_logs_are_read_and_followed(core, cluster, namespace):
    core.create_namespaced_pod(namespace, manifests.pod("web", cluster.image, manifests.COUNT))
    running(core, namespace, "web")
    eventually(
        lambda: "line 1\n" in core.read_namespaced_pod_log("web", namespace),
        within_s=PATIENCE_S,
        what="it counts",
    )
    assert core.read_namespaced_pod_log("web", namespace, tail_lines=1).count("\n") == 1
    follower = watch.Watch()
    lines = []
    for line in follower.stream(core.read_namespaced_pod_log, "web", namespace, container="c"):
        lines.append(line)
        if len(lines) == 8:
            follower.stop()
    assert lines == [f"line {number}" for number in range(1, 9)]


def test_programs_run_in_a_pod_with_input_output_and_exit_code(core, streams, cluster, namespace):
    core.create_namespaced_pod(namespace, manifests.pod("web", cluster.image))
    running(core, namespace, "web")
    said = stream(
        streams.connect_get_namespaced_pod_exec,
        "web",
        namespace,
        command=["sh", "-c", "echo out; echo err >&2"],
        stderr=True,
        stdout=True,
    )
    assert sorted(said.split()) == ["err", "out"]
    shell = stream(
        streams.connect_get_namespaced_pod_exec,
        "web",
        namespace,
        container="c",
        command=["sh"],
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    shell.write_stdin("echo $((6 * 7))\n")
    assert shell.readline_stdout(timeout=PATIENCE_S) == "42"
    shell.write_stdin("echo no >&2\n")
    assert shell.readline_stderr(timeout=PATIENCE_S) == "no"
    shell.write_stdin("exit 3\n")
    shell.run_forever(timeout=PATIENCE_S)
    assert shell.returncode == 3
    shell.close()


def test_a_client_attaches_to_what_a_container_says(core, streams, cluster, namespace):
    body = manifests.pod("cat", cluster.image, "exec cat")
    body["spec"]["containers"][0]["stdin"] = True
    core.create_namespaced_pod(namespace, body)
    running(core, namespace, "cat")
    attached = stream(
        streams.connect_get_namespaced_pod_attach,
        "cat",
        namespace,
        stdin=True,
        stdout=True,
        _preload_content=False,
    )
    attached.write_stdin("hello\n")
    assert attached.readline_stdout(timeout=PATIENCE_S) == "hello"
    attached.close()


def test_a_port_is_forwarded(core, streams, cluster, namespace):
    core.create_namespaced_pod(namespace, manifests.pod("web", cluster.image))
    running(core, namespace, "web")
    eventually(
        lambda: "serving" in core.read_namespaced_pod_log("web", namespace),
        within_s=PATIENCE_S,
        what="it serves",
    )

    forwarded = portforward(
        streams.connect_get_namespaced_pod_portforward, "web", namespace, ports="8080"
    )
    socket = forwarded.socket(8080)
    socket.settimeout(PATIENCE_S)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    while chunk := socket.recv(4096):
        received += chunk
    socket.close()
    assert received.endswith(b"hello\n")
    assert forwarded.error(8080) is None


def test_pods_are_evicted_and_deleted_together(core, cluster, namespace):
    for name in ("one", "two", "other"):
        labels = {"app": "web"} if name != "other" else {}
        core.create_namespaced_pod(namespace, manifests.pod(name, cluster.image, **labels))
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="one"))
    running(core, namespace, "one")
    core.create_namespaced_pod_eviction("one", namespace, eviction)
    core.delete_collection_namespaced_pod(namespace, label_selector="app=web")
    eventually(
        lambda: (
            [pod.metadata.name for pod in core.list_namespaced_pod(namespace).items] == ["other"]
        ),
        within_s=PATIENCE_S,
        what="both pods go",
    )
    refused(404, core.create_namespaced_pod_eviction, "one", namespace, eviction)


def test_events_say_what_became_of_a_pod(core, cluster, namespace):
    core.create_namespaced_pod(namespace, manifests.pod("web", cluster.image))
    pod = running(core, namespace, "web")
    about = f"involvedObject.name=web,involvedObject.uid={pod.metadata.uid}"
    eventually(
        lambda: (
            {e.reason for e in core.list_namespaced_event(namespace, field_selector=about).items}
            >= {"Scheduled", "Started"}
        ),
        within_s=PATIENCE_S,
        what="it was scheduled and started",
    )


def test_a_file_of_manifests_is_created(api, core, apps, cluster, namespace, tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(
        yaml.safe_dump_all(
            [manifests.config_map("c", k="v"), manifests.deployment("web", cluster.image, 0)]
        )
    )
    utils.create_from_yaml(api, str(path), namespace=namespace)
    assert core.read_namespaced_config_map("c", namespace).data == {"k": "v"}
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 0
    utils.create_from_yaml(api, str(path), namespace=namespace, apply=True)
    with pytest.raises(utils.FailToCreateError):
        utils.create_from_yaml(api, str(path), namespace=namespace)


def test_the_dynamic_client_applies_with_owners_and_conflicts(api, cluster, namespace):
    dynamic = DynamicClient(api)
    resource = dynamic.resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager, value, *, force=False):
        return resource.server_side_apply(
            body=manifests.config_map("c", k=value),
            namespace=namespace,
            field_manager=manager,
            force_conflicts=force,
        )

    assert apply("one", "1").data.k == "1"
    with pytest.raises(ApiException) as caught:
        apply("two", "2")
    assert caught.value.status == 409
    assert 'conflict with "one"' in json.loads(caught.value.body)["message"]
    assert apply("two", "2", force=True).data.k == "2"
    assert [item.metadata.name for item in resource.get(namespace=namespace).items] == ["c"]
    events = resource.watch(namespace=namespace, timeout=1)
    assert [(e["type"], e["object"].data.k) for e in events] == [("ADDED", "2")]
    assert dynamic.version["kubernetes"]["gitVersion"].startswith("v1.")


def test_a_custom_kind_is_declared_and_used(api, cluster, namespace):
    extensions, custom = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    extensions.create_custom_resource_definition(manifests.definition("tugs", "Tug"))
    at = ("boats.example.com", "v1", namespace, "tugs")

    def established():
        found = extensions.read_custom_resource_definition("tugs.boats.example.com")
        return "Established" in {
            c.type for c in found.status.conditions or () if c.status == "True"
        }

    eventually(established, within_s=PATIENCE_S, what="it is established")
    body = {
        "apiVersion": "boats.example.com/v1",
        "kind": "Tug",
        "metadata": {"name": "t"},
        "spec": {"size": 2, "unknown": 1, "port": "http", "anything": {"goes": [1]}, "note": None},
        "status": {"phase": "ignored"},
    }
    made = custom.create_namespaced_custom_object(*at, body)
    assert made["spec"] == {
        "size": 2,
        "colour": "red",
        "port": "http",
        "note": None,
        "anything": {"goes": [1]},
    }
    assert "status" not in made
    wrong = body | {"metadata": {"name": "w"}, "spec": {"size": 10, "colour": "green"}}
    status = refused(422, custom.create_namespaced_custom_object, *at, wrong)
    assert {cause["field"] for cause in status["details"]["causes"]} == {
        "spec.size",
        "spec.colour",
    }
    custom.patch_namespaced_custom_object_status(*at, "t", {"status": {"phase": "afloat"}})
    found = custom.get_namespaced_custom_object(*at, "t")
    assert (found["status"], found["metadata"]["generation"]) == ({"phase": "afloat"}, 1)
    custom.patch_namespaced_custom_object_scale(*at, "t", {"spec": {"replicas": 3}})
    assert custom.get_namespaced_custom_object(*at, "t")["spec"]["size"] == 3
    listed = custom.list_namespaced_custom_object(*at)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["t"]
    watcher = watch.Watch()
    for event in watcher.stream(custom.list_cluster_custom_object, at[0], at[1], at[3]):
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "t")
        watcher.stop()
    extensions.delete_custom_resource_definition("tugs.boats.example.com")
    eventually(
        lambda: (
            not extensions.list_custom_resource_definition(
                field_selector="metadata.name=tugs.boats.example.com"
            ).items
        ),
        within_s=PATIENCE_S,
        what="it goes with its objects",
    )
    refused(404, custom.list_namespaced_custom_object, *at)


class Candidate:
    """One of those who would lead, in a thread of its own, until it is told to leave."""

    def __init__(self, name: str, api: client.ApiClient, namespace: str) -> None:
        self.leads = threading.Event()
        self._leave = threading.Event()
        lock = LeaseLock("lock", namespace, name)
        lock.api_instance = client.CoordinationV1Api(api)
        election = electionconfig.Config(
            lock,
            lease_duration=3,
            renew_deadline=2,
            retry_period=1,
            onstarted_leading=self._lead,
            onstopped_leading=self.leads.clear,
        )
        self._thread = threading.Thread(target=leaderelection.LeaderElection(election).run)
        self._thread.start()

    def _lead(self) -> None:
        self.leads.set()
        self._leave.wait()
        raise RuntimeError("it stops leading")  # the one way to end an election from within

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(PATIENCE_S)


def test_of_two_candidates_one_leads_and_the_other_takes_over(api, namespace):
    leases = client.CoordinationV1Api(api)
    one = Candidate("one", api, namespace)
    assert one.leads.wait(PATIENCE_S)
    two = Candidate("two", api, namespace)
    try:
        first = leases.read_namespaced_lease("lock", namespace).spec
        assert first.holder_identity == "one"
        eventually(
            lambda: (
                leases.read_namespaced_lease("lock", namespace).spec.renew_time > first.renew_time
            ),
            within_s=PATIENCE_S,
            what="it renews its lease",
        )
        assert not two.leads.is_set()
        one.leave()
        assert two.leads.wait(PATIENCE_S)
        assert leases.read_namespaced_lease("lock", namespace).spec.holder_identity == "two"
    finally:
        one.leave()
        two.leads.wait(PATIENCE_S)
        two.leave()
