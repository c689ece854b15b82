"""Volumes, mounts and sources of variables: defaults, and what may not be said."""

import pytest

from proto import codec
from proto.kinds.pod import PodSpec, default_spec, validate_spec


def spec(volumes: list[dict], container: dict | None = None, **fields: object) -> PodSpec:
    body = {"name": "c", "image": "web:1", **(container or {})}
    plain = {"containers": [body], "volumes": volumes, **fields}
    return default_spec(codec.from_plain(plain, PodSpec))


def errors(volumes: list[dict], container: dict | None = None) -> dict[str, str]:
    """Field to message."""
    return {e.field: e.message for e in validate_spec("spec", spec(volumes, container))}


def volume(**source: object) -> list[dict]:
    return [{"name": "v", **source}]


def projected(*sources: dict) -> list[dict]:
    return volume(projected={"sources": list(sources)})


WANTED = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def test_volumes_get_the_defaults_of_kubernetes():
    found = spec(
        [
            {"name": "a"},
            {"name": "b", "hostPath": {"path": "/srv"}},
            {"name": "c", "configMap": {"name": "x"}},
            {"name": "d", "secret": {"secretName": "x", "defaultMode": 0}},
            {"name": "e", "downwardAPI": {}},
            {"name": "f", "projected": {"sources": []}},
            {"name": "g", "emptyDir": {"medium": "Memory", "sizeLimit": 1048576}},
            {"name": "h", "persistentVolumeClaim": {"claimName": "x"}},
            {"name": "i", "ephemeral": {"volumeClaimTemplate": {"spec": WANTED}}},
        ]
    )
    assert codec.decode_any(codec.encode(found))["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "hostPath": {"path": "/srv", "type": ""}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 420}},
        {"name": "d", "secret": {"secretName": "x", "defaultMode": 0}},
        {"name": "e", "downwardAPI": {"defaultMode": 420}},
        {"name": "f", "projected": {"defaultMode": 420}},
        {"name": "g", "emptyDir": {"medium": "Memory", "sizeLimit": "1048576"}},
        {"name": "h", "persistentVolumeClaim": {"claimName": "x"}},
        {
            "name": "i",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {**WANTED, "volumeMode": "Filesystem"},
                }
            },
        },
    ]
    assert default_spec(found) == found


ITEM = {"key": "k", "path": "p"}


@pytest.mark.parametrize(
    ("volumes", "field", "says"),
    [
        (
            volume(persistentVolumeClaim={"claimName": ""}),
            "spec.volumes[0].persistentVolumeClaim.claimName",
            "Required value",
        ),
        (
            volume(ephemeral={}),
            "spec.volumes[0].ephemeral.volumeClaimTemplate",
            "Required value",
        ),
        (
            volume(ephemeral={"volumeClaimTemplate": {"spec": {**WANTED, "accessModes": []}}}),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes",
            "at least 1 access mode is required",
        ),
        ([{"name": "A"}], "spec.volumes[0].name", "RFC 1123 label"),
        ([{"name": "v"}, {"name": "v"}], "spec.volumes[1].name", 'Duplicate value: "v"'),
        (
            volume(emptyDir={}, hostPath={"path": "/a"}),
            "spec.volumes[0].hostPath",
            "may not specify more than 1 volume type",
        ),
        (volume(emptyDir={"medium": "Gold"}), "spec.volumes[0].emptyDir.medium", "Unsupported"),
        (volume(emptyDir={"sizeLimit": "x"}), "spec.volumes[0].emptyDir.sizeLimit", "quantities"),
        (volume(hostPath={"path": "a"}), "spec.volumes[0].hostPath.path", "absolute path"),
        (volume(hostPath={"path": "/a/../b"}), "spec.volumes[0].hostPath.path", "'..'"),
        (
            volume(hostPath={"path": "/a", "type": "BlockDevice"}),
            "spec.volumes[0].hostPath.type",
            "Unsupported",
        ),
        (volume(configMap={}), "spec.volumes[0].configMap.name", "Required"),
        (volume(secret={}), "spec.volumes[0].secret.secretName", "Required"),
        (
            volume(secret={"secretName": "s", "defaultMode": 512}),
            "spec.volumes[0].secret.defaultMode",
            "0777",
        ),
        (
            volume(configMap={"name": "s", "items": [{"key": "k", "path": "../p"}]}),
            "spec.volumes[0].configMap.items[0].path",
            "must not contain '..'",
        ),
        (
            volume(configMap={"name": "s", "items": [{"key": "k", "path": "..p"}]}),
            "spec.volumes[0].configMap.items[0].path",
            "must not start with '..'",
        ),
        (
            volume(configMap={"name": "s", "items": [{"key": "k", "path": "/p"}]}),
            "spec.volumes[0].configMap.items[0].path",
            "must be a relative path",
        ),
        (
            volume(configMap={"name": "s", "items": [ITEM | {"mode": -1}]}),
            "spec.volumes[0].configMap.items[0].mode",
            "0777",
        ),
        (
            volume(configMap={"name": "s", "items": [ITEM, ITEM]}),
            "spec.volumes[0].configMap",
            "conflicting duplicate paths",
        ),
        (projected(), "spec.volumes[0].projected.sources", "at least one source"),
        (projected({}), "spec.volumes[0].projected.sources[0]", "at least 1 volume type"),
        (
            projected({"configMap": {"name": "a"}, "secret": {"name": "b"}}),
            "spec.volumes[0].projected.sources[0].secret",
            "more than 1 volume type per source",
        ),
        (projected({"secret": {}}), "spec.volumes[0].projected.sources[0].secret.name", "Required"),
        (
            projected(
                {"configMap": {"name": "a", "items": [ITEM]}},
                {"secret": {"name": "b", "items": [ITEM]}},
            ),
            "spec.volumes[0].projected",
            "conflicting duplicate paths",
        ),
        (
            volume(downwardAPI={"items": [{"path": "p"}]}),
            "spec.volumes[0].downwardAPI.items[0]",
            "one of fieldRef and resourceFieldRef",
        ),
        (
            volume(
                downwardAPI={"items": [{"path": "p", "fieldRef": {"fieldPath": "status.podIP"}}]}
            ),
            "spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath",
            "Unsupported",
        ),
        (
            volume(
                downwardAPI={
                    "items": [{"path": "p", "resourceFieldRef": {"resource": "limits.cpu"}}]
                }
            ),
            "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.containerName",
            "Required",
        ),
        (
            volume(
                downwardAPI={
                    "items": [
                        {
                            "path": "p",
                            "resourceFieldRef": {"resource": "limits.cpu", "containerName": "x"},
                        }
                    ]
                }
            ),
            "spec.volumes[0]",
            'Not found: "x"',
        ),
    ],
)
def test_what_may_not_be_said_of_a_volume(volumes: list[dict], field: str, says: str):
    found = errors(volumes)
    assert list(found) == [field]
    assert says in found[field]


