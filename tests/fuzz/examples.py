"""A valid object of each kind that takes one: what wild requests are about, and grow from."""

from collections.abc import Iterator
from typing import Any

import yaml

Manifest = dict[str, Any]

NAME = "web"
NAMESPACE = "default"

_MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {team: a}}
---
apiVersion: v1
kind: Node
metadata: {name: web, labels: {zone: a}}
spec: {unschedulable: true, taints: [{key: k, value: v, effect: NoSchedule}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
  annotations: {note: text}
  finalizers: [example.com/keep]
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  nodeSelector: {zone: a}
  tolerations: [{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]
  containers:
    - name: main
      image: "web:1"
      command: [sh, -c]
      args: [sleep 1]
      workingDir: /tmp
      env:
        - {name: A, value: "1"}
        - {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      ports: [{name: http, containerPort: 80, hostPort: 8080, protocol: TCP}]
      resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: "1", memory: 128Mi}}
    - {name: side, image: "side:1"}
---
apiVersion: v1
kind: Event
metadata: {name: web}
involvedObject: {kind: Pod, name: web, namespace: default}
reason: Started
message: text
type: Normal
count: 1
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  minReadySeconds: 1
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 60
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
  selector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [a]}]}
  template:
    metadata: {labels: {app: web, tier: a}}
    spec: {containers: [{name: main, image: "web:1", ports: [{containerPort: 80}]}]}
"""

_CLUSTER_SCOPED = frozenset({"Namespace", "Node"})


def objects() -> Iterator[tuple[str, Manifest]]:
    """Collections, as paths, and what is in them."""
    for manifest in yaml.safe_load_all(_MANIFESTS):
        version, kind = manifest["apiVersion"], manifest["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        inside = base if kind in _CLUSTER_SCOPED else f"{base}/namespaces/{NAMESPACE}"
        yield f"{inside}/{kind.lower()}s", manifest
