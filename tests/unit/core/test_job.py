"""What a job does about its pods, and what it says of them."""

import pytest
from msgspec.structs import replace

from orchestrator.core.decisions import render
from proto.kinds.container import ContainerStatus
from proto.kinds.job import INDEX_KEY, JOBS, TRACKING
from proto.kinds.jobpolicy import (
    FailureRule,
    OnExitCodes,
    OnPodCondition,
    PodFailurePolicy,
    SuccessPolicy,
    SuccessRule,
)
from proto.kinds.pod import PODS
from proto.meta import LabelSelector, ObjectMeta, condition, format_time
from tests.property.batch_model import NOW_MS, Batch, a_job
from tests.unit.core import making


def begun(**spec):
    batch = Batch()
    batch.create(JOBS, a_job(**spec))
    return batch.rest()


def names(batch):
    return sorted(pod.metadata.name.rpartition("-")[0] for pod in batch.active)


def test_one_pod_is_made_and_its_success_completes_the_job():
    batch = Batch()
    batch.create(JOBS, a_job())
    assert render(batch.plan_job().decisions) == (
        "create pod sums-*: 0 have succeeded\n"
        "update status of job sums: 0 active, 0 succeeded, 0 failed"
    )
    batch.rest()
    (pod,) = batch.pods
    assert pod.metadata.finalizers == (TRACKING,)
    assert pod.metadata.labels == {
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "sums",
        "controller-uid": "u1",
        "job-name": "sums",
    }
    assert batch.told() == "1 active, 0 succeeded, 0 failed"
    batch.end(pod)
    batch.rest()
    assert batch.told() == (
        "0 active, 1 succeeded, 0 failed; "
        "SuccessCriteriaMet=CompletionsReached; Complete=CompletionsReached"
    )
    assert batch.job.status.completion_time == format_time(NOW_MS)
    assert batch.events[-1] == "Job completed"
    assert batch.pods[0].metadata.finalizers == ()


def test_an_end_is_written_down_then_let_go_then_counted():
    batch = begun()
    batch.end(batch.pods[0])
    batch.pass_all()
    uid = batch.pods[0].metadata.uid
    status = batch.job.status
    assert (status.succeeded, status.uncounted_terminated_pods.succeeded) == (0, (uid,))
    assert batch.pods[0].metadata.finalizers == (TRACKING,)
    batch.perform(batch.plan_job().decisions[:1])
    assert batch.pods[0].metadata.finalizers == ()
    batch.pass_all()
    status = batch.job.status
    assert (status.succeeded, status.uncounted_terminated_pods.succeeded) == (1, ())


def test_no_more_pods_run_than_there_are_successes_missing():
    batch = begun(completions=5, parallelism=2)
    for wanted in (2, 2, 2, 2, 1):
        assert len(batch.active) == wanted
        batch.end(batch.active[0])
        batch.rest()
    assert batch.told().startswith("0 active, 5 succeeded, 0 failed; ")
    assert len(batch.pods) == 5


def test_a_work_queue_starts_nobody_after_the_first_success_and_waits_for_the_others():
    batch = begun(parallelism=3)
    first, second, third = batch.pods
    batch.end(first)
    batch.rest()
    assert batch.told() == "2 active, 1 succeeded, 0 failed"
    batch.end(second, code=1)
    batch.rest()
    assert batch.told() == "1 active, 1 succeeded, 1 failed"
    batch.end(third)
    batch.rest()
    assert "Complete=" in batch.told()


def test_failures_are_spaced_out_and_too_many_end_the_job():
    batch = begun(backoff_limit=2)
    for wait_s in (10, 20):
        batch.end(batch.active[0], code=1)
        batch.rest()
        assert not batch.active
        assert batch.wake_at_ms == batch.now_ms + wait_s * 1000
        batch.later(wait_s - 0.001)
        assert not batch.active
        batch.later(0.001)
    batch.end(batch.active[0], code=1)
    batch.rest()
    assert batch.told() == (
        "0 active, 0 succeeded, 3 failed; "
        "FailureTarget=BackoffLimitExceeded; Failed=BackoffLimitExceeded"
    )
    assert batch.events[-1] == "Job has reached the specified backoff limit"
    assert batch.job.status.completion_time == ""


