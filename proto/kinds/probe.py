"""Probe: a question that an agent puts to a container again and again.

Three of them: has it started, can it serve, is it alive. Source of defaults and rules: Kubernetes,
pkg/apis/core/v1/defaults.go and pkg/apis/core/validation, validateProbe.
"""

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.handler import (
    ExecAction,
    GRPCAction,
    Handler,
    HTTPGetAction,
    TCPSocketAction,
    default_http,
    validate_handlers,
)
from proto.meta import Model


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

    @property
    def handler(self) -> Handler | None:
        """The way to ask; there is one in every valid probe."""
        return self.exec or self.http_get or self.tcp_socket or self.grpc


def default_probe(probe: Probe | None) -> Probe | None:
    """The probe with Kubernetes' defaults."""
    if probe is None:
        return None
    return replace(
        probe,
        http_get=default_http(probe.http_get),
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
    errors = validate_handlers(at, probe.exec, probe.http_get, probe.tcp_socket, probe.grpc)
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
