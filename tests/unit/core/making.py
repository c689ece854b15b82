"""Short ways to make the objects that the decision cores look at."""

from msgspec.structs import replace

from proto.kinds.container import Container, ContainerPort, ContainerStatus, ResourceRequirements
from proto.kinds.deployment import (
    DEPLOYMENTS,
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    RollingUpdateDeployment,
)
from proto.kinds.node import NODES, Node, NodeSpec, NodeStatus, Taint
from proto.kinds.pod import PODS, Pod, PodSpec, PodStatus, PodTemplateSpec
from proto.kinds.replicaset import REPLICASETS, ReplicaSet, ReplicaSetSpec
from proto.kinds.toleration import Toleration
from proto.meta import Condition, LabelSelector, ObjectMeta, OwnerReference, format_time

NOW_MS = 1_700_000_000_000
NOW = format_time(NOW_MS)


def template(image: str = "web:1", labels: dict[str, str] | None = None) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=labels or {"app": "web"}),
        spec=PodSpec(containers=(Container(name="main", image=image),)),
    )


def deployment(
    replicas: int = 3,
    *,
    image: str = "web:1",
    surge: int | str = "25%",
    unavailable: int | str = "25%",
    recreate: bool = False,
    **spec: object,
) -> Deployment:
    strategy = (
        DeploymentStrategy(type="Recreate")
        if recreate
        else DeploymentStrategy(
            type="RollingUpdate",
            rolling_update=RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable),
        )
    )
    return DEPLOYMENTS.defaults(
        Deployment(
            metadata=ObjectMeta(
                name="web", namespace="default", uid="d1", generation=1, creation_timestamp=NOW
            ),
            spec=DeploymentSpec(
                replicas=replicas,
                selector=LabelSelector(match_labels={"app": "web"}),
                template=template(image),
                strategy=strategy,
                **spec,
            ),
        )
    )


def replicaset(replicas: int = 3, **spec: object) -> ReplicaSet:
    return REPLICASETS.defaults(
        ReplicaSet(
            metadata=ObjectMeta(
                name="web", namespace="default", uid="rs1", generation=1, creation_timestamp=NOW
            ),
            spec=ReplicaSetSpec(
                replicas=replicas,
                selector=LabelSelector(match_labels={"app": "web"}),
                template=template(),
                **spec,
            ),
        )
    )


def pod(
    name: str,
    *,
    owner: str = "",
    node: str = "",
    phase: str = "",
    ready_since_ms: int | None = None,
    created_ms: int = NOW_MS,
    labels: dict[str, str] | None = None,
    deleting: bool = False,
    cpu: str = "",
    memory: str = "",
    selector: dict[str, str] | None = None,
    tolerations: tuple[Toleration, ...] = (),
    host_port: int = 0,
    host_ip: str = "",
    restarts: int = 0,
) -> Pod:
    references = (
        OwnerReference(
            api_version="apps/v1",
            kind="ReplicaSet",
            name=owner,
            uid=owner,
            controller=True,
            block_owner_deletion=True,
        ),
    )
    requests = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
    ports = (
        (ContainerPort(container_port=80, host_port=host_port, host_ip=host_ip),)
        if host_port
        else ()
    )
    conditions = ()
    if ready_since_ms is not None:
        since = format_time(ready_since_ms)
        conditions = (Condition(type="Ready", status="True", last_transition_time=since),)
    return PODS.defaults(
        Pod(
            api_version="v1",
            kind="Pod",
            metadata=ObjectMeta(
                name=name,
                namespace="default",
                uid=f"uid-{name}",
                creation_timestamp=format_time(created_ms),
                labels=labels if labels is not None else {"app": "web"},
                owner_references=references if owner else (),
                deletion_timestamp=format_time(NOW_MS + 30_000) if deleting else "",
                deletion_grace_period_seconds=30 if deleting else None,
            ),
            spec=PodSpec(
                containers=(
                    Container(
                        name="main",
                        image="web:1",
                        ports=ports,
                        resources=ResourceRequirements(requests=requests),
                    ),
                ),
                node_name=node,
                node_selector=selector or {},
                tolerations=tolerations,
            ),
            status=PodStatus(
                phase=phase or ("Running" if ready_since_ms is not None else "Pending"),
                conditions=conditions,
                container_statuses=(ContainerStatus(name="main", restart_count=restarts),),
            ),
        )
    )


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    ready: str = "True",
    reason: str = "AgentReady",
    taints: tuple[Taint, ...] = (),
    cordoned: bool = False,
    labels: dict[str, str] | None = None,
    **extended: str,
) -> Node:
    conditions = (Condition(type="Ready", status=ready, reason=reason, last_transition_time=NOW),)
    amounts = {"cpu": cpu, "memory": memory, "pods": pods} | extended
    return NODES.defaults(
        Node(
            metadata=ObjectMeta(name=name, uid=f"uid-{name}", labels=labels or {}),
            spec=NodeSpec(taints=taints, unschedulable=cordoned),
            status=NodeStatus(
                capacity=amounts, allocatable=amounts, conditions=conditions if ready else ()
            ),
        )
    )


def bound(found: Pod, node_name: str) -> Pod:
    return replace(found, spec=replace(found.spec, node_name=node_name))
