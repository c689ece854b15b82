"""Why a container of a pod does not run, or runs again and again."""

import re
from collections.abc import Iterator

from msgspec import Struct

from orchestrator.cli.why import words
from orchestrator.cli.why.ended import NOT_STARTED, end_of, runtime_error
from orchestrator.cli.why.finding import Finding, Weight
from orchestrator.cli.why.seen import Seen
from proto.kinds.container import (
    Container,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)
from proto.kinds.kind import format_age
from proto.kinds.pod import Pod
from proto.meta import parse_time_ms

SLOW_START_MS = 60_000
"""Being created for longer than that is worth a look: pulls of large images aside, it takes
seconds."""

RECENT_MS = 600_000
"""A restart that long ago is over. Source: the back-off forgives after ten good minutes."""

_BACK_OFF = re.compile(r"back-off (?:(\d+)m)?(?:(\d+)s)? ")

_PULL_ERRORS: tuple[tuple[str, str, str], ...] = (
    (
        r"no such host|server misbehaving|name resolution",
        "the name of its registry is not known here",
        "Check the registry's name in the image, and DNS on the node.",
    ),
    (
        r"unauthorized|authentication required|denied|no basic auth|forbidden",
        "its registry does not let this node read it, or has no such image",
        "Check the name; log in on the node (docker login), or make the image readable.",
    ),
    (
        r"manifest unknown|not found|does not exist|repository name not known",
        "its registry has no such image or tag",
        "Check the image's name and tag, or push it.",
    ),
    (
        r"too ?many ?requests|rate limit",
        "its registry answers no more for now: too many requests",
        "Wait, log in for a higher limit, or use a mirror.",
    ),
    (
        r"x509|certificate|http: server gave HTTP response to HTTPS",
        "its registry cannot be trusted: TLS",
        "Install its certificate on the node, or list it in Docker's insecure-registries.",
    ),
    (
        r"connection refused|timeout|unreachable|deadline exceeded|reset by peer|\bEOF\b",
        "its registry cannot be reached from the node",
        "Check the network between the node and the registry.",
    ),
    (
        r"no space left",
        "the node's disk is full",
        "Make room on the node: docker system prune.",
    ),
    (
        r"invalid reference format",
        "that is no name of an image",
        "Mend the image's name.",
    ),
)
"""Pattern of an error's words, what it means, what would mend it; the first that fits counts."""


