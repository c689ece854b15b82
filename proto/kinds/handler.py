"""Handlers: the ways to ask a container something, or to tell it, that probes and hooks share.

Source of the rules: Kubernetes, pkg/apis/core/validation, validateHandler.
"""

import re
from typing import assert_never

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


class SleepAction(Model, frozen=True, kw_only=True):
    """Nothing but a pause."""

    seconds: int


Handler = ExecAction | HTTPGetAction | TCPSocketAction | GRPCAction | SleepAction


def default_http(http: HTTPGetAction | None) -> HTTPGetAction | None:
    """The request with Kubernetes' defaults."""
    return http and replace(http, path=http.path or "/", scheme=http.scheme or "HTTP")


def validate_handlers(at: str, *given: Handler | None) -> list[FieldError]:
    """What is wrong with the one that is given, or with there being none or two."""
    handlers = [handler for handler in given if handler is not None]
    if not handlers:
        return [validation.required(at, "must specify a handler type")]
    errors = [
        validation.forbidden(f"{at}.{_name(handler)}", "may not specify more than 1 handler type")
        for handler in handlers[1:]
    ]
    for handler in handlers:
        errors += _validate(f"{at}.{_name(handler)}", handler)
    return errors


def _name(handler: Handler) -> str:
    match handler:
        case ExecAction():
            return "exec"
        case HTTPGetAction():
            return "httpGet"
        case TCPSocketAction():
            return "tcpSocket"
        case GRPCAction():
            return "grpc"
        case SleepAction():
            return "sleep"
        case _:
            assert_never(handler)


def _validate(at: str, handler: Handler) -> list[FieldError]:
    match handler:
        case ExecAction():
            return [] if handler.command else [validation.required(f"{at}.command")]
        case HTTPGetAction():
            return _validate_http(at, handler)
        case TCPSocketAction():
            return _validate_port(f"{at}.port", handler.port)
        case GRPCAction():
            return validation.port(f"{at}.port", handler.port)
        case SleepAction():
            return validation.non_negative(f"{at}.seconds", handler.seconds)
        case _:
            assert_never(handler)


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
