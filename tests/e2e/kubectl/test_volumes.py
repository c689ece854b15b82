"""ConfigMaps, Secrets and volumes: the examples of Kubernetes' documentation, but for their images.

"Configure a Pod to Use a ConfigMap", "Distribute Credentials Securely Using Secrets", "Communicate
Between Containers in the Same Pod Using a Shared Volume", "Expose Pod Information to Containers
Through Files".
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.images import SLEEP, busybox_root
from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.cluster import ENGINE, up
from tests.e2e.waiting import eventually

RUN = uuid.uuid4().hex[:6]
BUSYBOX = f"longshore-test-volumes-{RUN}:1"
NGINX = f"longshore-test-volumes-{RUN}:2"
"""Runs until it is told to end, as a server does."""

PATIENCE_S = 60

pytestmark = needs.KUBECTL_AND_CLUSTER


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[tuple[Kubectl, Path]]:
    folder = tmp_path_factory.mktemp("cluster")
    repository, tag = NGINX.split(":")
    change = quote(f"CMD {json.dumps(SLEEP)}")
    path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}&changes={change}"
    ENGINE.call("POST", path, busybox_root(), timeout_s=60)
    try:
        with up(folder, BUSYBOX, nodes=1) as found:
            yield Kubectl(binaries.usual(), found.server, folder), found.data
    finally:
        ENGINE.call("DELETE", f"/images/{NGINX}?force=1")


@pytest.fixture
def kubectl(cluster) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own; nothing of its pods is left on the node."""
    kubectl, data = cluster
    name = f"n{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", name)
    yield InNamespace(kubectl, name)
    kubectl("delete", "namespace", name)
    places = left(data)
    eventually(lambda: not any(list(p.glob("*/*")) for p in places), within_s=20, what="no folders")
    assert volumes_of(data) == []


def left(data: Path) -> list[Path]:
    """Where a node keeps volumes and contents."""
    id = (data / "cluster").read_text()
    memory = [Path(run) / "longshore" / f"{id}.node-1" for run in ("/run", "/dev/shm")]
    return [data / "nodes" / "node-1" / "node-1", *(path for path in memory if path.exists())]


def volumes_of(data: Path) -> list[str]:
    found = ENGINE.call("GET", "/volumes")["Volumes"] or []
    id = (data / "cluster").read_text()
    return [v["Name"] for v in found if (v["Labels"] or {}).get("longshore.dev/cluster") == id]


class InNamespace:
    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self.namespace = namespace

    def __call__(self, *arguments: str, given: str = "") -> str:
        return self._kubectl("-n", self.namespace, *arguments, given=given)

    def fails(self, *arguments: str, given: str = "") -> str:
        return self._kubectl.fails("-n", self.namespace, *arguments, given=given)

    def apply(self, manifest: str) -> str:
        return self("apply", "-f", "-", given=manifest)

    def ran(self, manifest: str) -> str:
        """What a pod that ends by itself printed."""
        name = self.apply(manifest).split()[0]
        self("wait", name, "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={PATIENCE_S}s")
        return self("logs", name)

    def ready(self, manifest: str) -> str:
        name = self.apply(manifest).split()[0]
        self("wait", name, "--for=condition=Ready", f"--timeout={PATIENCE_S}s")
        return name

    def sh(self, pod: str, script: str, *arguments: str) -> str:
        return self("exec", pod, *arguments, "--", "sh", "-c", script)


def test_variables_from_configmaps(kubectl) -> None:
    kubectl("create", "configmap", "special-config", "--from-literal=special.how=very")
    kubectl("create", "configmap", "env-config", "--from-literal=log_level=INFO")
    printed = kubectl.ran(f"""
apiVersion: v1
kind: Pod
metadata:
  name: dapi-test-pod
spec:
  containers:
    - name: test-container
      image: {BUSYBOX}
      command: [ "/bin/sh", "-c", "env" ]
      env:
        - name: SPECIAL_LEVEL_KEY
          valueFrom:
            configMapKeyRef:
              name: special-config
              key: special.how
        - name: LOG_LEVEL
          valueFrom:
            configMapKeyRef:
              name: env-config
              key: log_level
  restartPolicy: Never
""")
    assert "SPECIAL_LEVEL_KEY=very\n" in printed
    assert "LOG_LEVEL=INFO\n" in printed


