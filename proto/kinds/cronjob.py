"""CronJob: jobs on a schedule. What a schedule may be says `orchestrator.core.schedule`."""

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.event import ObjectReference
from proto.kinds.job import JobSpec, default_template, validate_spec
from proto.kinds.jobpolicy import default_failure_policy
from proto.kinds.kind import Column, Kind, format_age
from proto.kinds.pod import age_cell
from proto.kinds.replicaset import containers_cell, images_cell
from proto.meta import Model, ObjectMeta, Resource, Time, format_selector, parse_time_ms

SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""Of a job: when it was to begin, in its cron job's time zone."""

BY_HAND_ANNOTATION = "cronjob.kubernetes.io/instantiate"
"""Of a job that somebody made from a cron job: ``manual``."""

NAME_MAX = 52
"""Its jobs' names have 11 characters more, and must be labels."""


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


def default_cron_job(found: CronJob) -> CronJob:
    """Source: pkg/apis/batch/v1/defaults.go."""
    spec = found.spec
    template = spec.job_template
    job_spec = replace(
        template.spec,
        template=default_template(template.spec.template, {}),
        pod_failure_policy=default_failure_policy(template.spec.pod_failure_policy),
    )
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
    if len(value) > NAME_MAX:
        return [validation.invalid(path, value, f"must be no more than {NAME_MAX} characters")]
    return validation.subdomain(path, value)


def validate_cron_job(new: CronJob, _old: CronJob | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors: list[FieldError] = []
    if not spec.schedule:
        errors.append(validation.required("spec.schedule"))
    errors += validation.one_of(
        "spec.concurrencyPolicy", spec.concurrency_policy, ("Allow", "Forbid", "Replace")
    )
    for name, value in (
        ("startingDeadlineSeconds", spec.starting_deadline_seconds),
        ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
        ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
    ):
        errors += validation.non_negative(f"spec.{name}", value)
    return errors + validate_spec("spec.jobTemplate.spec", spec.job_template.spec)


def _last_cell(found: CronJob, now_ms: int) -> str:
    last = found.status.last_schedule_time
    return format_age(parse_time_ms(last), now_ms) if last else "<none>"


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
)
