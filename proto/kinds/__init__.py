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
from proto.kinds.autoscaler import AUTOSCALERS
from proto.kinds.autoscaler_v1 import AUTOSCALERS_V1
from proto.kinds.certificate import SIGNING_REQUESTS
from proto.kinds.configuration import CONFIG_MAPS, SECRETS
from proto.kinds.controllerrevision import CONTROLLER_REVISIONS
from proto.kinds.cronjob import CRON_JOBS
from proto.kinds.daemonset import DAEMON_SETS
from proto.kinds.definition import DEFINITIONS
from proto.kinds.deployment import DEPLOYMENTS
from proto.kinds.disruption import DISRUPTION_BUDGETS
from proto.kinds.endpoints import ENDPOINT_SLICES, ENDPOINTS
from proto.kinds.event import EVENTS
from proto.kinds.ingress import INGRESS_CLASSES, INGRESSES
from proto.kinds.job import JOBS
from proto.kinds.kind import Kind
from proto.kinds.lease import LEASES
from proto.kinds.metrics import NODE_METRICS, POD_METRICS
from proto.kinds.namespace import NAMESPACES
from proto.kinds.networkpolicy import NETWORK_POLICIES
from proto.kinds.node import NODES
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import PODS
from proto.kinds.quota import LIMIT_RANGES, PRIORITY_CLASSES, RESOURCE_QUOTAS
from proto.kinds.replicaset import REPLICASETS
from proto.kinds.replicationcontroller import REPLICATION_CONTROLLERS
from proto.kinds.service import SERVICES
from proto.kinds.statefulset import STATEFUL_SETS
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES

ALL: tuple[Kind[Any], ...] = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    ENDPOINTS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    LIMIT_RANGES,
    REPLICASETS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    CRON_JOBS,
    AUTOSCALERS,
    AUTOSCALERS_V1,
    DISRUPTION_BUDGETS,
    INGRESSES,
    INGRESS_CLASSES,
    NETWORK_POLICIES,
    ENDPOINT_SLICES,
    STORAGE_CLASSES,
    SIGNING_REQUESTS,
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
