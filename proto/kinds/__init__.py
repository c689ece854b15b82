"""Every kind, one file each (or one for a few that belong together); this list is all it takes.

Routes, discovery, OpenAPI, store keys, tables and CLI columns derive from `ALL`.
"""

from typing import Any

from proto.kinds.access import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from proto.kinds.configuration import CONFIG_MAPS, SECRETS
from proto.kinds.definition import DEFINITIONS
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.event import EVENTS
from proto.kinds.ingress import INGRESSES
from proto.kinds.job import CRON_JOBS, JOBS
from proto.kinds.kind import Kind
from proto.kinds.lease import LEASES
from proto.kinds.metrics import NODE_METRICS, POD_METRICS
from proto.kinds.namespace import NAMESPACES
from proto.kinds.node import NODES
from proto.kinds.pod import PODS
from proto.kinds.quota import LIMIT_RANGES, PRIORITY_CLASSES, RESOURCE_QUOTAS
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.service import SERVICES

ALL: tuple[Kind[Any], ...] = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    RESOURCE_QUOTAS,
    LIMIT_RANGES,
    REPLICASETS,
    DEPLOYMENTS,
    JOBS,
    CRON_JOBS,
    DISRUPTION_BUDGETS,
    INGRESSES,
    PRIORITY_CLASSES,
    ROLES,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    LEASES,
    DEFINITIONS,
)
"""Core group first: where two groups share a name, clients take the first."""

MEASURED: tuple[Kind[Any], ...] = (NODE_METRICS, POD_METRICS)
"""Served, and never stored: answered from what agents tell. They share names with stored kinds."""


def find(api_version: str, name: str) -> Kind[Any] | None:
    """The kind of a manifest's ``apiVersion`` and ``kind``."""
    return next((k for k in ALL if k.api_version == api_version and k.name == name), None)
