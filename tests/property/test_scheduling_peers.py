"""Placement with other pods in mind, and preemption, against a plain reading of the rules."""

from collections import Counter

from hypothesis import given, settings, strategies as st

from orchestrator.core.scheduling import Residents, schedule, table_of
from proto.kinds.affinity import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    TopologySpreadConstraint,
)
from proto.kinds.disruption import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from proto.kinds.node import allocatable
from proto.kinds.pod import requests
from proto.meta import LabelSelector, ObjectMeta
from tests.unit.core.making import bound, node, pod

SETTINGS = settings(max_examples=60, deadline=None)
HOST = "kubernetes.io/hostname"

apps = st.sampled_from(["web", "db"])
nodes_st = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5).map(
    lambda zones: [
        node(f"n{number}", cpu="2", labels={"zone": zone} if zone else {})
        for number, zone in enumerate(zones)
    ]
)


def selecting(app):
    return LabelSelector(match_labels={"app": app})


@st.composite
def pods_st(draw):
    """Pods of which some are to be spread, near others or far from them."""
    found = []
    for number in range(draw(st.integers(1, 10))):
        rule = draw(st.sampled_from(["", "spread", "near", "far"]))
        about = draw(apps)
        key = draw(st.sampled_from(["zone", HOST]))
        term = PodAffinityTerm(label_selector=selecting(about), topology_key=key)
        spec = {}
        if rule == "spread":
            spec["topology_spread_constraints"] = (
                TopologySpreadConstraint(
                    max_skew=draw(st.integers(1, 2)),
                    topology_key=key,
                    when_unsatisfiable="DoNotSchedule",
                    label_selector=selecting(about),
                ),
            )
        elif rule == "near":
            spec["affinity"] = Affinity(pod_affinity=PodAffinity(required=(term,)))
        elif rule == "far":
            spec["affinity"] = Affinity(pod_anti_affinity=PodAffinity(required=(term,)))
        cpu = draw(st.sampled_from(["", "500m", "1"]))
        made = pod(f"p{number:02}", labels={"app": draw(apps)}, cpu=cpu, **spec)
        found.append(made)
    return found


def near_each_other(term, one, other):
    value = one.metadata.labels.get(term.topology_key)
    return value is not None and value == other.metadata.labels.get(term.topology_key)


def allowed(found, onto, there, nodes):
    """Whether the pod may go to a node, of the rules read plainly; `there`: pairs of pod, node."""
    free = allocatable(onto)["cpu"] - sum(
        requests(p.spec).get("cpu", 0) for p, on in there if on is onto
    )
    if requests(found.spec).get("cpu", 0) > free:
        return False
    affinity = found.spec.affinity
    for term in affinity.pod_affinity.required if affinity and affinity.pod_affinity else ():
        chosen = [
            on
            for p, on in there
            if term.label_selector.matches(p.metadata.labels)
            and term.topology_key in on.metadata.labels
        ]
        if not chosen and term.label_selector.matches(found.metadata.labels):
            if term.topology_key not in onto.metadata.labels:
                return False
        elif not any(near_each_other(term, onto, on) for on in chosen):
            return False
    for one, other in [(found, p) for p, _ in there] + [(p, found) for p, _ in there]:
        anti = one.spec.affinity and one.spec.affinity.pod_anti_affinity
        on = next(on for p, on in there if p is (other if one is found else one))
        for term in anti.required if anti else ():
            is_selected = term.label_selector.matches(other.metadata.labels)
            if is_selected and near_each_other(term, onto, on):
                return False
    return all(
        is_even(constraint, found, onto, there, nodes)
        for constraint in found.spec.topology_spread_constraints
    )


def is_even(constraint, found, onto, there, nodes):
    key = constraint.topology_key
    if key not in onto.metadata.labels:
        return False
    counts = Counter({n.metadata.labels[key]: 0 for n in nodes if key in n.metadata.labels})
    for p, on in there:
        if key in on.metadata.labels and constraint.label_selector.matches(p.metadata.labels):
            counts[on.metadata.labels[key]] += 1
    own = constraint.label_selector.matches(found.metadata.labels)
    skew = counts[onto.metadata.labels[key]] + own - min(counts.values())
    return skew <= constraint.max_skew


