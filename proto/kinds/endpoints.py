"""Endpoints and EndpointSlice: where a service's pods can be reached."""

import ipaddress
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.event import ObjectReference
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.meta import Model, Resource

ENDPOINTS_MAX = 1000
"""Of one slice. Source: Kubernetes, maxEndpoints, as the other bounds here."""

ADDRESSES_MAX = 100
PORTS_MAX = 20_000

_SHOWN_MAX = 3
"""Addresses of a row of a table."""

_NOTHING_MAKES_THEM = "are stored and served, but nothing makes or reads them yet"


class EndpointAddress(Model, frozen=True, kw_only=True):
    """Where one pod is."""

    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Model, frozen=True, kw_only=True):
    """A port of all addresses of a subset."""

    name: str = ""
    port: int = 0
    protocol: str = ""
    app_protocol: str | None = None


class EndpointSubset(Model, frozen=True, kw_only=True):
    """Addresses with the same ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Resource, frozen=True, kw_only=True):
    """All addresses of a service, in one object."""

    subsets: tuple[EndpointSubset, ...] = ()


class EndpointConditions(Model, frozen=True, kw_only=True):
    """What state an endpoint is in; None is not known."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Model, frozen=True, kw_only=True):
    """A zone."""

    name: str = ""


class EndpointHints(Model, frozen=True, kw_only=True):
    """Who should use an endpoint."""

    for_zones: tuple[ForZone, ...] = ()


class Endpoint(Model, frozen=True, kw_only=True):
    """One backend."""

    addresses: Annotated[tuple[str, ...], Meta(extra={"is_set": True})] = ()
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: dict[str, str] = {}
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class SlicePort(Model, frozen=True, kw_only=True):
    """A port of all endpoints of a slice; None is any."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(Resource, frozen=True, kw_only=True):
    """Some of a service's backends; `address_type` is ``IPv4``, ``IPv6`` or ``FQDN``."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[SlicePort, ...] = ()


def _default_endpoints(found: Endpoints) -> Endpoints:
    def subset(given: EndpointSubset) -> EndpointSubset:
        ports = (replace(port, protocol=port.protocol or "TCP") for port in given.ports)
        return replace(given, ports=tuple(ports))

    return replace(found, subsets=tuple(map(subset, found.subsets)))


def _default_slice(found: EndpointSlice) -> EndpointSlice:
    ports = (
        replace(port, name=port.name or "", protocol=port.protocol or "TCP") for port in found.ports
    )
    return replace(found, ports=tuple(ports))


def _validate_endpoints(new: Endpoints, _old: Endpoints | None) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, subset in enumerate(new.subsets):
        at = f"subsets[{index}]"
        if not subset.addresses and not subset.not_ready_addresses:
            said = "must specify `addresses` or `notReadyAddresses`"
            errors.append(validation.required(at, said))
        for name, addresses in (
            ("addresses", subset.addresses),
            ("notReadyAddresses", subset.not_ready_addresses),
        ):
            for number, address in enumerate(addresses):
                errors += _ip(f"{at}.{name}[{number}].ip", address.ip)
        for number, port in enumerate(subset.ports):
            errors += _port(f"{at}.ports[{number}]", port, is_named=len(subset.ports) > 1)
    return errors


def _port(at: str, port: EndpointPort, *, is_named: bool) -> list[FieldError]:
    errors = validation.port(f"{at}.port", port.port)
    if is_named and not port.name:
        errors.append(validation.required(f"{at}.name"))
    elif port.name:
        errors += validation.label(f"{at}.name", port.name)
    return errors + validation.one_of(f"{at}.protocol", port.protocol, ("SCTP", "TCP", "UDP"))


def _ip(at: str, text: str, version: int | None = None) -> list[FieldError]:
    try:
        is_right = version in (None, ipaddress.ip_address(text).version)
    except ValueError:
        is_right = False
    if is_right:
        return []
    kind = "IP" if version is None else f"IPv{version}"
    example = "(e.g. 10.9.8.7 or 2001:db8::ffff)" if version is None else ""
    return [
        validation.invalid(at, text, f"must be a valid {kind} address{example and ', '}{example}")
    ]


