"""Hooks: what a container is told right after its start, and before it is asked to end.

Source of the rules: Kubernetes, "Container Lifecycle Hooks" and pkg/apis/core/validation.
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds.handler import (
    ExecAction,
    Handler,
    HTTPGetAction,
    SleepAction,
    default_http,
    validate_handlers,
)
from proto.meta import Model


class LifecycleHandler(Model, frozen=True, kw_only=True):
    """One of three things to do."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "tcpSocket": "Kubernetes accepts it and fails to run it: use httpGet or exec",
    }

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None

    @property
    def handler(self) -> Handler | None:
        """What to do; there is one in every valid hook."""
        return self.exec or self.http_get or self.sleep


class Lifecycle(Model, frozen=True, kw_only=True):
    """Both hooks of a container.

    Attributes:
        post_start: Beside the container's own program; until it is done, the container is not
            started, and when it fails, the container ends.
        pre_stop: Before the container is asked to end, on its grace.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {
        "stopSignal": "the image's own STOPSIGNAL is sent",
    }

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None


def default_lifecycle(found: Lifecycle | None) -> Lifecycle | None:
    """The hooks with Kubernetes' defaults."""
    return found and replace(
        found, post_start=_default(found.post_start), pre_stop=_default(found.pre_stop)
    )


def _default(hook: LifecycleHandler | None) -> LifecycleHandler | None:
    return hook and replace(hook, http_get=default_http(hook.http_get))


def validate_lifecycle(at: str, found: Lifecycle | None) -> list[FieldError]:
    """Every wrong field, after defaults."""
    if found is None:
        return []
    errors: list[FieldError] = []
    for name, hook in (("postStart", found.post_start), ("preStop", found.pre_stop)):
        if hook is not None:
            errors += validate_handlers(f"{at}.{name}", hook.exec, hook.http_get, hook.sleep)
    return errors
