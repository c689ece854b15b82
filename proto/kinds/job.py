"""Job and CronJob: pods that run to their end, once or on a schedule."""

import re
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.event import ObjectReference
from proto.kinds.kind import Column, Kind, format_age
from proto.kinds.pod import PodTemplateSpec, age_cell, default_spec, validate_spec
from proto.kinds.replicaset import containers_cell, images_cell
from proto.meta import (
    Condition,
    LabelSelector,
    Model,
    ObjectMeta,
    Resource,
    Time,
    format_selector,
    is_true,
    parse_time_ms,
)

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_LEGACY_LABELS = {UID_LABEL: "controller-uid", NAME_LABEL: "job-name"}

_SCHEDULE = re.compile(
    r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every [0-9hms.]+)"
    r"|((\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?|\?)(/[0-9]+)?(,(?=\S)|(?=\s|$)))+"
    r"(\s+((\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?|\?)(/[0-9]+)?(,(?=\S)|(?=\s|$)))+){4}"
)


class JobSpec(Model, frozen=True, kw_only=True):
    """How many pods must succeed, and how many may run at a time.

    Attributes:
        completions: None: any one success is enough.
        selector: Made from the uid, unless `manual_selector`.
    """

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    completion_mode: str = ""
    pod_failure_policy: dict[str, Any] = {}
    success_policy: dict[str, Any] = {}
    pod_replacement_policy: str = ""
    managed_by: str = ""
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    suspend: bool | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    ttl_seconds_after_finished: int | None = None


class JobStatus(Model, frozen=True, kw_only=True):
    """What became of it."""

    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    start_time: Time = ""
    completion_time: Time = ""
    completed_indexes: str = ""
    failed_indexes: str = ""
    uncounted_terminated_pods: dict[str, Any] = {}
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class Job(Resource, frozen=True, kw_only=True):
    """Pods that run to their end."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class JobTemplateSpec(Model, frozen=True, kw_only=True):
    """What jobs are made from."""

    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()


class CronJobSpec(Model, frozen=True, kw_only=True):
    """When, and what."""

    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = ""
    suspend: bool | None = None
    job_template: JobTemplateSpec = JobTemplateSpec()
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None


class CronJobStatus(Model, frozen=True, kw_only=True):
    """Which jobs run, and when it last began one."""

    active: tuple[ObjectReference, ...] = ()
    last_schedule_time: Time = ""
    last_successful_time: Time = ""


class CronJob(Resource, frozen=True, kw_only=True):
    """Jobs on a schedule."""

    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()


def _template(template: PodTemplateSpec, labels: dict[str, str]) -> PodTemplateSpec:
    """Its defaults, but for the restart policy: a job has none that could be meant."""
    spec = replace(default_spec(template.spec), restart_policy=template.spec.restart_policy)
    metadata = template.metadata
    if labels:
        metadata = replace(metadata, labels=metadata.labels | labels)
    return replace(template, metadata=metadata, spec=spec)


def default_job(job: Job) -> Job:
    """The counts; selector and labels by the uid. Source: pkg/apis/batch/v1/defaults.go."""
    spec, meta = job.spec, job.metadata
    selector, labels = spec.selector, {}
    if not spec.manual_selector and meta.uid:
        selector = LabelSelector(match_labels={UID_LABEL: meta.uid})
        own = {UID_LABEL: meta.uid, NAME_LABEL: meta.name}
        labels = own | {_LEGACY_LABELS[key]: value for key, value in own.items()}
    counts_one = spec.completions is None and spec.parallelism is None
    return replace(
        job,
        spec=replace(
            spec,
            completions=1 if counts_one else spec.completions,
            parallelism=1 if spec.parallelism is None else spec.parallelism,
            backoff_limit=6 if spec.backoff_limit is None else spec.backoff_limit,
            completion_mode=spec.completion_mode or "NonIndexed",
            pod_replacement_policy=spec.pod_replacement_policy or "TerminatingOrFailed",
            suspend=bool(spec.suspend),
            selector=selector,
            template=_template(spec.template, labels),
        ),
    )


def _validate_job_spec(at: str, spec: JobSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
    ):
        errors += validation.non_negative(f"{at}.{name}", value)
    mode = spec.completion_mode or "NonIndexed"
    errors += validation.one_of(f"{at}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.completions is None:
        errors.append(validation.required(f"{at}.completions", "when completion mode is Indexed"))
    template = spec.template
    errors += validation.labels(f"{at}.template.metadata.labels", template.metadata.labels)
    policy = f"{at}.template.spec.restartPolicy"
    if template.spec.restart_policy not in ("OnFailure", "Never"):
        errors.append(
            validation.not_supported(policy, template.spec.restart_policy, ("Never", "OnFailure"))
            if template.spec.restart_policy
            else validation.required(policy, 'valid values: "OnFailure", "Never"')
        )
    checked = replace(template.spec, restart_policy=template.spec.restart_policy or "Never")
    return errors + [
        error for error in validate_spec(f"{at}.template.spec", checked) if error.field != policy
    ]


def validate_job(new: Job, old: Job | None) -> list[FieldError]:
    """Every wrong field; what is run may not change once it may have begun."""
    errors = _validate_job_spec("spec", new.spec)
    if new.spec.selector is None:
        errors.append(validation.required("spec.selector"))
    elif not new.spec.selector.matches(new.spec.template.metadata.labels):
        errors.append(
            validation.invalid(
                "spec.template.metadata.labels",
                new.spec.template.metadata.labels,
                "`selector` does not match template `labels`",
            )
        )
    if old is not None:
        errors += validation.immutable(
            "spec.completions", new.spec.completions, old.spec.completions
        )
        errors += validation.immutable("spec.selector", new.spec.selector, old.spec.selector)
        if not old.spec.suspend:
            errors += validation.immutable("spec.template", new.spec.template, old.spec.template)
    return errors


def default_cron_job(found: CronJob) -> CronJob:
    """Source: pkg/apis/batch/v1/defaults.go."""
    spec = found.spec
    template = spec.job_template
    job_spec = replace(template.spec, template=_template(template.spec.template, {}))
    successes, failures = spec.successful_jobs_history_limit, spec.failed_jobs_history_limit
    return replace(
        found,
        spec=replace(
            spec,
            concurrency_policy=spec.concurrency_policy or "Allow",
            suspend=bool(spec.suspend),
            successful_jobs_history_limit=3 if successes is None else successes,
            failed_jobs_history_limit=1 if failures is None else failures,
            job_template=replace(template, spec=job_spec),
        ),
    )


def _validate_name(path: str, value: str) -> list[FieldError]:
    """Its jobs' names have 11 characters more, and must be labels."""
    if len(value) > 52:
        return [validation.invalid(path, value, "must be no more than 52 characters")]
    return validation.subdomain(path, value)


