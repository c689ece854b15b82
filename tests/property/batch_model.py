"""Jobs and cron jobs in a cluster reduced to values, whose pods end as a test says."""

from typing import Any

from msgspec.structs import replace

from orchestrator.core import cronjob
from orchestrator.core.decisions import Plan
from orchestrator.core.job import plan as job_plan
from orchestrator.core.job.view import is_tracked
from orchestrator.core.pod_ends import disrupted, failed
from proto.kinds.container import (
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
)
from proto.kinds.cronjob import CRON_JOBS, CronJob, CronJobSpec, JobTemplateSpec
from proto.kinds.job import JOBS, Job, JobSpec
from proto.kinds.pod import PODS, Pod, PodSpec, PodTemplateSpec
from proto.meta import ObjectMeta, format_time
from tests.property.cluster_model import Cluster

NOW_MS = 1_700_000_000_000


def job_spec(*, restart_policy: str = "Never", **spec: Any) -> JobSpec:
    container = Container(name="main", image="work:1")
    return JobSpec(
        template=PodTemplateSpec(
            spec=PodSpec(containers=(container,), restart_policy=restart_policy)
        ),
        **spec,
    )


def a_job(name: str = "sums", **spec: Any) -> Job:
    return Job(metadata=ObjectMeta(name=name, namespace="default"), spec=job_spec(**spec))


def a_cron_job(schedule: str = "* * * * *", *, job: JobSpec | None = None, **spec: Any) -> CronJob:
    return CronJob(
        metadata=ObjectMeta(name="hello", namespace="default"),
        spec=CronJobSpec(
            schedule=schedule, job_template=JobTemplateSpec(spec=job or job_spec()), **spec
        ),
    )


class Batch(Cluster):
    """Controllers take one pass each; pods do nothing by themselves."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        super().__init__(now_ms)
        self.wake_at_ms: int | None = None

    @property
    def job(self) -> Job:
        return self.of(JOBS)[0]

    @property
    def jobs(self) -> list[Job]:
        return self.of(JOBS)

    @property
    def cron_job(self) -> CronJob:
        return self.of(CRON_JOBS)[0]

    def owned_by(self, uid: str, kind: Any) -> list[Any]:
        return [
            found
            for found in self.of(kind)
            if found.metadata.controller and found.metadata.controller.uid == uid
        ]

    def plan_job(self, job: Job | None = None) -> Plan:
        return job_plan.plan(job or self.job, self.pods, self.now_ms)

    def plan_cron_job(self) -> Plan:
        found = self.cron_job
        return cronjob.plan(found, self.owned_by(found.metadata.uid, JOBS), self.now_ms)

    def pass_all(self) -> int:
        plans = [self.plan_job(job) for job in self.jobs]
        done = sum(self.perform(found.decisions) for found in plans)
        for _ in self.of(CRON_JOBS):
            plans.append(self.plan_cron_job())
            done += self.perform(plans[-1].decisions)
        known = {job.metadata.uid for job in self.jobs}
        for pod in self.pods:
            owner = pod.metadata.controller
            if (owner is None or owner.uid not in known) and is_tracked(pod):
                done += self.perform(job_plan.orphaned(pod).decisions)
        self.wake_at_ms = min(
            (found.wake_at_ms for found in plans if found.wake_at_ms is not None), default=None
        )
        return done

    def rest(self, passes: int = 60) -> "Batch":
        """Controllers alone, until they have nothing to do."""
        for _ in range(passes):
            if not self.pass_all():
                return self
        raise AssertionError(f"never at rest: {[job.status for job in self.jobs]}")

    def later(self, seconds: float) -> "Batch":
        self.now_ms += round(seconds * 1000)
        return self.rest()

    def change(self, **spec: Any) -> "Batch":
        self.update(JOBS, replace(self.job, spec=replace(self.job.spec, **spec)))
        return self.rest()

    # -- what becomes of pods

    def find(self, start: str) -> Pod:
        return next(p for p in self.active if p.metadata.name.startswith(start))

    def run(self, pod: Pod) -> Pod:
        if not pod.spec.node_name:
            bound = replace(pod, spec=replace(pod.spec, node_name="n1"))
            self.update(PODS, bound, "binding")
        self.tell(self.again(pod), ready=True)
        return self.again(pod)

    def again(self, pod: Pod) -> Pod:
        return self.objects["pods", pod.metadata.name]

    def end(self, pod: Pod, code: int = 0) -> None:
        """As its agent tells it. An agent's word of a pod that is gone is of no consequence."""
        if ("pods", pod.metadata.name) not in self.objects:
            return
        found = self.run(self.again(pod))
        ended = ContainerStateTerminated(exit_code=code, finished_at=format_time(self.now_ms))
        status = replace(
            found.status,
            phase="Failed" if code else "Succeeded",
            container_statuses=(
                ContainerStatus(name="main", state=ContainerState(terminated=ended)),
            ),
        )
        self.update(PODS, replace(found, status=status), "status")

    def stopped(self) -> None:
        """Agents have stopped and removed what is being deleted."""
        for pod in self.pods:
            if pod.metadata.deletion_timestamp and pod.spec.node_name:
                self.delete(PODS, pod.metadata.name, wanted=failed(pod), grace_s=0)

    def lose(self, pod: Pod) -> None:
        """Its node is gone."""
        going = failed(disrupted(self.again(pod), "DeletionByTaintManager", "", self.now_ms))
        self.delete(PODS, pod.metadata.name, wanted=going, grace_s=0)

    def remove(self, pod: Pod) -> None:
        """Somebody deletes it by hand."""
        self.delete(PODS, pod.metadata.name)

    # -- in short

    def told(self, job: Job | None = None) -> str:
        """``2 active, 1 succeeded, 0 failed``, then the conditions that hold."""
        found = job or self.job
        status = found.status
        held = [c for c in status.conditions if c.status == "True"]
        words = [f"{c.type}={c.reason}" for c in held]
        counts = f"{status.active} active, {status.succeeded} succeeded, {status.failed} failed"
        return "; ".join([counts, *words])
