"""An autoscaler against any loads, rules and moments."""

import itertools

from hypothesis import given, settings, strategies as st

from orchestrator.core.decisions import render
from proto.kinds.autoscaler import ScalingRules
from tests.unit.core.scaling import (
    Watched,
    autoscaler,
    behavior,
    behind,
    busy,
    lag,
    policy,
    resource,
)

SETTINGS = settings(max_examples=60, deadline=None)

policies = st.lists(
    st.builds(
        policy,
        st.sampled_from(["Pods", "Percent"]),
        st.integers(1, 200),
        st.sampled_from([15, 30, 60, 120]),
    ),
    min_size=1,
    max_size=3,
)
rules = st.builds(
    lambda window_s, select, policies: ScalingRules(
        stabilization_window_seconds=window_s, select_policy=select, policies=tuple(policies)
    ),
    st.sampled_from([0, 30, 300]),
    st.sampled_from(["Max", "Min", "Disabled"]),
    policies,
)
behaviors = st.one_of(st.none(), st.builds(behavior, rules, rules))
FREELY = ScalingRules(stabilization_window_seconds=0, policies=(policy("Pods", 10_000, 15),))
moments = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), min_size=1, max_size=25)
"""Messages that wait, and seconds since the last look."""


def followed(found, start, loads) -> Watched:
    watched = Watched(found, start)
    for messages, after_s in loads:
        watched.look(behind(messages), after_s=after_s)
    return watched


@SETTINGS
@given(
    how=behaviors,
    least=st.integers(0, 5),
    extra=st.integers(0, 50),
    start=st.integers(0, 80),
    loads=moments,
)
def test_it_is_never_outside_its_bounds(how, least, extra, start, loads):
    found = autoscaler(lag(average="3"), least=least, most=max(1, least + extra), behavior=how)
    watched = followed(found, start, loads)
    is_paused = start == 0 and least > 0
    for _, replicas in watched.sizes[1:]:
        if is_paused:
            assert replicas == 0
        else:
            assert least <= replicas <= found.spec.max_replicas


def size_at(sizes, at_ms):
    """What there was at a moment, before what happened in it."""
    return [replicas for when, replicas in sizes if when <= at_ms or when == sizes[0][0]][-1]


def is_within(one, start, end, direction):
    """Whether a policy lets so many become that many, or less of a change, within its period."""
    if one.type == "Pods":
        return direction * (end - start) <= one.value
    # What may be lost or gained is rounded up, as in Kubernetes.
    return direction * (100 * (end - direction) - start * (100 + direction * one.value)) < 0


@SETTINGS
@given(up=rules, down=rules, start=st.integers(1, 60), loads=moments)
def test_no_period_changes_more_than_its_policies_allow(up, down, start, loads):
    found = autoscaler(lag(average="3"), least=1, most=10_000, behavior=behavior(up, down))
    sizes = followed(found, start, loads).sizes
    for (_, before), (now_ms, after) in itertools.pairwise(sizes):
        if after == before:
            continue
        by, direction = (up, 1) if after > before else (down, -1)
        assert by.select_policy != "Disabled"
        allowed = [
            is_within(one, size_at(sizes, now_ms - 1000 * one.period_seconds), after, direction)
            for one in by.policies
        ]
        assert all(allowed) if by.select_policy == "Min" else any(allowed)


@SETTINGS
@given(
    how=behaviors,
    start=st.integers(0, 60),
    messages=st.integers(0, 300),
    takes_over_at=st.integers(0, 30),
)
def test_under_a_steady_load_it_never_turns_round(how, start, messages, takes_over_at):
    """Also when another orchestrator leads in the middle of it."""
    watched = Watched(autoscaler(lag(average="3"), least=0, most=1000, behavior=how), start)
    for look in range(40):
        if look == takes_over_at:
            watched.take_over()
        watched.look(behind(messages))
    sizes = [replicas for _, replicas in watched.sizes]
    assert sizes in (sorted(sizes), sorted(sizes, reverse=True))


@SETTINGS
@given(start=st.integers(0, 60), messages=st.integers(0, 300))
def test_under_a_steady_load_it_comes_to_rest_at_what_that_calls_for(start, messages):
    watched = Watched(autoscaler(lag(average="3"), least=0, most=1000), start)
    for _ in range(22):  # a window of 300 s, and a look beyond
        watched.look(behind(messages))
    each = 3 * watched.replicas
    assert 9 * each <= 10 * messages <= 11 * each or watched.replicas == -(-messages // 3)
    assert render(watched.look(behind(messages)).plan.decisions) == ""


@SETTINGS
@given(
    used=st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=8),
    percent=st.integers(1, 200),
    order=st.randoms(use_true_random=False),
)
def test_pods_without_figures_are_taken_for_those_that_need_least_change(used, percent, order):
    """Were they known to be busy, no fewer would be called for; idle, no more. In any order."""
    found = autoscaler(resource(percent=percent), most=1000, behavior=behavior(FREELY, FREELY))

    def after(*used):
        measured = busy(*used)
        order.shuffle(measured.pods)
        return Watched(found, len(used)).look(measured).memory.after

    replicas = after(*used)
    assert replicas == after(*used)
    if replicas > len(used):
        assert after(*(3000 if amount is None else amount for amount in used)) >= replicas
    elif replicas < len(used):
        assert after(*(0 if amount is None else amount for amount in used)) <= replicas
    if all(amount is None for amount in used):
        assert replicas == len(used)