ROOM = [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]
AT = "spec.containers[0].volumeMounts"


@pytest.mark.parametrize(
    ("mounts", "field", "says"),
    [
        ([{"name": "x", "mountPath": "/a"}], f"{AT}[0].name", 'Not found: "x"'),
        ([{"name": "v", "mountPath": ""}], f"{AT}[0].mountPath", "Required"),
        (
            [{"name": "v", "mountPath": "/a"}, {"name": "m", "mountPath": "/a"}],
            f"{AT}[1].mountPath",
            "must be unique",
        ),
        ([{"name": "v", "mountPath": "/a", "subPath": "/b"}], f"{AT}[0].subPath", "relative path"),
        ([{"name": "v", "mountPath": "/a", "subPath": "b/.."}], f"{AT}[0].subPath", "'..'"),
        (
            [{"name": "v", "mountPath": "/a", "subPath": "b", "subPathExpr": "c"}],
            f"{AT}[0].subPathExpr",
            "mutually exclusive",
        ),
        (
            [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}],
            f"{AT}[0].mountPropagation",
            "does not propagate mounts",
        ),
    ],
)
def test_what_may_not_be_said_of_a_mount(mounts: list[dict], field: str, says: str):
    found = errors(ROOM, {"volumeMounts": mounts})
    assert list(found) == [field]
    assert says in found[field]


KEY = {"name": "a", "key": "k"}
ENV = "spec.containers[0].env[0].valueFrom"


@pytest.mark.parametrize(
    ("container", "field", "says"),
    [
        ({"env": [{"name": "A", "valueFrom": {}}]}, ENV, "must specify one of"),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": KEY, "secretKeyRef": KEY}}]},
            ENV,
            "more than one field",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}]},
            f"{ENV}.secretKeyRef.name",
            "Required",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "a b"}}}]},
            f"{ENV}.configMapKeyRef.key",
            "valid config key",
        ),
        (
            {
                "env": [
                    {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gold"}}}
                ]
            },
            f"{ENV}.resourceFieldRef.resource",
            "Unsupported",
        ),
        (
            {
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {
                            "resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}
                        },
                    }
                ]
            },
            f"{ENV}.resourceFieldRef.divisor",
            "only divisor's values 1m, 1 are supported",
        ),
        ({"envFrom": [{}]}, "spec.containers[0].envFrom[0]", "must specify one of"),
        (
            {"envFrom": [{"configMapRef": {}}]},
            "spec.containers[0].envFrom[0].configMapRef.name",
            "Required",
        ),
        (
            {"envFrom": [{"prefix": "1", "secretRef": {"name": "a"}}]},
            "spec.containers[0].envFrom[0].prefix",
            "must not start with a digit",
        ),
    ],
)
def test_what_may_not_be_said_of_variables(container: dict, field: str, says: str):
    found = errors([], container)
    assert list(found) == [field]
    assert says in found[field]