def test_all_keys_as_variables_and_in_a_command(kubectl) -> None:
    kubectl.apply("""
apiVersion: v1
kind: ConfigMap
metadata:
  name: special-config
data:
  SPECIAL_LEVEL: very
  SPECIAL_TYPE: charm
""")
    printed = kubectl.ran(f"""
apiVersion: v1
kind: Pod
metadata:
  name: dapi-test-pod
spec:
  containers:
    - name: test-container
      image: {BUSYBOX}
      command: [ "/bin/sh", "-c", "env; echo $(SPECIAL_LEVEL_KEY) $(SPECIAL_TYPE_KEY)" ]
      envFrom:
      - configMapRef:
          name: special-config
      env:
        - name: SPECIAL_LEVEL_KEY
          valueFrom:
            configMapKeyRef:
              name: special-config
              key: SPECIAL_LEVEL
        - name: SPECIAL_TYPE_KEY
          valueFrom:
            configMapKeyRef:
              name: special-config
              key: SPECIAL_TYPE
  restartPolicy: Never
""")
    assert "SPECIAL_LEVEL=very\n" in printed
    assert "SPECIAL_TYPE=charm\n" in printed
    assert printed.endswith("very charm\n")


def test_a_configmap_in_a_volume_whole_and_by_key(kubectl) -> None:
    kubectl(
        *("create", "configmap", "special-config"),
        *("--from-literal=SPECIAL_LEVEL=very", "--from-literal=SPECIAL_TYPE=charm"),
    )
    pod = f"""
apiVersion: v1
kind: Pod
metadata:
  name: dapi-test-pod
spec:
  containers:
    - name: test-container
      image: {BUSYBOX}
      command: [ "/bin/sh", "-c", "ls /etc/config/" ]
      volumeMounts:
      - name: config-volume
        mountPath: /etc/config
  volumes:
    - name: config-volume
      configMap:
        name: special-config
  restartPolicy: Never
"""
    assert kubectl.ran(pod) == "SPECIAL_LEVEL\nSPECIAL_TYPE\n"
    kubectl("delete", "pod", "dapi-test-pod")
    by_key = pod.replace("ls /etc/config/", "cat /etc/config/keys; echo").replace(
        "        name: special-config\n",
        "        name: special-config\n        items:\n"
        "        - key: SPECIAL_LEVEL\n          path: keys\n",
    )
    assert kubectl.ran(by_key) == "very\n"


def test_secrets_in_a_volume_on_a_tmpfs_and_as_variables(kubectl) -> None:
    kubectl.apply("""
apiVersion: v1
kind: Secret
metadata:
  name: test-secret
data:
  username: bXktYXBw
  password: Mzk1MjgkdmRnN0pi
""")
    pod = kubectl.ready(f"""
apiVersion: v1
kind: Pod
metadata:
  name: secret-test-pod
spec:
  containers:
    - name: test-container
      image: {NGINX}
      volumeMounts:
        # name must match the volume name below
        - name: secret-volume
          mountPath: /etc/secret-volume
          readOnly: true
  # The secret data is exposed to Containers in the Pod through a Volume.
  volumes:
    - name: secret-volume
      secret:
        secretName: test-secret
""")
    assert kubectl.sh(pod, "ls /etc/secret-volume") == "password\nusername\n"
    assert kubectl.sh(pod, "cat /etc/secret-volume/username") == "my-app"
    assert kubectl.sh(pod, "cat /etc/secret-volume/password") == "39528$vdg7Jb"
    mounts = kubectl.sh(pod, "grep /etc/secret-volume /proc/mounts").split()
    assert (mounts[2], mounts[3].split(",")[0]) == ("tmpfs", "ro")
    pod = kubectl.ready(f"""
apiVersion: v1
kind: Pod
metadata:
  name: envfrom-secret
spec:
  containers:
  - name: envars-test-container
    image: {NGINX}
    envFrom:
    - secretRef:
        name: test-secret
    env:
    - name: SECRET_USERNAME
      valueFrom:
        secretKeyRef:
          name: test-secret
          key: username
""")
    assert kubectl.sh(pod, "echo $username $SECRET_USERNAME") == "my-app my-app\n"


