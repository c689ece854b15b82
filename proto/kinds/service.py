"""Service: one name and address for the pods that a selector finds."""

from typing import Annotated, Any

from msgspec import Meta, field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_HEADLESS = "None"


class ServicePort(Model, frozen=True, kw_only=True):
    """One port that it has.

    Attributes:
        target_port: Of the pods: a number, or the name of a container's port.
    """

    name: str = ""
    protocol: str = ""
    app_protocol: str = ""
    port: int = 0
    target_port: int | str | None = None
    node_port: int = 0


class ServiceSpec(Model, frozen=True, kw_only=True):
    """Which pods, and how they are reached."""

    type: str = ""
    selector: Annotated[dict[str, str], Meta(extra={"is_atomic": True})] = {}
    ports: Annotated[
        tuple[ServicePort, ...],
        Meta(extra={"merge_key": "port", "map_keys": {"port": None, "protocol": "TCP"}}),
    ] = ()
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    external_name: str = ""
    session_affinity: str = ""
    session_affinity_config: dict[str, Any] = {}
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_class: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    allocate_load_balancer_node_ports: bool | None = None
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    health_check_node_port: int = 0
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""


class LoadBalancerIngress(Model, frozen=True, kw_only=True):
    """One way in from outside."""

    ip: str = ""
    ip_mode: str = ""
    hostname: str = ""
    ports: tuple[dict[str, Any], ...] = ()


class LoadBalancerStatus(Model, frozen=True, kw_only=True):
    """The ways in from outside."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """What there is."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()


class Service(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


def defaults(service: Service) -> Service:
    """Source: Kubernetes, pkg/apis/core/v1/defaults.go; addresses are not given out here."""
    spec = service.spec
    type_ = spec.type or "ClusterIP"
    from_outside = type_ in ("NodePort", "LoadBalancer")
    ports = tuple(
        replace(
            port,
            protocol=port.protocol or "TCP",
            target_port=port.port if port.target_port in (None, 0, "") else port.target_port,
        )
        for port in spec.ports
    )
    cluster_ips = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    return replace(
        service,
        spec=replace(
            spec,
            type=type_,
            ports=ports,
            cluster_ip=spec.cluster_ip or (cluster_ips[0] if cluster_ips else ""),
            cluster_ips=cluster_ips,
            session_affinity=spec.session_affinity or "None",
            internal_traffic_policy=spec.internal_traffic_policy
            or ("Cluster" if type_ != "ExternalName" else ""),
            external_traffic_policy=spec.external_traffic_policy
            or ("Cluster" if from_outside else ""),
        ),
    )


def validate(new: Service, old: Service | None) -> list[FieldError]:
    """Every wrong field; an address that was given may not change."""
    spec = new.spec
    errors = validation.one_of("spec.type", spec.type, _TYPES)
    errors += validation.labels("spec.selector", spec.selector)
    errors += validation.one_of("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None"))
    is_headless = spec.cluster_ip == _HEADLESS
    if spec.type == "ExternalName":
        name = spec.external_name.removesuffix(".")
        if name:
            errors += validation.subdomain("spec.externalName", name)
        else:
            errors.append(validation.required("spec.externalName"))
        if spec.cluster_ip:
            errors.append(
                validation.forbidden(
                    "spec.clusterIPs", "may not be set when `type` is 'ExternalName'"
                )
            )
    elif not spec.ports and not is_headless:
        errors.append(validation.required("spec.ports"))
    if spec.type == "LoadBalancer" and is_headless:
        errors.append(
            validation.invalid(
                "spec.clusterIPs[0]",
                _HEADLESS,
                "may not be set to 'None' for LoadBalancer services",
            )
        )
    errors += _validate_ports(spec)
    if old is not None and old.spec.cluster_ip and spec.type != "ExternalName":
        errors += validation.immutable("spec.clusterIPs[0]", spec.cluster_ip, old.spec.cluster_ip)
    return errors


def _validate_ports(spec: ServiceSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.ports):
        at = f"spec.ports[{index}]"
        if port.name:
            errors += validation.label(f"{at}.name", port.name)
        elif len(spec.ports) > 1:
            errors.append(validation.required(f"{at}.name"))
        if port.name and port.name in names:
            errors.append(validation.duplicate(f"{at}.name", port.name))
        names.add(port.name)
        errors += validation.port(f"{at}.port", port.port)
        errors += validation.one_of(f"{at}.protocol", port.protocol, ("SCTP", "TCP", "UDP"))
        if isinstance(port.target_port, int):
            errors += validation.port(f"{at}.targetPort", port.target_port)
        if port.node_port:
            errors += validation.port(f"{at}.nodePort", port.node_port)
            if spec.type not in ("NodePort", "LoadBalancer"):
                errors.append(
                    validation.forbidden(
                        f"{at}.nodePort", f"may not be used when `type` is '{spec.type}'"
                    )
                )
        if (port.protocol, port.port) in numbers:
            errors.append(validation.duplicate(at, f"{port.protocol}:{port.port}"))
        numbers.add((port.protocol, port.port))
    return errors


def _external_cell(service: Service) -> str:
    spec = service.spec
    if spec.type == "ExternalName":
        return spec.external_name
    ways_in = service.status.load_balancer.ingress if spec.type == "LoadBalancer" else ()
    found = [*(way.ip or way.hostname for way in ways_in), *spec.external_ips]
    return ",".join(found) or ("<pending>" if spec.type == "LoadBalancer" else "<none>")


def _ports_cell(service: Service) -> str:
    return (
        ",".join(
            f"{port.port}:{port.node_port}/{port.protocol}"
            if port.node_port
            else f"{port.port}/{port.protocol}"
            for port in service.spec.ports
        )
        or "<none>"
    )


def _selector_cell(service: Service) -> str:
    terms = sorted(service.spec.selector.items())
    return ",".join(f"{key}={value}" for key, value in terms) or "<none>"


SERVICES: Kind[Service] = Kind(
    name="Service",
    group="",
    version="v1",
    plural="services",
    singular="service",
    type=Service,
    short_names=("svc",),
    categories=("all",),
    columns=(
        Column("Type", lambda service, _: service.spec.type),
        Column("Cluster-IP", lambda service, _: service.spec.cluster_ip or "<none>"),
        Column("External-IP", lambda service, _: _external_cell(service)),
        Column("Port(s)", lambda service, _: _ports_cell(service)),
        Column("Age", age_cell),
        Column("Selector", lambda service, _: _selector_cell(service), priority=1),
    ),
    defaults=defaults,
    validate=validate,
    fields={
        "spec.clusterIP": lambda service: service.spec.cluster_ip,
        "spec.type": lambda service: service.spec.type,
    },
    check_name=validation.service_name,
    notice="are stored and served, but get no address, no name and no traffic yet",
)
