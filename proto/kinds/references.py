"""Which ConfigMaps and Secrets a pod's node must have the contents of."""

from collections.abc import Iterator

from msgspec import Struct

from proto.kinds.container import Container
from proto.kinds.pod import PodSpec
from proto.kinds.volume import projections

CONFIG_MAP = "ConfigMap"
SECRET = "Secret"  # noqa: S105  a kind's name


class Reference(Struct, frozen=True, order=True):
    """One object of the pod's namespace; `kind` is ConfigMap or Secret."""

    kind: str
    name: str


def referenced(spec: PodSpec) -> tuple[Reference, ...]:
    """All of them, each once, in an order that depends on nothing else."""
    found = set(_of_volumes(spec))
    found.update(Reference(SECRET, named.name) for named in spec.image_pull_secrets if named.name)
    for container in spec.all_containers:
        found.update(_of_variables(container))
    return tuple(sorted(found))


def _of_volumes(spec: PodSpec) -> Iterator[Reference]:
    for volume in spec.volumes:
        for source in projections(volume):
            if source.config_map is not None:
                yield Reference(CONFIG_MAP, source.config_map.name)
            elif source.secret is not None:
                yield Reference(SECRET, source.secret.name)


def _of_variables(container: Container) -> Iterator[Reference]:
    for many in container.env_from:
        if many.config_map_ref is not None:
            yield Reference(CONFIG_MAP, many.config_map_ref.name)
        elif many.secret_ref is not None:
            yield Reference(SECRET, many.secret_ref.name)
    for variable in container.env:
        source = variable.value_from
        if source is None:
            continue
        if source.config_map_key_ref is not None:
            yield Reference(CONFIG_MAP, source.config_map_key_ref.name)
        elif source.secret_key_ref is not None:
            yield Reference(SECRET, source.secret_key_ref.name)
