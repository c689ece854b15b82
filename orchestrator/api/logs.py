"""``pods/log``: what a container wrote.

The bytes come from the node's agent; which container is meant, and whether it has a log at all, is
decided here from the pod. Texts: kubernetes, pkg/registry/core/pod/strategy.go and kubelet's.
"""

from collections.abc import Sequence

from aiohttp import web
from multidict import MultiMapping

from orchestrator.runtime.streams import Streams
from proto import codec
from proto.errors import BadRequest, Unavailable
from proto.frames import Channel
from proto.kinds.container import Container, ContainerStatus
from proto.kinds.pod import Pod
from proto.messages import LogRequest, StreamOutcome
from proto.meta import parse_time_ms


def request_for(pod: Pod, query: MultiMapping[str], now_ms: int) -> LogRequest:
    """What to ask the pod's node for.

    Raises:
        BadRequest: It is unclear which container is meant, or that one has no log.
    """
    container = container_of(pod, query.get("container", ""))
    previous = flag(query, "previous")
    told = pod.status
    statuses = (
        *told.init_container_statuses,
        *told.container_statuses,
        *told.ephemeral_container_statuses,
    )
    status = next((s for s in statuses if s.name == container), None)
    _check_has_log(pod, container, status, previous=previous)
    return LogRequest(
        pod_uid=pod.metadata.uid,
        container=container,
        follow=flag(query, "follow"),
        previous=previous,
        timestamps=flag(query, "timestamps"),
        tail_lines=_count(query, "tailLines"),
        since_ms=_since_ms(query, now_ms),
        limit_bytes=_count(query, "limitBytes"),
    )


def container_of(pod: Pod, name: str) -> str:
    """The name of the container that is meant.

    Raises:
        BadRequest: There is none of that name, or several and no name.
    """
    spec = pod.spec
    if not name:
        if len(spec.containers) == 1:
            return spec.containers[0].name
        choices = f"[{_names(spec.containers)}]"
        if spec.init_containers:
            choices += f" or one of the init containers: [{_names(spec.init_containers)}]"
        if spec.ephemeral_containers:
            choices += f" or one of the ephemeral containers: [{_names(spec.ephemeral_containers)}]"
        raise BadRequest(
            f"a container name must be specified for pod {pod.metadata.name}, choose one of: "
            + choices
        )
    if all(name != container.name for container in spec.all_containers):
        raise BadRequest(
            f"container {name} is not valid for pod {pod.metadata.name}: valid containers are: "
            f"{_names(spec.all_containers, ', ')}"
        )
    return name


def _names(containers: Sequence[Container], between: str = " ") -> str:
    return between.join(container.name for container in containers)


def _check_has_log(
    pod: Pod, container: str, status: ContainerStatus | None, *, previous: bool
) -> None:
    name = pod.metadata.name
    if previous:
        if status is None or not status.last_state.terminated:
            raise BadRequest(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        return
    waiting = status.state.waiting if status is not None else None
    if status is None or (waiting is not None and not status.last_state.terminated):
        reason = waiting.reason if waiting is not None and waiting.reason else "ContainerCreating"
        said = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(reason, reason)
        raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: {said}')


def flag(query: MultiMapping[str], name: str) -> bool:
    """Whether a parameter says yes."""
    return query.get(name, "").lower() in ("true", "1")


def _count(query: MultiMapping[str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest(f'{name}: Invalid value: "{text}": must be a number that is not negative')
    return int(text)


def _since_ms(query: MultiMapping[str], now_ms: int) -> int | None:
    if query.get("sinceTime"):
        try:
            return parse_time_ms(query["sinceTime"])
        except ValueError as error:
            raise BadRequest(f"sinceTime: {error}") from error
    seconds = _count(query, "sinceSeconds")
    return None if seconds is None else now_ms - seconds * 1000


async def stream(
    request: web.Request, streams: Streams, pod: Pod, now_ms: int
) -> web.StreamResponse:
    """The log as text, as it comes.

    Raises:
        BadRequest: See `request_for`.
        Unavailable: The node's agent does not answer.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    container_of(pod, request.query.get("container", ""))  # wrong whether it runs or not
    if not pod.spec.node_name:
        await response.prepare(request)  # Kubernetes answers nothing, successfully
        await response.write_eof()
        return response
    asked = request_for(pod, request.query, now_ms)
    async with streams.open(pod.spec.node_name, asked) as log:
        await response.prepare(request)
        while (frame := await log.receive()) is not None:
            if frame.channel is Channel.STDOUT:
                await response.write(frame.data)
            elif frame.channel is Channel.OUTCOME:
                _check_is_whole(frame.data)
    await response.write_eof()
    return response


def _check_is_whole(outcome: bytes) -> None:
    if error := codec.decode(outcome, StreamOutcome).error:
        raise Unavailable(error)
