"""Job: pods that run to their end."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.codec import to_plain
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.jobpolicy import (
    PodFailurePolicy,
    SuccessPolicy,
    default_failure_policy,
    validate_failure_policy,
    validate_success_policy,
)
from proto.kinds.kind import Column, Kind, format_age
from proto.kinds.pod import (
    PodTemplateSpec,
    age_cell,
    default_spec,
    validate_spec as validate_pod_spec,
)
from proto.kinds.replicaset import containers_cell, images_cell
from proto.meta import (
    Condition,
    LabelSelector,
    Model,
    Resource,
    Time,
    format_selector,
    is_true,
    parse_time_ms,
)

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_LEGACY_LABELS = {UID_LABEL: "controller-uid", NAME_LABEL: "job-name"}

INDEX_KEY = "batch.kubernetes.io/job-completion-index"
"""Label and annotation of an indexed job's pods."""

TRACKING = "batch.kubernetes.io/job-tracking"
"""Finalizer of a pod whose end its job has yet to count."""

OUR_CONTROLLER = "kubernetes.io/job-controller"
"""In `JobSpec.managed_by`, as empty: jobs that somebody else sees to are left alone."""

INDEXED_MAX = 100_000
"""Pods at a time of an indexed job; of those with a limit per index, completions too."""

LIMITED_FAILED_MAX = 10_000
"""maxFailedIndexes of a job with more pods at a time, or completions, than it could name."""

_UNLIMITED = 2**31 - 1


class JobSpec(Model, frozen=True, kw_only=True):
    """How many pods must succeed, and how many may run at a time.

    Attributes:
        completions: None: any one success is enough, and pods tell by it that all work is done.
        selector: Made from the uid, unless `manual_selector`.
    """

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    completion_mode: str = ""
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    pod_replacement_policy: str = ""
    managed_by: str = ""
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    suspend: bool | None = None
    template: PodTemplateSpec = PodTemplateSpec()
    ttl_seconds_after_finished: int | None = None


class UncountedTerminatedPods(Model, frozen=True, kw_only=True):
    """Uids of pods that have ended, and whose counts do not hold them yet."""

    succeeded: Annotated[tuple[str, ...], Meta(extra={"is_set": True})] = ()
    failed: Annotated[tuple[str, ...], Meta(extra={"is_set": True})] = ()


