"""What a disruption budget says of its pods, and which of them may be evicted."""

import pytest
from msgspec.structs import replace

from orchestrator.core.decisions import UpdateStatus, render
from orchestrator.core.disruption import (
    DELETION_TIMEOUT_MS,
    DISRUPTED_PODS_MAX,
    Controller,
    charged,
    evicted,
    plan,
)
from proto.errors import Ambiguous, Forbidden, NotNow
from proto.kinds.disruption import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from proto.meta import LabelSelector, ObjectMeta, condition, format_time
from tests.unit.core.making import NOW, NOW_MS, pod


def budget(name="b", *, status=None, **spec):
    selector = spec.pop("selector", LabelSelector(match_labels={"app": "web"}))
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=name, namespace="default", uid=name, generation=1),
        spec=PodDisruptionBudgetSpec(selector=selector, **spec),
        status=status or PodDisruptionBudgetStatus(),
    )


def ready(name, **kwargs):
    return pod(name, node="n1", ready_since_ms=NOW_MS, **kwargs)


def replicas(**counts):
    return {uid: Controller(uid, count) for uid, count in counts.items()}


def counted(found, pods, controllers=None, now_ms=NOW_MS):
    """The status that a plan leaves."""
    planned = plan(found, pods, controllers or {}, now_ms)
    told = [d.object.status for d in planned.decisions if isinstance(d, UpdateStatus)]
    return told[-1] if told else found.status


def numbers(status):
    return (
        status.expected_pods, status.current_healthy, status.desired_healthy,
        status.disruptions_allowed,
    )  # fmt: skip


def settled(found, pods, controllers=None):
    return replace(found, status=counted(found, pods, controllers))


def test_a_count_is_held_against_the_pods_there_are():
    pods = [ready("a"), ready("b"), ready("c"), pod("starting", node="n1")]
    found = plan(budget(min_available=2), pods, {}, NOW_MS)
    assert render(found.decisions) == (
        "update status of poddisruptionbudget b: 3 of 2 needed are healthy"
    )
    status = found.decisions[-1].object.status
    assert numbers(status) == (4, 3, 2, 1)
    assert status.observed_generation == 1
    told = condition(status.conditions, "DisruptionAllowed")
    assert (told.status, told.reason, told.last_transition_time) == ("True", "SufficientPods", NOW)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"min_available": "50%"}, (7, 3, 4, 0)),
        ({"min_available": "30%"}, (7, 3, 3, 0)),
        ({"min_available": "28%"}, (7, 3, 2, 1)),
        ({"max_unavailable": "50%"}, (7, 3, 3, 0)),  # rounded up: 4 of 7 may be missing
        ({"max_unavailable": 5}, (7, 3, 2, 1)),
        ({"max_unavailable": 9}, (7, 3, 0, 3)),
        ({}, (0, 3, 0, 0)),
    ],
)
def test_a_share_is_one_of_what_the_controllers_ask_for(spec, expected):
    pods = [ready("a", owner="rs1"), ready("b", owner="rs1"), ready("c", owner="rs2")]
    status = counted(budget(**spec), pods, replicas(rs1=5, rs2=2))
    assert numbers(status) == expected


def test_a_deployment_is_counted_once_however_many_replica_sets_it_rolls_through():
    pods = [ready("a", owner="old"), ready("b", owner="new")]
    both = {"old": Controller("d1", 4), "new": Controller("d1", 4)}
    assert numbers(counted(budget(max_unavailable=2), pods, both)) == (4, 2, 2, 0)


def test_bare_pods_have_no_number_to_take_a_share_of():
    assert numbers(counted(budget(max_unavailable=1), [ready("a")])) == (0, 1, 0, 0)


def test_pods_of_a_controller_without_a_number_make_it_uncountable_and_nothing_may_go():
    found = settled(budget(max_unavailable=1), [ready("a", owner="rs1")], replicas(rs1=1))
    assert found.status.disruptions_allowed == 1
    failed = plan(found, [ready("a", owner="job")], {}, NOW_MS)
    assert render(failed.decisions) == (
        "Warning CalculateExpectedPodCountFailed on poddisruptionbudget b: Failed to calculate the "
        'number of expected pods: found no controllers for pod "a"\n'
        "update status of poddisruptionbudget b: 1 of 0 needed are healthy"
    )
    status = failed.decisions[-1].object.status
    assert status.disruptions_allowed == 0
    assert condition(status.conditions, "DisruptionAllowed").reason == "SyncFailed"


def test_what_did_not_change_is_not_written_again():
    pods = [ready("a")]
    found = settled(budget(min_available=1), pods)
    assert plan(found, pods, {}, NOW_MS + 1000).decisions == ()
    assert "NoPods" in render(plan(found, [], {}, NOW_MS).decisions)
    empty = settled(found, [])
    assert plan(empty, [], {}, NOW_MS).decisions == ()


def test_pods_that_go_are_not_healthy_be_they_deleted_or_only_allowed_to_be():
    pods = [ready("a"), ready("b"), ready("going", deleting=True)]
    noted = PodDisruptionBudgetStatus(disrupted_pods={"a": NOW, "going": NOW, "gone": NOW})
    found = plan(budget(min_available=1, status=noted), pods, {}, NOW_MS)
    status = found.decisions[-1].object.status
    assert numbers(status) == (3, 1, 1, 0)
    assert status.disrupted_pods == {"a": NOW}
    assert found.wake_at_ms == NOW_MS + DELETION_TIMEOUT_MS


