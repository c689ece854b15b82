"""Silence, probes, holds and graces; all on one clock of milliseconds."""

from msgspec.structs import replace

from orchestrator.core.node_lifecycle import (
    STANDARD,
    Memory,
    Observation,
    Probe,
    State,
    judge,
)

START = 1_000_000
FRESH = Memory(START)
BEAT_MS = 250


def seen(name="n1", ago=0, now=START + 60_000, **kwargs):
    return Observation(name, last_beat_ms=now - ago, probe_address="10.0.0.1:22", **kwargs)


def others(count, now=START + 60_000):
    return [seen(f"peer{number}", now=now) for number in range(count)]


def verdict(node, now=START + 60_000, memory=FRESH, peers=4):
    found = judge([node, *others(peers, now)], memory, now)
    return next(v for v in found.verdicts if v.name == node.name)


def test_a_node_that_beats_is_ready():
    assert verdict(seen()).state is State.READY


def test_a_node_is_silent_after_three_missed_beats_and_its_peers_are_asked():
    assert verdict(seen(ago=STANDARD.silent_ms - 1)).state is State.READY
    found = verdict(seen(ago=STANDARD.silent_ms))
    assert (found.state, found.must_probe) == (State.SILENT, True)


def test_peers_are_asked_before_a_node_is_called_silent_so_that_the_answer_is_there_by_then():
    suspect = seen(ago=STANDARD.suspect_ms)
    found = verdict(suspect)
    assert (found.state, found.must_probe) == (State.READY, True)
    assert not verdict(seen(ago=STANDARD.suspect_ms - 1)).must_probe
    asked = replace(suspect, probe=Probe(START + 60_000, peers=3))
    assert not verdict(asked).must_probe
    assert not verdict(replace(suspect, probe_address="")).must_probe
    told = seen(ago=STANDARD.silent_ms - 1, probe=Probe(START + 59_700, peers=1, unreachable=1))
    assert verdict(told).state is State.READY, "three beats must be missed, whatever peers say"


def test_not_ready_comes_within_a_second_and_loss_within_one_and_a_half():
    assert STANDARD.silent_ms + BEAT_MS <= 1000
    assert STANDARD.silent_ms + STANDARD.probe_ms + BEAT_MS <= 1500
    assert STANDARD.lost_ms + BEAT_MS <= 1500


def test_peers_are_asked_once_until_they_have_had_their_time():
    now = START + 60_000
    node = seen(ago=800, probe=Probe(now - 50, peers=3))
    assert not verdict(node).must_probe
    later = verdict(
        replace(node, probe=Probe(now - STANDARD.reprobe_ms, peers=3), last_beat_ms=now - 2000)
    )
    assert (later.state, later.must_probe) == (State.SILENT, True)


def test_a_host_that_a_peer_reaches_keeps_its_pods():
    now = START + 60_000
    node = seen(ago=800, probe=Probe(now - 20, peers=3, reachable=1, unreachable=2))
    assert verdict(node).state is State.AGENT_DOWN


def test_a_host_that_no_peer_reaches_is_lost():
    now = START + 60_000
    assert verdict(seen(ago=800, probe=Probe(now - 20, peers=2, unreachable=2))).state is State.LOST


def test_the_word_of_some_peers_counts_when_the_others_had_their_time():
    now = START + 60_000
    early = seen(ago=900, probe=Probe(now - 299, peers=3, unreachable=1))
    assert verdict(early).state is State.SILENT
    late = seen(ago=900, probe=Probe(now - 300, peers=3, unreachable=1))
    assert verdict(late).state is State.LOST


def test_where_no_peer_can_tell_nothing_moves():
    now = START + 60_000
    node = seen(ago=30_000, probe=Probe(now - 500, peers=0))
    assert verdict(node, peers=0).state is State.SILENT


def test_what_was_seen_before_the_silence_is_no_evidence():
    now = START + 60_000
    node = seen(ago=800, probe=Probe(now - 900, peers=1, unreachable=1))
    found = verdict(node)
    assert (found.state, found.must_probe) == (State.SILENT, True)


def test_a_dead_agent_is_asked_after_again_since_its_host_may_die_later():
    now = START + 60_000
    probe = Probe(now - STANDARD.reprobe_ms, peers=1, reachable=1)
    found = verdict(seen(ago=5000, probe=probe))
    assert (found.state, found.must_probe) == (State.AGENT_DOWN, True)


def test_without_a_probe_address_silence_is_loss():
    now = START + 60_000
    node = Observation("n1", last_beat_ms=now - STANDARD.lost_ms)
    assert verdict(node).state is State.LOST
    assert verdict(replace(node, last_beat_ms=now - STANDARD.lost_ms + 1)).state is State.SILENT


def test_an_agent_that_said_goodbye_is_not_lost_by_its_silence():
    now = START + 60_000
    node = Observation("n1", last_beat_ms=now - 30_000, is_leaving=True)
    assert verdict(node).state is State.LEAVING
    cut_off = seen(ago=30_000, is_leaving=True, probe=Probe(now - 20, peers=2, unreachable=2))
    assert verdict(cut_off).state is State.LOST


