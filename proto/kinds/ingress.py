"""Ingress and IngressClass: which requests from outside go to which service, and by whom."""

from typing import Any

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind
from proto.kinds.pod import age_cell
from proto.kinds.service import LoadBalancerIngress
from proto.meta import Model, Resource


class ServiceBackendPort(Model, frozen=True, kw_only=True):
    """A service's port, by name or by number."""

    name: str = ""
    number: int = 0


class IngressServiceBackend(Model, frozen=True, kw_only=True):
    """A service's port."""

    name: str = ""
    port: ServiceBackendPort = ServiceBackendPort()


class IngressBackend(Model, frozen=True, kw_only=True):
    """Who answers: a service, or another object of the namespace."""

    service: IngressServiceBackend | None = None
    resource: dict[str, Any] = {}


class HTTPIngressPath(Model, frozen=True, kw_only=True):
    """Requests for a path."""

    path: str = ""
    path_type: str = ""
    backend: IngressBackend = IngressBackend()


class HTTPIngressRuleValue(Model, frozen=True, kw_only=True):
    """A host's paths."""

    paths: tuple[HTTPIngressPath, ...] = ()


class IngressRule(Model, frozen=True, kw_only=True):
    """Requests for a host; an empty one is any."""

    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressTLS(Model, frozen=True, kw_only=True):
    """Hosts, and the secret with their certificate."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(Model, frozen=True, kw_only=True):
    """What is wanted."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    tls: tuple[IngressTLS, ...] = ()
    rules: tuple[IngressRule, ...] = ()


class IngressLoadBalancerStatus(Model, frozen=True, kw_only=True):
    """Where it can be reached."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class IngressStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """What there is."""

    load_balancer: IngressLoadBalancerStatus = IngressLoadBalancerStatus()


class Ingress(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


class IngressClassParameters(Model, frozen=True, kw_only=True):
    """An object that says more; `scope` is ``Cluster`` or ``Namespace``."""

    api_group: str | None = None
    kind: str = ""
    name: str = ""
    scope: str | None = None
    namespace: str | None = None


class IngressClassSpec(Model, frozen=True, kw_only=True):
    """Who acts on ingresses of the class."""

    controller: str = ""
    parameters: IngressClassParameters | None = None


class IngressClass(Resource, frozen=True, kw_only=True):
    """A name for whoever acts on ingresses."""

    spec: IngressClassSpec = IngressClassSpec()


def _backend(at: str, backend: IngressBackend) -> list[FieldError]:
    service = backend.service
    if service is None:
        if backend.resource:
            return []
        return [validation.required(at, "resource or service must be specified")]
    errors: list[FieldError] = []
    if not service.name:
        errors.append(validation.required(f"{at}.service.name"))
    if bool(service.port.name) is bool(service.port.number):
        errors.append(validation.required(f"{at}.service.port", "name or number must be given"))
    return errors


def validate(new: Ingress, _old: Ingress | None) -> list[FieldError]:
    """Every wrong field."""
    spec = new.spec
    errors: list[FieldError] = []
    if not spec.rules and spec.default_backend is None:
        errors.append(
            validation.invalid("spec", "", "either `defaultBackend` or `rules` must be specified")
        )
    if spec.default_backend is not None:
        errors += _backend("spec.defaultBackend", spec.default_backend)
    for index, rule in enumerate(spec.rules):
        at = f"spec.rules[{index}]"
        if rule.host:
            errors += validation.subdomain(f"{at}.host", rule.host.removeprefix("*."))
        if rule.http is None:
            continue
        if not rule.http.paths:
            errors.append(validation.required(f"{at}.http.paths"))
        for number, path in enumerate(rule.http.paths):
            errors += _path(f"{at}.http.paths[{number}]", path)
    return errors


def _path(at: str, path: HTTPIngressPath) -> list[FieldError]:
    choices = ("Exact", "ImplementationSpecific", "Prefix")
    if not path.path_type:
        errors = [validation.required(f"{at}.pathType", "pathType must be specified")]
    else:
        errors = validation.one_of(f"{at}.pathType", path.path_type, choices)
    must_be_absolute = path.path_type in ("Exact", "Prefix") or path.path
    if must_be_absolute and not path.path.startswith("/"):
        errors.append(validation.invalid(f"{at}.path", path.path, "must be an absolute path"))
    return errors + _backend(f"{at}.backend", path.backend)


def _default_class(found: IngressClass) -> IngressClass:
    parameters = found.spec.parameters
    if parameters is None or parameters.scope is not None:
        return found
    return replace(found, spec=replace(found.spec, parameters=replace(parameters, scope="Cluster")))


def _validate_class(new: IngressClass, old: IngressClass | None) -> list[FieldError]:
    spec = new.spec
    errors: list[FieldError] = []
    if not spec.controller:
        errors.append(validation.required("spec.controller"))
    elif "/" not in spec.controller:
        said = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errors.append(validation.invalid("spec.controller", spec.controller, said))
    if (found := spec.parameters) is not None:
        at = "spec.parameters"
        errors += [
            validation.required(f"{at}.{name}", f"{name} is required")
            for name, value in (("kind", found.kind), ("name", found.name))
            if not value
        ]
        errors += validation.one_of(f"{at}.scope", found.scope or "", ("Cluster", "Namespace"))
        if found.scope == "Namespace" and not found.namespace:
            said = "`parameters.scope` is set to 'Namespace'"
            errors.append(validation.required(f"{at}.namespace", said))
        if found.scope == "Cluster" and found.namespace is not None:
            said = "`parameters.scope` is set to 'Cluster'"
            errors.append(validation.forbidden(f"{at}.namespace", said))
    if old is not None:
        errors += validation.immutable("spec.controller", spec.controller, old.spec.controller)
    return errors


def _parameters_cell(found: IngressClass) -> str:
    named = found.spec.parameters
    if named is None:
        return "<none>"
    kind = f"{named.kind}.{named.api_group}" if named.api_group else named.kind
    return f"{kind}/{named.name}"


def _hosts_cell(found: Ingress) -> str:
    return ",".join(rule.host for rule in found.spec.rules if rule.host) or "*"


def _address_cell(found: Ingress) -> str:
    return ",".join(way.ip or way.hostname for way in found.status.load_balancer.ingress)


INGRESSES: Kind[Ingress] = Kind(
    name="Ingress",
    group="networking.k8s.io",
    version="v1",
    plural="ingresses",
    singular="ingress",
    type=Ingress,
    short_names=("ing",),
    columns=(
        Column("Class", lambda found, _: found.spec.ingress_class_name or "<none>"),
        Column("Hosts", lambda found, _: _hosts_cell(found)),
        Column("Address", lambda found, _: _address_cell(found)),
        Column("Ports", lambda found, _: "80, 443" if found.spec.tls else "80"),
        Column("Age", age_cell),
    ),
    validate=validate,
    notice="are stored and served, but nothing routes by them yet",
)

INGRESS_CLASSES: Kind[IngressClass] = Kind(
    name="IngressClass",
    group="networking.k8s.io",
    version="v1",
    plural="ingressclasses",
    singular="ingressclass",
    type=IngressClass,
    is_namespaced=False,
    columns=(
        Column("Controller", lambda found, _: found.spec.controller),
        Column("Parameters", lambda found, _: _parameters_cell(found)),
        Column("Age", age_cell),
    ),
    defaults=_default_class,
    validate=_validate_class,
    has_status=False,
    notice="are stored and served, but nothing routes by them yet",
)