class _Case(Struct, frozen=True):
    """One container, and all that is known of it."""

    pod: Pod
    spec: Container | None
    status: ContainerStatus
    seen: Seen

    @property
    def name(self) -> str:
        """How to speak of it: of several, by name."""
        is_only = len(self.pod.spec.containers) == 1
        return "Its container" if is_only else f"Container {self.status.name}"

    def command(self, verb: str, *options: str) -> str:
        """A ``longshore`` command about it."""
        meta = self.pod.metadata
        if verb == "logs" and len(self.pod.spec.containers) > 1:
            options = ("-c", self.status.name, *options)
        found = " ".join(["longshore", verb, meta.name, *options])
        return f"{found}{self.seen.inside(meta.namespace)}"

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines of its last attempt."""
        meta = self.pod.metadata
        return self.seen.logs.get((meta.namespace, meta.name, self.status.name), ())


def findings_of(pod: Pod, status: ContainerStatus, seen: Seen) -> Iterator[Finding]:
    """What is to be said of one container; nothing when it just runs.

    Args:
        pod: Whose it is.
        status: As its node reports it.
        seen: What was seen around it.
    """
    spec = next((one for one in pod.spec.all_containers if one.name == status.name), None)
    case = _Case(pod, spec, status, seen)
    state = status.state
    if state.waiting is not None:
        yield from _waiting(case, state.waiting)
    elif state.terminated is not None:
        yield from _terminated(case, state.terminated)
    elif state.running is not None and status.last_state.terminated is not None:
        yield from _restarted(case, status.last_state.terminated)


def _waiting(case: _Case, waiting: ContainerStateWaiting) -> Iterator[Finding]:
    match waiting.reason:
        case "ErrImagePull" | "ImagePullBackOff":
            yield _not_pulled(case, waiting)
        case "ErrImageNeverPull":
            yield _never_pulled(case, waiting)
        case "CrashLoopBackOff":
            yield _crashing(case, waiting)
        case "ContainerCreating" | "PodInitializing" | "":
            yield _creating(case)
        case reason:
            yield Finding(
                weight=Weight.PROBLEM,
                reason=reason,
                what=f"{case.name} cannot be made or started: {runtime_error(waiting.message)}",
                evidence=(f"waiting with {reason}: {waiting.message}",),
                next=(case.command("describe pod"),),
            )


def _not_pulled(case: _Case, waiting: ContainerStateWaiting) -> Finding:
    image = case.status.image
    said = waiting.message.removeprefix(f'Back-off pulling image "{image}": ')
    what, advice = "its pull fails", "The registry's words say why."
    for pattern, meaning, remedy in _PULL_ERRORS:
        if re.search(pattern, said.replace(image, ""), re.IGNORECASE):
            what, advice = meaning, remedy
            break
    evidence = [f"the registry, or Docker, says: {said}"] if said else []
    evidence += [
        words.told(event, case.seen.now_ms)
        for event in case.seen.events_of(case.pod, "Failed")
        if said not in event.message
    ][:1]
    return Finding(
        weight=Weight.PROBLEM,
        reason="ImageNotPulled",
        what=f"Image {image} cannot be pulled: {what}",
        evidence=(*evidence, "it is tried again by itself, at most five minutes apart"),
        advice=advice,
        next=(_change_image(case), case.command("describe pod")),
    )


def _never_pulled(case: _Case, waiting: ContainerStateWaiting) -> Finding:
    node = case.pod.spec.node_name
    return Finding(
        weight=Weight.PROBLEM,
        reason="ImageNeverPulled",
        what=f"Image {case.status.image} is not on {node}, and imagePullPolicy: Never forbids to "
        "pull it",
        evidence=(waiting.message,),
        advice=f"Load it into Docker on {node}, or let it be pulled (IfNotPresent).",
        next=(_change_image(case),),
    )


def _change_image(case: _Case) -> str:
    """How to use another image: of the deployment when there is one, else of the pod."""
    top = case.seen.controller_of(case.pod)
    target = case.pod if top is None else top
    kind = words.kind_name(target).lower()
    meta = target.metadata
    inside = case.seen.inside(meta.namespace)
    return f"longshore set image {kind}/{meta.name} {case.status.name}=IMAGE{inside}"


def _crashing(case: _Case, waiting: ContainerStateWaiting) -> Finding:
    ended = case.status.last_state.terminated
    if ended is None:
        return Finding(
            weight=Weight.PROBLEM,
            reason="CrashLoop",
            what=f"{case.name} ends again and again",
            evidence=(waiting.message,),
            next=(case.command("logs", "--previous"),),
        )
    end = end_of(ended, case.spec)
    attempts = words.count(case.status.restart_count + 1, "attempt")
    return Finding(
        weight=Weight.PROBLEM,
        reason=end.reason,
        what=f"{case.name} {end.what}, {_again(waiting, ended, case.seen.now_ms)}",
        evidence=_evidence_of(case, ended, f"CrashLoopBackOff after {attempts}"),
        output=case.output,
        advice=end.advice,
        next=_after(case, ended),
    )


def _again(waiting: ContainerStateWaiting, ended: ContainerStateTerminated, now_ms: int) -> str:
    """When it is started next."""
    found = _BACK_OFF.match(waiting.message)
    if found is None or not ended.finished_at:
        return "and waits to be tried again"
    minutes, seconds = (int(part or 0) for part in found.groups())
    delay_ms = (minutes * 60 + seconds) * 1000
    left_ms = parse_time_ms(ended.finished_at) + delay_ms - now_ms
    if left_ms <= 0:
        return "and is tried again about now"
    return f"and is tried again in {format_age(0, left_ms)} (back-off {format_age(0, delay_ms)})"


def _terminated(case: _Case, ended: ContainerStateTerminated) -> Iterator[Finding]:
    is_debugger = case.status.name not in {one.name for one in case.pod.spec.containers}
    if is_debugger or case.pod.metadata.deletion_timestamp:
        return
    end = end_of(ended, case.spec)
    if ended.exit_code == 0 and case.pod.spec.restart_policy != "Always":
        yield Finding(weight=Weight.FINE, reason="Completed", what=f"{case.name} {end.what}")
        return
    yield Finding(
        weight=Weight.PROBLEM,
        reason=end.reason,
        what=f"{case.name} {end.what}{_for_good(case.pod)}",
        evidence=_evidence_of(case, ended),
        output=case.output,
        advice=end.advice,
        next=() if ended.reason == NOT_STARTED else (case.command("logs"),),
    )


def _for_good(pod: Pod) -> str:
    if pod.status.phase in ("Succeeded", "Failed"):
        return f", and restartPolicy: {pod.spec.restart_policy} leaves it at that"
    return ""


def _restarted(case: _Case, ended: ContainerStateTerminated) -> Iterator[Finding]:
    """It runs now, and did not always."""
    finished_ms = words.time_ms(ended.finished_at)
    if finished_ms is None or case.seen.now_ms - finished_ms > RECENT_MS:
        return
    end = end_of(ended, case.spec)
    restarts = words.count(case.status.restart_count, "restart")
    yield Finding(
        weight=Weight.NOTE,
        reason="Restarted",
        what=f"{case.name} runs again after {restarts}: before, it {end.what}",
        evidence=_evidence_of(case, ended),
        output=case.output,
        advice=end.advice,
        next=_after(case, ended),
    )


def _evidence_of(case: _Case, ended: ContainerStateTerminated, *more: str) -> tuple[str, ...]:
    code = ended.exit_code
    name = words.signal_name(code)
    told = f"exit code {code}{f' ({name})' if name else ''}, {ended.reason}"
    when = f", {words.age(ended.finished_at, case.seen.now_ms)} ago" if ended.finished_at else ""
    said = (f"the runtime says: {runtime_error(ended.message)}",) if ended.message else ()
    return (told + when + _ran_for(ended), *said, *more)


def _ran_for(ended: ContainerStateTerminated) -> str:
    started_ms, finished_ms = words.time_ms(ended.started_at), words.time_ms(ended.finished_at)
    if started_ms is None or finished_ms is None or ended.reason == NOT_STARTED:
        return ""
    return f", after running for {format_age(started_ms, finished_ms)}"


def _after(case: _Case, ended: ContainerStateTerminated) -> tuple[str, ...]:
    """What to look at after an end: a log, unless nothing ever ran."""
    return (case.command("logs", *(() if ended.reason == NOT_STARTED else ("--previous",))),)


def _creating(case: _Case) -> Finding:
    """Normal for a while."""
    seen, pod = case.seen, case.pod
    failures = seen.events_of(pod, "FailedCreatePodSandBox", "Failed", "FailedMount")
    latest = seen.events_of(pod)[:1]
    since_ms = words.time_ms(pod.status.start_time or pod.metadata.creation_timestamp)
    is_slow = since_ms is not None and seen.now_ms - since_ms > SLOW_START_MS
    is_pulling = bool(latest) and latest[0].reason == "Pulling"
    doing = f"image {case.status.image} is being pulled" if is_pulling else "it is being made"
    return Finding(
        weight=Weight.PROBLEM if failures or is_slow else Weight.NOTE,
        reason="Pulling" if is_pulling else "Creating",
        what=f"{case.name} does not run yet: {doing}",
        evidence=tuple(words.told(event, seen.now_ms) for event in (failures or latest)[:2]),
        next=(case.command("describe pod"),) if failures or is_slow else (),
    )
