"""How fast an autoscaler goes, with the numbers of Kubernetes' documentation."""

import pytest

from proto.kinds.autoscaler import ScalingRules
from tests.unit.core.making import NOW_MS
from tests.unit.core.scaling import (
    Watched,
    autoscaler,
    behavior,
    behind,
    lag,
    policy,
    resource,
)

ONE_EACH = lag(average="1")


def sizes(found, start, wanted, looks, every_s=15):
    """Numbers of replicas after each look, while so many are called for."""
    watched = Watched(found, start)
    for _ in range(looks):
        watched.look(behind(wanted, watched.replicas), after_s=every_s)
    return [replicas for _, replicas in watched.sizes[1:]]


def up(*policies, window_s=0, select="Max"):
    return ScalingRules(
        stabilization_window_seconds=window_s, select_policy=select, policies=policies
    )


down = up


@pytest.mark.parametrize("given", [None, behavior()])
def test_without_a_behavior_it_doubles_or_adds_four_in_15_seconds(given):
    """ "4 pods or 100% of the currently running replicas may at most be added every 15 seconds"."""
    found = autoscaler(ONE_EACH, most=100, behavior=given)
    assert sizes(found, 1, 100, 6) == [5, 10, 20, 40, 80, 100]


def test_however_often_it_looks_it_is_no_faster():
    found = autoscaler(ONE_EACH, most=100)
    assert sizes(found, 1, 100, 8, every_s=5) == [5, 5, 5, 10, 10, 10, 20, 20]


def test_without_a_behavior_it_goes_down_as_far_as_it_may():
    """After the window, "the scaling target can be scaled down to the minimum allowed replicas"."""
    found = autoscaler(ONE_EACH, least=2, most=100)
    assert sizes(found, 80, 0, 21) == [80] * 20 + [2]


def test_of_two_policies_the_faster_one_counts():
    """ "when the number of pods is more than 40 the second policy will be used": 80, to 72, 65…"""
    policies = policy("Pods", 4), policy("Percent", 10)
    found = autoscaler(ONE_EACH, least=10, most=100, behavior=behavior(down=down(*policies)))
    shrinking = sizes(found, 80, 10, 16, every_s=60)
    assert shrinking == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10, 10]


def test_with_min_the_slower_one_counts():
    """ "selectPolicy value of Min … selects the policy that affects the smallest number of Pods"."""
    policies = policy("Pods", 5), policy("Percent", 10)
    slow = behavior(down=down(*policies, select="Min"), up=up(*policies, select="Min"))
    assert sizes(autoscaler(ONE_EACH, most=100, behavior=slow), 80, 1, 2, 60) == [75, 70]
    assert sizes(autoscaler(ONE_EACH, most=100, behavior=slow), 30, 100, 2, 60) == [33, 37]


def test_disabled_is_never():
    """ "Setting the value to Disabled completely disables scaling in that direction"."""
    never = behavior(down=ScalingRules(select_policy="Disabled"))
    assert sizes(autoscaler(ONE_EACH, most=100, behavior=never), 8, 1, 2, 600) == [8, 8]
    never = behavior(up=ScalingRules(select_policy="Disabled"))
    assert sizes(autoscaler(ONE_EACH, most=100, behavior=never), 2, 9, 2, 600) == [2, 2]


def test_a_window_upwards_waits_until_all_of_it_called_for_more():
    found = autoscaler(
        ONE_EACH, most=100, behavior=behavior(up=up(policy("Pods", 100), window_s=60))
    )
    watched = Watched(found, 2)
    for messages in (9, 5, 9, 9):
        watched.look(behind(messages, 2))
        assert watched.replicas == 2
    watched.look(behind(9, 2))
    assert watched.replicas == 5


def test_a_window_upwards_takes_nothing_away():
    found = autoscaler(
        ONE_EACH, most=100, behavior=behavior(up=up(policy("Pods", 100), window_s=60))
    )
    watched = Watched(found, 2)
    watched.look(behind(2, 2))
    watched.replicas = 5  # somebody knew better
    watched.look(behind(5, 5))
    assert watched.replicas == 5


def test_a_load_that_falls_adds_nothing_though_more_was_called_for_lately():
    watched = Watched(autoscaler(ONE_EACH, most=100), 1)
    watched.look(behind(100, 1))
    assert watched.replicas == 5  # as many as it may at once
    watched.look(behind(3, 5))
    assert watched.replicas == 5


def test_a_policy_counts_from_what_there_was_when_its_period_began():
    found = autoscaler(ONE_EACH, most=100, behavior=behavior(up=up(policy("Pods", 3, 60))))
    assert sizes(found, 1, 100, 9) == [4, 4, 4, 4, 7, 7, 7, 7, 10]


def test_what_went_may_come_back_at_once():
    """What a period allows is counted from where it began, whatever happened in it."""
    both = behavior(up=up(policy("Pods", 2, 60)), down=down(policy("Pods", 10, 60)))
    watched = Watched(autoscaler(ONE_EACH, most=100, behavior=both), 8)
    watched.look(behind(3, 8))
    assert watched.replicas == 3
    watched.look(behind(100, 3))
    assert watched.replicas == 10


def test_a_tolerance_of_its_own_replaces_the_usual_tenth():
    strict = behavior(
        up=ScalingRules(tolerance="0"),
        down=ScalingRules(tolerance="500m", stabilization_window_seconds=0),
    )
    found = autoscaler(lag(average="10"), most=100, behavior=strict)
    assert sizes(found, 10, 101, 1) == [11]
    assert sizes(found, 10, 50, 1) == [10]
    assert sizes(found, 10, 49, 1) == [5]


def test_it_remembers_no_more_than_its_longest_window_and_period():
    long = behavior(up=up(policy("Pods", 1, 120)), down=down(policy("Pods", 1, 30), window_s=60))
    watched = Watched(autoscaler(ONE_EACH, most=10_000, behavior=long), 1)
    for messages in range(2, 300):
        watched.look(behind(messages, 1), after_s=1)
    assert len(watched.memory.past.called_for) <= 61
    assert len(watched.memory.past.steps) <= 1
    assert watched.now_ms > NOW_MS


def test_zero_to_many_and_back():
    found = autoscaler(
        lag(average="10"),
        resource(percent=50),
        least=0,
        most=5,
        behavior=behavior(down=down(window_s=0)),
    )
    assert sizes(found, 0, 0, 2) == [0, 0]
    assert sizes(found, 0, 25, 2) == [3, 3]
    assert sizes(found, 0, 1000, 2) == [4, 5]