def test_secrets_at_paths_of_their_own_with_modes(kubectl) -> None:
    kubectl(
        *("create", "secret", "generic", "mysecret"),
        *("--from-literal=username=my-app", "--from-literal=password=39528$vdg7Jb"),
    )
    pod = kubectl.ready(f"""
apiVersion: v1
kind: Pod
metadata:
  name: mypod
spec:
  containers:
  - name: mypod
    image: {NGINX}
    volumeMounts:
    - name: foo
      mountPath: "/etc/foo"
      readOnly: true
  volumes:
  - name: foo
    secret:
      secretName: mysecret
      defaultMode: 0400
      items:
      - key: username
        path: my-group/my-username
""")
    assert kubectl.sh(pod, "cat /etc/foo/my-group/my-username; ls /etc/foo") == "my-appmy-group\n"
    assert kubectl.sh(pod, "stat -L -c %a /etc/foo/my-group/my-username") == "400\n"


def test_containers_share_a_volume(kubectl) -> None:
    kubectl.apply(f"""
apiVersion: v1
kind: Pod
metadata:
  name: two-containers
spec:

  restartPolicy: Never

  volumes:
  - name: shared-data
    emptyDir: {{}}

  containers:

  - name: nginx-container
    image: {NGINX}
    volumeMounts:
    - name: shared-data
      mountPath: /usr/share/nginx/html

  - name: debian-container
    image: {BUSYBOX}
    volumeMounts:
    - name: shared-data
      mountPath: /pod-data
    command: ["/bin/sh"]
    args: ["-c", "echo Hello from the debian container > /pod-data/index.html"]
""")
    ended = "jsonpath={.status.containerStatuses[?(@.name=='debian-container')].state.terminated.reason}"
    kubectl("wait", "pod/two-containers", f"--for={ended}=Completed", f"--timeout={PATIENCE_S}s")
    serves = "jsonpath={.status.containerStatuses[?(@.name=='nginx-container')].ready}"
    kubectl("wait", "pod/two-containers", f"--for={serves}=true", f"--timeout={PATIENCE_S}s")
    found = kubectl.sh(
        "two-containers", "cat /usr/share/nginx/html/index.html", "-c", "nginx-container"
    )
    assert found == "Hello from the debian container\n"


def test_the_downward_api_in_files(kubectl) -> None:
    pod = kubectl.ready(f"""
apiVersion: v1
kind: Pod
metadata:
  name: kubernetes-downwardapi-volume-example
  labels:
    zone: us-est-coast
    cluster: test-cluster1
    rack: rack-22
  annotations:
    build: two
    builder: john-doe
spec:
  containers:
    - name: client-container
      image: {BUSYBOX}
      command: ["sh", "-c"]
      args:
      - trap 'exit 0' TERM;
        while true; do
          if [[ -e /etc/podinfo/labels ]]; then
            echo -en '\\n\\n'; cat /etc/podinfo/labels; fi;
          sleep 1;
        done;
      resources:
        limits: {{cpu: 250m, memory: 64Mi}}
      volumeMounts:
        - name: podinfo
          mountPath: /etc/podinfo
  volumes:
    - name: podinfo
      downwardAPI:
        items:
          - path: "labels"
            fieldRef:
              fieldPath: metadata.labels
          - path: "annotations"
            fieldRef:
              fieldPath: metadata.annotations
          - path: "cpu_limit"
            resourceFieldRef:
              containerName: client-container
              resource: limits.cpu
              divisor: 1m
""")
    labels = 'cluster="test-cluster1"\nrack="rack-22"\nzone="us-est-coast"'
    assert kubectl.sh(pod, "cat /etc/podinfo/labels") == labels
    assert 'builder="john-doe"' in kubectl.sh(pod, "cat /etc/podinfo/annotations")
    assert kubectl.sh(pod, "cat /etc/podinfo/cpu_limit") == "250"
    kubectl("label", pod, "rack=rack-23", "--overwrite")
    eventually(
        lambda: 'rack="rack-23"' in kubectl.sh(pod, "cat /etc/podinfo/labels"),
        within_s=20,
        what="the label in the file",
    )


def test_a_pod_waits_for_what_it_needs_and_then_starts_by_itself(kubectl) -> None:
    kubectl.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: waits-for-variable}}