def test_a_host_that_goes_off_is_not_ready_while_it_speaks_and_when_it_does_no_longer():
    assert verdict(seen(is_shutting_down=True)).state is State.SHUTDOWN
    assert verdict(seen(is_shutting_down=True, is_leaving=True)).state is State.SHUTDOWN
    silent = Observation("n1", last_beat_ms=START + 30_000, is_shutting_down=True)
    assert verdict(silent).state is State.SHUTDOWN


def test_an_engine_that_does_not_answer_makes_the_node_unready_and_nothing_more():
    found = verdict(seen(engine_error="timed out"))
    assert (found.state, found.detail) == (State.ENGINE_DOWN, "timed out")


def test_most_nodes_silent_at_once_hold_all_judgement():
    now = START + 60_000
    nodes = [Observation(f"n{i}", last_beat_ms=now - 5000) for i in range(3)] + others(2)
    found = judge(nodes, FRESH, now)
    assert found.memory.is_holding
    assert State.LOST not in {v.state for v in found.verdicts}


def test_an_outage_felt_within_one_beat_costs_no_node_its_pods():
    """All fall silent together, each at its own point of the beat: the first must not be lost."""
    cut = START + 60_000
    beats = {f"n{i}": cut - i * BEAT_MS // 5 for i in range(5)}
    memory = FRESH
    for now in range(cut, cut + 10_000, 10):
        nodes = [Observation(name, last_beat_ms=at) for name, at in beats.items()]
        found = judge(nodes, memory, now)
        memory = found.memory
        assert State.LOST not in {v.state for v in found.verdicts}
    assert memory.is_holding


def test_after_a_hold_those_still_silent_get_their_whole_grace():
    now = START + 60_000
    holding = Memory(START, is_holding=True)
    gone = Observation("n1", last_beat_ms=now - 30_000)
    found = judge([gone, *others(4)], holding, now)
    assert found.memory == Memory(now)
    assert found.verdicts[0].state is State.UNHEARD
    memory = found.memory
    states = []
    for later in range(now, now + 1500, 50):
        found = judge([gone, *others(4, later)], memory, later)
        memory = found.memory
        states.append(found.verdicts[0].state)
    assert states.index(State.LOST) == STANDARD.lost_ms // 50


def test_one_of_two_nodes_is_judged_when_the_other_can_tell():
    now = START + 60_000
    node = seen(ago=900, probe=Probe(now - 20, peers=1, unreachable=1))
    assert verdict(node, peers=1).state is State.LOST


def test_two_of_two_silent_nodes_are_held():
    now = START + 60_000
    nodes = [Observation(f"n{i}", last_beat_ms=now - 5000) for i in range(2)]
    assert judge(nodes, FRESH, now).memory.is_holding


def test_nodes_known_to_be_lost_do_not_hold_up_judgement_of_the_others():
    now = START + 60_000
    memory = Memory(START, lost=frozenset({"n1"}))
    first = Observation("n1", last_beat_ms=now - 60_000)
    second = Observation("n2", last_beat_ms=now - 1000)
    found = judge([first, second, *others(1)], memory, now)
    assert [v.state for v in found.verdicts] == [State.LOST, State.LOST, State.READY]
    assert found.memory.lost == {"n1", "n2"}


def test_a_lost_node_stays_lost_until_it_beats():
    memory = Memory(START, lost=frozenset({"n1"}))
    assert verdict(seen(ago=5000), memory=memory).state is State.LOST
    assert verdict(seen(ago=10), memory=memory).state is State.READY


def test_a_new_leader_waits_for_first_beats_before_it_judges():
    unheard = Observation("n1")
    during = START + STANDARD.first_beat_ms - 1
    assert verdict(unheard, now=during).state is State.UNHEARD
    assert verdict(unheard, now=during + 1).state is State.LOST


def test_a_new_leader_that_hears_nobody_judges_nobody():
    nodes = [Observation(f"n{i}") for i in range(3)]
    memory = FRESH
    for now in range(START, START + 60_000, 500):
        found = judge(nodes, memory, now)
        memory = found.memory
        assert State.LOST not in {v.state for v in found.verdicts}


def test_it_says_when_to_look_again():
    now = START + 60_000
    found = judge([seen(ago=100)], FRESH, now)
    assert found.wake_at_ms == now - 100 + STANDARD.suspect_ms
    silent = judge([seen(ago=800, probe=Probe(now - 10, peers=2))], FRESH, now)
    assert silent.wake_at_ms == now + 100
    asked = judge([seen(ago=2000, probe=Probe(now - 10, peers=2, unreachable=1))], FRESH, now)
    assert asked.wake_at_ms == now - 10 + STANDARD.probe_ms
    answered = judge([seen(ago=2000, probe=Probe(now - 500, peers=2, reachable=1))], FRESH, now)
    assert answered.wake_at_ms == now - 500 + STANDARD.reprobe_ms
    assert judge([], FRESH, now).wake_at_ms is None