def test_a_pod_that_was_allowed_to_go_and_did_not_counts_again():
    noted = PodDisruptionBudgetStatus(disrupted_pods={"a": NOW})
    later_ms = NOW_MS + DELETION_TIMEOUT_MS + 1
    found = plan(budget(min_available=1, status=noted), [ready("a")], {}, later_ms)
    assert render(found.decisions) == (
        "Warning NotDeleted on pod a: Pod was expected by PDB default/b to be deleted but it wasn't\n"
        "update status of poddisruptionbudget b: 1 of 1 needed are healthy"
    )
    assert found.decisions[-1].object.status.disrupted_pods == {}
    assert found.wake_at_ms is None


def test_an_eviction_counts_a_budget_down_until_nothing_is_left():
    pods = [ready("a"), ready("b"), ready("c")]
    found = settled(budget(min_available=1), pods)
    once = charged(pods[0], [found], NOW_MS + 5000)
    assert once.status.disruptions_allowed == 1
    assert once.status.disrupted_pods == {"a": format_time(NOW_MS + 5000)}
    twice = charged(pods[1], [once], NOW_MS + 6000)
    assert twice.status.disruptions_allowed == 0
    assert condition(twice.status.conditions, "DisruptionAllowed").status == "False"
    with pytest.raises(NotNow) as refused:
        charged(pods[2], [twice], NOW_MS + 7000)
    assert str(refused.value) == (
        "Cannot evict pod as it would violate the pod's disruption budget."
    )
    (cause,) = refused.value.causes
    assert cause.reason == "DisruptionBudget"
    assert cause.message == "The disruption budget b needs 1 healthy pods and has 3 currently"


def test_a_budget_that_changed_since_it_was_counted_allows_nothing():
    found = settled(budget(min_available=1), [ready("a"), ready("b")])
    changed = replace(found, metadata=replace(found.metadata, generation=2))
    with pytest.raises(NotNow) as refused:
        charged(ready("a"), [changed], NOW_MS)
    assert "still being processed" in refused.value.causes[0].message


def test_a_budget_that_cannot_be_counted_down_says_so():
    status = replace(
        counted(budget(min_available=1), [ready("a"), ready("b")]), disruptions_allowed=-1
    )
    with pytest.raises(Forbidden, match="is negative"):
        charged(ready("a"), [budget(min_available=1, status=status)], NOW_MS)
    many = {f"p{index}": NOW for index in range(DISRUPTED_PODS_MAX + 1)}
    status = replace(status, disruptions_allowed=1, disrupted_pods=many)
    with pytest.raises(Forbidden, match="too big"):
        charged(ready("a"), [budget(min_available=1, status=status)], NOW_MS)


def test_a_pod_with_two_budgets_cannot_be_evicted():
    both = [settled(budget(name), [ready("a"), ready("b")]) for name in ("one", "two")]
    with pytest.raises(Ambiguous, match="more than one PodDisruptionBudget"):
        charged(ready("a"), both, NOW_MS)


@pytest.mark.parametrize(
    "free",
    [
        pod("pending"),
        pod("done", node="n1", phase="Succeeded"),
        pod("failed", node="n1", phase="Failed"),
        ready("going", deleting=True),
        ready("other", labels={"app": "db"}),
        ready("bare", labels={}),
    ],
    ids=lambda found: found.metadata.name,
)
def test_what_disrupts_nothing_goes_uncounted(free):
    found = settled(budget(min_available=1), [ready("a")])
    assert charged(free, [found], NOW_MS) is None


def test_a_selector_of_everything_guards_every_pod_and_an_absent_one_none():
    empty = budget(min_available=1, selector=LabelSelector())
    with pytest.raises(NotNow):
        charged(ready("a", labels={"x": "y"}), [settled(empty, [ready("a")])], NOW_MS)
    assert charged(ready("a"), [budget(min_available=1, selector=None)], NOW_MS) is None


def test_an_unhealthy_pod_goes_while_enough_others_are_healthy_or_when_it_always_may():
    broken = pod("broken", node="n1", phase="Running")
    enough = settled(budget(min_available=1), [ready("a"), broken])
    assert charged(broken, [enough], NOW_MS) is None
    scarce = settled(budget(min_available=2), [ready("a"), broken])
    with pytest.raises(NotNow):
        charged(broken, [scarce], NOW_MS)
    lenient = settled(
        budget(min_available=2, unhealthy_pod_eviction_policy="AlwaysAllow"), [ready("a"), broken]
    )
    assert charged(broken, [lenient], NOW_MS) is None
    with pytest.raises(NotNow):
        charged(ready("a"), [lenient], NOW_MS)


def test_an_evicted_pod_says_why_it_goes():
    told = condition(evicted(ready("a"), NOW_MS).status.conditions, "DisruptionTarget")
    assert (told.status, told.reason) == ("True", "EvictionByEvictionAPI")
    gone = ready("a", deleting=True)
    assert evicted(gone, NOW_MS) is gone
