"""Collection over any graph of owners."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core import garbage, objects
from orchestrator.core.decisions import render
from proto.errors import NotFound
from proto.kinds.replicaset import REPLICASETS
from proto.meta import OwnerReference
from tests.property.cluster_model import Cluster
from tests.unit.core.making import NOW_MS, replicaset

SETTINGS = settings(max_examples=80, deadline=None)

graphs = st.lists(st.lists(st.integers(0, 30), max_size=3, unique=True), min_size=1, max_size=8)
"""Each object's owners, as indexes of earlier objects (taken modulo how many there are)."""


def planted(graph, blocking=True):
    """Replica sets of nothing, standing for any kind, that own one another."""
    cluster = Cluster(NOW_MS)
    made = []
    for index, owners in enumerate(graph):
        references = tuple(
            OwnerReference(
                api_version="apps/v1",
                kind="ReplicaSet",
                name=f"o{number}",
                uid=made[number],
                block_owner_deletion=blocking,
            )
            for number in sorted({owner % index for owner in owners} if index else ())
        )
        new = replicaset(0)
        meta = replace(new.metadata, name=f"o{index}", owner_references=references)
        made.append(cluster.create(REPLICASETS, replace(new, metadata=meta)).metadata.uid)
    return cluster


def plan(cluster, found):
    by_uid = {other.metadata.uid: other for other in cluster.replicasets}
    owners = {
        ref.uid: by_uid[ref.uid] for ref in found.metadata.owner_references if ref.uid in by_uid
    }
    dependents = [
        (REPLICASETS, other)
        for other in cluster.replicasets
        if any(ref.uid == found.metadata.uid for ref in other.metadata.owner_references)
    ]
    return garbage.plan(REPLICASETS, found, owners, dependents)


def sweep(cluster, order):
    """Pass after pass, in any order, until nothing is left to do."""
    for _ in range(60):
        done = 0
        names = [found.metadata.name for found in cluster.replicasets]
        order.shuffle(names)
        for name in names:
            found = cluster.objects.get(("replicasets", name))
            if found is not None:
                try:
                    done += cluster.perform(plan(cluster, found).decisions)
                except NotFound:
                    done += 1
        if not done:
            return {found.metadata.name for found in cluster.replicasets}
    raise AssertionError("never done")


def reachable(graph, removed):
    """What keeps an owner, when `removed` is deleted: roots stay, others need one that stays."""
    stays = []
    for index, owners in enumerate(graph):
        mine = {owner % index for owner in owners} if index else set()
        stays.append(index != removed and (not mine or any(stays[owner] for owner in mine)))
    return {f"o{index}" for index, kept in enumerate(stays) if kept}


@SETTINGS
@given(graph=graphs, which=st.integers(0, 30), order=st.randoms(use_true_random=False))
def test_exactly_what_lost_its_last_owner_goes(graph, which, order):
    cluster = planted(graph)
    removed = which % len(graph)
    cluster.delete(REPLICASETS, f"o{removed}")
    assert sweep(cluster, order) == reachable(graph, removed)


@SETTINGS
@given(graph=graphs, which=st.integers(0, 30), order=st.randoms(use_true_random=False))
def test_orphaning_takes_the_owner_and_nothing_else(graph, which, order):
    cluster = planted(graph)
    removed = which % len(graph)
    cluster.delete(REPLICASETS, f"o{removed}", propagation="Orphan")
    assert sweep(cluster, order) == {f"o{i}" for i in range(len(graph))} - {f"o{removed}"}


@SETTINGS
@given(length=st.integers(1, 6), order=st.randoms(use_true_random=False), blocking=st.booleans())
def test_foreground_takes_a_chain_from_its_end_where_it_blocks(length, order, blocking):
    cluster = planted([[index - 1] if index else [] for index in range(length)], blocking)
    cluster.delete(REPLICASETS, "o0", propagation="Foreground")
    gone = []
    while cluster.replicasets:
        before = {found.metadata.name for found in cluster.replicasets}
        name = order.choice(sorted(before))
        cluster.perform(plan(cluster, cluster.objects["replicasets", name]).decisions)
        gone += sorted(before - {found.metadata.name for found in cluster.replicasets})
    assert set(gone) == {f"o{index}" for index in range(length)}
    if blocking:
        assert gone == [f"o{index}" for index in reversed(range(length))]


@SETTINGS
@given(graph=graphs)
def test_a_graph_with_all_its_owners_is_left_alone(graph):
    cluster = planted(graph)
    for found in cluster.replicasets:
        assert render(plan(cluster, found).decisions) == ""
        assert not objects.is_finished(found)
