"""What the policies in a job's spec say of a failed pod, and of the indexes that succeeded."""

from msgspec import Struct

from orchestrator.core.job.indexes import Indexes, parsed
from proto.kinds.container import ContainerStatus
from proto.kinds.job import Job
from proto.kinds.jobpolicy import FailureRule, OnExitCodes
from proto.kinds.pod import Pod
from proto.meta import Condition


class Judgement(Struct, frozen=True):
    """What becomes of a job because of one failed pod.

    Attributes:
        action: Count, Ignore, FailIndex or FailJob.
        why: For FailJob, what its condition says.
    """

    action: str = "Count"
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether it counts towards the limits, and in the status."""
        return self.action != "Ignore"


def judge(job: Job, pod: Pod) -> Judgement:
    """By the first rule that fits; without one, a failure counts."""
    policy = job.spec.pod_failure_policy
    for index, rule in enumerate(policy.rules if policy else ()):
        if (matched := _matched(rule, pod)) is not None:
            return Judgement(rule.action, f"{matched} matching {rule.action} rule at index {index}")
    return Judgement()


def _matched(rule: FailureRule, pod: Pod) -> str | None:
    """What of the pod fits, in words."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.on_exit_codes is not None:
        statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
        for status in statuses:
            code = _code(status, rule.on_exit_codes)
            if code is not None:
                return f"Container {status.name} for pod {name} failed with exit code {code}"
        return None
    for found in pod.status.conditions:
        if _fits(found, rule):
            return f"Pod {name} has condition {found.type}"
    return None


def _code(status: ContainerStatus, wanted: OnExitCodes) -> int | None:
    """The exit code, if it is one of those meant."""
    ended = status.state.terminated
    if ended is None or not ended.exit_code:
        return None
    if wanted.container_name not in (None, status.name):
        return None
    is_listed = ended.exit_code in wanted.values
    return ended.exit_code if is_listed == (wanted.operator == "In") else None


def _fits(found: Condition, rule: FailureRule) -> bool:
    return any(
        (wanted.type, wanted.status) == (found.type, found.status)
        for wanted in rule.on_pod_conditions
    )


def success(job: Job, succeeded: Indexes) -> str:
    """Which rule of the success policy is met, in words; empty: none."""
    policy = job.spec.success_policy
    for index, rule in enumerate(policy.rules if policy else ()):
        among = succeeded
        wanted = rule.succeeded_count
        if rule.succeeded_indexes is not None:
            named = parsed(rule.succeeded_indexes, job.spec.completions or 0)
            among = succeeded & named
            wanted = len(named) if wanted is None else wanted
        if len(succeeded) and wanted is not None and len(among) >= wanted:
            return f"Matched rules at index {index}"
    return ""
