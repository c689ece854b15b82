"""The everyday kinds through the API: what a small manifest becomes, and what is refused."""

import base64
import re
from typing import Any

import pytest

from tests.unit.api.server import running

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
POD = {"containers": [{"name": "c", "image": "busybox"}]}
JOB = {"template": {"spec": POD | {"restartPolicy": "Never"}}}
INDEXED = JOB | {"completionMode": "Indexed", "completions": 3}
CODES = {"operator": "In", "values": [1]}


def failing(**rule: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [rule]}}


WORKLOAD = {
    "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
}
VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
    "storageClassName": "fast",
    "hostPath": {"path": "/p"},
}
_BARE = {name: value for name, value in VOLUME.items() if name != "hostPath"}
LOCAL = _BARE | {"local": {"path": "/p"}}
DOCKER = _BARE | {"csi": {"driver": "longshore.dev/docker-volume", "volumeHandle": "v"}}
REQUIRED = "spec.nodeAffinity.required.nodeSelectorTerms"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
SIGNING = {
    "request": base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n").decode(),
    "signerName": "example.com/signer",
    "usages": ["client auth"],
}
RBAC = "apis/rbac.authorization.k8s.io/v1"
IN_DEFAULT = "namespaces/default"

MANIFESTS: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "ConfigMap": (f"api/v1/{IN_DEFAULT}/configmaps", {"data": {"a": "b"}}, ["x", 1]),
    "Secret": (f"api/v1/{IN_DEFAULT}/secrets", {"stringData": {"a": "b"}}, ["x", "Opaque", 1]),
    "ServiceAccount": (f"api/v1/{IN_DEFAULT}/serviceaccounts", {}, ["x", 0]),
    "Service": (
        f"api/v1/{IN_DEFAULT}/services",
        {"spec": {"ports": [{"port": 80}]}},
        ["x", "ClusterIP", "<none>", "<none>", "80/TCP"],
    ),
    "ResourceQuota": (
        f"api/v1/{IN_DEFAULT}/resourcequotas",
        {"spec": {"hard": {"cpu": "1", "limits.cpu": "2"}}},
        ["x", "cpu: 0/1", "limits.cpu: 0/2"],
    ),
    "LimitRange": (
        f"api/v1/{IN_DEFAULT}/limitranges",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
        ["x"],
    ),
    "Job": (f"apis/batch/v1/{IN_DEFAULT}/jobs", {"spec": JOB}, ["x", "Running", "0/1", ""]),
    "CronJob": (
        f"apis/batch/v1/{IN_DEFAULT}/cronjobs",
        {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": JOB}}},
        ["x", "*/5 * * * *", "<none>", "False", 0, "<none>"],
    ),
    "PodDisruptionBudget": (
        f"apis/policy/v1/{IN_DEFAULT}/poddisruptionbudgets",
        {"spec": {"minAvailable": "50%"}},
        ["x", "50%", "N/A", 0],
    ),
    "PriorityClass": (
        "apis/scheduling.k8s.io/v1/priorityclasses",
        {"value": 7},
        ["x", 7, "false"],
    ),
    "Role": (
        f"{RBAC}/{IN_DEFAULT}/roles",
        {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
        ["x"],
    ),
    "ClusterRole": (
        f"{RBAC}/clusterroles",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/logs"]}]},
        ["x"],
    ),
    "RoleBinding": (
        f"{RBAC}/{IN_DEFAULT}/rolebindings",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
        ["x", "Role/r"],
    ),
    "ClusterRoleBinding": (
        f"{RBAC}/clusterrolebindings",
        {"roleRef": {"kind": "ClusterRole", "name": "r"}},
        ["x", "ClusterRole/r"],
    ),
    "Ingress": (
        f"apis/networking.k8s.io/v1/{IN_DEFAULT}/ingresses",
        {"spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 1}}}}},
        ["x", "<none>", "*", "", "80"],
    ),
    "ReplicationController": (
        f"api/v1/{IN_DEFAULT}/replicationcontrollers",
        {"spec": {"template": WORKLOAD["template"]}},
        ["x", 1, 0, 0],
    ),
    "StatefulSet": (
        f"apis/apps/v1/{IN_DEFAULT}/statefulsets",
        {"spec": WORKLOAD},
        ["x", "0/1"],
    ),
    "DaemonSet": (
        f"apis/apps/v1/{IN_DEFAULT}/daemonsets",
        {"spec": WORKLOAD},
        ["x", 0, 0, 0, 0, 0, "<none>"],
    ),
    "ControllerRevision": (
        f"apis/apps/v1/{IN_DEFAULT}/controllerrevisions",
        {"data": {"spec": {}}, "revision": 3},
        ["x", "<none>", 3],
    ),
    "PersistentVolume": (
        "api/v1/persistentvolumes",
        {"spec": VOLUME},
        ["x", "1Gi", "RWO,ROX", "Retain", "Pending", "", "fast", "<unset>", ""],
    ),
    "PersistentVolumeClaim": (
        f"api/v1/{IN_DEFAULT}/persistentvolumeclaims",
        {"spec": CLAIM},
        ["x", "Pending", "", "", "", "", "<unset>"],
    ),
    "StorageClass": (
        "apis/storage.k8s.io/v1/storageclasses",
        {"provisioner": "example.com/disk"},
        ["x", "example.com/disk", "Delete", "Immediate", "false"],
    ),
    "Endpoints": (
        f"api/v1/{IN_DEFAULT}/endpoints",
        {
            "subsets": [
                {"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 1}]}
            ]
        },
        ["x", "10.0.0.0:1,10.0.0.1:1,10.0.0.2:1 + 2 more..."],
    ),
    "EndpointSlice": (
        f"apis/discovery.k8s.io/v1/{IN_DEFAULT}/endpointslices",
        {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"port": 80}],
        },
        ["x", "IPv4", "80", "10.0.0.1"],
    ),
    "NetworkPolicy": (
        f"apis/networking.k8s.io/v1/{IN_DEFAULT}/networkpolicies",
        {
            "spec": {
                "podSelector": {"matchLabels": {"a": "b"}},
                "egress": [{"ports": [{"port": 53}]}],
            }
        },
        ["x", "a=b"],
    ),
    "IngressClass": (
        "apis/networking.k8s.io/v1/ingressclasses",
        {"spec": {"controller": "example.com/x", "parameters": {"kind": "P", "name": "p"}}},
        ["x", "example.com/x", "P/p"],
    ),
    "HorizontalPodAutoscaler": (
        f"apis/autoscaling/v2/{IN_DEFAULT}/horizontalpodautoscalers",
        {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}},
        ["x", "Deployment/web", "cpu: <unknown>/80%", "1", 3, 0],
    ),
    "CertificateSigningRequest": (
        "apis/certificates.k8s.io/v1/certificatesigningrequests",
        {"spec": SIGNING},
        ["x"],
    ),
    "Lease": (
        f"apis/coordination.k8s.io/v1/{IN_DEFAULT}/leases",
        {"spec": {"holderIdentity": "me"}},
        ["x", "me"],
    ),
}


