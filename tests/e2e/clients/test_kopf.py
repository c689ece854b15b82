"""An operator written with kopf: the process that `kopf run` is, stopped and started again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.clients import manifests
from tests.e2e.clients.conftest import Cluster
from tests.e2e.kubeapi import ApiError, KubeApi, Object
from tests.e2e.process import Process
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.docker

PATIENCE_S = 40


@pytest.fixture
def api(cluster: Cluster) -> Iterator[KubeApi]:
    """With the operator's kind declared."""
    made = KubeApi(cluster.server)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made.create(definitions, manifests.definition("ships", "Ship"))
    eventually(
        lambda: "boats.example.com" in {g["name"] for g in made.get("/apis")["groups"]},
        within_s=PATIENCE_S,
        what="ships are served",
    )
    yield made
    made.call("DELETE", f"{definitions}/ships.boats.example.com")


@contextmanager
def operating(cluster: Cluster, namespace: str, log: Path) -> Iterator[Process]:
    """The operator, told to end with the context."""
    argv = [
        "env",
        f"KUBECONFIG={cluster.kubeconfig}",
        str(Path(sys.executable).parent / "kopf"),
        "run",
        str(Path(__file__).with_name("operator_of_ships.py")),
        f"--namespace={namespace}",
        "--standalone",
        "--verbose",
    ]
    process = Process("operator", argv, log, is_inner=False)
    try:
        yield process
    finally:
        process.stop(20)


def found(api: KubeApi, path: str) -> Object | None:
    """The object; None when there is none."""
    try:
        return api.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def test_an_operator_runs_unmodified_and_takes_up_its_work_again(api, cluster, namespace, tmp_path):
    ships = f"/apis/boats.example.com/v1/namespaces/{namespace}/ships"
    crews = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    core = f"/api/v1/namespaces/{namespace}"
    log = tmp_path / "operator.log"

    def soon(look, what):
        try:
            return eventually(look, within_s=PATIENCE_S, what=what)
        except AssertionError as error:
            error.add_note(log.read_text()[-4000:])
            raise

    def phase(name: str) -> str:
        return (found(api, f"{ships}/{name}") or {}).get("status", {}).get("phase", "")

    def sailors(name: str) -> int:
        return api.get(f"{crews}/{name}")["status"].get("readyReplicas", 0)

    def sail(name: str) -> str:
        return api.get(f"{crews}/{name}")["metadata"]["annotations"].get("boats.example.com/sail")

    def ship(name: str, **labels: str) -> Object:
        return {
            "apiVersion": "boats.example.com/v1",
            "kind": "Ship",
            "metadata": {"name": name, "labels": labels},
            "spec": {"size": 1, "image": cluster.image},
        }

    api.create(ships, ship("early"))  # before anybody looks
    with operating(cluster, namespace, log):
        soon(lambda: phase("early") == "afloat", "what was there is taken up")
        made = api.create(ships, ship("argo", crewed="yes"))
        soon(lambda: phase("argo") == "afloat", "a new one is launched, in its second attempt")
        (owner,) = api.get(f"{crews}/argo")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Ship", made["metadata"]["uid"])
        soon(lambda: sailors("argo") == 1, "its pod runs")
        events = f"{core}/events?fieldSelector=involvedObject.name%3Dargo"
        soon(lambda: "Launched" in {e["reason"] for e in api.items(events)}, "it says so")
        api.merge(f"{ships}/argo", {"spec": {"size": 2}})
        soon(lambda: phase("argo") == "refitted from 1 to 2", "a change is followed")
        soon(lambda: sailors("argo") == 2, "there are two pods")
        soon(lambda: api.get(f"{ships}/argo")["status"]["replicas"] > 2, "its timer goes on")
        assert api.get(f"{ships}/argo")["metadata"]["finalizers"] == ["boats.example.com/harbour"]
        soon(lambda: sail("argo") == "up", "its daemon works")

    # While nobody operates.
    assert sail("argo") == "down"
    api.merge(f"{ships}/argo", {"spec": {"size": 3}})
    api.call("DELETE", f"{ships}/early")
    api.create(ships, ship("late"))
    assert "deletionTimestamp" in api.get(f"{ships}/early")["metadata"]
    with operating(cluster, namespace, log):
        soon(lambda: phase("argo") == "refitted from 2 to 3", "what changed is caught up with")
        soon(lambda: phase("late") == "afloat", "what came is taken up")
        soon(lambda: found(api, f"{ships}/early") is None, "what is deleted is let go")
        assert api.get(f"{core}/configmaps/early-log")["data"] == {"end": "scrapped"}
        soon(lambda: found(api, f"{crews}/early") is None, "what it owned goes with it")
        soon(lambda: not api.items(f"{core}/pods?labelSelector=ship%3Dearly"), "its pods, too")
        for name in ("argo", "late"):
            api.call("DELETE", f"{ships}/{name}")
        soon(lambda: not api.items(ships), "all are let go")
