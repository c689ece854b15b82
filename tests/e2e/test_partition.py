"""Parts of the cluster do not hear each other, though all of them live."""

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubeapi import is_ready, node_of, summary, uid_of
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

BUDGET_S = 10


def test_pods_of_a_host_that_is_cut_off_are_replaced_elsewhere(cluster: Cluster) -> None:
    away, *others = cluster.hosts
    cluster.deploy("web", 6)
    behind = cluster.instances(away)
    assert behind

    away.cut()
    pods = cluster.await_ready_off(away, "web", 6, within_s=BUDGET_S)

    assert cluster.instances(*others).keys() == {uid_of(pod) for pod in pods}
    assert cluster.instances(away) == behind, "nobody could tell the host to stop them"


def test_a_host_that_was_cut_off_stops_its_surplus_pods_when_it_is_back(cluster: Cluster) -> None:
    away, *others = cluster.hosts
    cluster.deploy("web", 6)
    away.cut()
    cluster.await_ready_off(away, "web", 6, within_s=BUDGET_S)
    replaced = cluster.instances(*others)

    away.heal()
    cluster.await_nodes(*cluster.hosts)
    cluster.await_no_surplus("web")

    assert not cluster.instances(away)
    assert cluster.instances(*others) == replaced


def test_killing_an_agent_touches_no_container_of_its_living_host(cluster: Cluster) -> None:
    host = cluster.hosts[0]
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    cluster.agents[host.name].kill()
    cluster.await_nodes_except(host)
    elsewhere = cluster.deploy("later", 2)  # by now the control plane has decided what to do

    assert host.name not in {node_of(pod) for pod in elsewhere}, summary(elsewhere)
    assert {uid_of(pod) for pod in cluster.api.pods("web")} == before.keys()
    assert before.items() <= cluster.instances(*cluster.hosts).items()


def test_a_restarted_agent_adopts_what_runs_and_restarts_nothing(cluster: Cluster) -> None:
    host = cluster.hosts[0]
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)
    cluster.agents[host.name].kill()
    cluster.await_nodes_except(host)

    cluster.start_agent(host)
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", 6)
    cluster.scale("web", 9)
    pods = cluster.await_ready("web", 9)

    assert host.name in {node_of(pod) for pod in pods}, summary(pods)
    after = cluster.instances(*cluster.hosts)
    assert before.items() <= after.items()
    assert len(after) == 9


def test_an_agent_that_is_told_to_stop_leaves_its_containers_alone(cluster: Cluster) -> None:
    host = cluster.hosts[0]
    cluster.deploy("web", 3)
    before = cluster.instances(*cluster.hosts)

    assert cluster.agents[host.name].stop() == 0
    cluster.await_nodes_except(host)

    assert cluster.instances(*cluster.hosts) == before


def test_a_host_that_hangs_for_a_while_keeps_its_pods(cluster: Cluster) -> None:
    hung = cluster.hosts[0]
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    hung.freeze()
    cluster.await_nodes_except(hung)
    cluster.deploy("later", 2)
    hung.thaw()
    cluster.await_nodes(*cluster.hosts)
    cluster.await_ready("web", 6)

    assert before.items() <= cluster.instances(*cluster.hosts).items()


def test_two_hosts_that_do_not_see_each_other_lose_nothing(cluster: Cluster) -> None:
    one, other, _ = cluster.hosts
    cluster.deploy("web", 6)
    before = cluster.instances(*cluster.hosts)

    cluster.testbed.isolate(one, other)
    cluster.agents[one.name].kill()  # a question for peers, of whom one cannot know the answer
    cluster.await_nodes_except(one)
    cluster.deploy("later", 2)

    assert before.items() <= cluster.instances(*cluster.hosts).items()
    assert {uid_of(pod) for pod in cluster.api.pods("web")} == before.keys()


def test_a_mute_host_is_replaced_though_it_still_hears_everybody(cluster: Cluster) -> None:
    mute, *others = cluster.hosts
    cluster.deploy("web", 6)

    for place in (cluster.testbed.root, *others):
        cluster.testbed.block(mute, place)
    cluster.await_ready_off(mute, "web", 6, within_s=BUDGET_S)
    cluster.testbed.rejoin()

    cluster.await_nodes(*cluster.hosts)
    cluster.await_no_surplus("web")
    eventually(
        lambda: all(is_ready(pod) for pod in cluster.api.pods("web")),
        within_s=BUDGET_S,
        what="every pod is Ready",
    )
