"""The downward API: what a container can be told of its pod and of itself.

Source of the words and numbers: Kubernetes, pkg/fieldpath and pkg/api/v1/resource.
"""

import json
import math
import re
from collections.abc import Mapping

from msgspec import Struct

from proto import quantity
from proto.kinds.container import Container
from proto.kinds.source import ResourceFieldSelector, divisor
from proto.messages import AssignedPod

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


class Room(Struct, frozen=True):
    """What a node has: the limit of a container without one."""

    cpu_milli: int = 0
    memory_bytes: int = 0


def field(pod: AssignedPod, path: str, *, pod_ip: str = "", host_ip: str = "") -> str:
    """A field of the pod; empty when it has none there.

    Args:
        pod: The pod.
        path: ``metadata.name``, ``metadata.labels['app']``…
        pod_ip: Its address.
        host_ip: Its node's.
    """
    if keyed := _KEYED.fullmatch(path):
        found = pod.labels if keyed.group(1) == "labels" else pod.annotations
        return found.get(keyed.group(2), "")
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(pod.labels if path == "metadata.labels" else pod.annotations)
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        "status.hostIP": host_ip,
        "status.podIP": pod_ip,
    }.get(path, "")


def _lines(values: Mapping[str, str]) -> str:
    """``key="value"``, one a line, quoted as Go does."""
    quoted = (f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))
    return "\n".join(quoted)


def amount(
    pod: AssignedPod, container: Container | None, selector: ResourceFieldSelector, room: Room
) -> str:
    """What a container may use or is promised, in multiples of the divisor.

    Args:
        pod: Where containers are looked for that the selector names.
        container: Whose, when the selector names none.
        selector: Which amount.
        room: Stands in for limits that are not set.
    """
    if selector.container_name:
        named = (c for c in pod.spec.all_containers if c.name == selector.container_name)
        container = next(named, container)
    kind, _, resource = selector.resource.partition(".")
    resources = container.resources if container is not None else None
    found = getattr(resources, kind, {}).get(resource)
    unit = divisor(selector)
    if resource == "cpu":
        none = room.cpu_milli if kind == "limits" else 0
        milli = none if found is None else quantity.milli(found)
        return str(math.ceil(milli / quantity.milli(unit)))
    none = room.memory_bytes if kind == "limits" else 0
    units = none if found is None else quantity.whole(found)
    return str(-(-units // quantity.whole(unit)))
