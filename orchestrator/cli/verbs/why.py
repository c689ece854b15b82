"""`longshore why`: what is so, what shows it, and what to type next."""

import asyncio
import difflib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rich.text import Text

from orchestrator.cli import formats
from orchestrator.cli.client import Client, Json
from orchestrator.cli.connection import translated
from orchestrator.cli.mirror import glanced, listed, understood
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import ResourceType, select
from orchestrator.cli.screen import Screen, printable
from orchestrator.cli.session import Session
from orchestrator.cli.typed import path_of, struct_of
from orchestrator.cli.why import Explanation, Finding, Seen, Weight, explain
from orchestrator.cli.why.pods import explain_gone_pod, is_plainly_well
from proto import codec, kinds
from proto.errors import LongshoreError
from proto.kinds.pod import PODS, Pod
from proto.meta import CustomResource, Resource

LOG_LINES = 6
LOG_BYTES = 4096
LOGS_MAX = 3
"""Pods of a workload whose logs are asked for: those with the same cause tell the same."""

LOG_S_MAX = 3.0

MARKS = {Weight.PROBLEM: ("✗", "red"), Weight.NOTE: ("!", "yellow"), Weight.FINE: ("✓", "green")}


async def why(session: Session, words: Sequence[str], output: str) -> None:
    """Explain each that is named; a word without a type is a pod, or else whatever is called so."""
    check(output)
    explanations = await explanations_of(session.client, words)
    if output:
        plain = [codec.to_plain(found) for found in explanations]
        value: Any = plain[0] if len(plain) == 1 else plain
        session.screen.write(formats.printer(output)(value).encode())
        return
    for index, found in enumerate(explanations):
        if index:
            session.screen.say("")
        show(session.screen, found)


def check(output: str) -> None:
    """Whether a view can be printed so.

    Raises:
        Refused: It cannot.
    """
    if output not in ("", "json", "yaml"):
        raise Refused(f"no output format {output!r} here", hint="-o json or -o yaml")


def now_ms() -> int:
    """This machine's clock, epoch milliseconds."""
    return int(time.time() * 1000)


async def explanations_of(client: Client, words: Sequence[str]) -> list[Explanation]:
    """Of everything that is named.

    Raises:
        Refused: Something is not there, and nobody ever told of it.
    """
    types = await client.types()
    if len(words) == 1 and "/" not in words[0]:
        return [await explained(client, types.named("pods"), words[0], is_any=True)]
    found = []
    for selection in select(words, types):
        if not selection.names:
            raise Refused(f"which one of {selection.type.plural}?", hint="name it: TYPE/NAME")
        found += [await explained(client, selection.type, name) for name in selection.names]
    return found


async def explained(
    client: Client, type: ResourceType, name: str, *, is_any: bool = False
) -> Explanation:
    """One object.

    Args:
        client: Of the cluster.
        type: What it is.
        name: In the client's namespace.
        is_any: Whether it may be of another kind when there is none of this one.
    """
    try:
        item = await client.get(type.path(client.namespace, name))
    except ServerRefused as error:
        if error.code != 404:
            raise
        other = await _absent(client, type, name, error, is_any=is_any)
        if other is None:
            raise
        return other
    found = _struct(type, item)
    seen = await around(client, found)
    return explain(found, seen)


def _struct(type: ResourceType, item: Json) -> Resource:
    kind = kinds.find(type.api_version, type.kind)
    found = understood(kind, item) if kind else None
    return found or struct_of(item, CustomResource)


async def around(client: Client, found: Resource) -> Seen:
    """All that explaining an object takes, in as few questions as it takes."""
    namespace = found.metadata.namespace
    seen = await glanced(client, now_ms, namespace=namespace)
    if any(not pod.spec.node_name for pod in seen.pods) and not seen.has_all_pods:
        pods, _ = await listed(client, PODS)  # what else is on the nodes
        seen = replace(seen, pods=tuple(pods), has_all_pods=True)
    looked_at = [found] if isinstance(found, Pod) else seen.pods_of(found)
    return replace(seen, logs=await logs_of(client, looked_at))


async def logs_of(
    client: Client, pods: Iterable[Pod]
) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """The last lines of containers that ended; of a few pods, and none that cannot be had."""
    wanted = [
        (pod, status.name, "true" if status.last_state.terminated else "")
        for pod in [pod for pod in pods if not is_plainly_well(pod)][:LOGS_MAX]
        for status in pod.status.container_statuses
        if status.last_state.terminated or status.state.terminated
    ]
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}

    async def one(pod: Pod, container: str, previous: str) -> None:
        meta = pod.metadata
        params = {
            "container": container,
            "previous": previous,
            "tailLines": str(LOG_LINES),
            "limitBytes": str(LOG_BYTES),
        }
        path = f"{path_of(PODS, meta.namespace, meta.name)}/log"
        try:
            with translated(client.server):
                async with asyncio.timeout(LOG_S_MAX):
                    text = await client.text(path, params)
        except (LongshoreError, TimeoutError):
            return  # its node does not answer, or the container was removed: there is no log
        lines = text.decode(errors="replace").splitlines()
        found[meta.namespace, meta.name, container] = tuple(lines)

    async with asyncio.TaskGroup() as tasks:
        for pod, container, previous in wanted:
            tasks.create_task(one(pod, container, previous))
    return found


async def _absent(
    client: Client, type: ResourceType, name: str, error: ServerRefused, *, is_any: bool
) -> Explanation | None:
    """What is told of it, or what else has that name; None, and a better hint, when nothing is."""
    namespace = client.namespace
    seen = await glanced(client, now_ms, namespace=namespace)
    if type.kind == "Pod" and (gone := explain_gone_pod(namespace, name, seen)):
        return gone
    if is_any:
        others = (*seen.workloads, *seen.nodes)
        for other in others:
            if other.metadata.name == name:
                return explain(other, await around(client, other))
    everything = {"Pod": seen.pods, "Node": seen.nodes, "Deployment": seen.deployments}
    names = [one.metadata.name for one in everything.get(type.kind, ())]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    inside = f" -n {namespace}" if namespace != "default" else ""
    hint = (
        f"did you mean {' or '.join(close)}?" if close else f"longshore get {type.plural}{inside}"
    )
    error.hint = hint
    raise error


# ---------------------------------------------------------------------------------- as text


def show(screen: Screen, found: Explanation) -> None:
    """Print it."""
    for line in lines_of(found):
        if screen.is_terminal:
            screen.out.print(line)
        else:
            screen.say(line.plain)


def lines_of(found: Explanation) -> list[Text]:
    """The explanation, line by line."""
    lines = [Text(printable(found.summary), style="bold")]
    for finding in found.findings:
        lines.append(Text(""))
        lines += finding_lines(finding)
    return lines


def finding_lines(finding: Finding) -> list[Text]:
    """What is so, what shows it, and what to type next."""
    mark, style = MARKS[finding.weight]
    lines = [Text.assemble((mark, style), " ", printable(finding.what))]
    lines += [Text(f"    {printable(one)}", style="dim") for one in finding.evidence]
    if finding.output:
        lines.append(Text("  Its last lines:"))
        lines += [Text(f"    | {printable(one)}") for one in finding.output]
    if finding.advice:
        lines.append(Text(f"  {printable(finding.advice)}"))
    if finding.next:
        lines.append(Text("  Next:"))
        lines += [Text(f"    {printable(one)}", style="cyan") for one in finding.next]
    return lines