spec:
  containers:
  - name: c
    image: {NGINX}
    env: [{{name: A, valueFrom: {{configMapKeyRef: {{name: late, key: a}}}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: waits-for-volume}}
spec:
  containers:
  - name: c
    image: {NGINX}
    volumeMounts: [{{name: v, mountPath: /v}}]
  volumes: [{{name: v, secret: {{secretName: hidden}}}}]
""")
    eventually(
        lambda: "CreateContainerConfigError" in kubectl("get", "pod", "waits-for-variable"),
        within_s=20,
        what="CreateContainerConfigError",
    )
    events = "{range .items[*]}{.reason}: {.message}{'\\n'}{end}"
    said = eventually(
        lambda: (
            found
            if "FailedMount" in (found := kubectl("get", "events", "-o", f"jsonpath={events}"))
            and "Failed:" in found
            else ""
        ),
        within_s=20,
        what="both events",
    )
    assert 'Failed: Error: configmap "late" not found' in said
    text = 'FailedMount: MountVolume.SetUp failed for volume "v" : secret "hidden" not found'
    assert text in said
    assert "ContainerCreating" in kubectl("get", "pod", "waits-for-volume")
    kubectl("create", "configmap", "late", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=b=2")
    for pod in ("waits-for-variable", "waits-for-volume"):
        kubectl("wait", f"pod/{pod}", "--for=condition=Ready", f"--timeout={PATIENCE_S}s")
    assert kubectl.sh("waits-for-variable", "echo $A") == "1\n"
    assert kubectl.sh("waits-for-volume", "cat /v/b") == "2"


def test_a_change_reaches_a_running_container_and_restarts_nothing(kubectl) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=level=low")
    kubectl.apply(f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: c
        image: {NGINX}
        envFrom: [{{configMapRef: {{name: settings}}}}]
        volumeMounts:
        - {{name: v, mountPath: /settings}}
        - {{name: v, mountPath: /fixed, subPath: level}}
      volumes: [{{name: v, configMap: {{name: settings}}}}]
""")
    kubectl("rollout", "status", "deployment/web", f"--timeout={PATIENCE_S}s")
    kubectl("create", "configmap", "other", "--from-literal=level=high")
    kubectl("patch", "configmap", "settings", "-p", '{"data": {"level": "high", "more": "1"}}')
    eventually(
        lambda: kubectl.sh("deploy/web", "cat /settings/level") == "high",
        within_s=20,
        what="the new value in the file",
    )
    assert (
        kubectl.sh("deploy/web", "cat /fixed; echo $level; ls /settings") == "lowlow\nlevel\nmore\n"
    )
    assert kubectl.sh("deploy/web", "readlink /settings/level") == "..data/level\n"
    restarts = "jsonpath={.items[*].status.containerStatuses[0].restartCount}"
    assert kubectl("get", "pods", "-o", restarts) == "0 0"


@pytest.mark.parametrize("way", [[], ["--server-side"]], ids=["client", "server"])
def test_a_volume_may_get_another_source(kubectl, way) -> None:
    web = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: c
        image: {NGINX}
        volumeMounts: [{{name: v, mountPath: /v}}, {{name: w, mountPath: /w}}]
      volumes:
      - name: v
        emptyDir: {{}}
      - name: w
        hostPath: {{path: /srv}}
"""
    kubectl("apply", *way, "-f", "-", given=web)
    changed = web.replace("emptyDir: {}", "configMap: {name: settings}").replace("/v}", "/x}")
    kubectl("apply", *way, "-f", "-", given=changed)
    spec = json.loads(kubectl("get", "deployment", "web", "-o", "json"))["spec"]["template"]["spec"]
    assert spec["volumes"] == [
        {"name": "v", "configMap": {"name": "settings", "defaultMode": 0o644}},
        {"name": "w", "hostPath": {"path": "/srv", "type": ""}},
    ]
    at = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
    assert sorted(at) == ["/w", "/x"]


def test_what_is_not_done_is_refused_by_name(kubectl) -> None:
    pod = f"""
apiVersion: v1
kind: Pod
metadata: {{name: elsewhere}}
spec:
  containers: [{{name: c, image: {NGINX}}}]
  volumes: [{{name: v, nfs: {{server: s, path: /p}}}}]
"""
    said = kubectl.fails("apply", "-f", "-", given=pod)
    assert "spec.volumes[0].nfs: Forbidden: not supported by Longshore" in said
    nowhere = pod.replace("nfs: {server: s, path: /p}", "emptyDir: {}").replace(
        "image: ", "volumeMounts: [{name: other, mountPath: /v}], image: "
    )
    said = kubectl.fails("apply", "-f", "-", given=nowhere)
    assert 'spec.containers[0].volumeMounts[0].name: Not found: "other"' in said
