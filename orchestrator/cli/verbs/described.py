"""What `describe` says of pods, deployments and nodes: what somebody looks for there, first."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from orchestrator.cli.client import Json
from orchestrator.cli.durations import age
from orchestrator.cli.formats import aligned
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.outline import Named, Outline
from proto import codec, quantity
from proto.meta import LabelSelector, format_selector

Special = Callable[[Session, Json, Outline], Awaitable[None]]


async def pod(_session: Session, object: Json, outline: Outline) -> None:
    """Where it runs, what its containers do, and why not."""
    spec, status = object["spec"], object.get("status") or {}
    outline.add("Node", spec.get("nodeName"))
    outline.add("Status", status.get("reason") or status.get("phase"))
    for title, value in (("Reason", status.get("reason")), ("Message", status.get("message"))):
        if value:
            outline.add(title, value)
    outline.add("IP", status.get("podIP"))
    if status.get("startTime"):
        outline.add("Started", f"{status['startTime']} ({age(status['startTime'])} ago)")
    for title, list_of, statuses in (
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        if spec.get(list_of):
            seen = {found["name"]: found for found in status.get(statuses) or ()}
            outline.add(
                title,
                Named(
                    {one["name"]: _container(one, seen.get(one["name"])) for one in spec[list_of]}
                ),
            )
    outline.conditions(status.get("conditions") or ())
    if spec.get("volumes"):
        outline.add("Volumes", Named({volume["name"]: _rest(volume) for volume in spec["volumes"]}))
    outline.add("QoS Class", status.get("qosClass"))
    outline.add("Restart Policy", spec.get("restartPolicy"))
    if spec.get("nodeSelector"):
        outline.pairs("Node Selectors", spec["nodeSelector"], "=")
    if spec.get("tolerations"):
        outline.add("Tolerations", [_toleration(found) for found in spec["tolerations"]])


def _rest(volume: Json) -> Json:
    return {field: value for field, value in volume.items() if field != "name"}


def _container(container: Json, status: Json | None) -> Json:
    """In the order in which somebody reads it: the state before the settings."""
    shown: Json = {"image": container["image"]}
    if status:
        shown |= {"State": _state(status.get("state") or {})}
        if status.get("lastState"):
            shown["Last State"] = _state(status["lastState"])
        shown |= {"ready": status["ready"], "Restart Count": status["restartCount"]}
        if status.get("containerID"):
            shown["Container ID"] = status["containerID"]
    for field in ("command", "args"):
        if container.get(field):
            shown[field] = " ".join(container[field])
    if container.get("ports"):
        shown["ports"] = [
            f"{port['containerPort']}/{port.get('protocol', 'TCP')}" for port in container["ports"]
        ]
    resources = container.get("resources") or {}
    shown |= {field: resources[field] for field in ("limits", "requests") if resources.get(field)}
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(field):
            shown[field] = _probe(container[field])
    if container.get("env"):
        shown["Environment"] = Named({one["name"]: _env(one) for one in container["env"]})
    if container.get("volumeMounts"):
        shown["Mounts"] = Named(
            {mount["mountPath"]: f"from {mount['name']}" for mount in container["volumeMounts"]}
        )
    return shown


def _state(state: Json) -> Any:
    """``Running since …``, or the reason why not."""
    for name, found in state.items():
        since = found.get("startedAt") or ""
        match name:
            case "running":
                return f"Running since {since} ({age(since)})"
            case "terminated":
                ended = found.get("finishedAt") or ""
                text = f"{found.get('reason') or 'Terminated'}, exit code {found.get('exitCode')}"
                text += f" after {since} until {ended}" if since else ""
                return "\n".join(filter(None, (text, found.get("message", ""))))
            case _:
                return "\n".join(
                    filter(None, (f"Waiting: {found.get('reason', '')}", found.get("message", "")))
                )
    return "Unknown"


def _probe(probe: Json) -> str:
    action = next((name for name in ("exec", "httpGet", "tcpSocket", "grpc") if name in probe), "")
    what: Any = probe.get(action) or {}
    if action == "exec":
        text = f"exec {' '.join(what.get('command') or ())}"
    elif action == "httpGet":
        scheme = what.get("scheme", "http").lower()
        text = f"http-get {scheme}://:{what.get('port')}{what.get('path', '/')}"
    else:
        text = f"{'tcp-socket' if action == 'tcpSocket' else action} :{what.get('port', '')}"
    return (
        f"{text} delay={probe.get('initialDelaySeconds', 0)}s "
        f"timeout={probe.get('timeoutSeconds', 1)}s period={probe.get('periodSeconds', 10)}s "
        f"#success={probe.get('successThreshold', 1)} #failure={probe.get('failureThreshold', 3)}"
    )


def _env(one: Json) -> str:
    source = one.get("valueFrom") or {}
    for name, found in source.items():
        if name == "fieldRef":
            return f"({found.get('fieldPath')})"
        if name == "resourceFieldRef":
            return f"({found.get('resource')})"
        kind = "secret" if name == "secretKeyRef" else "config map"
        return f"<set to the key {found.get('key')!r} in {kind} {found.get('name')!r}>"
    return str(one.get("value", ""))


def _toleration(found: Json) -> str:
    value = f"={found['value']}" if found.get("value") else ""
    effect = f":{found['effect']}" if found.get("effect") else ""
    seconds = found.get("tolerationSeconds")
    until = "" if seconds is None else f" for {seconds}s"
    return f"{found.get('key', '')}{value}{effect} op={found.get('operator', 'Equal')}{until}"


async def deployment(session: Session, object: Json, outline: Outline) -> None:
    """How many of which revision, and the template."""
    spec, status = object["spec"], object.get("status") or {}
    outline.add("Selector", _selector(spec.get("selector")))
    outline.add(
        "Replicas",
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | "
        f"{status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} available | "
        f"{status.get('unavailableReplicas', 0)} unavailable",
    )
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    limits = ", ".join(f"{name} {value}" for name, value in rolling.items())
    outline.add("Strategy", f"{strategy.get('type', '')}{f' ({limits})' if limits else ''}")
    outline.add("Min Ready Seconds", spec.get("minReadySeconds", 0))
    if spec.get("paused"):
        outline.add("Paused", f"yes: longshore rollout resume deploy/{object['metadata']['name']}")
    template = spec["template"]
    pod_spec = template.get("spec") or {}
    outline.add(
        "Pod Template",
        {
            "labels": ", ".join(
                f"{key}={value}"
                for key, value in sorted((template["metadata"].get("labels") or {}).items())
            ),
            "containers": Named(
                {one["name"]: _container(one, None) for one in pod_spec["containers"]}
            ),
        },
    )
    outline.conditions(status.get("conditions") or ())
    types = await session.client.types()
    sets = types.of_kind("apps/v1", "ReplicaSet")
    found = await session.client.get(sets.path(object["metadata"]["namespace"]))
    owned = [
        item for item in found["items"] if _is_owned(item, object) and item["spec"].get("replicas")
    ]
    outline.add(
        "Replica Sets",
        "\n".join(
            f"{item['metadata']['name']} ({(item.get('status') or {}).get('readyReplicas', 0)}/"
            f"{item['spec']['replicas']} ready)"
            for item in owned
        ),
    )


def _is_owned(item: Json, owner: Json) -> bool:
    owners = item["metadata"].get("ownerReferences") or ()
    return any(found["uid"] == owner["metadata"]["uid"] for found in owners)


def _selector(selector: Any) -> str:
    if not selector:
        return "<none>"
    return format_selector(codec.decode(codec.encode(selector), LabelSelector))


async def node(session: Session, object: Json, outline: Outline) -> None:
    """What it has, what of it is taken, and by which pods."""
    spec, status = object.get("spec") or {}, object.get("status") or {}
    taints = [
        f"{one['key']}{f'={value}' if (value := one.get('value')) else ''}:{one['effect']}"
        for one in spec.get("taints") or ()
    ]
    outline.add("Taints", "\n".join(taints))
    outline.add("Unschedulable", bool(spec.get("unschedulable")))
    outline.conditions(status.get("conditions") or ())
    addresses = {found["type"]: found["address"] for found in status.get("addresses") or ()}
    outline.add("Addresses", addresses)
    outline.field("capacity", status.get("capacity"))
    allocatable = status.get("allocatable") or {}
    outline.field("allocatable", allocatable)
    outline.add("System Info", status.get("nodeInfo"))
    if spec.get("podCIDR"):
        outline.add("Pod CIDR", spec["podCIDR"])
    types = await session.client.types()
    name = object["metadata"]["name"]
    fields = f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
    found = await session.client.get(types.named("pods").path(), {"fieldSelector": fields})
    pods = sorted(
        found["items"], key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"])
    )
    rows = [["Namespace", "Name", "CPU", "Memory", "Status", "Age"]]
    rows += [_pod_row(item) for item in pods]
    outline.text(f"Pods ({len(pods)})", aligned(rows, gap=2) if pods else "<none>")
    outline.text("Allocated", aligned(_allocated(pods, allocatable), gap=2))


def _pod_row(item: Json) -> list[str]:
    requests = _requests(item)
    metadata = item["metadata"]
    return [
        metadata["namespace"],
        metadata["name"],
        requests.get("cpu", "0"),
        requests.get("memory", "0"),
        (item.get("status") or {}).get("phase", ""),
        age(metadata.get("creationTimestamp")),
    ]


def _requests(item: Json) -> dict[str, str]:
    """Of all containers together: CPU in milli-CPU, memory in MiB."""
    cpu = memory = 0
    for container in item["spec"]["containers"]:
        wanted = (container.get("resources") or {}).get("requests") or {}
        cpu += quantity.milli(wanted.get("cpu", 0))
        memory += quantity.whole(wanted.get("memory", 0))
    return {"cpu": f"{cpu}m", "memory": f"{memory >> 20}Mi"}


def _allocated(pods: Sequence[Json], allocatable: Mapping[str, str]) -> list[list[str]]:
    cpu = sum(int(_requests(item)["cpu"].removesuffix("m")) for item in pods)
    memory = sum(int(_requests(item)["memory"].removesuffix("Mi")) for item in pods)
    cpu_max = quantity.milli(allocatable.get("cpu", 0))
    memory_max = quantity.whole(allocatable.get("memory", 0)) >> 20
    return [
        ["Resource", "Requests", "Of"],
        ["cpu", f"{cpu}m", _percent(cpu, cpu_max)],
        ["memory", f"{memory}Mi", _percent(memory, memory_max)],
    ]


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 // whole}%" if whole else "<unknown>"


async def secret(_session: Session, object: Json, outline: Outline) -> None:
    """What it holds, but not the values: somebody may look over the shoulder."""
    outline.add("Type", object.get("type"))
    data = object.get("data") or {}
    sizes = {key: f"{len(base64.b64decode(data[key]))} bytes" for key in sorted(data)}
    outline.add("Data", Named(sizes))


KINDS: dict[tuple[str, str], Special] = {
    ("", "Pod"): pod,
    ("", "Node"): node,
    ("", "Secret"): secret,
    ("apps", "Deployment"): deployment,
}
"""By group and kind."""
