"""Which ConfigMaps and Secrets a pod's node must have the contents of."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from proto.kinds.container import Container
from proto.kinds.pod import PodSpec
from proto.kinds.source import EnvFromSource
from proto.kinds.volume import Volume, VolumeProjection, projections

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


Rename = Callable[[Reference], str]
"""The name that a pod should have instead."""

T = TypeVar("T")


def renamed(spec: PodSpec, rename: Rename) -> PodSpec:
    """The same pod, taking its values from objects of other names."""
    return replace(
        spec,
        volumes=tuple(_volume(found, rename) for found in spec.volumes),
        init_containers=tuple(_container(found, rename) for found in spec.init_containers),
        containers=tuple(_container(found, rename) for found in spec.containers),
    )


def _named(found: T, kind: str, rename: Rename, field: str = "name") -> T:
    """One that has the name of an object of that kind in one of its fields; None stays None."""
    if found is None:
        return found
    held: Any = found
    named: T = replace(held, **{field: rename(Reference(kind, getattr(held, field)))})
    return named


def _volume(volume: Volume, rename: Rename) -> Volume:
    projected = volume.projected
    if projected is not None:
        sources = tuple(_projection(source, rename) for source in projected.sources)
        projected = replace(projected, sources=sources)
    return replace(
        volume,
        config_map=_named(volume.config_map, CONFIG_MAP, rename),
        secret=_named(volume.secret, SECRET, rename, "secret_name"),
        projected=projected,
    )


def _projection(source: VolumeProjection, rename: Rename) -> VolumeProjection:
    return replace(
        source,
        config_map=_named(source.config_map, CONFIG_MAP, rename),
        secret=_named(source.secret, SECRET, rename),
    )


def _container(container: Container, rename: Rename) -> Container:
    return replace(
        container,
        env_from=tuple(_many(found, rename) for found in container.env_from),
        env=tuple(
            replace(
                variable,
                value_from=replace(
                    variable.value_from,
                    config_map_key_ref=_named(
                        variable.value_from.config_map_key_ref, CONFIG_MAP, rename
                    ),
                    secret_key_ref=_named(variable.value_from.secret_key_ref, SECRET, rename),
                ),
            )
            if variable.value_from is not None
            else variable
            for variable in container.env
        ),
    )


def _many(found: EnvFromSource, rename: Rename) -> EnvFromSource:
    return replace(
        found,
        config_map_ref=_named(found.config_map_ref, CONFIG_MAP, rename),
        secret_ref=_named(found.secret_ref, SECRET, rename),
    )
