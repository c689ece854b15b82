"""Short ways to make the objects that the decision cores look at."""

from msgspec.structs import replace

from proto.kinds.claim import PersistentVolumeClaimSpec, VolumeResources
from proto.kinds.container import Container, ContainerPort, ContainerStatus, ResourceRequirements
from proto.kinds.daemonset import (
    DAEMON_SETS,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
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
from proto.kinds.statefulset import (
    STATEFUL_SETS,
    ClaimRetentionPolicy,
    RollingUpdateStatefulSet,
    StatefulSet,
    StatefulSetSpec,
    StatefulSetUpdateStrategy,
)
from proto.kinds.storage import PersistentVolumeClaim
from proto.kinds.toleration import Toleration
from proto.messages import NodeFacts, NodeReport, PodReport
from proto.meta import Condition, LabelSelector, ObjectMeta, OwnerReference, format_time

NOW_MS = 1_700_000_000_000
NOW = format_time(NOW_MS)


def template(image: str = "web:1", labels: dict[str, str] | None = None) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels=labels or {"app": "web"}),
        spec=PodSpec(containers=(Container(name="main", image=image),)),
    )


def metadata(uid: str) -> ObjectMeta:
    return ObjectMeta(
        name="web", namespace="default", uid=uid, generation=1, creation_timestamp=NOW
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
            metadata=metadata("d1"),
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
            metadata=metadata("rs1"),
            spec=ReplicaSetSpec(
                replicas=replicas,
                selector=LabelSelector(match_labels={"app": "web"}),
                template=template(),
                **spec,
            ),
        )
    )


def statefulset(
    replicas: int = 3,
    *,
    parallel: bool = False,
    partition: int | None = None,
    unavailable: int | str | None = None,
    on_delete: bool = False,
    claims: tuple[str, ...] = (),
    keeping: tuple[str, str] = ("Retain", "Retain"),
    **spec: object,
) -> StatefulSet:
    """`keeping`: whenDeleted and whenScaled."""
    rolling = RollingUpdateStatefulSet(partition=partition, max_unavailable=unavailable)
    strategy = (
        StatefulSetUpdateStrategy(type="OnDelete")
        if on_delete
        else StatefulSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    )
    deleted, scaled = keeping
    return STATEFUL_SETS.defaults(
        StatefulSet(
            metadata=metadata("s1"),
            spec=StatefulSetSpec(
                replicas=replicas,
                service_name="nginx",
                selector=LabelSelector(match_labels={"app": "web"}),
                pod_management_policy="Parallel" if parallel else "OrderedReady",
                update_strategy=strategy,
                volume_claim_templates=tuple(map(claim_template, claims)),
                persistent_volume_claim_retention_policy=ClaimRetentionPolicy(
                    when_deleted=deleted, when_scaled=scaled
                ),
                **{"template": template()} | spec,
            ),
        )
    )


def claim_template(name: str) -> PersistentVolumeClaim:
    return PersistentVolumeClaim(
        metadata=ObjectMeta(name=name),
        spec=PersistentVolumeClaimSpec(
            access_modes=("ReadWriteOnce",),
            resources=VolumeResources(requests={"storage": "1Gi"}),
        ),
    )


def daemonset(
    *,
    surge: int | str = 0,
    unavailable: int | str = 1,
    on_delete: bool = False,
    **spec: object,
) -> DaemonSet:
    rolling = RollingUpdateDaemonSet(max_surge=surge, max_unavailable=unavailable)
    strategy = (
        DaemonSetUpdateStrategy(type="OnDelete")
        if on_delete
        else DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    )
    return DAEMON_SETS.defaults(
        DaemonSet(
            metadata=metadata("ds1"),
            spec=DaemonSetSpec(
                selector=LabelSelector(match_labels={"app": "web"}),
                update_strategy=strategy,
                **{"template": template()} | spec,
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
    **spec: object,
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
                **spec,
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


def report(*pods: PodReport, **facts: object) -> NodeReport:
    """What the agent of ``n1`` tells of its node and these pods."""
    return NodeReport(
        node="n1",
        incarnation=1,
        version=1,
        epoch=1,
        generation=1,
        facts=NodeFacts(**facts),
        pods=pods,
    )
