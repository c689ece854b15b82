"""What of a job may change, and what its policies may say."""

import pytest
from msgspec.structs import replace

from proto.kinds.job import JOBS, JobStatus, validate_job
from proto.kinds.jobpolicy import (
    FailureRule,
    OnExitCodes,
    PodFailurePolicy,
    SuccessPolicy,
    SuccessRule,
    parse_indexes,
)
from proto.meta import ObjectMeta
from tests.property.batch_model import a_job


def made(uid="u1", **spec):
    job = a_job(**spec)
    meta = ObjectMeta(name=job.metadata.name, namespace="default", uid=uid)
    return JOBS.defaults(replace(job, metadata=meta))


def changed(old, **spec):
    return [error.field for error in validate_job(again(old, **spec), old)]


def again(old, **spec):
    return JOBS.defaults(replace(old, spec=replace(old.spec, **spec)))


def moved(old):
    template = old.spec.template
    return replace(template, spec=replace(template.spec, node_selector={"disk": "ssd"}))


def test_a_new_job_has_kubernetes_defaults():
    spec = made().spec
    assert (spec.completions, spec.parallelism, spec.backoff_limit) == (1, 1, 6)
    assert (spec.completion_mode, spec.suspend) == ("NonIndexed", False)
    assert spec.pod_replacement_policy == "TerminatingOrFailed"
    assert made(pod_failure_policy=PodFailurePolicy()).spec.pod_replacement_policy == "Failed"
    limited = made(completions=2, completion_mode="Indexed", backoff_limit_per_index=1)
    assert limited.spec.backoff_limit == 2**31 - 1
    assert made(parallelism=3).spec.completions is None


@pytest.mark.parametrize(
    "change",
    [
        {"parallelism": 5},
        {"suspend": True},
        {"backoff_limit": 9},
        {"active_deadline_seconds": 9},
        {"ttl_seconds_after_finished": 9},
    ],
)
def test_what_does_not_touch_the_pods_may_change(change):
    assert changed(made(completions=3), **change) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"completions": 4}, "spec.completions"),
        ({"pod_failure_policy": PodFailurePolicy()}, "spec.podFailurePolicy"),
        ({"managed_by": "example.com/queue"}, "spec.managedBy"),
        ({"completion_mode": "Indexed"}, "spec.completionMode"),
    ],
)
def test_what_its_pods_do_may_not_change(change, field):
    assert field in changed(made(completions=3), **change)


def test_an_indexed_job_changes_its_completions_only_with_its_parallelism():
    old = made(completions=3, parallelism=3, completion_mode="Indexed")
    assert changed(old, completions=5, parallelism=5) == []
    assert changed(old, completions=5) == ["spec.completions"]


def test_where_pods_may_run_is_open_until_the_first_has():
    waiting = made(suspend=True)
    assert changed(waiting, template=moved(waiting)) == []
    begun = replace(waiting, status=JobStatus(start_time="2026-01-01T00:00:00Z"))
    assert changed(begun, template=moved(begun)) == ["spec.template"]
    at_work = made()
    assert changed(at_work, template=moved(at_work)) == ["spec.template"]


def test_a_selector_of_ones_own_needs_to_be_asked_for():
    copied = made(uid="u2").spec.selector
    (error,) = validate_job(again(made(), selector=copied), None)
    assert error.field == "spec.selector"
    assert error.message.endswith("`selector` not auto-generated")


def test_an_index_must_make_a_host_name():
    job = made(completions=2, completion_mode="Indexed", name="n" * 62)
    (error,) = validate_job(job, None)
    assert error.field == "metadata.name"
    assert "will not able to create pod with invalid DNS label" in error.message


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        (OnExitCodes(operator="In", values=(1,), container_name="other"), "containerName"),
        (OnExitCodes(operator="Has", values=(1,)), "operator"),
        (OnExitCodes(operator="In"), "values"),
        (OnExitCodes(operator="In", values=(2, 1)), "values"),
        (OnExitCodes(operator="In", values=(1, 1)), "values"),
        (OnExitCodes(operator="In", values=(0, 1)), "values[0]"),
    ],
)
def test_exit_codes_are_checked(codes, field):
    rule = FailureRule(action="Ignore", on_exit_codes=codes)
    (error,) = validate_job(made(pod_failure_policy=PodFailurePolicy(rules=(rule,))), None)
    assert error.field == f"spec.podFailurePolicy.rules[0].onExitCodes.{field}"


def test_a_failure_policy_needs_pods_that_are_not_restarted_in_place():
    job = made(pod_failure_policy=PodFailurePolicy(), restart_policy="OnFailure")
    (error,) = validate_job(job, None)
    assert error.field == "spec.template.spec.restartPolicy"


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (SuccessRule(), ""),
        (SuccessRule(succeeded_count=4), ".succeededCount"),
        (SuccessRule(succeeded_indexes="0-1", succeeded_count=3), ".succeededCount"),
        (SuccessRule(succeeded_indexes="2-1"), ".succeededIndexes"),
        (SuccessRule(succeeded_indexes="1,x"), ".succeededIndexes"),
        (SuccessRule(succeeded_indexes="0-3"), ".succeededIndexes"),
    ],
)
def test_success_rules_are_checked(rule, field):
    policy = SuccessPolicy(rules=(rule,))
    job = made(completions=3, completion_mode="Indexed", success_policy=policy)
    (error,) = validate_job(job, None)
    assert error.field == f"spec.successPolicy.rules[0]{field}"


@pytest.mark.parametrize("text", ["1,,2", "-1", "3,2", "1-", "a", "1-2,2-3"])
def test_what_names_no_indexes_is_refused(text):
    with pytest.raises(ValueError, match=r"index|order"):
        parse_indexes(text)