def _validate_slice(new: EndpointSlice, old: EndpointSlice | None) -> list[FieldError]:
    if not new.address_type:
        errors = [validation.required("addressType")]
    else:
        errors = validation.one_of("addressType", new.address_type, ("FQDN", "IPv4", "IPv6"))
    for path, count, most in (
        ("endpoints", len(new.endpoints), ENDPOINTS_MAX),
        ("ports", len(new.ports), PORTS_MAX),
    ):
        if count > most:
            said = f"Too many: {count}: must have at most {most} items"
            errors.append(FieldError("FieldValueTooMany", path, said))
    for index, endpoint in enumerate(new.endpoints[:ENDPOINTS_MAX]):
        errors += _endpoint(f"endpoints[{index}]", endpoint, new.address_type)
    names: set[str] = set()
    for index, port in enumerate(new.ports[:PORTS_MAX]):
        at = f"ports[{index}]"
        name = port.name or ""
        errors += validation.dns_1035(f"{at}.name", name) if name else []
        if name in names:
            errors.append(validation.duplicate(f"{at}.name", name))
        names.add(name)
        errors += validation.one_of(f"{at}.protocol", port.protocol or "", ("SCTP", "TCP", "UDP"))
        if port.port is not None:
            errors += validation.port(f"{at}.port", port.port)
    if old is not None:
        errors += validation.immutable("addressType", new.address_type, old.address_type)
    return errors


def _endpoint(at: str, endpoint: Endpoint, address_type: str) -> list[FieldError]:
    if not endpoint.addresses:
        return [validation.required(f"{at}.addresses", "must contain at least 1 address")]
    if len(endpoint.addresses) > ADDRESSES_MAX:
        count = len(endpoint.addresses)
        said = f"Too many: {count}: must have at most {ADDRESSES_MAX} items"
        return [FieldError("FieldValueTooMany", f"{at}.addresses", said)]
    errors: list[FieldError] = []
    for index, address in enumerate(endpoint.addresses):
        path = f"{at}.addresses[{index}]"
        if address_type == "FQDN":
            errors += validation.subdomain(path, address)
        elif address_type in ("IPv4", "IPv6"):
            errors += _ip(path, address, int(address_type[-1]))
    if endpoint.hostname is not None:
        errors += validation.label(f"{at}.hostname", endpoint.hostname)
    return errors


def _shown(found: Iterable[str]) -> str:
    """The first few, and how many more there are. Source: printers.go, formatEndpoints."""
    known = list(found)
    more = f" + {len(known) - _SHOWN_MAX} more..." if len(known) > _SHOWN_MAX else ""
    return ",".join(known[:_SHOWN_MAX]) + more or "<none>"


def _endpoints_cell(found: Endpoints) -> str:
    return _shown(
        f"[{address.ip}]:{port.port}" if ":" in address.ip else f"{address.ip}:{port.port}"
        for subset in found.subsets
        for port in subset.ports
        for address in subset.addresses
    )


def _ports_cell(found: EndpointSlice) -> str:
    if not found.ports:
        return "<unset>"
    return _shown("*" if port.port is None else str(port.port) for port in found.ports)


def _addresses_cell(found: EndpointSlice) -> str:
    if not found.endpoints:
        return "<unset>"
    return _shown(address for endpoint in found.endpoints for address in endpoint.addresses)


ENDPOINTS: Kind[Endpoints] = Kind(
    name="Endpoints",
    group="",
    version="v1",
    plural="endpoints",
    singular="endpoints",
    type=Endpoints,
    short_names=("ep",),
    columns=(
        Column("Endpoints", lambda found, _: _endpoints_cell(found)),
        Column("Age", age_cell),
    ),
    defaults=_default_endpoints,
    validate=_validate_endpoints,
    has_status=False,
    notice=_NOTHING_MAKES_THEM,
)

ENDPOINT_SLICES: Kind[EndpointSlice] = Kind(
    name="EndpointSlice",
    group="discovery.k8s.io",
    version="v1",
    plural="endpointslices",
    singular="endpointslice",
    type=EndpointSlice,
    columns=(
        Column("AddressType", lambda found, _: found.address_type),
        Column("Ports", lambda found, _: _ports_cell(found)),
        Column("Endpoints", lambda found, _: _addresses_cell(found)),
        Column("Age", age_cell),
    ),
    defaults=_default_slice,
    validate=_validate_slice,
    has_status=False,
    notice=_NOTHING_MAKES_THEM,
)