def manifest(kind: str, body: dict[str, Any], name: str = "x") -> dict[str, Any]:
    path = MANIFESTS[kind][0].split("/")
    version = path[1] if path[0] == "api" else "/".join(path[1:3])
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}} | body


@pytest.mark.parametrize("kind", MANIFESTS)
async def test_a_small_manifest_is_stored_shown_changed_and_deleted(kind: str):
    path, body, cells = MANIFESTS[kind]
    async with running() as api:
        status, made = await api.ask("POST", f"/{path}", manifest(kind, body))
        assert status == 201, made
        status, table = await api.ask("GET", f"/{path}", headers=TABLE)
        assert table["rows"][0]["cells"][: len(cells)] == cells
        assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
        made["metadata"]["labels"] = {"a": "b"}
        status, written = await api.ask("PUT", f"/{path}/x", made)
        assert (status, written["metadata"]["labels"]) == (200, {"a": "b"})
        assert written.get("spec") == made.get("spec")
        status, _ = await api.ask("DELETE", f"/{path}/x")
        assert status == 200


ACTED_ON = (
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "DaemonSet",
    "HorizontalPodAutoscaler",
    "Job",
    "Lease",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "PriorityClass",
    "ReplicationController",
    "ResourceQuota",
    "Secret",
    "StatefulSet",
    "StorageClass",
)


