"""Images from a registry that wants to know who asks: built, pushed, deployed by name, pulled, run.

"Pull an Image from a Private Registry", "Configure Service Accounts for Pods".
"""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.images import SLEEP, busybox_root
from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.cluster import ENGINE, up
from tests.e2e.registry import PASSWORD, USER, Registry, registry
from tests.e2e.waiting import eventually

PATIENCE_S = 60

pytestmark = needs.KUBECTL_AND_CLUSTER


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory) -> Iterator[Kubectl]:
    folder = tmp_path_factory.mktemp("cluster")
    with up(folder, f"longshore-test-images-{uuid.uuid4().hex[:6]}:1", nodes=1) as found:
        yield Kubectl(binaries.usual(), found.server, folder)


def secret(kubectl: Kubectl, name: str, images: Registry, password: str = PASSWORD) -> None:
    """What ``kubectl create secret docker-registry`` makes; in place of one of that name."""
    server = (f"--docker-server={images.host}", f"--docker-username={USER}")
    made = kubectl(
        *("create", "secret", "docker-registry", name, *server, f"--docker-password={password}"),
        *("--dry-run=client", "-o", "json"),
    )
    kubectl("apply", "-f", "-", given=made)


def deploy(kubectl: Kubectl, name: str, image: str, **spec: object) -> None:
    labels = {"app": name}
    pod = {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": image}],
        **spec,
    }
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    kubectl("apply", "-f", "-", given=json.dumps(manifest))


def first(kubectl: Kubectl, name: str, path: str) -> str:
    """Of the deployment's pod."""
    return kubectl("get", "pods", "-l", f"app={name}", "-o", f"jsonpath={{.items[0].{path}}}")


def waiting(kubectl: Kubectl, name: str) -> str:
    """Why its container does not run, once it is being waited with."""
    at = "status.containerStatuses[0].state.waiting"
    eventually(
        lambda: first(kubectl, name, f"{at}.reason") == "ImagePullBackOff",
        within_s=PATIENCE_S,
        what=f"{name} is ImagePullBackOff",
    )
    return first(kubectl, name, f"{at}.message")


def test_an_image_of_a_private_registry_runs_by_its_name(kubectl: Kubectl, images: Registry):
    image = images.build("team/web:1", busybox_root(), *SLEEP)
    digest = images.push(image)
    latest = images.push(images.build("team/web", busybox_root(), *SLEEP))
    secret(kubectl, "regcred", images)
    secret(kubectl, "wrong", images, "hash")
    kubectl("create", "serviceaccount", "builder")
    kubectl("patch", "serviceaccount", "builder", "-p", '{"imagePullSecrets":[{"name":"regcred"}]}')
    try:
        deploy(kubectl, "named", image, imagePullSecrets=[{"name": "regcred"}])
        deploy(kubectl, "account", f"{images.host}/team/web", serviceAccountName="builder")
        deploy(
            kubectl, "early", f"{images.host}/team/web:2", imagePullSecrets=[{"name": "regcred"}]
        )
        deploy(
            kubectl, "wrong", f"{images.host}/team/web:latest", imagePullSecrets=[{"name": "wrong"}]
        )
        assert "manifest for" in (said := waiting(kubectl, "early")), said
        assert "unauthorized" in (said := waiting(kubectl, "wrong")), said
        images.push(images.build("team/web:2", busybox_root(), *SLEEP))
        secret(kubectl, "wrong", images)
        for name in ("named", "account", "wrong", "early"):
            kubectl("rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE_S}s")
        for name, known in (("named", digest), ("account", latest)):
            id = first(kubectl, name, "status.containerStatuses[0].imageID")
            assert id == f"docker-pullable://{known}"
        told = kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.message}{'\\n'}{end}")
        assert f'Pulling image "{image}"' in told
        assert f'Successfully pulled image "{image}" in ' in told
        assert f'Back-off pulling image "{images.host}/team/web:2"' in told
        assert PASSWORD not in told
        for container in ENGINE.containers():
            assert PASSWORD not in json.dumps(container["Labels"])
    finally:
        kubectl("delete", "deployments", "--all", "--cascade=foreground")
        images.remove(image, f"{images.host}/team/web:2", f"{images.host}/team/web")