def test_a_success_forgives_the_failures_before_it():
    batch = begun(completions=3, backoff_limit=9)
    for code in (1, 0, 1):
        batch.later(100)
        batch.end(batch.active[0], code=code)
        batch.rest()
    assert batch.wake_at_ms == batch.now_ms + 10_000


def test_a_pod_that_is_deleted_counts_as_failed_though_it_is_gone_and_is_replaced_at_once():
    batch = begun()
    (pod,) = batch.pods
    batch.run(pod)
    batch.remove(pod)
    batch.rest()
    assert batch.told() == "1 active, 0 succeeded, 1 failed"
    assert batch.job.status.terminating == 1
    batch.stopped()
    batch.rest()
    assert batch.told() == "1 active, 0 succeeded, 1 failed"
    assert batch.job.status.terminating == 0
    assert pod.metadata.name not in {p.metadata.name for p in batch.pods}


def test_a_pod_being_stopped_is_waited_for_where_only_failed_ones_are_replaced():
    batch = begun(pod_replacement_policy="Failed")
    (pod,) = batch.pods
    batch.run(pod)
    batch.remove(pod)
    batch.rest()
    assert batch.told() == "0 active, 0 succeeded, 0 failed"
    batch.stopped()
    batch.rest()
    assert batch.told() == "1 active, 0 succeeded, 1 failed"


@pytest.mark.parametrize("policy", ["Failed", "TerminatingOrFailed"])
def test_the_pod_of_a_lost_node_is_replaced_at_once(policy):
    batch = begun(pod_replacement_policy=policy)
    (pod,) = batch.pods
    batch.run(pod)
    batch.lose(pod)
    batch.rest()
    (other,) = batch.pods
    assert other.metadata.uid != pod.metadata.uid
    assert batch.told() == "1 active, 0 succeeded, 1 failed"


@pytest.mark.parametrize("policy", ["Failed", "TerminatingOrFailed"])
def test_a_pod_deleted_before_it_had_a_node_is_nothing_to_wait_for(policy):
    batch = begun(pod_replacement_policy=policy)
    batch.remove(batch.pods[0])
    batch.rest()
    assert batch.told() == "1 active, 0 succeeded, 1 failed"


def test_a_job_that_takes_too_long_is_ended_and_waits_for_its_pods():
    batch = begun(active_deadline_seconds=30, parallelism=2, completions=2)
    pods = [batch.run(pod) for pod in batch.pods]
    batch.rest()
    assert batch.wake_at_ms == NOW_MS + 30_000
    batch.later(30)
    assert batch.told() == "0 active, 0 succeeded, 2 failed; FailureTarget=DeadlineExceeded"
    assert f"Deleted pod: {pods[0].metadata.name}" in batch.events
    batch.stopped()
    batch.rest()
    assert "Failed=DeadlineExceeded" in batch.told()
    assert batch.events[-1] == "Job was active longer than specified deadline"


def test_a_finished_job_goes_when_its_time_to_live_is_over():
    batch = begun(ttl_seconds_after_finished=60)
    batch.end(batch.pods[0])
    batch.rest()
    assert batch.wake_at_ms == NOW_MS + 60_000
    batch.later(59)
    assert not batch.job.metadata.deletion_timestamp
    batch.later(1)
    assert batch.job.metadata.finalizers == ("foregroundDeletion",)


