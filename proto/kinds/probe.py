"""Probe: a question that an agent puts to a container again and again.

Three of them: has it started, can it serve, is it alive. Source of defaults and rules: Kubernetes,
pkg/apis/core/v1/defaults.go and pkg/apis/core/validation, validateProbe.
"""

import re

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model

_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")


class HTTPHeader(Model, frozen=True, kw_only=True):
    """One header of the request."""

    name: str
    value: str = ""


class HTTPGetAction(Model, frozen=True, kw_only=True):
    """Good when the answer's status is from 200 to 399.

    Attributes:
        port: A number, or the name of a port of the container.
        host: Empty for the pod's own address.
        scheme: ``HTTP`` or ``HTTPS``, whose certificate is not looked at.
    """

    port: int | str
    path: str = ""
    host: str = ""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocketAction(Model, frozen=True, kw_only=True):
    """Good when a connection is accepted."""

    port: int | str
    host: str = ""


class ExecAction(Model, frozen=True, kw_only=True):
    """Good when this program, run in the container, exits with 0."""

    command: tuple[str, ...] = ()


class GRPCAction(Model, frozen=True, kw_only=True):
    """Good when the gRPC health service answers SERVING for this service."""

    port: int
    service: str = ""


class Probe(Model, frozen=True, kw_only=True):
    """One of the four ways to ask, and how often.

    Attributes:
        initial_delay_seconds: After the container's start.
        success_threshold: Successes in a row that end a failure.
        failure_threshold: Failures in a row that end a success.
        termination_grace_period_seconds: Instead of the pod's, where the answer ends a container.
    """

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0
    termination_grace_period_seconds: int | None = None


def default_probe(probe: Probe | None) -> Probe | None:
    """The probe with Kubernetes' defaults."""
    if probe is None:
        return None
    http = probe.http_get
    return replace(
        probe,
        http_get=http and replace(http, path=http.path or "/", scheme=http.scheme or "HTTP"),
        timeout_seconds=probe.timeout_seconds or 1,
        period_seconds=probe.period_seconds or 10,
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3,
    )


def validate_probe(at: str, probe: Probe | None, *, ends_containers: bool) -> list[FieldError]:
    """Every wrong field, after defaults.

    Args:
        at: Its path.
        probe: None is fine.
        ends_containers: Whether its failure does: true of all but readiness probes.
    """
    if probe is None:
        return []
    errors = validate_handler(at, probe.exec, probe.http_get, probe.tcp_socket, probe.grpc)
    for name, value in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        errors += validation.non_negative(f"{at}.{name}", value)
    grace_s, grace_at = probe.termination_grace_period_seconds, "terminationGracePeriodSeconds"
    if not ends_containers:
        if grace_s is not None:
            text = "must not be set for readinessProbes"
            errors.append(validation.invalid(f"{at}.{grace_at}", grace_s, text))
        return errors
    if probe.success_threshold > 1:
        at_threshold = f"{at}.successThreshold"
        errors.append(validation.invalid(at_threshold, probe.success_threshold, "must be 1"))
    if grace_s is not None and grace_s <= 0:
        errors.append(validation.invalid(f"{at}.{grace_at}", grace_s, "must be greater than 0"))
    return errors


def validate_handler(
    at: str,
    exec_: ExecAction | None,
    http: HTTPGetAction | None,
    tcp: TCPSocketAction | None,
    grpc: GRPCAction | None = None,
) -> list[FieldError]:
    """What is wrong with the one way to ask, or with there being none or two."""
    errors: list[FieldError] = []
    given = {"exec": exec_, "httpGet": http, "tcpSocket": tcp, "grpc": grpc}
    names = [name for name, action in given.items() if action is not None]
    errors += [
        validation.forbidden(f"{at}.{name}", "may not specify more than 1 handler type")
        for name in names[1:]
    ]
    if not names:
        errors.append(validation.required(at, "must specify a handler type"))
    if exec_ is not None and not exec_.command:
        errors.append(validation.required(f"{at}.exec.command"))
    if http is not None:
        errors += _validate_http(f"{at}.httpGet", http)
    if tcp is not None:
        errors += _validate_port(f"{at}.tcpSocket.port", tcp.port)
    if grpc is not None:
        errors += validation.port(f"{at}.grpc.port", grpc.port)
    return errors


def _validate_http(at: str, http: HTTPGetAction) -> list[FieldError]:
    errors = _validate_port(f"{at}.port", http.port)
    errors += validation.one_of(f"{at}.scheme", http.scheme, ("HTTP", "HTTPS"))
    for index, header in enumerate(http.http_headers):
        if not _HEADER_NAME.fullmatch(header.name):
            text = "a valid HTTP header must consist of alphanumeric characters or '-'"
            where = f"{at}.httpHeaders[{index}].name"
            errors.append(validation.invalid(where, header.name, text))
    return errors


def _validate_port(at: str, value: int | str) -> list[FieldError]:
    if isinstance(value, int):
        return validation.port(at, value)
    is_name = 0 < len(value) <= 15 and "--" not in value and _PORT_NAME.fullmatch(value)
    if is_name and any("a" <= sign <= "z" for sign in value):
        return []
    text = (
        "must be a port's name: at most 15 lower case alphanumeric characters or '-', with at "
        "least one letter"
    )
    return [validation.invalid(at, value, text)]
