"""`longshore logs`: what containers write, of one or of many, for as long as they do.

While it follows, every line is asked for with its time: when the connection breaks, or the control
plane restarts, it goes on behind the last line that was shown.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import httpx
from msgspec import Struct

from orchestrator.cli.client import Json, Params
from orchestrator.cli.durations import seconds
from orchestrator.cli.refused import Refused, ServerRefused
from orchestrator.cli.resources import Selection
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.get import objects
from orchestrator.cli.verbs.pods import container_names, container_of, pods_of
from orchestrator.cli.watching import BREAK_S, BREAKS_MAX

TAIL_OF_MANY = 10
"""Lines of each pod that a selector finds. Source: kubectl logs."""

AT_ONCE_MAX = 5
"""Logs followed at the same time, unless more are asked for. Source: kubectl logs."""


class LogOptions(Struct, frozen=True, kw_only=True):
    """Which lines, of which containers.

    Attributes:
        since: A duration; `since_time` is RFC 3339.
        tail: Lines from the end; None for all.
    """

    labels: str = ""
    container: str = ""
    is_following: bool = False
    is_previous: bool = False
    has_timestamps: bool = False
    since: str = ""
    since_time: str = ""
    tail: int | None = None
    limit_bytes: int | None = None
    is_of_all_containers: bool = False
    is_of_all_pods: bool = False
    is_prefixed: bool = False
    ignores_errors: bool = False
    at_once_max: int = AT_ONCE_MAX


class Log(Struct, frozen=True):
    """One container's."""

    pod: Json
    container: str

    @property
    def prefix(self) -> bytes:
        """What tells its lines apart."""
        return f"[pod/{self.pod['metadata']['name']}/{self.container}] ".encode()


async def logs(session: Session, word: str, options: LogOptions) -> int | None:
    """Print them."""
    found = await _logs(session, word, options)
    if not found:
        session.screen.tell(f"No resources found in {session.namespace} namespace.")
        return None
    if options.is_following and len(found) > options.at_once_max:
        raise Refused(
            f"you are attempting to follow {len(found)} log streams, but maximum allowed "
            f"concurrency is {options.at_once_max}",
            hint=f"--max-log-requests={len(found)}",
        )
    if not options.is_following:
        for log in found:
            await _show(session, log, options)
        return None
    async with asyncio.TaskGroup() as group:
        for log in found:
            group.create_task(_show(session, log, options))
    return None


async def _logs(session: Session, word: str, options: LogOptions) -> list[Log]:
    if options.labels:
        if word:
            raise Refused("only a selector (-l) or a POD name is allowed")
        types = await session.client.types()
        pods = await objects(session, Selection(types.named("pods")), labels=options.labels)
    elif word:
        pods = await pods_of(session, word)
        if len(pods) > 1 and not options.is_of_all_pods:
            name = pods[0]["metadata"]["name"]
            session.screen.tell(f"Found {len(pods)} pods, using pod/{name}")
            pods = pods[:1]
    else:
        raise Refused("expected POD or TYPE/NAME", hint="longshore get pods lists them")
    if options.is_of_all_containers:
        return [Log(pod, name) for pod in pods for name in reversed(container_names(pod))]
    return [Log(pod, container_of(session, pod, options.container)) for pod in pods]


async def _show(session: Session, log: Log, options: LogOptions) -> None:
    prefix = log.prefix if options.is_prefixed else b""
    try:
        if options.is_following:
            async for line in _followed(session, log, options):
                session.screen.write(prefix + line)
        else:
            async for piece in _pieces(session, log, options):
                session.screen.write(piece if not prefix else prefix + piece)
    except ServerRefused as error:
        if not options.ignores_errors:
            raise
        session.screen.tell(str(error))


async def _pieces(session: Session, log: Log, options: LogOptions) -> AsyncGenerator[bytes, None]:
    """As they come, or line by line where each gets a prefix."""
    chunks = session.client.chunks(await _path(session, log), _params(log, options))
    async with contextlib.aclosing(chunks):
        if not options.is_prefixed:
            async for chunk in chunks:
                yield chunk
        else:
            async for line in lines_of(chunks):
                yield line


async def lines_of(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Whole lines with their ends, the last one even without."""
    left = b""
    async for chunk in chunks:
        *lines, left = (left + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if left:
        yield left


async def _followed(session: Session, log: Log, options: LogOptions) -> AsyncGenerator[bytes, None]:
    """Until the container has ended for good: lines after a break, too, each once."""
    path, last, breaks = await _path(session, log), b"", 0
    while True:
        params, shown = dict(_params(log, options)) | {"timestamps": "true"}, last
        if shown:
            params = {name: value for name, value in params.items() if not name.startswith("since")}
            params |= {"sinceTime": shown.decode(), "tailLines": ""}
        try:
            async with contextlib.aclosing(session.client.chunks(path, params)) as chunks:
                async for line in lines_of(chunks):
                    time, _, text = line.partition(b" ")
                    if time <= shown:
                        continue  # a server may take the time in whole seconds
                    last, breaks = time, 0
                    yield line if options.has_timestamps else text
            if not await _goes_on(session, log):
                return
        except httpx.TransportError:
            pass
        except ServerRefused as error:
            if error.code != 503:
                raise
        breaks += 1
        if breaks > BREAKS_MAX:
            return
        await asyncio.sleep(BREAK_S)


async def _goes_on(session: Session, log: Log) -> bool:
    """Whether the log ended though the same container runs: the server hung up."""
    metadata = log.pod["metadata"]
    pods = (await session.client.types()).of_kind("v1", "Pod")
    try:
        now = await session.client.get(pods.path(metadata["namespace"], metadata["name"]))
    except ServerRefused:
        return False
    return _running_id(now, log.container) == _running_id(log.pod, log.container) != ""


def _running_id(pod: Json, container: str) -> str:
    for found in (pod.get("status") or {}).get("containerStatuses") or ():
        if found["name"] == container and "running" in (found.get("state") or {}):
            return str(found.get("containerID", ""))
    return ""


async def _path(session: Session, log: Log) -> str:
    metadata = log.pod["metadata"]
    pods = (await session.client.types()).of_kind("v1", "Pod")
    return pods.path(metadata["namespace"], metadata["name"], "log")


def _params(log: Log, options: LogOptions) -> Params:
    tail = TAIL_OF_MANY if options.labels and options.tail is None else options.tail
    since_s = str(max(1, round(seconds(options.since)))) if options.since else ""
    return {
        "container": log.container,
        "follow": "true" if options.is_following else "",
        "previous": "true" if options.is_previous else "",
        "timestamps": "true" if options.has_timestamps else "",
        "tailLines": "" if tail is None or tail < 0 else str(tail),
        "sinceSeconds": since_s,
        "sinceTime": options.since_time,
        "limitBytes": "" if options.limit_bytes is None else str(options.limit_bytes),
    }