@pytest.mark.parametrize("kind", [kind for kind in MANIFESTS if kind not in ACTED_ON])
async def test_who_writes_what_nothing_acts_on_is_told_so(kind: str):
    path, body, _ = MANIFESTS[kind]
    async with running() as api:
        async with api.http.post(f"{api.url}/{path}", json=manifest(kind, body)) as response:
            assert re.search("are stored.*, but", response.headers["Warning"])
        patch = {"metadata": {"labels": {"a": "b"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        async with api.http.patch(f"{api.url}/{path}/x", json=patch, headers=headers) as response:
            assert re.search("are stored.*, but", response.headers["Warning"])
        async with api.http.delete(f"{api.url}/{path}/x") as response:
            assert "Warning" not in response.headers


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("ConfigMap", {"data": {"a b": "x"}}, "data[a b]"),
        ("ConfigMap", {"data": {"a": "x"}, "binaryData": {"a": "eA=="}}, "data[a]"),
        ("ConfigMap", {"binaryData": {"a": "%"}}, "binaryData[a]"),
        ("Secret", {"data": {"a": "no base64"}}, "data[a]"),
        ("Secret", {"type": "kubernetes.io/tls"}, "data[tls.crt]"),
        ("Service", {}, "spec.ports"),
        ("Service", {"spec": {"type": "Odd", "ports": [{"port": 1}]}}, "spec.type"),
        ("Service", {"spec": {"ports": [{"port": 0}]}}, "spec.ports[0].port"),
        ("Service", {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, "spec.ports[0].name"),
        ("Service", {"spec": {"type": "ExternalName"}}, "spec.externalName"),
        (
            "Service",
            {"spec": {"ports": [{"port": 1, "nodePort": 30000}]}},
            "spec.ports[0].nodePort",
        ),
        ("Job", {"spec": {"template": {"spec": POD}}}, "spec.template.spec.restartPolicy"),
        ("Job", {"spec": JOB | {"parallelism": -1}}, "spec.parallelism"),
        ("Job", {"spec": JOB | {"completionMode": "Odd"}}, "spec.completionMode"),
        (
            "Job",
            {"spec": JOB | {"completionMode": "Indexed", "parallelism": 2}},
            "spec.completions",
        ),
        ("Job", {"spec": JOB | {"backoffLimitPerIndex": 1}}, "spec.backoffLimitPerIndex"),
        ("Job", {"spec": INDEXED | {"maxFailedIndexes": 1}}, "spec.backoffLimitPerIndex"),
        ("Job", {"spec": JOB | {"selector": {"matchLabels": {"a": "b"}}}}, "spec.selector"),
        ("Job", {"spec": JOB | {"manualSelector": True}}, "spec.selector"),
        ("Job", {"spec": JOB | {"successPolicy": {"rules": []}}}, "spec.successPolicy"),
        (
            "Job",
            {"spec": INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "1-7"}]}}},
            "spec.successPolicy.rules[0].succeededIndexes",
        ),
        (
            "Job",
            {"spec": JOB | {"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}},
            "spec.podFailurePolicy.rules[0]",
        ),
        (
            "Job",
            {"spec": JOB | failing(action="FailIndex", onExitCodes=CODES)},
            "spec.podFailurePolicy.rules[0].action",
        ),
        (
            "Job",
            {"spec": JOB | failing(action="Ignore", onExitCodes=CODES | {"values": [0]})},
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]",
        ),
        (
            "Job",
            {"spec": JOB | failing(action="Count", onPodConditions=[{"type": "a b"}])},
            "spec.podFailurePolicy.rules[0].onPodConditions[0].type",
        ),
        (
            "Job",
            {
                "spec": JOB
                | failing(action="Count", onExitCodes=CODES)
                | {"podReplacementPolicy": "TerminatingOrFailed"}
            },
            "spec.podReplacementPolicy",
        ),
        ("CronJob", {"spec": {"jobTemplate": {"spec": JOB}}}, "spec.schedule"),
        (
            "CronJob",
            {"spec": {"schedule": "@daily", "timeZone": "Mars", "jobTemplate": {"spec": JOB}}},
            "spec.timeZone",
        ),
        (
            "CronJob",
            {"spec": {"schedule": "now and then", "jobTemplate": {"spec": JOB}}},
            "spec.schedule",
        ),
        ("PodDisruptionBudget", {"spec": {"minAvailable": "half"}}, "spec.minAvailable"),
        ("PodDisruptionBudget", {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, "spec"),
        ("ResourceQuota", {"spec": {"hard": {"cpu": "much"}}}, "spec.hard.cpu"),
        ("LimitRange", {"spec": {"limits": [{}]}}, "spec.limits[0].type"),
        ("PriorityClass", {"value": 2_000_000_000}, "value"),
        ("Role", {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs"),
        ("Role", {"rules": [{"verbs": ["get"], "apiGroups": [""]}]}, "rules[0].resources"),
        ("RoleBinding", {"roleRef": {"kind": "Odd", "name": "r"}}, "roleRef.kind"),
        ("ClusterRoleBinding", {"roleRef": {"kind": "Role", "name": "r"}}, "roleRef.kind"),
        ("Ingress", {}, "spec"),
        ("Ingress", {"spec": {"defaultBackend": {}}}, "spec.defaultBackend"),
        (
            "Ingress",
            {"spec": {"rules": [{"http": {"paths": [{"path": "/"}]}}]}},
            "spec.rules[0].http.paths[0].pathType",
        ),
        ("Lease", {"spec": {"leaseDurationSeconds": 0}}, "spec.leaseDurationSeconds"),
        ("ReplicationController", {}, "spec.selector"),
        ("StatefulSet", {}, "spec.selector"),
        (
            "StatefulSet",
            {"spec": WORKLOAD | {"podManagementPolicy": "Odd"}},
            "spec.podManagementPolicy",
        ),
        (
            "StatefulSet",
            {"spec": WORKLOAD | {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}}},
            "spec.updateStrategy.rollingUpdate",
        ),
        (
            "StatefulSet",
            {"spec": WORKLOAD | {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Odd"}}},
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
        ),
        (
            "StatefulSet",
            {"spec": WORKLOAD | {"template": {"spec": POD | {"resourceClaims": [{"name": "a"}]}}}},
            "spec.template.spec.resourceClaims",
        ),
        (
            "DaemonSet",
            {"spec": WORKLOAD | {"template": {"spec": POD | {"runtimeClassName": "fast"}}}},
            "spec.template.spec.runtimeClassName",
        ),
        (
            "DaemonSet",
            {"spec": WORKLOAD | {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}},
            "spec.updateStrategy.rollingUpdate.maxSurge",
        ),
        (
            "DaemonSet",
            {"spec": WORKLOAD | {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}},
            "spec.updateStrategy.rollingUpdate.maxUnavailable",
        ),
        (
            "DaemonSet",
            {"spec": WORKLOAD | {"template": {"spec": POD | {"restartPolicy": "Never"}}}},
            "spec.template.spec.restartPolicy",
        ),
        ("ControllerRevision", {"revision": -1, "data": {"a": 1}}, "revision"),
        ("ControllerRevision", {"revision": 1}, "data"),
        ("PersistentVolume", {"spec": VOLUME | {"hostPath": None}}, "spec"),
        ("PersistentVolume", {"spec": VOLUME | {"local": {"path": "/p"}}}, "spec"),
        ("PersistentVolume", {"spec": VOLUME | {"hostPath": {"path": "p"}}}, "spec.hostPath.path"),
        ("PersistentVolume", {"spec": LOCAL}, "spec.nodeAffinity"),
        ("PersistentVolume", {"spec": LOCAL | {"nodeAffinity": {"required": {}}}}, REQUIRED),
        ("PersistentVolume", {"spec": LOCAL | {"local": {"path": "/a/../b"}}}, "spec.local.path"),
        ("PersistentVolume", {"spec": DOCKER | {"csi": {"driver": "ebs"}}}, "spec.csi.driver"),
        ("PersistentVolume", {"spec": DOCKER | {"csi": {}}}, "spec.csi.volumeHandle"),
        ("PersistentVolume", {"spec": VOLUME | {"nfs": {"server": "s"}}}, "spec.nfs"),
        ("PersistentVolume", {"spec": VOLUME | {"volumeMode": "Block"}}, "spec.volumeMode"),
        ("PersistentVolume", {"spec": VOLUME | {"capacity": {}}}, "spec.capacity"),
        ("PersistentVolume", {"spec": VOLUME | {"accessModes": ["Odd"]}}, "spec.accessModes[0]"),
        ("PersistentVolumeClaim", {"spec": CLAIM | {"accessModes": []}}, "spec.accessModes"),
        ("PersistentVolumeClaim", {"spec": CLAIM | {"resources": {}}}, "spec.resources[storage]"),
        ("PersistentVolumeClaim", {"spec": CLAIM | {"volumeMode": "Odd"}}, "spec.volumeMode"),
        (
            "PersistentVolumeClaim",
            {"spec": CLAIM | {"dataSource": {"kind": "a", "name": "b"}}},
            "spec.dataSource",
        ),
        ("StorageClass", {}, "provisioner"),
        ("StorageClass", {"provisioner": "a", "reclaimPolicy": "Recycle"}, "reclaimPolicy"),
        ("Endpoints", {"subsets": [{"ports": [{"port": 1}]}]}, "subsets[0]"),
        ("Endpoints", {"subsets": [{"addresses": [{"ip": "x"}]}]}, "subsets[0].addresses[0].ip"),
        ("EndpointSlice", {}, "addressType"),
        (
            "EndpointSlice",
            {"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}]},
            "endpoints[0].addresses[0]",
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            "endpoints",
        ),
        ("NetworkPolicy", {"spec": {"ingress": [{"from": [{}]}]}}, "spec.ingress[0].from[0]"),
        (
            "NetworkPolicy",
            {
                "spec": {
                    "egress": [
                        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}
                    ]
                }
            },
            "spec.egress[0].to[0].ipBlock.except[0]",
        ),
        (
            "NetworkPolicy",
            {"spec": {"ingress": [{"ports": [{"port": 9, "endPort": 8}]}]}},
            "spec.ingress[0].ports[0].endPort",
        ),
        ("NetworkPolicy", {"spec": {"policyTypes": ["Odd"]}}, "spec.policyTypes[0]"),
        ("IngressClass", {"spec": {"controller": "x"}}, "spec.controller"),
        ("HorizontalPodAutoscaler", {"spec": {"scaleTargetRef": TARGET}}, "spec.maxReplicas"),
        ("HorizontalPodAutoscaler", {"spec": {"maxReplicas": 1}}, "spec.scaleTargetRef.kind"),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 1, "minReplicas": 2}},
            "spec.maxReplicas",
        ),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 1, "metrics": [{"type": "Pods"}]}},
            "spec.metrics[0].pods",
        ),
        (
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": TARGET,
                    "maxReplicas": 1,
                    "behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601}},
                }
            },
            "spec.behavior.scaleUp.stabilizationWindowSeconds",
        ),
        (
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": TARGET,
                    "maxReplicas": 1,
                    "behavior": {"scaleDown": {"tolerance": "-0.1"}},
                }
            },
            "spec.behavior.scaleDown.tolerance",
        ),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 1, "minReplicas": 0}},
            "spec.metrics",
        ),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 1, "minReplicas": -1}},
            "spec.minReplicas",
        ),
        ("CertificateSigningRequest", {"spec": SIGNING | {"request": "eA=="}}, "spec.request"),
        ("CertificateSigningRequest", {"spec": SIGNING | {"usages": ["odd"]}}, "spec.usages[0]"),
        ("CertificateSigningRequest", {"spec": SIGNING | {"signerName": "x"}}, "spec.signerName"),
        (
            "CertificateSigningRequest",
            {"spec": SIGNING | {"expirationSeconds": 1}},
            "spec.expirationSeconds",
        ),
    ],
)
async def test_a_wrong_field_is_named(kind: str, body: dict[str, Any], field: str):
    async with running() as api:
        status, said = await api.ask("POST", f"/{MANIFESTS[kind][0]}", manifest(kind, body))
    assert (status, said["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in said["details"]["causes"]]


@pytest.mark.parametrize(
    ("kind", "before", "after", "field"),
    [
        ("ConfigMap", {"immutable": True}, {"immutable": True, "data": {"a": "b"}}, "data"),
        ("ConfigMap", {"immutable": True}, {"binaryData": {"a": "eA=="}}, "binaryData"),
        ("Secret", {"immutable": True}, {}, "immutable"),
        ("Secret", {}, {"type": "other"}, "type"),
        ("PriorityClass", {"value": 1}, {"value": 2}, "value"),
        ("Job", {"spec": JOB}, {"spec": JOB | {"completions": 2}}, "spec.completions"),
        (
            "Service",
            {"spec": {"clusterIP": "None"}},
            {"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 1}]}},
            "spec.clusterIPs[0]",
        ),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Role", "name": "r"}},
            {"roleRef": {"kind": "Role", "name": "s"}},
            "roleRef",
        ),
        ("StatefulSet", {"spec": WORKLOAD}, {"spec": WORKLOAD | {"serviceName": "s"}}, "spec"),
        (
            "DaemonSet",
            {"spec": WORKLOAD},
            {
                "spec": WORKLOAD
                | {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
            },
            "spec.selector",
        ),
        ("ControllerRevision", {"data": {"a": 1}}, {"data": {"a": 2}}, "data"),
        (
            "PersistentVolume",
            {"spec": VOLUME},
            {"spec": VOLUME | {"hostPath": {"path": "/q"}}},
            "spec.persistentvolumesource",
        ),
        (
            "PersistentVolumeClaim",
            {"spec": CLAIM | {"storageClassName": "r"}},
            {"spec": CLAIM | {"storageClassName": "s"}},
            "spec",
        ),
        (
            "PersistentVolumeClaim",
            {"spec": CLAIM},
            {"spec": CLAIM | {"resources": {"requests": {"storage": "2Gi"}}}},
            "spec",
        ),
        ("StorageClass", {"provisioner": "a"}, {"provisioner": "b"}, "provisioner"),
        ("EndpointSlice", {"addressType": "IPv4"}, {"addressType": "IPv6"}, "addressType"),
        (
            "IngressClass",
            {"spec": {"controller": "a.b/c"}},
            {"spec": {"controller": "a.b/d"}},
            "spec.controller",
        ),
        (
            "CertificateSigningRequest",
            {"spec": SIGNING},
            {"spec": SIGNING | {"signerName": "a.b/c"}},
            "spec",
        ),
    ],
)
async def test_what_may_not_change_does_not(
    kind: str, before: dict[str, Any], after: dict[str, Any], field: str
):
    path = MANIFESTS[kind][0]
    async with running() as api:
        status, made = await api.ask("POST", f"/{path}", manifest(kind, before))
        assert status == 201, made
        status, said = await api.ask("PUT", f"/{path}/x", manifest(kind, after))
    assert status == 422, said
    assert field in [cause["field"] for cause in said["details"]["causes"]]


async def test_a_jobs_pods_are_found_by_its_uid():
    async with running() as api:
        _, made = await api.ask("POST", f"/{MANIFESTS['Job'][0]}", manifest("Job", {"spec": JOB}))
    label, uid = "batch.kubernetes.io/controller-uid", made["metadata"]["uid"]
    assert made["spec"]["selector"]["matchLabels"] == {label: uid}
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels[label], labels["job-name"]) == (uid, "x")
    assert (made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (1, 6)


async def test_names_are_checked_as_each_kind_wants_them():
    async with running() as api:
        path, body, _ = MANIFESTS["ClusterRole"]
        status, _ = await api.ask("POST", f"/{path}", manifest("ClusterRole", body, "system:a"))
        assert status == 201
        path, body, _ = MANIFESTS["Service"]
        status, _ = await api.ask("POST", f"/{path}", manifest("Service", body, "1a"))
        assert status == 422
        path, body, _ = MANIFESTS["CronJob"]
        status, _ = await api.ask("POST", f"/{path}", manifest("CronJob", body, "a" * 53))
        assert status == 422
