"""How a pod is called and finds others, and when the node puts an end to it."""

import pytest
from msgspec.structs import replace

from node_agent.core import configs, resolving
from node_agent.core.actions import render
from node_agent.core.configs import Host
from node_agent.core.health import Health
from node_agent.core.observed import State, by_pod
from node_agent.core.resolving import Names, Resolver
from node_agent.engine.inspection import sandbox_config
from node_agent.report import Reporter
from proto.kinds.naming import HostAlias, PodDNSConfig, PodDNSConfigOption
from proto.kinds.security import PodSecurityContext, Sysctl
from tests.unit.node_agent import given
from tests.unit.node_agent.given import NOW_MS

HOST = Resolver(("10.0.0.2",), ("lan",), ("rotate",))
ALONE = Names(HOST)
CLUSTER = Names(HOST, ("10.96.0.10",), "cluster.local")
MORE = PodDNSConfig(
    nameservers=("10.0.0.2", "9.9.9.9"),
    searches=("example.com",),
    options=(PodDNSConfigOption(name="ndots", value="2"), PodDNSConfigOption(name="edns0")),
)
OWN = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")


@pytest.mark.parametrize(
    ("policy", "config", "names", "wanted"),
    [
        ("Default", None, CLUSTER, Resolver()),
        ("ClusterFirst", None, ALONE, Resolver()),
        ("ClusterFirst", None, CLUSTER, Resolver(("10.96.0.10",), (*OWN, "lan"), ("ndots:5",))),
        (
            "ClusterFirst",
            MORE,
            CLUSTER,
            Resolver(
                ("10.96.0.10", "10.0.0.2", "9.9.9.9"),
                (*OWN, "lan", "example.com"),
                ("ndots:2", "edns0"),
            ),
        ),
        (
            "Default",
            MORE,
            ALONE,
            Resolver(
                ("10.0.0.2", "9.9.9.9"), ("lan", "example.com"), ("rotate", "ndots:2", "edns0")
            ),
        ),
        (
            "None",
            PodDNSConfig(nameservers=("9.9.9.9",)),
            ALONE,
            Resolver(("9.9.9.9",), (".",), ("ndots:1",)),
        ),
    ],
)
def test_a_pods_resolver_is_what_its_policy_says(policy, config, names, wanted):
    pod = given.pod("web", dns_policy=policy, dns_config=config)
    assert resolving.resolver(pod, names) == wanted


def test_on_the_hosts_network_only_who_asks_for_it_finds_the_cluster_first():
    pod = given.pod("web", host_network=True)
    assert resolving.resolver(pod, CLUSTER) == Resolver()
    asked = given.pod("web", host_network=True, dns_policy="ClusterFirstWithHostNet")
    assert resolving.resolver(asked, CLUSTER).nameservers == ("10.96.0.10",)


def test_a_hosts_resolver_is_read_as_the_resolver_would():
    text = "# us\ndomain first\nnameserver 10.0.0.2\n\nsearch lan\noptions rotate\n"
    assert resolving.parse(text) == HOST


def test_a_pod_that_a_holder_of_the_pool_does_not_suit_gets_one_of_its_own():
    assert configs.fits_pool(given.pod("web"), ALONE)
    for own in (
        {"subdomain": "front"},
        {"host_aliases": (HostAlias(ip="10.1.2.3", hostnames=("db",)),)},
        {"dns_config": MORE},
        {"security_context": PodSecurityContext(sysctls=(Sysctl(name="net.a", value="1"),))},
    ):
        assert not configs.fits_pool(given.pod("web", **own), ALONE), own


def test_docker_is_told_all_names_of_a_pod():
    pod = given.pod(
        "web",
        subdomain="front",
        set_hostname_as_fqdn=True,
        host_aliases=(HostAlias(ip="10.1.2.3", hostnames=("db", "store")),),
        dns_config=MORE,
    )
    host = Host(given.NODE, names=ALONE)
    body = sandbox_config(configs.sandbox_config(host, pod), "pause", {})
    assert body["Hostname"] == "web.front.default.svc.cluster.local"
    assert body["Domainname"] == "front.default.svc.cluster.local"
    assert body["HostConfig"]["ExtraHosts"] == ["db:10.1.2.3", "store:10.1.2.3"]
    assert body["HostConfig"]["DnsSearch"] == ["lan", "example.com"]


# ------------------------------------------------------- put an end to

LATE = given.pod("web", active_deadline_seconds=60)
ACCEPTED = {"uid-web": NOW_MS - 60_000}


def test_a_pod_that_ran_too_long_is_ended_and_then_said_to_have_failed():
    spec = LATE.spec.containers[0]
    running = given.observed(given.sandbox(), given.container(of=spec), accepted_at_ms=ACCEPTED)
    assert render(given.planned([LATE], running)).splitlines() == [
        "SIGTERM web/c: the pod has finished",
        "wait web/sandbox: DeadlineExceeded",
    ]
    before = given.planned([LATE], running, now_ms=NOW_MS - 1)
    assert (render(before), before.wake_at_ms) == ("", NOW_MS)
    assert told(LATE, running).phase == "Running"
    ended = given.observed(
        given.container(of=spec, state=State.EXITED, finished_at_ms=NOW_MS + 1),
        accepted_at_ms=ACCEPTED,
    )
    status = told(LATE, ended)
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")
    assert "CrashLoopBackOff" not in render(given.planned([LATE], ended))


def test_a_pod_that_was_done_in_time_is_not_late_afterwards():
    pod = given.pod("web", policy="Never", active_deadline_seconds=60)
    ended = given.container(
        of=pod.spec.containers[0], state=State.EXITED, finished_at_ms=NOW_MS - 5
    )
    seen = given.observed(ended, accepted_at_ms=ACCEPTED)
    assert told(pod, seen, NOW_MS + 999_999).phase == "Succeeded"


def test_a_setting_of_the_kernel_that_is_not_safe_keeps_a_pod_from_starting():
    unsafe = PodSecurityContext(sysctls=(Sysctl(name="kernel.msgmax", value="1"),))
    pod = given.pod("web", security_context=unsafe)
    seen = given.observed(given.sandbox(None))
    assert render(given.planned([pod], seen, replace(given.HOST, pool_size=1))) == (
        "wait web/sandbox: SysctlForbidden"
    )
    status = told(pod, seen)
    assert status.message == 'forbidden sysctl: "kernel.msgmax" not allowlisted'


def told(pod, seen, now_ms: int = NOW_MS):
    """The status that the agent reports."""
    (found,) = Reporter("10.0.0.1").pods(
        [pod],
        by_pod(seen),
        {},
        Health(),
        memory=seen.memory,
        images={},
        now_ms=now_ms,
    )
    return found.status