@SETTINGS
@given(nodes=nodes_st, pods=pods_st())
def test_no_rule_is_broken_and_nobody_is_refused_who_could_go_somewhere(nodes, pods):
    by_name = {found.metadata.name: found for found in nodes}
    there = []
    # Those that are alike are placed together, and pods of one age by signature: as told, in order.
    for placement in schedule(table_of(nodes), pods):
        found = placement.pod
        if placement.node is None:
            assert not any(allowed(found, onto, there, nodes) for onto in nodes), placement.message
        else:
            onto = by_name[placement.node]
            assert allowed(found, onto, there, nodes)
            there.append((found, onto))


@SETTINGS
@given(nodes=nodes_st, pods=pods_st())
def test_placing_in_one_pass_equals_placing_one_after_another(nodes, pods):
    together = schedule(table_of(nodes), pods)
    table = table_of(nodes)
    for placement in together:
        (single,) = schedule(table, [placement.pod])
        assert single.node == placement.node
        if single.node:
            table.upsert_pod(bound(placement.pod, single.node))


residents_st = st.lists(
    st.tuples(
        st.integers(0, 3),  # priority
        st.sampled_from(["300m", "700m", "1"]),
        st.integers(0, 2),  # node
        apps,
        st.booleans(),  # being deleted
    ),
    max_size=8,
)


@SETTINGS
@given(
    there=residents_st,
    waiting=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["500m", "1", "2"]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    allowed_disruptions=st.integers(0, 1),
)
def test_who_goes_has_lower_priority_goes_once_and_its_end_is_enough(
    there, waiting, allowed_disruptions
):
    nodes = [node(f"n{number}", cpu="2") for number in range(3)]
    placed = [
        bound(
            pod(f"r{n}", priority=priority, cpu=cpu, labels={"app": app}, deleting=leaving),
            f"n{at}",
        )
        for n, (priority, cpu, at, app, leaving) in enumerate(there)
    ]
    pods = [
        pod(
            f"w{n}",
            priority=priority,
            cpu=cpu,
            labels={},
            preemption_policy="Never" if never else "PreemptLowerPriority",
        )
        for n, (priority, cpu, never) in enumerate(waiting)
    ]
    budget = PodDisruptionBudget(
        metadata=ObjectMeta(name="db", namespace="default", uid="db"),
        spec=PodDisruptionBudgetSpec(selector=selecting("db")),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed_disruptions),
    )
    residents = Residents(
        on=lambda name: [found for found in placed if found.spec.node_name == name],
        budgets=lambda _: [budget],
        doomed=set(),
    )
    table = table_of(nodes, placed)
    gone = set()
    taken = Counter()
    for placement in schedule(table, pods, residents):
        found, cpu = placement.pod, requests(placement.pod.spec)["cpu"]
        if placement.node is not None:
            taken[placement.node] += cpu
        preemption = placement.preemption
        if preemption is None:
            continue
        assert placement.node is None
        assert found.spec.preemption_policy != "Never"
        for victim in preemption.victims:
            assert victim.spec.node_name == preemption.node
            assert (victim.spec.priority or 0) < found.spec.priority
            assert not victim.metadata.deletion_timestamp
            assert victim.metadata.uid not in gone
            gone.add(victim.metadata.uid)
        # Once they and those that leave anyway are gone, there is room for all that was promised.
        taken[preemption.node] += cpu
        staying = sum(
            requests(p.spec)["cpu"]
            for p in residents.on(preemption.node)
            if p.metadata.uid not in gone
            and not (p.metadata.deletion_timestamp and (p.spec.priority or 0) < found.spec.priority)
        )
        assert staying + taken[preemption.node] <= 2000
