"""`longshore cordon`, `uncordon`, `drain` and `taint`: nodes that shall do less, or more again."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.durations import seconds
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType, Selection
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.change import changed
from orchestrator.cli.verbs.delete import gone
from orchestrator.cli.verbs.get import objects
from orchestrator.cli.verbs.results import DRY_RUNS, each

RETRY_S = 5.0
"""Until an eviction that a disruption budget refuses is tried again. Source: kubectl drain."""

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class DrainOptions(Struct, frozen=True, kw_only=True):
    """Which pods may go, and how.

    Attributes:
        is_forced: Pods that nothing will make again, too.
        grace_s: Seconds to end; None for each pod's own.
    """

    is_forced: bool = False
    ignores_daemon_sets: bool = False
    deletes_empty_dirs: bool = False
    grace_s: int | None = None
    timeout: str = ""
    pods: str = ""
    evicts: bool = True
    dry_run: str = "none"


async def cordon(
    session: Session, names: Sequence[str], labels: str, *, is_on: bool, dry_run: str = "none"
) -> int | None:
    """Let no further pods come, or let them come again."""
    nodes = await _nodes(session, names, labels)

    async def act(pair: tuple[ResourceType, Json]) -> None:
        await _cordoned(session, *pair, is_on=is_on, dry_run=dry_run)

    return await each(session, nodes, act)


async def _cordoned(
    session: Session, type: ResourceType, node: Json, *, is_on: bool, dry_run: str
) -> None:
    def change(node: Json) -> Json | None:
        if bool((node.get("spec") or {}).get("unschedulable")) == is_on:
            return None
        return {"spec": {"unschedulable": True if is_on else None}}

    word = "cordoned" if is_on else "uncordoned"
    done = change(node) if dry_run != "none" else await changed(session, type, node, change)
    already = "" if done else "already "
    name = node["metadata"]["name"]
    session.screen.say(f"node/{name} {already}{word}{DRY_RUNS.get(dry_run, '')}")


async def _nodes(
    session: Session, names: Sequence[str], labels: str
) -> list[tuple[ResourceType, Json]]:
    if not names and not labels:
        raise Refused("name a node, or give a --selector", hint="longshore get nodes")
    types = await session.client.types()
    nodes = types.named("nodes")
    for name in names:
        kind, slash, _ = name.partition("/")
        if slash and types.named(kind) != nodes:
            raise Refused(f"{name} is no node", hint="longshore get nodes")
    selection = Selection(nodes, tuple(name.rpartition("/")[2] for name in names))
    return [(nodes, node) for node in await objects(session, selection, labels=labels)]


async def drain(session: Session, names: Sequence[str], labels: str, options: DrainOptions) -> None:
    """Cordon, then evict what runs there, and wait until it is gone."""
    for type, node in await _nodes(session, names, labels):
        name = node["metadata"]["name"]
        await _cordoned(session, type, node, is_on=True, dry_run=options.dry_run)
        try:
            async with asyncio.timeout(seconds(options.timeout) if options.timeout else None):
                await _emptied(session, name, options)
        except TimeoutError:
            raise Refused(
                f'unable to drain node "{name}": not within {options.timeout}',
                hint=f"longshore get pods -A --field-selector spec.nodeName={name}",
            ) from None
        session.screen.say(f"node/{name} drained{DRY_RUNS.get(options.dry_run, '')}")


async def _emptied(session: Session, node: str, options: DrainOptions) -> None:
    pods = await _pods_on(session, node, options)
    if not pods:
        return
    async with asyncio.TaskGroup() as group:
        for pod in pods:
            metadata = pod["metadata"]
            name = f"{metadata['namespace']}/{metadata['name']}"
            session.screen.say(f"evicting pod {name}" if options.evicts else f"deleting pod {name}")
            if options.dry_run == "none":
                group.create_task(_evicted(session, pod, options))


async def _pods_on(session: Session, node: str, options: DrainOptions) -> list[Json]:
    """Those that shall go.

    Raises:
        Refused: Some may not, with these options.
    """
    types = await session.client.types()
    pods = Selection(types.named("pods"))
    found = await objects(
        session, pods, labels=options.pods, fields=f"spec.nodeName={node}", is_everywhere=True
    )
    going: list[Json] = []
    problems: dict[str, list[str]] = {}
    for pod in found:
        if reason := _why_not(pod, options):
            problems.setdefault(reason, []).append(_title(pod))
        elif not _stays(pod):
            going.append(pod)
    if problems:
        texts = [f"{reason}: {', '.join(names)}" for reason, names in problems.items()]
        raise Refused(f'unable to drain node "{node}": cannot delete ' + "; ".join(texts))
    stay = [_title(pod) for pod in found if _stays(pod) and options.ignores_daemon_sets]
    if stay:
        session.screen.tell(f"Warning: ignoring DaemonSet-managed Pods: {', '.join(stay)}")
    return going


def _why_not(pod: Json, options: DrainOptions) -> str:
    """Why the pod may not go with these options, and which option lets it."""
    if pod["metadata"].get("deletionTimestamp") or _is_over(pod):
        return ""
    owner = _owner(pod)
    if owner == "DaemonSet":
        return "" if options.ignores_daemon_sets else _DAEMONS
    if not owner and not options.is_forced:
        return "Pods that declare no controller (use --force to override)"
    volumes = pod["spec"].get("volumes") or ()
    if any("emptyDir" in volume for volume in volumes) and not options.deletes_empty_dirs:
        return "Pods with local storage (use --delete-emptydir-data to override)"
    return ""


_DAEMONS = "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"


def _owner(pod: Json) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")


def _is_over(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _stays(pod: Json) -> bool:
    """A DaemonSet would make it again on the same node."""
    return _owner(pod) == "DaemonSet" and not _is_over(pod)


def _title(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


async def _evicted(session: Session, pod: Json, options: DrainOptions) -> None:
    """Asked again for as long as a disruption budget refuses."""
    pods = (await session.client.types()).named("pods")
    metadata = pod["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    grace = {} if options.grace_s is None else {"gracePeriodSeconds": options.grace_s}
    path = pods.path(namespace, name)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": grace | {"preconditions": {"uid": uid}},
    }
    while True:
        try:
            if options.evicts:
                await session.client.ask("POST", f"{path}/eviction", body=eviction)
            else:
                body = grace | {"preconditions": {"uid": uid}}
                await session.client.ask("DELETE", path, body=body)
            break
        except ServerRefused as error:
            if error.code == 404:
                break
            if error.code != 429:
                raise
            session.screen.tell(
                f"error when evicting pods/{name!r} -n {namespace!r} "
                f"(will retry after {RETRY_S:g}s): {error.message}"
            )
        await asyncio.sleep(RETRY_S)
    await gone(session, pods, namespace, name, uid)
    session.screen.say(f"pod/{name} evicted" if options.evicts else f"pod/{name} deleted")


class Taint(Struct, frozen=True):
    """One on the command line; `effect` may be empty only when it is removed."""

    key: str
    value: str
    effect: str
    is_removed: bool


def parse_taint(text: str) -> Taint:
    """``KEY=VALUE:EFFECT``, ``KEY:EFFECT``, ``KEY:EFFECT-``, ``KEY-``.

    Raises:
        Refused: It is none.

    >>> parse_taint("a=b:NoSchedule")
    Taint(key='a', value='b', effect='NoSchedule', is_removed=False)
    """
    is_removed = text.endswith("-")
    pair, _, effect = text.removesuffix("-").partition(":")
    key, _, value = pair.partition("=")
    if not key or (effect not in EFFECTS and not (is_removed and not effect)):
        raise Refused(
            f"invalid taint spec: {text}", hint=f"KEY=VALUE:EFFECT; effects: {', '.join(EFFECTS)}"
        )
    return Taint(key, value, effect, is_removed)


async def taint(
    session: Session,
    names: Sequence[str],
    labels: str,
    taints: Sequence[Taint],
    *,
    is_overwriting: bool,
) -> int | None:
    """Add and remove taints."""
    nodes = await _nodes(session, names, labels)

    async def act(pair: tuple[ResourceType, Json]) -> None:
        type, node = pair
        name = node["metadata"]["name"]

        def change(node: Json) -> Json | None:
            return {"spec": {"taints": _tainted(node, taints, is_overwriting=is_overwriting)}}

        await changed(session, type, node, change)
        verb = "untainted" if all(taint.is_removed for taint in taints) else "tainted"
        session.screen.say(f"node/{name} {verb}")

    return await each(session, nodes, act)


def _tainted(node: Json, taints: Sequence[Taint], *, is_overwriting: bool) -> list[Json]:
    before: list[Json] = list((node.get("spec") or {}).get("taints") or ())
    name = node["metadata"]["name"]
    for taint in taints:
        same = [
            found
            for found in before
            if found["key"] == taint.key and taint.effect in ("", found["effect"])
        ]
        if taint.is_removed and not same:
            raise Refused(f'taint "{taint.key}" not found on node {name}')
        if same and not taint.is_removed and not is_overwriting:
            raise Refused(
                f"node {name} already has {taint.key} taint(s) with same effect(s)",
                hint="add --overwrite",
            )
        before = [found for found in before if found not in same]
        if not taint.is_removed:
            value = {"value": taint.value} if taint.value else {}
            before.append({"key": taint.key, "effect": taint.effect} | value)
    return before
