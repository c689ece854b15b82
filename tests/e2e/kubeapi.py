"""The cluster's Kubernetes API, as a test sees it: JSON over HTTP, and what one reads in a pod."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from tests.e2e.images import BUSYBOX, SLEEP

Object = dict[str, Any]
"""A Kubernetes object as its JSON says it. The tests look from outside: they know no struct."""

APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"


class ApiError(Exception):
    """The API refused.

    Attributes:
        status: HTTP status; 0 when nobody answers.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Unavailable(ApiError):
    """Not now: nobody answers (0), come again later (503), or nobody knows what became of it (504).

    Attributes:
        retry_after: The header of that name, if any.
    """

    def __init__(self, status: int, message: str, retry_after: str = "") -> None:
        super().__init__(status, message)
        self.retry_after = retry_after


class KubeApi:
    """A client. Every call has its own connection, as kubectl's do."""

    def __init__(self, server: str) -> None:
        self.server = server

    def answers(self) -> bool:
        try:
            self.call("GET", "/api/v1/namespaces")
        except Unavailable:
            return False
        return True

    def items(self, path: str) -> list[Object]:
        found: list[Object] = self.call("GET", path)["items"]
        return found

    def pods(self, app: str = "") -> list[Object]:
        """Those of the default namespace that are not being deleted, by name."""
        selector = f"?labelSelector=app%3D{app}" if app else ""
        found = [pod for pod in self.items(f"{CORE}/pods{selector}") if not is_terminating(pod)]
        return sorted(found, key=name_of)

    def ready_pods(self, app: str = "") -> list[Object]:
        return [pod for pod in self.pods(app) if is_ready(pod)]

    def get(self, path: str) -> Object:
        found: Object = self.call("GET", path)
        return found

    def ready_nodes(self) -> set[str]:
        return {name_of(node) for node in self.items("/api/v1/nodes") if is_ready(node)}

    def create(self, path: str, manifest: Object) -> Object:
        made: Object = self.call("POST", path, manifest)
        return made

    def merge(self, path: str, patch: Object) -> Object:
        """A JSON merge patch."""
        made: Object = self.call("PATCH", path, patch, "application/merge-patch+json")
        return made

    def watch(self, path: str, *, silence_s: float) -> Iterator[Object]:
        """Objects as they are made and change, from the present ones on.

        Raises:
            TimeoutError: Nothing changed for so long.
        """
        separator = "&" if "?" in path else "?"
        url = f"{self.server}{path}{separator}watch=1"
        with urllib.request.urlopen(url, timeout=silence_s) as stream:
            for line in stream:
                yield json.loads(line)["object"]

    def call(
        self, verb: str, path: str, body: Object | None = None, type_: str = "application/json"
    ) -> Any:
        """Raises ApiError."""
        request = urllib.request.Request(
            self.server + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": type_, "Accept": "application/json"},
            method=verb,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
                if error.code in (503, 504):
                    retry_after = error.headers.get("Retry-After", "")
                    raise Unavailable(error.code, text, retry_after) from None
                raise ApiError(error.code, text) from None
        except (OSError, HTTPException) as error:
            raise Unavailable(0, str(error)) from None


def deployment(name: str, replicas: int) -> Object:
    """A Deployment whose pods end at once when they are told to."""
    template = pod(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def pod(name: str, *, node: str = "") -> Object:
    """A pod that sleeps until it is told to end; with `node`, only there."""
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": SLEEP,
    }
    spec: Object = {"containers": [container], "terminationGracePeriodSeconds": 5}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def uid_of(found: Object) -> str:
    return str(found["metadata"]["uid"])


def node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


def is_terminating(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_ready(found: Object) -> bool:
    """Of a pod or a node: its condition Ready is True."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def summary(pods: list[Object]) -> list[str]:
    """What a failed assertion should show of them."""
    return [
        f"{name_of(pod)} on {node_of(pod) or '-'}: {pod['status'].get('phase')}, "
        f"{'ready' if is_ready(pod) else 'not ready'}"
        for pod in pods
    ]