class JobStatus(Model, frozen=True, kw_only=True):
    """What became of it.

    Attributes:
        active: Pods that neither ended nor are being deleted.
        terminating: Pods being deleted that have not ended yet.
        completed_indexes: Of an indexed job, as ``0,2-4``; so `failed_indexes`.
    """

    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    start_time: Time = ""
    completion_time: Time = ""
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods = UncountedTerminatedPods()
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class Job(Resource, frozen=True, kw_only=True):
    """Pods that run to their end."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


def default_template(template: PodTemplateSpec, labels: dict[str, str]) -> PodTemplateSpec:
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
        selector = selector or LabelSelector()
        if UID_LABEL not in selector.match_labels:
            by_uid = selector.match_labels | {UID_LABEL: meta.uid}
            selector = replace(selector, match_labels=by_uid)
        own = {UID_LABEL: meta.uid, NAME_LABEL: meta.name}
        labels = own | {_LEGACY_LABELS[key]: value for key, value in own.items()}
    counts_one = spec.completions is None and spec.parallelism is None
    backoff_limit = 6 if spec.backoff_limit_per_index is None else _UNLIMITED
    replacement = "TerminatingOrFailed" if spec.pod_failure_policy is None else "Failed"
    return replace(
        job,
        spec=replace(
            spec,
            completions=1 if counts_one else spec.completions,
            parallelism=1 if spec.parallelism is None else spec.parallelism,
            backoff_limit=backoff_limit if spec.backoff_limit is None else spec.backoff_limit,
            completion_mode=spec.completion_mode or "NonIndexed",
            pod_failure_policy=default_failure_policy(spec.pod_failure_policy),
            pod_replacement_policy=spec.pod_replacement_policy or replacement,
            suspend=bool(spec.suspend),
            selector=selector,
            template=default_template(spec.template, labels),
        ),
    )


def validate_spec(at: str, spec: JobSpec) -> list[FieldError]:
    """Every wrong field that a new job's spec, or a template's, could have."""
    errors: list[FieldError] = []
    for name, value in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
    ):
        errors += validation.non_negative(f"{at}.{name}", value)
    mode = spec.completion_mode or "NonIndexed"
    errors += validation.one_of(f"{at}.completionMode", mode, ("Indexed", "NonIndexed"))
    errors += _validate_indexes(at, spec, is_indexed=mode == "Indexed")
    errors += _validate_policies(at, spec)
    if spec.managed_by:
        errors += validation.qualified_name(f"{at}.managedBy", spec.managed_by)
    return errors + _validate_template(f"{at}.template", spec.template)


def _validate_indexes(at: str, spec: JobSpec, *, is_indexed: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if is_indexed and spec.completions is None:
        errors.append(validation.required(f"{at}.completions", "when completion mode is Indexed"))
    if is_indexed and (spec.parallelism or 0) > INDEXED_MAX:
        errors.append(_at_most(f"{at}.parallelism", spec.parallelism, INDEXED_MAX))
    if not is_indexed:
        errors += [
            validation.invalid(f"{at}.{name}", value, "requires indexed completion mode")
            for name, value in (
                ("backoffLimitPerIndex", spec.backoff_limit_per_index),
                ("maxFailedIndexes", spec.max_failed_indexes),
            )
            if value is not None
        ]
    failed_max = spec.max_failed_indexes
    if failed_max is not None and spec.backoff_limit_per_index is None:
        errors.append(
            validation.required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
        )
    completions = spec.completions or 0
    if failed_max is not None and failed_max > completions:
        errors.append(
            validation.invalid(
                f"{at}.maxFailedIndexes", failed_max, "must be less than or equal to completions"
            )
        )
    if spec.backoff_limit_per_index is not None and completions > INDEXED_MAX:
        if failed_max is None:
            said = f"must be specified when completions is above {INDEXED_MAX}"
            errors.append(validation.required(f"{at}.maxFailedIndexes", said))
        elif failed_max > LIMITED_FAILED_MAX:
            errors.append(_at_most(f"{at}.maxFailedIndexes", failed_max, LIMITED_FAILED_MAX))
        if (spec.parallelism or 0) > LIMITED_FAILED_MAX:
            errors.append(_at_most(f"{at}.parallelism", spec.parallelism, LIMITED_FAILED_MAX))
    return errors


def _at_most(at: str, value: object, limit: int) -> FieldError:
    return validation.invalid(at, value, f"must be less than or equal to {limit}")


def _validate_policies(at: str, spec: JobSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    replacement = spec.pod_replacement_policy
    choices: tuple[str, ...] = ("Failed", "TerminatingOrFailed")
    if spec.pod_failure_policy is not None:
        choices = ("Failed",)
        policy = spec.template.spec.restart_policy
        if policy == "OnFailure":
            errors.append(
                validation.invalid(
                    f"{at}.template.spec.restartPolicy",
                    policy,
                    'only "Never" is supported when podFailurePolicy is specified',
                )
            )
        errors += validate_failure_policy(
            f"{at}.podFailurePolicy",
            spec.pod_failure_policy,
            spec.template,
            has_limit_per_index=spec.backoff_limit_per_index is not None,
        )
    if replacement:
        errors += validation.one_of(f"{at}.podReplacementPolicy", replacement, choices)
    if spec.success_policy is not None:
        if spec.completion_mode != "Indexed":
            errors.append(
                validation.invalid(f"{at}.successPolicy", "", "requires indexed completion mode")
            )
        else:
            errors += validate_success_policy(
                f"{at}.successPolicy", spec.success_policy, spec.completions or 0
            )
    return errors


def _validate_template(at: str, template: PodTemplateSpec) -> list[FieldError]:
    errors = validation.labels(f"{at}.metadata.labels", template.metadata.labels)
    policy = f"{at}.spec.restartPolicy"
    if template.spec.restart_policy not in ("OnFailure", "Never"):
        errors.append(
            validation.not_supported(policy, template.spec.restart_policy, ("Never", "OnFailure"))
            if template.spec.restart_policy
            else validation.required(policy, 'valid values: "OnFailure", "Never"')
        )
    checked = replace(template.spec, restart_policy=template.spec.restart_policy or "Never")
    return errors + [
        error for error in validate_pod_spec(f"{at}.spec", checked) if error.field != policy
    ]


def validate_job(new: Job, old: Job | None) -> list[FieldError]:
    """Every wrong field; what is run may not change once it may have begun."""
    spec, uid = new.spec, new.metadata.uid
    errors = validate_spec("spec", spec)
    if spec.completion_mode == "Indexed" and spec.completions:
        longest = f"{new.metadata.name}-{spec.completions - 1}"
        errors += [
            validation.invalid(
                "metadata.name",
                new.metadata.name,
                f"will not able to create pod with invalid DNS label: {longest}",
            )
            for _ in validation.label("metadata.name", longest)[:1]
        ]
    if spec.selector is None:
        errors.append(validation.required("spec.selector"))
    elif not spec.manual_selector and spec.selector != LabelSelector(match_labels={UID_LABEL: uid}):
        errors.append(
            validation.invalid(
                "spec.selector", to_plain(spec.selector), "`selector` not auto-generated"
            )
        )
    elif not spec.selector.matches(spec.template.metadata.labels):
        errors.append(
            validation.invalid(
                "spec.template.metadata.labels",
                spec.template.metadata.labels,
                "`selector` does not match template `labels`",
            )
        )
    return errors if old is None else errors + _validate_change(new, old)


def _validate_change(new: Job, old: Job) -> list[FieldError]:
    spec, before = new.spec, old.spec
    errors: list[FieldError] = []
    if spec.completions != before.completions:
        is_elastic = (
            spec.completion_mode == "Indexed"
            and spec.completions == spec.parallelism
            and before.completions == before.parallelism
        )
        if spec.completion_mode != "Indexed":
            errors += validation.immutable("spec.completions", spec.completions, before.completions)
        elif not is_elastic:
            said = "can only be modified in tandem with spec.parallelism"
            errors.append(validation.invalid("spec.completions", spec.completions, said))
    for name, value, earlier in (
        ("selector", spec.selector, before.selector),
        ("template", spec.template, _template_that_may_come(new, old)),
        ("completionMode", spec.completion_mode, before.completion_mode),
        ("podFailurePolicy", spec.pod_failure_policy, before.pod_failure_policy),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index, before.backoff_limit_per_index),
        ("managedBy", spec.managed_by, before.managed_by),
        ("successPolicy", spec.success_policy, before.success_policy),
    ):
        errors += validation.immutable(f"spec.{name}", value, earlier)
    return errors


def _template_that_may_come(new: Job, old: Job) -> PodTemplateSpec:
    """The old one; where pods may run is open until the first has."""
    before, now = old.spec.template, new.spec.template
    if not old.spec.suspend or old.status.start_time:
        return before
    spec = replace(
        before.spec, node_selector=now.spec.node_selector, tolerations=now.spec.tolerations
    )
    metadata = replace(
        before.metadata, labels=now.metadata.labels, annotations=now.metadata.annotations
    )
    return replace(before, metadata=metadata, spec=spec)


def ending_of(job: Job) -> Condition | None:
    """The condition by which it is over, Complete or Failed; None while it is not."""
    return next(
        (
            found
            for found in job.status.conditions
            if found.type in ("Complete", "Failed") and found.status == "True"
        ),
        None,
    )


def _status_cell(job: Job) -> str:
    """Source: kubernetes, pkg/printers/internalversion, printJob."""
    conditions = job.status.conditions
    if (ending := ending_of(job)) is not None:
        return ending.type
    if job.metadata.deletion_timestamp:
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_true(conditions, type_):
            return type_
    return "Running"


def _completions_cell(job: Job) -> str:
    spec, done = job.spec, job.status.succeeded
    if spec.completions is not None:
        return f"{done}/{spec.completions}"
    parallel = spec.parallelism or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration_cell(job: Job, now_ms: int) -> str:
    status, ending = job.status, ending_of(job)
    if not status.start_time:
        return ""
    last = status.completion_time or (ending.last_transition_time if ending else "")
    return format_age(parse_time_ms(status.start_time), parse_time_ms(last) if last else now_ms)


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
)
