"""NetworkPolicy: who may talk to which pods, and to whom they may."""

import ipaddress

from msgspec import field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import LabelSelector, Model, Resource, format_selector


class NetworkPolicyPort(Model, frozen=True, kw_only=True):
    """A port by number or name, or a range up to `end_port`; None: all of them."""

    protocol: str = ""
    port: int | str | None = None
    end_port: int | None = None


class IPBlock(Model, frozen=True, kw_only=True):
    """Addresses, without some of them."""

    cidr: str = ""
    except_: tuple[str, ...] = field(default=(), name="except")


class NetworkPolicyPeer(Model, frozen=True, kw_only=True):
    """Pods, pods of namespaces, or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyIngressRule(Model, frozen=True, kw_only=True):
    """Who may talk to which ports; empty means all."""

    ports: tuple[NetworkPolicyPort, ...] = ()
    from_: tuple[NetworkPolicyPeer, ...] = field(default=(), name="from")


class NetworkPolicyEgressRule(Model, frozen=True, kw_only=True):
    """Whom, and which of their ports, the pods may talk to; empty means all."""

    ports: tuple[NetworkPolicyPort, ...] = ()
    to: tuple[NetworkPolicyPeer, ...] = ()


class NetworkPolicySpec(Model, frozen=True, kw_only=True):
    """What is allowed; what is not is forbidden, in the directions of `policy_types`."""

    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()
    policy_types: tuple[str, ...] = ()


class NetworkPolicy(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: NetworkPolicySpec = NetworkPolicySpec()


def defaults(found: NetworkPolicy) -> NetworkPolicy:
    """Source: Kubernetes, pkg/apis/networking/v1/defaults.go."""
    spec = found.spec
    types = spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    ingress = tuple(replace(rule, ports=_default_ports(rule.ports)) for rule in spec.ingress)
    egress = tuple(replace(rule, ports=_default_ports(rule.ports)) for rule in spec.egress)
    return replace(found, spec=replace(spec, ingress=ingress, egress=egress, policy_types=types))


def _default_ports(ports: tuple[NetworkPolicyPort, ...]) -> tuple[NetworkPolicyPort, ...]:
    return tuple(replace(port, protocol=port.protocol or "TCP") for port in ports)


def validate(new: NetworkPolicy, _old: NetworkPolicy | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors = validation.selector("spec.podSelector", spec.pod_selector)
    for index, inward in enumerate(spec.ingress):
        errors += _rule(f"spec.ingress[{index}]", "from", inward.ports, inward.from_)
    for index, outward in enumerate(spec.egress):
        errors += _rule(f"spec.egress[{index}]", "to", outward.ports, outward.to)
    if len(spec.policy_types) > 2:
        said = "may not specify more than two policyTypes"
        errors.append(validation.invalid("spec.policyTypes", spec.policy_types, said))
    for index, type_ in enumerate(spec.policy_types):
        errors += validation.one_of(f"spec.policyTypes[{index}]", type_, ("Egress", "Ingress"))
    return errors


def _rule(
    at: str, side: str, ports: tuple[NetworkPolicyPort, ...], peers: tuple[NetworkPolicyPeer, ...]
) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, port in enumerate(ports):
        errors += _port(f"{at}.ports[{index}]", port)
    for index, peer in enumerate(peers):
        errors += _peer(f"{at}.{side}[{index}]", peer)
    return errors


def _port(at: str, found: NetworkPolicyPort) -> list[FieldError]:
    errors = validation.one_of(f"{at}.protocol", found.protocol, ("SCTP", "TCP", "UDP"))
    if isinstance(found.port, int):
        errors += validation.port(f"{at}.port", found.port)
    if found.end_port is None:
        return errors
    if found.port is None:
        said = "must be specified when `endPort` is specified"
        return [*errors, validation.required(f"{at}.port", said)]
    if isinstance(found.port, str):
        said = "may not be specified when `port` is non-numeric"
        return [*errors, validation.invalid(f"{at}.endPort", found.end_port, said)]
    if found.end_port < found.port:
        said = "must be greater than or equal to `port`"
        errors.append(validation.invalid(f"{at}.endPort", found.end_port, said))
    return errors + validation.port(f"{at}.endPort", found.end_port)


def _peer(at: str, peer: NetworkPolicyPeer) -> list[FieldError]:
    errors: list[FieldError] = []
    selectors = (
        ("podSelector", peer.pod_selector),
        ("namespaceSelector", peer.namespace_selector),
    )
    for name, selector in selectors:
        if selector is not None:
            errors += validation.selector(f"{at}.{name}", selector)
    has_selector = any(selector is not None for _, selector in selectors)
    if peer.ip_block is None:
        if not has_selector:
            errors.append(validation.required(at, "must specify a peer"))
        return errors
    if has_selector:
        errors.append(validation.forbidden(at, "may not specify both ipBlock and another peer"))
    return errors + _block(f"{at}.ipBlock", peer.ip_block)


def _block(at: str, block: IPBlock) -> list[FieldError]:
    if not block.cidr:
        return [validation.required(f"{at}.cidr")]
    whole = _network(block.cidr)
    if whole is None:
        said = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [validation.invalid(f"{at}.cidr", block.cidr, said)]
    errors = []
    for index, text in enumerate(block.except_):
        part = _network(text)
        if part is None or part.version != whole.version or not _is_within(part, whole):
            said = "must be a strict subset of `cidr`"
            errors.append(validation.invalid(f"{at}.except[{index}]", text, said))
    return errors


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _is_within(part: Network, whole: Network) -> bool:
    starts = int(whole.network_address) <= int(part.network_address)
    return starts and int(part.broadcast_address) <= int(whole.broadcast_address) and part != whole


NETWORK_POLICIES: Kind[NetworkPolicy] = Kind(
    name="NetworkPolicy",
    group="networking.k8s.io",
    version="v1",
    plural="networkpolicies",
    singular="networkpolicy",
    type=NetworkPolicy,
    short_names=("netpol",),
    columns=(
        Column("Pod-Selector", lambda found, _: format_selector(found.spec.pod_selector)),
        Column("Age", age_cell),
    ),
    defaults=defaults,
    validate=validate,
    has_status=False,
    notice="are stored and served, but no traffic is kept back by them yet",
)