def test_a_suspended_job_lets_its_pods_go_and_begins_its_time_anew():
    batch = begun(parallelism=2, completions=2, active_deadline_seconds=100)
    for pod in batch.pods:
        batch.run(pod)
    batch.later(50)
    batch.change(suspend=True)
    batch.stopped()
    batch.rest()
    assert not batch.pods
    assert batch.told() == "0 active, 0 succeeded, 0 failed; Suspended=JobSuspended"
    batch.later(500)
    batch.change(suspend=False)
    assert batch.told() == "2 active, 0 succeeded, 0 failed"
    resumed = condition(batch.job.status.conditions, "Suspended")
    assert (resumed.status, resumed.reason) == ("False", "JobResumed")
    assert batch.job.status.start_time == format_time(batch.now_ms)
    assert [e for e in batch.events if e.startswith("Job ")] == ["Job suspended", "Job resumed"]


def test_a_job_born_suspended_has_not_started():
    batch = begun(suspend=True)
    assert (batch.pods, batch.job.status.start_time) == ([], "")
    batch.change(suspend=False)
    assert len(batch.active) == 1
    assert batch.job.status.start_time


def test_less_parallelism_deletes_pods_that_nobody_counts_as_failed():
    batch = begun(parallelism=3, completions=9)
    batch.run(batch.pods[1])
    batch.change(parallelism=1)
    (left,) = batch.active
    assert left.status.phase == "Running"
    assert batch.told() == "1 active, 0 succeeded, 0 failed"


def test_each_index_runs_once_by_its_own_name():
    batch = begun(completions=4, parallelism=2, completion_mode="Indexed")
    assert names(batch) == ["sums-0", "sums-1"]
    pod = batch.find("sums-1-")
    assert pod.metadata.annotations[INDEX_KEY] == pod.metadata.labels[INDEX_KEY] == "1"
    assert pod.spec.hostname == "sums-1"
    (variable,) = pod.spec.containers[0].env
    assert variable.name == "JOB_COMPLETION_INDEX"
    assert variable.value_from.field_ref.field_path == f"metadata.annotations['{INDEX_KEY}']"
    batch.end(pod)
    batch.rest()
    assert (names(batch), batch.job.status.completed_indexes) == (["sums-0", "sums-2"], "1")
    for start in ("sums-2-", "sums-3-"):
        batch.end(batch.find(start))
        batch.rest()
    assert batch.job.status.completed_indexes == "1-3"
    batch.end(batch.find("sums-0-"))
    batch.rest()
    assert batch.told().startswith("0 active, 4 succeeded, 0 failed; ")
    assert batch.job.status.completed_indexes == "0-3"


def test_a_failed_index_is_made_again():
    batch = begun(completions=2, parallelism=2, completion_mode="Indexed")
    batch.end(batch.find("sums-0-"), code=1)
    batch.rest()
    assert names(batch) == ["sums-1"]
    batch.later(10)
    assert names(batch) == ["sums-0", "sums-1"]


def test_two_pods_of_one_index_become_one():
    batch = begun(completions=2, parallelism=2, completion_mode="Indexed")
    again = replace(
        batch.find("sums-0-"), metadata=replace(batch.find("sums-0-").metadata, name="")
    )
    batch.create(PODS, again)
    batch.rest()
    assert names(batch) == ["sums-0", "sums-1"]


def test_a_long_job_name_leaves_room_for_the_index():
    batch = begun(completions=2, completion_mode="Indexed", name="n" * 60)
    (pod,) = batch.pods
    assert pod.metadata.name.startswith("n" * 55 + "-0-")
    assert len(pod.metadata.name) == 63


def test_each_index_has_its_own_limit_and_the_others_go_on():
    batch = begun(
        completions=3, parallelism=3, completion_mode="Indexed", backoff_limit_per_index=1
    )
    batch.end(batch.find("sums-0-"), code=1)
    batch.rest()
    assert names(batch) == ["sums-1", "sums-2"]
    assert batch.wake_at_ms == batch.now_ms + 10_000
    batch.later(10)
    again = batch.find("sums-0-")
    assert again.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] == "1"
    batch.end(again, code=1)
    batch.rest()
    assert (names(batch), batch.job.status.failed_indexes) == (["sums-1", "sums-2"], "0")
    for start in ("sums-1-", "sums-2-"):
        batch.end(batch.find(start))
        batch.rest()
    assert batch.told() == (
        "0 active, 2 succeeded, 2 failed; FailureTarget=FailedIndexes; Failed=FailedIndexes"
    )
    assert batch.job.status.completed_indexes == "1,2"


