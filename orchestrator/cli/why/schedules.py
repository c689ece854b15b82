"""Why a cron job began no job, and what became of the last it began."""

from collections.abc import Iterator

from orchestrator.cli.why import ending, words
from orchestrator.cli.why.finding import Explanation, Finding, Weight, ordered
from orchestrator.cli.why.others import warnings_of
from orchestrator.cli.why.seen import Seen
from orchestrator.cli.why.workloads import explain_job
from proto.kinds.cronjob import CronJob
from proto.kinds.job import ending_of


def explain_cron_job(found: CronJob, seen: Seen) -> Explanation:
    """All findings on a cron job, and the last of its jobs that is over."""
    last = found.status.last_schedule_time
    began = f"last began a job {words.age(last, seen.now_ms)} ago" if last else "began no job yet"
    fine = Finding(
        weight=Weight.FINE, reason="Fine", what="It waits for its time; nothing to explain"
    )
    return Explanation(
        kind="cj",
        name=found.metadata.name,
        namespace=found.metadata.namespace,
        summary=f"cron job {found.metadata.name}: {began}, {len(found.status.active)} active",
        findings=ordered([*ending.findings_of(found, seen), *_findings(found, seen)]) or (fine,),
    )


def _findings(found: CronJob, seen: Seen) -> Iterator[Finding]:
    inside = seen.inside(found.metadata.namespace)
    if found.spec.suspend:
        yield Finding(
            weight=Weight.NOTE,
            reason="Suspended",
            what="It is suspended: no jobs are begun",
        )
    yield from warnings_of(found, seen)
    if held := seen.events_of(found, "JobAlreadyActive")[:1]:
        yield Finding(
            weight=Weight.NOTE,
            reason="JobAlreadyActive",
            what=held[0].message.strip(),
            evidence=(words.told(held[0], seen.now_ms),),
        )
    over = [job for job in seen.jobs_of(found) if ending_of(job) is not None]
    problem = explain_job(over[-1], seen).problem if over else None
    if problem is not None:
        job = over[-1].metadata.name
        yield Finding(
            weight=Weight.PROBLEM,
            reason=problem.reason,
            what=f"The last of its jobs that is over, {job}: {problem.what}",
            evidence=problem.evidence,
            output=problem.output,
            advice=problem.advice,
            next=(f"longshore why job/{job}{inside}", *problem.next),
        )
