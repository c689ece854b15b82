"""CronJob: a job at each time of its schedule.

A job's name says for which minute it was made, so that none is made twice, whoever leads. Which of
its jobs run is read off the jobs themselves. Source of the rules and words: Kubernetes,
pkg/controller/cronjob.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from email.utils import format_datetime

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import schedule
from orchestrator.core.decisions import Create, Decision, Emit, Plan, Remove, UpdateStatus
from orchestrator.core.ownership import reference
from orchestrator.core.schedule import Schedule
from proto.kinds.cronjob import (
    BY_HAND_ANNOTATION,
    CRON_JOBS,
    SCHEDULED_ANNOTATION,
    CronJob,
    CronJobStatus,
)
from proto.kinds.event import ObjectReference
from proto.kinds.job import JOBS, Job, ending_of
from proto.meta import ObjectMeta, format_time, parse_time_ms

MISSED_MAX = 100
"""Times missed in a row that are worth a warning."""


class Due(Struct, frozen=True):
    """The last time that has come since a job was last made.

    Attributes:
        time_ms: Epoch milliseconds; None: there is none.
        missed: About how many came, that included, within the deadline for starting.
        next_ms: The first that is yet to come; None: there is none.
    """

    time_ms: int | None
    missed: int
    next_ms: int | None


def plan(found: CronJob, jobs: Iterable[Job], now_ms: int) -> Plan:
    """Make the job whose time has come, forget old ones, tell which run.

    Args:
        found: Present, possibly being deleted: then it only tells.
        jobs: Those it owns, in any order.
        now_ms: Epoch milliseconds.
    """
    mine = sorted(jobs, key=lambda job: job.metadata.name)
    decisions: list[Decision] = [*_history(found, mine), *_noticed(found, mine)]
    wake_at_ms = None
    status = _status(found, mine)
    if not found.metadata.deletion_timestamp and not found.spec.suspend:
        begun = _begun(found, mine, status, now_ms)
        decisions += begun.decisions
        wake_at_ms = begun.wake_at_ms
    if status != found.status:
        names = ", ".join(about.name for about in status.active) or "none"
        changed = replace(found, status=status)
        decisions.append(UpdateStatus(CRON_JOBS, changed, f"active: {names}"))
    return Plan(tuple(decisions), wake_at_ms)


def job_name(found: CronJob, time_ms: int) -> str:
    """Of the job for a time."""
    return f"{found.metadata.name}-{time_ms // 60_000}"


def due(found: CronJob, times: Schedule, now_ms: int) -> Due:
    """Which time has come.

    Of many that were missed only the last counts.
    """
    spec, status = found.spec, found.status
    since_ms = parse_time_ms(status.last_schedule_time or found.metadata.creation_timestamp)
    first_ms = times.next_ms(since_ms)
    if first_ms is None or now_ms < first_ms:
        return Due(None, 0, first_ms)
    second_ms = times.next_ms(first_ms)
    if second_ms is None or now_ms < second_ms:
        return Due(first_ms, 1, second_ms)
    apart_ms = second_ms - first_ms
    last_ms = first_ms
    next_ms: int | None = _one_before(times, second_ms, apart_ms, now_ms)
    while next_ms is not None and next_ms <= now_ms:
        last_ms, next_ms = next_ms, times.next_ms(next_ms)
    deadline_s = spec.starting_deadline_seconds
    counted_ms = first_ms if deadline_s is None else max(first_ms, now_ms - deadline_s * 1000)
    return Due(last_ms, (now_ms - counted_ms) // apart_ms + 1, next_ms)


def _one_before(times: Schedule, known_ms: int, apart_ms: int, now_ms: int) -> int:
    """A time not long before the present, wherever most of many lie: sought ever further back."""
    window_ms = apart_ms
    while (since_ms := now_ms - window_ms) > known_ms:
        found_ms = times.next_ms(since_ms)
        if found_ms is not None and found_ms <= now_ms:
            return found_ms
        window_ms *= 2
    return known_ms


def _begun(found: CronJob, jobs: Sequence[Job], status: CronJobStatus, now_ms: int) -> Plan:
    """The job whose time has come, and when the next one's will."""
    spec = found.spec
    try:
        times = schedule.parse(spec.schedule, spec.time_zone or "UTC")
    except ValueError as error:
        message = f'unparseable schedule: "{spec.schedule}" : {error}'
        return Plan((_told(found, "Warning", "UnparseableSchedule", message),))
    at = due(found, times, now_ms)
    if at.time_ms is None:
        if at.next_ms is None:
            message = f"invalid schedule: {spec.schedule} : it never comes"
            return Plan((_told(found, "Warning", "InvalidSchedule", message),))
        return Plan(wake_at_ms=at.next_ms)
    decisions: list[Decision] = []
    if at.missed > MISSED_MAX:
        message = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
            "clock skew"
        )
        decisions.append(_told(found, "Warning", "TooManyMissedTimes", message))
    decisions += _made(found, jobs, status, times, at.time_ms, now_ms)
    return Plan(tuple(decisions), at.next_ms)


