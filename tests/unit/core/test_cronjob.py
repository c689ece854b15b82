"""Which jobs a cron job makes, and when."""

import pytest
from msgspec.structs import replace

from orchestrator.core.decisions import render
from proto.kinds.cronjob import BY_HAND_ANNOTATION, CRON_JOBS, SCHEDULED_ANNOTATION
from proto.kinds.job import JOBS
from proto.meta import ObjectMeta, OwnerReference, format_time
from tests.property.batch_model import NOW_MS, Batch, a_cron_job, a_job

START_MS = NOW_MS - NOW_MS % 3_600_000
"""A full hour."""

MINUTE = START_MS // 60_000


def begun(schedule="*/10 * * * *", **spec):
    batch = Batch(START_MS)
    batch.create(CRON_JOBS, a_cron_job(schedule, **spec))
    return batch.rest()


def names(batch):
    return [job.metadata.name for job in batch.jobs]


def name(minutes):
    return f"hello-{MINUTE + minutes}"


def finish(batch, code=0):
    for pod in batch.active:
        batch.end(pod, code=code)
    batch.rest()


def test_a_job_is_made_when_its_time_comes():
    batch = begun(time_zone="Asia/Kolkata")
    assert (names(batch), batch.wake_at_ms) == ([], START_MS + 600_000)
    batch.now_ms += 600_000
    assert render(batch.plan_cron_job().decisions) == (
        f"create job {name(10)}: its time has come: {format_time(START_MS + 600_000)}"
    )
    batch.rest()
    (job,) = batch.jobs
    assert job.metadata.controller.name == "hello"
    assert job.metadata.annotations[SCHEDULED_ANNOTATION].endswith("+05:30")
    status = batch.cron_job.status
    assert [about.name for about in status.active] == [name(10)]
    assert status.last_schedule_time == format_time(START_MS + 600_000)
    assert batch.wake_at_ms == START_MS + 1_200_000


def test_a_job_that_is_over_is_noticed():
    batch = begun().later(600)
    batch.later(30)
    finish(batch)
    status = batch.cron_job.status
    assert (status.active, status.last_successful_time) == ((), format_time(batch.now_ms))
    assert f"Saw completed job: {name(10)}, condition: Complete" in batch.events


def test_jobs_may_overlap_where_that_is_allowed():
    batch = begun().later(600).later(600)
    assert names(batch) == [name(10), name(20)]
    assert len(batch.cron_job.status.active) == 2


def test_the_next_job_waits_for_the_one_before_where_overlap_is_forbidden():
    batch = begun(concurrency_policy="Forbid").later(600).later(600)
    assert names(batch) == [name(10)]
    assert batch.events[-1] == (
        "Not starting job because prior execution is running and concurrency policy is Forbid"
    )
    finish(batch)
    assert names(batch) == [name(10), name(20)]


def test_the_next_job_takes_the_place_of_the_one_before():
    batch = begun(concurrency_policy="Replace").later(600).later(600)
    assert names(batch) == [name(20)]
    assert f"Deleted job {name(10)}" in batch.events


def test_a_job_that_would_begin_too_late_is_not_made():
    batch = begun(concurrency_policy="Forbid", starting_deadline_seconds=60).later(600).later(600)
    batch.later(61)
    finish(batch)
    assert names(batch) == [name(10)]
    assert batch.events[-1].startswith("Missed scheduled time to start a job: ")
    batch.later(600 - 61)
    assert names(batch) == [name(10), name(30)]


def test_of_missed_times_the_last_is_made_up_for():
    batch = begun()
    batch.later(3 * 600 + 5)
    assert names(batch) == [name(30)]
    assert not any("too many missed" in event for event in batch.events)


def test_more_than_a_hundred_missed_times_are_told_of():
    batch = begun("* * * * *")
    batch.later(102 * 60)
    assert names(batch) == [name(102)]
    assert any(event.startswith("too many missed start times") for event in batch.events)


def test_a_deadline_limits_what_counts_as_missed():
    batch = begun("* * * * *", starting_deadline_seconds=600)
    batch.later(102 * 60)
    assert names(batch) == [name(102)]
    assert not any(event.startswith("too many missed") for event in batch.events)


def test_years_of_missed_times_take_no_longer_to_find():
    batch = begun("30 6-16/4 * * 1-5")
    batch.later(5 * 365 * 86_400)
    assert len(batch.jobs) == 1


def test_a_suspended_cron_job_makes_nothing_and_makes_up_once():
    batch = begun(suspend=True).later(3600)
    assert (names(batch), batch.wake_at_ms) == ([], None)
    found = batch.cron_job
    batch.update(CRON_JOBS, replace(found, spec=replace(found.spec, suspend=False)))
    batch.rest()
    assert names(batch) == [name(60)]


@pytest.mark.parametrize(("code", "kept"), [(0, 2), (1, 1)])
def test_old_jobs_are_forgotten(code, kept):
    spec = replace(a_cron_job().spec.job_template.spec, backoff_limit=0)
    batch = begun(job=spec, successful_jobs_history_limit=2, failed_jobs_history_limit=1)
    for _ in range(4):
        batch.later(600)
        finish(batch, code)
    assert names(batch) == [name(10 * n) for n in (1, 2, 3, 4)][-kept:]


def test_without_a_history_no_job_is_made_twice():
    batch = begun(successful_jobs_history_limit=0).later(600)
    finish(batch)
    assert names(batch) == []
    assert batch.cron_job.status.last_schedule_time == format_time(START_MS + 600_000)
    assert batch.later(1).jobs == []


@pytest.mark.parametrize("is_by_hand", [True, False])
def test_a_job_that_somebody_else_made_does_not_count_as_active(is_by_hand):
    batch = begun(concurrency_policy="Forbid")
    owner = batch.cron_job.metadata
    reference = OwnerReference(
        api_version="batch/v1", kind="CronJob", name="hello", uid=owner.uid, controller=True
    )
    job = a_job("now")
    meta = ObjectMeta(
        name="now",
        namespace="default",
        annotations={BY_HAND_ANNOTATION: "manual"} if is_by_hand else {},
        owner_references=(reference,),
    )
    batch.create(JOBS, replace(job, metadata=meta))
    batch.rest()
    said = "Saw a job that the controller did not create or forgot: now" in batch.events
    assert said is not is_by_hand
    assert batch.cron_job.status.active == ()
    batch.later(600)
    assert names(batch) == [name(10), "now"]


def test_a_job_that_went_missing_is_told_of():
    batch = begun().later(600)
    batch.delete(JOBS, name(10))
    batch.rest()
    assert f"Active job went missing: {name(10)}" in batch.events
    assert (names(batch), batch.cron_job.status.active) == ([], ())


def test_a_time_that_never_comes_is_told_of():
    batch = begun("0 0 31 2 *")
    assert batch.events[-1] == "invalid schedule: 0 0 31 2 * : it never comes"
    assert batch.wake_at_ms is None


def test_a_cron_job_that_is_being_deleted_makes_nothing():
    batch = begun()
    batch.delete(CRON_JOBS, "hello", propagation="Foreground")
    batch.later(600)
    assert names(batch) == []
