"""Pods, holders and containers for tests, in one line each."""

from collections.abc import Iterable, Mapping

from node_agent.core import naming
from node_agent.core.actions import Plan
from node_agent.core.configs import Host
from node_agent.core.naming import PodKey
from node_agent.core.observed import Container, Memory, Observed, Sandbox, State
from node_agent.core.reconcile import plan
from proto.kinds.container import Container as ContainerSpec
from proto.kinds.pod import PodSpec, default_spec
from proto.messages import AssignedPod

NODE = "node-1"
NOW_MS = 1_700_000_000_000
IMAGE = "demo/web:1"
HOST = Host(NODE, ip="10.0.0.1")


def spec(name: str = "c", **fields: object) -> ContainerSpec:
    return default_spec(
        PodSpec(containers=(ContainerSpec(**{"name": name, "image": IMAGE, **fields}),))
    ).containers[0]


def pod(
    name: str = "web",
    *containers: ContainerSpec,
    policy: str = "Always",
    delete_grace_s: int | None = None,
    **fields: object,
) -> AssignedPod:
    found = default_spec(
        PodSpec(containers=containers or (spec(),), restart_policy=policy, node_name=NODE, **fields)
    )
    return AssignedPod(
        uid=f"uid-{name}",
        namespace="default",
        name=name,
        spec=found,
        labels={"app": name},
        annotations={"note": "hello"},
        delete_grace_s=delete_grace_s,
    )


def key(name: str = "web") -> PodKey:
    return PodKey("default", name, f"uid-{name}")


def sandbox(pod: str | None = "web", state: State = State.RUNNING, **fields: object) -> Sandbox:
    owner = key(pod) if pod else None
    given = {
        "id": f"box-{pod}",
        "name": naming.sandbox_name(owner) if owner else naming.pool_name(NODE, "0"),
        "ip": "172.17.0.2" if state is State.RUNNING else "",
    }
    return Sandbox(pod=owner, state=state, **{**given, **fields})


def container(
    pod: str = "web",
    of: ContainerSpec | None = None,
    state: State = State.RUNNING,
    attempt: int = 0,
    **fields: object,
) -> Container:
    of = of or spec()
    given: dict[str, object] = {
        "id": f"{pod}-{of.name}-{attempt}",
        "name": naming.container_name(key(pod), of.name, attempt),
        "spec_hash": naming.spec_hash(of),
        "sandbox_id": f"box-{pod}",
        "backoff": attempt,
        "image": of.image,
        "created_at_ms": NOW_MS - 2000,
        "started_at_ms": NOW_MS - 1000 if state is not State.CREATED else 0,
        "finished_at_ms": NOW_MS if state is State.EXITED else 0,
    }
    return Container(
        pod=key(pod), container=of.name, attempt=attempt, state=state, **{**given, **fields}
    )


def observed(
    *found: Sandbox | Container, images: Iterable[str] = (IMAGE,), **memory: object
) -> Observed:
    return Observed(
        sandboxes=tuple(f for f in found if isinstance(f, Sandbox)),
        containers=tuple(f for f in found if isinstance(f, Container)),
        images=frozenset(images),
        memory=Memory(**memory),
    )


def planned(
    pods: Iterable[AssignedPod], seen: Observed, host: Host = HOST, now_ms: int = NOW_MS
) -> Plan:
    desired: Mapping[str, AssignedPod] = {pod.uid: pod for pod in pods}
    return plan(desired, seen, host, now_ms)