def test_too_many_failed_indexes_end_the_job():
    batch = begun(
        completions=4,
        parallelism=4,
        completion_mode="Indexed",
        backoff_limit_per_index=0,
        max_failed_indexes=1,
    )
    for start in ("sums-0-", "sums-2-"):
        batch.end(batch.find(start), code=1)
        batch.rest()
    assert "Failed=MaxFailedIndexesExceeded" in batch.told()
    assert batch.job.status.failed_indexes == "0,2"


def test_an_indexed_job_grows_and_shrinks_with_its_parallelism():
    batch = begun(completions=2, parallelism=2, completion_mode="Indexed")
    batch.change(completions=3, parallelism=3)
    assert names(batch) == ["sums-0", "sums-1", "sums-2"]
    batch.change(completions=1, parallelism=1)
    assert names(batch) == ["sums-0"]
    batch.end(batch.find("sums-0-"))
    batch.rest()
    assert batch.told().startswith("0 active, 1 succeeded, 0 failed; ")


def policy(*rules):
    return PodFailurePolicy(rules=rules)


def on_codes(action, operator, *values, container=None):
    codes = OnExitCodes(operator=operator, values=values, container_name=container)
    return FailureRule(action=action, on_exit_codes=codes)


def on_condition(action, type_, status="True"):
    return FailureRule(
        action=action, on_pod_conditions=(OnPodCondition(type=type_, status=status),)
    )


def test_a_failure_that_the_policy_names_fails_the_job_at_once():
    rules = policy(on_codes("FailJob", "In", 42, container="main"))
    batch = begun(pod_failure_policy=rules, parallelism=2, completions=2)
    first, second = (batch.run(pod) for pod in batch.pods)
    batch.end(first, code=42)
    batch.rest()
    batch.stopped()
    batch.rest()
    failed = condition(batch.job.status.conditions, "Failed")
    assert failed.reason == "PodFailurePolicy"
    assert failed.message == (
        f"Container main for pod default/{first.metadata.name} failed with exit code 42 matching "
        "FailJob rule at index 0"
    )
    assert batch.told().startswith("0 active, 0 succeeded, 2 failed; ")
    assert second.metadata.name not in {pod.metadata.name for pod in batch.pods}


def test_a_disruption_can_be_ignored():
    rules = policy(on_condition("Ignore", "DisruptionTarget"), on_codes("FailJob", "NotIn", 7))
    batch = begun(pod_failure_policy=rules, backoff_limit=0)
    for _ in range(3):
        (pod,) = batch.active
        batch.run(pod)
        batch.lose(pod)
        batch.rest()
    assert batch.told() == "1 active, 0 succeeded, 0 failed"
    batch.end(batch.active[0], code=7)
    batch.rest()
    assert "Failed=BackoffLimitExceeded" in batch.told()


def test_the_first_rule_that_fits_decides():
    rules = policy(on_codes("Count", "In", 1), on_codes("FailJob", "In", 1, 2))
    batch = begun(pod_failure_policy=rules)
    batch.end(batch.active[0], code=1)
    batch.later(10)
    assert batch.told() == "1 active, 0 succeeded, 1 failed"
    batch.end(batch.active[0], code=2)
    batch.rest()
    assert "Failed=PodFailurePolicy" in batch.told()


def test_an_index_can_fail_without_another_attempt():
    batch = begun(
        completions=2,
        parallelism=2,
        completion_mode="Indexed",
        backoff_limit_per_index=5,
        pod_failure_policy=policy(
            on_codes("FailIndex", "In", 42), on_condition("Ignore", "DisruptionTarget")
        ),
    )
    batch.end(batch.find("sums-0-"), code=42)
    batch.lose(batch.run(batch.find("sums-1-")))
    batch.rest()
    assert (names(batch), batch.job.status.failed_indexes) == (["sums-1"], "0")
    notes = batch.find("sums-1-").metadata.annotations
    assert notes["batch.kubernetes.io/job-index-failure-count"] == "0"
    assert notes["batch.kubernetes.io/job-index-ignored-failure-count"] == "1"


