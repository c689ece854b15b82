"""Init containers: what runs, one after another, before a pod's own containers.

One that has the restart policy Always is a sidecar: the next one follows once it has started, and
it runs on beside the others. Source: Kubernetes, pkg/apis/core/validation, validateInitContainers,
and pkg/printers/internalversion, printPod.
"""

from collections.abc import Sequence

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.container import Container, ContainerStatus


def validate(at: str, container: Container) -> list[FieldError]:
    """What an init container may not have, besides what no container may."""
    if container.restart_policy not in ("", "Always"):
        policy = container.restart_policy
        return [validation.not_supported(f"{at}.restartPolicy", policy, ("Always",))]
    if container.is_sidecar:
        return []
    return [
        validation.forbidden(
            f"{at}.{name}", "may not be set for init containers without restartPolicy=Always"
        )
        for name, value in (
            ("lifecycle", container.lifecycle),
            ("livenessProbe", container.liveness_probe),
            ("readinessProbe", container.readiness_probe),
            ("startupProbe", container.startup_probe),
        )
        if value is not None
    ]


def status_word(containers: Sequence[Container], statuses: Sequence[ContainerStatus]) -> str:
    """What kubectl shows of a pod that is still at its init containers; empty when it is past them.

    ``Init:1/3``, ``Init:Error``, ``Init:CrashLoopBackOff``…
    """
    sidecars = {container.name for container in containers if container.is_sidecar}
    for index, status in enumerate(statuses):
        ended, waiting = status.state.terminated, status.state.waiting
        if ended is not None and ended.exit_code == 0:
            continue
        if status.name in sidecars and status.started:
            continue
        if ended is not None:
            return f"Init:{ended.reason or f'ExitCode:{ended.exit_code}'}"
        if waiting is not None and waiting.reason not in ("", "PodInitializing"):
            return f"Init:{waiting.reason}"
        return f"Init:{index}/{len(containers)}"
    return ""
