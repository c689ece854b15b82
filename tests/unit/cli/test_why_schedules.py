"""Why a cron job begins nothing, and what became of its last job."""

from orchestrator.cli.why import Seen, Weight, explain
from proto.kinds.cronjob import CronJob, CronJobSpec, CronJobStatus
from proto.kinds.job import Job, JobStatus
from proto.meta import Condition, ObjectMeta, OwnerReference, format_time
from tests.unit.node_agent.given import NOW_MS

META = ObjectMeta(name="hello", namespace="default", uid="c1")


def job(name: str, ending: str, minutes_ago: int) -> Job:
    owner = OwnerReference(
        api_version="batch/v1", kind="CronJob", name="hello", uid="c1", controller=True
    )
    created = format_time(NOW_MS - minutes_ago * 60_000)
    over = Condition(type=ending, status="True", reason="DeadlineExceeded", message="too long")
    return Job(
        metadata=ObjectMeta(
            name=name, namespace="default", creation_timestamp=created, owner_references=(owner,)
        ),
        status=JobStatus(conditions=(over,)),
    )


def explained(found: CronJob, *jobs: Job):
    return explain(found, Seen(now_ms=NOW_MS, jobs=jobs))


def test_a_cron_job_that_waits_is_fine():
    told = explained(CronJob(metadata=META))
    assert told.summary == "cron job hello: began no job yet, 0 active"
    assert [finding.weight for finding in told.findings] == [Weight.FINE]


def test_a_suspended_one_says_so():
    found = CronJob(metadata=META, spec=CronJobSpec(suspend=True))
    assert [finding.reason for finding in explained(found).findings] == ["Suspended"]


def test_the_last_job_that_is_over_tells_what_is_wrong():
    status = CronJobStatus(last_schedule_time=format_time(NOW_MS - 120_000))
    found = CronJob(metadata=META, status=status)
    told = explained(found, job("hello-2", "Failed", 2), job("hello-1", "Complete", 9))
    assert told.summary == "cron job hello: last began a job 2m ago, 0 active"
    assert told.problem is not None
    assert told.problem.what == ("The last of its jobs that is over, hello-2: It failed: too long")
    assert told.problem.next[0] == "longshore why job/hello-2"
    assert (
        explained(found, job("hello-2", "Complete", 2), job("hello-1", "Failed", 9)).problem is None
    )
