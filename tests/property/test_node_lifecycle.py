"""Judgement under any beats, outages and probes."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core.node_lifecycle import (
    STANDARD,
    Memory,
    Observation,
    Probe,
    State,
    judge,
)

SETTINGS = settings(max_examples=80, deadline=None)
RUNS = settings(max_examples=40, deadline=None)  # of some hundred judgements each
START = 1_000_000
BEAT_MS = 250
TICK_MS = 50


def run(nodes, is_up, reaches, until_ms):
    """Judge every tick; agents beat while up, peers answer at the next tick. Yields judgements."""
    memory = Memory(START)
    known = {name: Observation(name, probe_address="a") for name in nodes}
    for now in range(START, START + until_ms, TICK_MS):
        for offset, name in enumerate(nodes):
            if (now + offset * TICK_MS) % BEAT_MS == 0 and is_up(name, now - START):
                known[name] = replace(known[name], last_beat_ms=now, probe=None)
        found = judge(known.values(), memory, now)
        memory = found.memory
        yield now - START, found
        for verdict in found.verdicts:
            if verdict.must_probe:
                peers = [n for n in nodes if n != verdict.name and is_up(n, now - START)]
                reached = len(peers) if reaches(verdict.name, now - START) else 0
                probe = Probe(now, len(peers), reached, len(peers) - reached)
                known[verdict.name] = replace(known[verdict.name], probe=probe)


def states(found):
    return {verdict.name: verdict.state for verdict in found.verdicts}


@RUNS
@given(count=st.integers(2, 9), at=st.integers(0, 8000), length=st.integers(0, 20_000))
def test_an_outage_of_the_bus_costs_no_pod(count, at, length):
    nodes = [f"n{number}" for number in range(count)]

    def is_up(_name, now):
        return not at <= now < at + length

    judgements = [found for _, found in run(nodes, is_up, lambda *_: False, at + length + 3000)]
    for found in judgements:
        assert State.LOST not in states(found).values()
    assert set(states(judgements[-1]).values()) == {State.READY}


@RUNS
@given(count=st.integers(2, 9), at=st.integers(0, 4000), victim=st.integers(0, 8))
def test_a_host_that_dies_alone_is_lost_in_time_and_no_other_is(count, at, victim):
    nodes = [f"n{number}" for number in range(count)]
    dead = nodes[victim % count]

    def is_up(name, now):
        return name != dead or now < at

    lost_at = None
    for now, found in run(nodes, is_up, lambda name, _: name != dead, at + 8000):
        lost = {name for name, state in states(found).items() if state is State.LOST}
        assert lost <= {dead}
        if lost and lost_at is None:
            lost_at = now
    heard = at >= BEAT_MS
    grace = STANDARD.silent_ms + STANDARD.probe_ms if heard else STANDARD.first_beat_ms * 2
    assert lost_at is not None
    assert lost_at <= at + grace + 2 * TICK_MS


@RUNS
@given(count=st.integers(1, 9), at=st.integers(0, 4000), dead=st.sets(st.integers(0, 8)))
def test_agents_that_die_cost_no_pod_while_their_hosts_answer(count, at, dead):
    nodes = [f"n{number}" for number in range(count)]

    def is_up(name, now):
        return int(name[1:]) not in dead or now < at

    for _, found in run(nodes, is_up, lambda *_: True, at + 8000):
        assert State.LOST not in states(found).values()


@RUNS
@given(
    ups=st.lists(st.lists(st.booleans(), min_size=16, max_size=16), min_size=1, max_size=6),
    reached=st.booleans(),
)
def test_a_node_that_is_heard_is_never_lost(ups, reached):
    nodes = [f"n{number}" for number in range(len(ups))]

    def is_up(name, now):
        return ups[int(name[1:])][now // 500 % 16]

    for now, found in run(nodes, is_up, lambda *_: reached, 8000):
        for name, state in states(found).items():
            if state is State.LOST:
                recent = range(max(0, now - STANDARD.silent_ms + BEAT_MS), now + 1, TICK_MS)
                assert not all(is_up(name, moment) for moment in recent)


observations = st.lists(
    st.builds(
        Observation,
        name=st.sampled_from([f"n{number}" for number in range(9)]),
        last_beat_ms=st.one_of(st.none(), st.integers(START + 2000, START + 5000)),
        probe_address=st.sampled_from(["", "a"]),
        probe=st.one_of(
            st.none(),
            st.builds(
                Probe,
                asked_ms=st.integers(START + 3000, START + 5000),
                peers=st.just(3),
                reachable=st.integers(0, 1),
                unreachable=st.integers(0, 2),
            ),
        ),
        engine_error=st.sampled_from(["", "hung"]),
        is_leaving=st.booleans(),
    ),
    unique_by=lambda node: node.name,
    max_size=9,
)
memories = st.builds(
    Memory,
    grace_from_ms=st.integers(START - 5000, START),
    is_holding=st.booleans(),
    lost=st.frozensets(st.sampled_from(["n0", "n1", "n2"])),
)


@SETTINGS
@given(nodes=observations, memory=memories, order=st.randoms(use_true_random=False))
def test_the_order_of_nodes_is_irrelevant(nodes, memory, order):
    first = judge(nodes, memory, START + 5000)
    order.shuffle(nodes)
    assert judge(nodes, memory, START + 5000) == first


@SETTINGS
@given(nodes=observations, memory=memories, after_ms=st.integers(1, 20_000))
def test_verdicts_change_by_themselves_only_at_the_time_named(nodes, memory, after_ms):
    now = START + 5000
    first = judge(nodes, memory, now)
    settled = judge(nodes, first.memory, now)
    until = settled.wake_at_ms
    later = now + after_ms if until is None else min(now + after_ms, until - 1)
    assert judge(nodes, settled.memory, later).verdicts == settled.verdicts


@SETTINGS
@given(nodes=observations, memory=memories)
def test_it_only_wakes_in_the_future(nodes, memory):
    found = judge(nodes, memory, START + 5000)
    assert found.wake_at_ms is None or found.wake_at_ms > START + 5000
