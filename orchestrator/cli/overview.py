"""The cluster at a glance: what there is, what is wrong now, and what was told of late. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from orchestrator.cli.why import Explanation, Seen, Weight, explain, words
from orchestrator.cli.why.placing import used_of
from orchestrator.cli.why.pods import is_plainly_well
from orchestrator.cli.why.seen import last_ms
from proto.kinds.daemonset import DaemonSet
from proto.kinds.deployment import Deployment
from proto.kinds.job import Job
from proto.kinds.node import Node, allocatable
from proto.kinds.pod import Pod, is_terminated
from proto.kinds.replicaset import ReplicaSet
from proto.kinds.replicationcontroller import ReplicationController
from proto.kinds.statefulset import StatefulSet
from proto.meta import Resource, is_true

RECENT_MS = 600_000
"""How far back warnings are told."""

Usage = Mapping[str, Mapping[str, int]]
"""Node to ``cpu`` (milli) and ``memory`` (bytes) in use."""


class _Told(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what can be printed as JSON."""


class Amount(_Told, frozen=True, kw_only=True):
    """Of one resource: milli-CPU, or bytes.

    Attributes:
        used: None where nobody measures it.
    """

    requested: int
    allocatable: int
    used: int | None = None


class NodeState(_Told, frozen=True, kw_only=True):
    """One node.

    Attributes:
        pods: Those that have not ended; `pods_max` of them fit.
    """

    name: str
    is_ready: bool
    is_cordoned: bool
    pods: int
    pods_max: int
    cpu: Amount
    memory: Amount


class WorkloadState(_Told, frozen=True, kw_only=True):
    """A deployment, a bare replica set, or a job.

    Attributes:
        kind: As typed: ``deploy``.
        ready: Of `wanted`; of a job, how many succeeded.
    """

    kind: str
    namespace: str
    name: str
    ready: int
    wanted: int