def validate_cron_job(new: CronJob, _old: CronJob | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors: list[FieldError] = []
    if not spec.schedule:
        errors.append(validation.required("spec.schedule"))
    elif not _SCHEDULE.fullmatch(spec.schedule.strip()):
        errors.append(
            validation.invalid(
                "spec.schedule", spec.schedule, "expected 5 fields such as '*/5 * * * *', or @daily"
            )
        )
    errors += validation.one_of(
        "spec.concurrencyPolicy", spec.concurrency_policy, ("Allow", "Forbid", "Replace")
    )
    for name, value in (
        ("startingDeadlineSeconds", spec.starting_deadline_seconds),
        ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
        ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
    ):
        errors += validation.non_negative(f"spec.{name}", value)
    return errors + _validate_job_spec("spec.jobTemplate.spec", spec.job_template.spec)


def _status_cell(job: Job) -> str:
    conditions = job.status.conditions
    for type_, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if is_true(conditions, type_):
            return word
    if job.metadata.deletion_timestamp:
        return "Terminating"
    return "Running" if job.status.active else "Pending"


def _completions_cell(job: Job) -> str:
    spec, done = job.spec, job.status.succeeded
    if spec.completions is not None:
        return f"{done}/{spec.completions}"
    parallel = spec.parallelism or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration_cell(job: Job, now_ms: int) -> str:
    status = job.status
    if not status.start_time:
        return ""
    end = parse_time_ms(status.completion_time) if status.completion_time else now_ms
    return format_age(parse_time_ms(status.start_time), end)


def _last_cell(found: CronJob, now_ms: int) -> str:
    last = found.status.last_schedule_time
    return format_age(parse_time_ms(last), now_ms) if last else "<none>"


JOBS: Kind[Job] = Kind(
    name="Job",
    group="batch",
    version="v1",
    plural="jobs",
    singular="job",
    type=Job,
    categories=("all",),
    columns=(
        Column("Status", lambda job, _: _status_cell(job)),
        Column("Completions", lambda job, _: _completions_cell(job)),
        Column("Duration", _duration_cell),
        Column("Age", age_cell),
        Column("Containers", lambda job, _: containers_cell(job.spec.template), priority=1),
        Column("Images", lambda job, _: images_cell(job.spec.template), priority=1),
        Column("Selector", lambda job, _: format_selector(job.spec.selector), priority=1),
    ),
    defaults=default_job,
    validate=validate_job,
    fields={"status.successful": lambda job: str(job.status.succeeded)},
    notice="are stored and served, but nothing runs them yet",
)

CRON_JOBS: Kind[CronJob] = Kind(
    name="CronJob",
    group="batch",
    version="v1",
    plural="cronjobs",
    singular="cronjob",
    type=CronJob,
    short_names=("cj",),
    categories=("all",),
    columns=(
        Column("Schedule", lambda found, _: found.spec.schedule),
        Column("Timezone", lambda found, _: found.spec.time_zone or "<none>"),
        Column("Suspend", lambda found, _: str(bool(found.spec.suspend))),
        Column("Active", lambda found, _: len(found.status.active), type="integer"),
        Column("Last Schedule", _last_cell),
        Column("Age", age_cell),
        Column(
            "Containers",
            lambda found, _: containers_cell(found.spec.job_template.spec.template),
            priority=1,
        ),
        Column(
            "Images",
            lambda found, _: images_cell(found.spec.job_template.spec.template),
            priority=1,
        ),
        Column(
            "Selector",
            lambda found, _: format_selector(found.spec.job_template.spec.selector),
            priority=1,
        ),
    ),
    defaults=default_cron_job,
    validate=validate_cron_job,
    check_name=_validate_name,
    notice="are stored and served, but nothing runs them yet",
)
