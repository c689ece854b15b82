"""Ephemeral containers: what ``kubectl debug`` adds to a pod that runs.

They come by the subresource ``ephemeralcontainers`` alone, one after another, are started once in
the pod's holder and never again, and go with the pod. Source: Kubernetes,
pkg/apis/core/validation, ValidatePodEphemeralContainersUpdate.
"""

from collections.abc import Sequence

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.container import Container, validate_container
from proto.kinds.volume import Volume
from proto.kinds.volume_rules import validate_mounts, validate_no_sub_paths


class EphemeralContainer(Container, frozen=True, kw_only=True):
    """One more container, to look at the others from.

    Attributes:
        target_container_name: Whose processes it sees; empty: its own alone.
    """

    target_container_name: str = ""


def validate(
    at: str,
    found: Sequence[EphemeralContainer],
    containers: Sequence[Container],
    volumes: Sequence[Volume] = (),
) -> list[FieldError]:
    """Every wrong field of a pod's ephemeral containers, after defaults.

    Args:
        at: Their path.
        found: The ephemeral ones.
        containers: The pod's own.
        volumes: The pod's.
    """
    errors: list[FieldError] = []
    own = {container.name for container in containers}
    seen = set(own)
    for index, container in enumerate(found):
        here = f"{at}[{index}]"
        errors += validate_container(here, container)
        mounts = container.volume_mounts
        errors += validate_mounts(f"{here}.volumeMounts", mounts, volumes)
        errors += validate_no_sub_paths(f"{here}.volumeMounts", mounts)
        if container.name in seen:
            errors.append(validation.duplicate(f"{here}.name", container.name))
        seen.add(container.name)
        errors += [
            validation.forbidden(f"{here}.{field}", "cannot be set for an Ephemeral Container")
            for field, value in (
                ("ports", container.ports),
                ("resources", container.resources.limits or container.resources.requests),
                ("livenessProbe", container.liveness_probe),
                ("readinessProbe", container.readiness_probe),
                ("startupProbe", container.startup_probe),
                ("lifecycle", container.lifecycle),
                ("restartPolicy", container.restart_policy),
            )
            if value
        ]
        target = container.target_container_name
        if target and target not in own:
            errors.append(validation.not_found(f"{here}.targetContainerName", target))
    return errors


def validate_change(
    at: str, new: Sequence[EphemeralContainer], old: Sequence[EphemeralContainer]
) -> list[FieldError]:
    """What is wrong with a change of them: they may be added to, and nothing else."""
    wanted = {container.name: container for container in new}
    errors: list[FieldError] = []
    for container in old:
        found = wanted.get(container.name)
        if found != container:
            what = "removed" if found is None else "changed"
            errors.append(
                validation.forbidden(
                    at, f'existing ephemeral containers "{container.name}" may not be {what}'
                )
            )
    return errors