class Problem(_Told, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        what: One line.
        why: The command that explains it.
    """

    kind: str
    name: str
    namespace: str = ""
    reason: str
    what: str
    why: str


class Warned(_Told, frozen=True, kw_only=True):
    """A warning, the same of several objects told once."""

    about: str
    namespace: str
    reason: str
    message: str
    count: int
    last_seen: str


class ControlPlane(_Told, frozen=True, kw_only=True):
    """What answers.

    Attributes:
        latency_ms: Of a small answer.
        leader: The orchestrator that decides; empty where the API does not tell.
        checks: Name to what is wrong with it, empty when nothing is; as ``/readyz`` tells.
    """

    server: str
    version: str
    latency_ms: float
    leader: str = ""
    checks: dict[str, str] = {}

    @property
    def is_well(self) -> bool:
        """Whether every check is passed."""
        return not any(self.checks.values())


class Overview(_Told, frozen=True, kw_only=True):
    """Everything. `problems` are the worst first; none means that all is well."""

    is_well: bool
    control_plane: ControlPlane
    nodes: tuple[NodeState, ...]
    workloads: tuple[WorkloadState, ...]
    pods: dict[str, int]
    problems: tuple[Problem, ...]
    warnings: tuple[Warned, ...]


def overview(seen: Seen, control_plane: ControlPlane, usage: Usage) -> Overview:
    """The cluster at a glance.

    Args:
        seen: All of it.
        control_plane: What answered.
        usage: What nodes use; empty where nobody measures it.
    """
    found = (*_of_control_plane(control_plane), *problems(seen))
    phases: dict[str, int] = defaultdict(int)
    for pod in seen.pods:
        phases[pod.status.phase or "Pending"] += 1
    return Overview(
        is_well=not found,
        control_plane=control_plane,
        nodes=tuple(
            _node(node, seen, usage) for node in sorted(seen.nodes, key=lambda n: n.metadata.name)
        ),
        workloads=tuple(sorted(_workloads(seen), key=lambda w: (w.namespace, w.kind, w.name))),
        pods=dict(sorted(phases.items())),
        problems=found,
        warnings=tuple(_warnings(seen)),
    )


def _of_control_plane(found: ControlPlane) -> Iterator[Problem]:
    for name, wrong in sorted(found.checks.items()):
        if wrong:
            yield Problem(
                kind="controlplane",
                name=name,
                reason="NotReady",
                what=f"{name} is not ready: {wrong}",
                why="longshore get --raw '/readyz?verbose'",
            )


def _node(node: Node, seen: Seen, usage: Usage) -> NodeState:
    name = node.metadata.name
    there = [pod for pod in seen.pods_on(name) if not is_terminated(pod)]
    sizes, used = allocatable(node), usage.get(name, {})

    def amount(resource: str) -> Amount:
        return Amount(
            requested=used_of(there, resource),
            allocatable=sizes.get(resource, 0),
            used=used.get(resource),
        )

    return NodeState(
        name=name,
        is_ready=is_true(node.status.conditions, "Ready"),
        is_cordoned=node.spec.unschedulable,
        pods=len(there),
        pods_max=sizes.get("pods", 0),
        cpu=amount("cpu"),
        memory=amount("memory"),
    )


def _workloads(seen: Seen) -> Iterator[WorkloadState]:
    for found in _tops(seen):
        meta = found.metadata
        match found:
            case DaemonSet():
                ready = found.status.number_ready or 0
                wanted = found.status.desired_number_scheduled or 0
            case Deployment() | ReplicaSet() | ReplicationController() | StatefulSet():
                ready, wanted = found.status.ready_replicas, found.spec.replicas or 0
            case Job():
                ready, wanted = found.status.succeeded, found.spec.completions or 1
            case _:
                continue
        yield WorkloadState(
            kind=overview_kind(found),
            namespace=meta.namespace,
            name=meta.name,
            ready=ready,
            wanted=wanted,
        )


def _tops(seen: Seen) -> Iterator[Resource]:
    """What nobody else controls: replica sets of deployments are the deployments' business."""
    for found in seen.workloads:
        if found.metadata.controller is None:
            yield found


def overview_kind(found: Resource) -> str:
    """What it is, as typed: ``deploy``."""
    kind = words.kind_name(found)
    return _TYPED.get(kind, kind.lower())


_TYPED = {
    "Deployment": "deploy",
    "ReplicaSet": "rs",
    "ReplicationController": "rc",
    "StatefulSet": "sts",
    "DaemonSet": "ds",
}


def problems(seen: Seen) -> tuple[Problem, ...]:
    """What is wrong, each cause once: nodes, then workloads, then pods that nobody controls."""
    found: list[Problem] = []
    for node in sorted(seen.nodes, key=lambda node: node.metadata.name):
        found += _problem(explain(node, seen), seen)
    for top in sorted(_tops(seen), key=_by_name):
        found += _problem(explain(top, seen), seen)
    for pod in sorted(_orphans(seen), key=_by_name):
        found += _problem(explain(pod, seen), seen)
    return tuple(found)


def _orphans(seen: Seen) -> Iterator[Pod]:
    for pod in seen.pods:
        if not is_plainly_well(pod) and seen.controller_of(pod) is None:
            yield pod


def _by_name(found: Resource) -> tuple[str, str]:
    return found.metadata.namespace, found.metadata.name


def _problem(explained: Explanation, seen: Seen) -> Iterator[Problem]:
    first = explained.problem
    if first is None:
        return
    more = sum(finding.weight is Weight.PROBLEM for finding in explained.findings) - 1
    named = explained.name if explained.kind == "pod" else f"{explained.kind}/{explained.name}"
    yield Problem(
        kind=explained.kind,
        name=explained.name,
        namespace=explained.namespace,
        reason=first.reason,
        what=first.what + (f" (and {words.count(more, 'problem')} more)" if more else ""),
        why=f"longshore why {named}{seen.inside(explained.namespace)}",
    )


def _warnings(seen: Seen) -> Iterator[Warned]:
    """The latest first; of one reason and kind only the latest."""
    recent = (
        event
        for event in seen.events
        if event.type == "Warning" and seen.now_ms - last_ms(event) <= RECENT_MS
    )
    told: set[tuple[str, str, str]] = set()
    for event in sorted(recent, key=last_ms, reverse=True):
        about = event.involved_object
        key = (about.namespace, about.name, event.reason)
        if key in told:
            continue
        told.add(key)
        yield Warned(
            about=f"{about.kind.lower()}/{about.name}",
            namespace=about.namespace,
            reason=event.reason,
            message=event.message.strip(),
            count=max(1, event.count),
            last_seen=event.last_timestamp or event.event_time or event.first_timestamp,
        )


def parse_checks(text: str) -> dict[str, str]:
    r"""What ``/readyz?verbose`` says: check to what is wrong with it, empty when nothing is.

    >>> parse_checks("[+]etcd ok\n[-]nats failed: no server\nreadyz check failed")
    {'etcd': '', 'nats': 'no server'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, said = line[3:].partition(" ")
        if line.startswith("[+]"):
            found[name] = ""
        elif line.startswith("[-]"):
            found[name] = said.removeprefix("failed").strip(" :") or "failed"
    return found


def summed(amounts: Iterable[Amount]) -> Amount:
    """Of several nodes together; what is used only when it is known of all."""
    every = list(amounts)
    used = [amount.used for amount in every if amount.used is not None]
    return Amount(
        requested=sum(amount.requested for amount in every),
        allocatable=sum(amount.allocatable for amount in every),
        used=sum(used) if used and len(used) == len(every) else None,
    )
