"""What the clients of all tests create, as plain JSON."""

from typing import Any

Object = dict[str, Any]

# It ends at once when it is told to: nothing here waits for a grace period.
SERVE = (
    "trap 'exit 0' TERM; mkdir -p /www; echo hello > /www/index.html; httpd -f -p 8080 -h /www & "
    "until wget -q -O /dev/null http://127.0.0.1:8080/ 2>/dev/null; do sleep 0.05; done; "
    "echo serving; wait"
)
COUNT = (
    "trap 'exit 0' TERM; i=0; while true; do i=$((i + 1)); echo line $i; sleep 0.2 & wait $!; done"
)


def pod(name: str, image: str, script: str = SERVE, **labels: str) -> Object:
    """A pod with one container, ``c``, that a shell runs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": image, "command": ["sh", "-c", script]}],
        },
    }


def deployment(name: str, image: str, replicas: int = 1) -> Object:
    """Pods labelled ``app: <name>``."""
    template = pod("", image, app=name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    """Some text."""
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def definition(plural: str, kind: str, group: str = "boats.example.com") -> Object:
    """A namespaced kind with a status, a scale, columns, a default and a list that is a map."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 9},
                    "image": {"type": "string"},
                    "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                    "port": {"x-kubernetes-int-or-string": True},
                    "note": {"type": "string", "nullable": True},
                    "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "holds": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "cargo": {"type": "string"},
                            },
                        },
                    },
                },
            },
            "status": {
                "type": "object",
                "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}},
            },
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.size",
                            "statusReplicasPath": ".status.replicas",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                }
            ],
        },
    }