@pytest.mark.parametrize(
    ("rule", "ends_after"),
    [
        (SuccessRule(succeeded_indexes="1,2"), ["1", "2"]),
        (SuccessRule(succeeded_indexes="0-2", succeeded_count=1), ["2"]),
        (SuccessRule(succeeded_count=2), ["0", "3"]),
    ],
)
def test_a_job_succeeds_by_its_success_policy_and_stops_the_rest(rule, ends_after):
    batch = begun(
        completions=4,
        parallelism=4,
        completion_mode="Indexed",
        success_policy=SuccessPolicy(rules=(rule,)),
    )
    for index in ends_after:
        assert len(batch.active) == 4 - ends_after.index(index)
        batch.end(batch.find(f"sums-{index}-"))
        batch.rest()
    batch.stopped()
    batch.rest()
    assert "SuccessCriteriaMet=SuccessPolicy; Complete=SuccessPolicy" in batch.told()
    assert condition(batch.job.status.conditions, "Complete").message == "Matched rules at index 0"
    assert not batch.active


def test_restarts_in_place_count_towards_the_limit():
    batch = begun(restart_policy="OnFailure", backoff_limit=2)
    pod = batch.run(batch.pods[0])
    for restarts, ends in ((1, False), (2, True)):
        pod = batch.again(pod)
        told = ContainerStatus(name="main", restart_count=restarts)
        batch.update(
            PODS, replace(pod, status=replace(pod.status, container_statuses=(told,))), "status"
        )
        batch.rest()
        assert ("FailureTarget=BackoffLimitExceeded" in batch.told()) == ends


def test_a_job_that_is_deleted_lets_its_pods_go():
    batch = begun(parallelism=2, completions=2)
    batch.delete(JOBS, "sums")
    batch.rest()
    assert [pod.metadata.finalizers for pod in batch.pods] == [(), ()]


def test_a_job_that_is_being_deleted_makes_nothing_and_lets_its_pods_go():
    batch = begun(parallelism=2, completions=3)
    batch.delete(JOBS, "sums", propagation="Foreground")
    batch.end(batch.pods[0])
    batch.rest()
    assert len(batch.pods) == 2
    assert not any(pod.metadata.finalizers for pod in batch.pods)


def test_a_pod_that_its_selector_fits_is_adopted_and_counted():
    labels = {"app": "sums"}
    batch = Batch()
    batch.create(PODS, making.pod("stray", labels=labels))
    job = a_job(manual_selector=True, selector=LabelSelector(match_labels=labels))
    template = replace(job.spec.template, metadata=ObjectMeta(labels=labels))
    batch.create(JOBS, replace(job, spec=replace(job.spec, template=template)))
    batch.rest()
    (adopted,) = batch.pods
    assert (adopted.metadata.name, adopted.metadata.finalizers) == ("stray", (TRACKING,))
    batch.end(adopted)
    batch.rest()
    assert batch.told().startswith("0 active, 1 succeeded, 0 failed; ")


def test_a_pod_that_fits_no_more_is_let_go_and_replaced():
    batch = begun()
    (pod,) = batch.pods
    batch.update(PODS, replace(pod, metadata=replace(pod.metadata, labels={})))
    batch.rest()
    free = batch.again(pod)
    assert (free.metadata.owner_references, free.metadata.finalizers) == ((), ())
    assert batch.told() == "1 active, 0 succeeded, 0 failed"


def test_a_job_of_another_controller_is_left_alone():
    batch = begun(managed_by="example.com/queue")
    assert (batch.pods, batch.job.status.start_time) == ([], "")