def _made(
    found: CronJob,
    jobs: Sequence[Job],
    status: CronJobStatus,
    times: Schedule,
    time_ms: int,
    now_ms: int,
) -> Iterator[Decision]:
    spec, deadline_s = found.spec, found.spec.starting_deadline_seconds
    if deadline_s is not None and time_ms + deadline_s * 1000 < now_ms:
        moment = dt.datetime.fromtimestamp(time_ms // 1000, dt.UTC)
        message = f"Missed scheduled time to start a job: {format_datetime(moment)}"
        yield _told(found, "Warning", "MissSchedule", message)
        return
    name = job_name(found, time_ms)
    if any(job.metadata.name == name for job in jobs):
        return
    if spec.concurrency_policy == "Forbid" and status.active:
        message = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        yield _told(found, "Normal", "JobAlreadyActive", message)
        return
    if spec.concurrency_policy == "Replace":
        active = {about.uid for about in status.active}
        for job in jobs:
            if job.metadata.uid in active and not job.metadata.deletion_timestamp:
                yield from _removed(found, job, "its successor's time has come")
    told = _told(found, "Normal", "SuccessfulCreate", "Created job {name}")
    made = _job(found, name, times.text_of(time_ms))
    yield Create(JOBS, made, f"its time has come: {format_time(time_ms)}", told)


def _job(found: CronJob, name: str, scheduled: str) -> Job:
    template = found.spec.job_template
    meta = template.metadata
    return Job(
        metadata=ObjectMeta(
            name=name,
            namespace=found.metadata.namespace,
            labels=meta.labels,
            annotations=meta.annotations | {SCHEDULED_ANNOTATION: scheduled},
            owner_references=(reference(CRON_JOBS, found),),
        ),
        spec=template.spec,
    )


def _scheduled_ms(found: CronJob, job: Job) -> int | None:
    """For which time we made the job; None for one that somebody else made."""
    text = job.metadata.annotations.get(SCHEDULED_ANNOTATION, "")
    try:
        time_ms = parse_time_ms(text)
    except ValueError:
        return None
    return time_ms if job.metadata.name == job_name(found, time_ms) else None


def _status(found: CronJob, jobs: Sequence[Job]) -> CronJobStatus:
    """Jobs made by hand are not told of, but for when they succeed."""
    status = found.status
    last = [status.last_schedule_time]
    active = []
    for job in jobs:
        scheduled_ms = _scheduled_ms(found, job)
        if scheduled_ms is None:
            continue
        last.append(format_time(scheduled_ms))
        if ending_of(job) is None:
            active.append(_reference(job))
    succeeded = (
        job.status.completion_time
        for job in jobs
        if (ending := ending_of(job)) is not None and ending.type == "Complete"
    )
    return replace(
        status,
        active=tuple(active),
        last_schedule_time=max(last),
        last_successful_time=max((status.last_successful_time, *succeeded)),
    )


def _reference(job: Job) -> ObjectReference:
    meta = job.metadata
    return ObjectReference(
        api_version=JOBS.api_version,
        kind=JOBS.name,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
    )


def _noticed(found: CronJob, jobs: Sequence[Job]) -> Iterator[Emit]:
    """What has become of its jobs since it was last told."""
    known = {about.uid: about.name for about in found.status.active}
    for job in jobs:
        ending = ending_of(job)
        name, is_known = job.metadata.name, known.pop(job.metadata.uid, None) is not None
        if is_known and ending is not None:
            message = f"Saw completed job: {name}, condition: {ending.type}"
            yield _told(found, "Normal", "SawCompletedJob", message)
        elif ending is None and _scheduled_ms(found, job) is None and not _is_by_hand(job):
            message = f"Saw a job that the controller did not create or forgot: {name}"
            yield _told(found, "Warning", "UnexpectedJob", message)
    for name in known.values():
        yield _told(found, "Normal", "MissingJob", f"Active job went missing: {name}")


def _is_by_hand(job: Job) -> bool:
    """Whether somebody asked for it by ``kubectl create job --from``: no surprise, so no warning.

    Kubernetes warns of these as well.
    """
    return job.metadata.annotations.get(BY_HAND_ANNOTATION) == "manual"


def _history(found: CronJob, jobs: Sequence[Job]) -> Iterator[Decision]:
    """Jobs that are over, beyond as many as are to be kept; the oldest go.

    One whose time is not written down stays: it is how we know that it was made.
    """
    spec, written = found.spec, found.status.last_schedule_time
    if found.metadata.deletion_timestamp:
        return
    known = [
        job
        for job in jobs
        if (at_ms := _scheduled_ms(found, job)) is None or format_time(at_ms) <= written
    ]
    for type_, limit in (
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ):
        over = [job for job in known if (e := ending_of(job)) is not None and e.type == type_]
        over.sort(key=lambda job: (job.status.start_time, job.metadata.name))
        for job in over[: max(0, len(over) - (limit or 0))]:
            if not job.metadata.deletion_timestamp:
                yield from _removed(found, job, f"{limit} of those that are {type_} are kept")


def _removed(found: CronJob, job: Job, cause: str) -> tuple[Remove, Emit]:
    message = f"Deleted job {job.metadata.name}"
    return (
        Remove(JOBS, job, cause, propagation="Background"),
        _told(found, "Normal", "SuccessfulDelete", message),
    )


def _told(found: CronJob, type_: str, reason: str, message: str) -> Emit:
    return Emit(CRON_JOBS, found, type_, reason, message)
