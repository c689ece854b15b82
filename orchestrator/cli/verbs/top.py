"""`longshore top`: what nodes and pods use now, from metrics.k8s.io."""

from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.session import Session
from proto import quantity

GROUP = "/apis/metrics.k8s.io/v1beta1"
MIB = 1 << 20


class TopOptions(Struct, frozen=True, kw_only=True):
    """Which, and in what order: `sort_by` is empty, ``cpu`` or ``memory``."""

    labels: str = ""
    sort_by: str = ""
    is_everywhere: bool = False
    has_containers: bool = False
    has_header: bool = True


class Usage(Struct, frozen=True):
    """Milli-CPU and MiB."""

    cpu: int
    memory: int


async def top_nodes(session: Session, names: Sequence[str], options: TopOptions) -> None:
    """A line for each node."""
    _check(options)
    found = await _metrics(session, f"{GROUP}/nodes", names, options)
    listed = await session.client.get("/api/v1/nodes")
    allocatable = {
        node["metadata"]["name"]: (node.get("status") or {}).get("allocatable") or {}
        for node in listed["items"]
    }
    used = {item["metadata"]["name"]: _usage([item["usage"]]) for item in found}
    rows = []
    for name in sorted(used, key=lambda name: _order(used[name], options, name)):
        there, usage = allocatable.get(name, {}), used[name]
        cpu = _percent(usage.cpu, quantity.milli(there.get("cpu", 0)))
        memory = _percent(usage.memory, quantity.whole(there.get("memory", 0)) // MIB)
        rows.append([name, f"{usage.cpu}m", cpu, f"{usage.memory}Mi", memory])
    header = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    session.screen.table(header, rows, has_header=options.has_header)


async def top_pods(session: Session, names: Sequence[str], options: TopOptions) -> None:
    """A line for each pod, or for each container."""
    _check(options)
    root = GROUP if options.is_everywhere else f"{GROUP}/namespaces/{session.namespace}"
    found = await _metrics(session, f"{root}/pods", names, options)
    lines: list[tuple[list[str], Usage]] = []
    for pod in found:
        name = [pod["metadata"]["name"]]
        space = [pod["metadata"]["namespace"]] if options.is_everywhere else []
        if options.has_containers:
            lines += [
                ([*space, *name, one["name"]], _usage([one["usage"]])) for one in pod["containers"]
            ]
        else:
            usage = _usage([one["usage"] for one in pod["containers"]])
            lines.append((space + name, usage))
    if not lines:
        where = "" if options.is_everywhere else f" in {session.namespace} namespace."
        session.screen.tell(f"No resources found{where}")
        return
    lines.sort(key=lambda line: _order(line[1], options, " ".join(line[0])))
    header = ["NAMESPACE"] if options.is_everywhere else []
    header += ["POD", "NAME"] if options.has_containers else ["NAME"]
    rows = [[*words, f"{usage.cpu}m", f"{usage.memory}Mi"] for words, usage in lines]
    session.screen.table(
        [*header, "CPU(cores)", "MEMORY(bytes)"], rows, has_header=options.has_header
    )


def _check(options: TopOptions) -> None:
    if options.sort_by not in ("", "cpu", "memory"):
        raise Refused(f"cannot sort by {options.sort_by!r}", hint="--sort-by=cpu or memory")


async def _metrics(
    session: Session, path: str, names: Sequence[str], options: TopOptions
) -> list[Json]:
    try:
        if names:
            return [await session.client.get(f"{path}/{name}") for name in names]
        found = await session.client.get(path, {"labelSelector": options.labels})
    except ServerRefused as error:
        if error.code in (404, 503) and not (
            names and error.reason == "NotFound" and _is_named(error, names)
        ):
            raise Refused(
                "Metrics API not available",
                hint="this cluster serves no metrics.k8s.io, or has measured nothing yet",
            ) from None
        raise
    return list(found["items"])


def _is_named(error: ServerRefused, names: Sequence[str]) -> bool:
    """Whether it is the pod that is not there, and not the whole API."""
    return any(f'"{name}"' in error.message for name in names)


def _usage(parts: Sequence[Json]) -> Usage:
    return Usage(
        cpu=sum(quantity.milli(part.get("cpu", 0)) for part in parts),
        memory=sum(quantity.whole(part.get("memory", 0)) for part in parts) // MIB,
    )


def _order(usage: Usage, options: TopOptions, name: str) -> tuple[int, str]:
    by = {"cpu": -usage.cpu, "memory": -usage.memory}
    return by.get(options.sort_by, 0), name


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 // whole}%" if whole else "<unknown>"
