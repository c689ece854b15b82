"""Every kind, one file each; this list is all that adding one takes.

Routes, discovery, OpenAPI, store keys, tables and CLI columns derive from `ALL`.
"""

from typing import Any

from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.event import EVENTS
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.kinds.replicaset import REPLICASETS

ALL: tuple[Kind[Any], ...] = (NAMESPACES, NODES, PODS, EVENTS, REPLICASETS, DEPLOYMENTS)
"""Core group first: where two groups share a name, clients take the first."""


def find(api_version: str, name: str) -> Kind[Any] | None:
    """The kind of a manifest's ``apiVersion`` and ``kind``."""
    return next((k for k in ALL if k.api_version == api_version and k.name == name), None)
