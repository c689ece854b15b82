"""How a pod is called and how it finds others: what its holder is told of names.

A pod's /etc/hosts, /etc/resolv.conf and host name are its holder's, which Docker writes. Source of
what is in them: the kubelet, pkg/kubelet/network/dns and kubelet_pods.go.
"""

from collections.abc import Iterable

from msgspec import Struct

from proto.kinds.naming import NAMESERVERS_MAX, SEARCHES_MAX, PodDNSConfig, options
from proto.messages import AssignedPod

NO_SEARCH = (".",)
"""How Docker is told to leave out the host's search domains. Source: libnetwork, resolvconf."""


class Resolver(Struct, frozen=True):
    """What a resolv.conf says; an option is ``name`` or ``name:value``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Names(Struct, frozen=True):
    """How pods of a node find others.

    Attributes:
        host: The node's own resolver.
        cluster: Servers that know the cluster's names; empty: there are none.
        domain: Of the cluster.
    """

    host: Resolver = Resolver()
    cluster: tuple[str, ...] = ()
    domain: str = "cluster.local"


def parse(text: str) -> Resolver:
    """A resolv.conf. Source: resolv.conf(5)."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    found: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split() or ("",)
        if word == "nameserver":
            nameservers += rest[:1]
        elif word in ("search", "domain"):  # the last one counts
            searches = tuple(rest)
        elif word == "options":
            found += rest
    return Resolver(tuple(nameservers), searches, tuple(found))


def hostname(pod: AssignedPod, domain: str) -> str:
    """What the pod's programs see as the host's name, on a network of its own."""
    name = (pod.spec.hostname or pod.name)[:63].rstrip("-.")
    full = domain_name(pod, domain)
    return f"{name}.{full}" if pod.spec.set_hostname_as_fqdn and full else name


def domain_name(pod: AssignedPod, domain: str) -> str:
    """What follows its name in the full one; empty without a subdomain."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.namespace}.svc.{domain}"


def hosts(pod: AssignedPod) -> tuple[str, ...]:
    """Further lines of /etc/hosts as ``name:address``."""
    return tuple(
        f"{name}:{alias.ip}" for alias in pod.spec.host_aliases for name in alias.hostnames
    )


def resolver(pod: AssignedPod, names: Names) -> Resolver:
    """The pod's, as Docker is to be told; empty: the host's own as it is."""
    policy, config = pod.spec.dns_policy, pod.spec.dns_config
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy.startswith("ClusterFirst") and not names.cluster:
        policy = "Default"  # as the kubelet does
    if policy == "None":
        base = Resolver()
    elif policy == "Default":
        if config is None:
            return Resolver()
        base = names.host
    else:
        own = f"{pod.namespace}.svc.{names.domain}"
        searches = (own, f"svc.{names.domain}", names.domain, *names.host.searches)
        base = Resolver(names.cluster, searches, ("ndots:5",))
    return _told(_with(base, config), names.host)


def _with(base: Resolver, config: PodDNSConfig | None) -> Resolver:
    """What a pod adds to it; its options replace those of the same name."""
    if config is None:
        return base
    own = options(config)
    kept = [option for option in base.options if option.partition(":")[0] not in own]
    added = [f"{name}:{value}" if value else name for name, value in own.items()]
    return Resolver(
        _each_once((*base.nameservers, *config.nameservers))[:NAMESERVERS_MAX],
        _each_once((*base.searches, *config.searches))[:SEARCHES_MAX],
        (*kept, *added),
    )


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _told(found: Resolver, host: Resolver) -> Resolver:
    """The same, with words for nothing where Docker would fill in what its host has."""
    default_option = ("ndots:1",) if host.options else ()
    return Resolver(found.nameservers, found.searches or NO_SEARCH, found.options or default_option)
