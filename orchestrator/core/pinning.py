"""Configuration that rolls: a workload's pods keep the ConfigMaps and Secrets they started with.

A workload with the annotation ``longshore.dev/roll-on-config: "true"`` is rolled when a ConfigMap
or a Secret that its template takes values from changes, as if its template had changed. Its pods do
not refer to the objects that people write but to *snapshots*: immutable copies that the workload
owns, one for each content that was used. So a change reaches new pods only, is held up by their
readiness as any other, and a revision is template and configuration together: who goes back to one
has the snapshots' names in the template, and that is how it is seen: the snapshots' contents are
written back, and then the names.

A snapshot's name is not made of its contents: those of a short secret could be guessed by it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core.decisions import Create, Decision, Emit, Remove, Update
from orchestrator.core.ownership import reference
from proto.kinds.configuration import CONFIG_MAPS, SECRETS, ConfigMap, Secret
from proto.kinds.kind import Kind
from proto.kinds.pod import PodTemplateSpec
from proto.kinds.references import CONFIG_MAP, SECRET, Reference, referenced, renamed
from proto.meta import ObjectMeta, Resource

ROLL_ON_CONFIG = "longshore.dev/roll-on-config"
SNAPSHOT_OF = "longshore.dev/snapshot-of"
"""On a snapshot: the name of the object it is a copy of."""

SUFFIX_LENGTH = 10
NAME_MAX = 253 - 1 - SUFFIX_LENGTH
"""Characters of the name that a snapshot's begins with."""

KINDS: Final[Mapping[str, Kind[Any]]] = {CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}

Config = ConfigMap | Secret


class Configs(Struct, frozen=True):
    """What there is to take values from.

    Attributes:
        live: Objects that people write, as far as the workload may be concerned.
        snapshots: Those that the workload owns.
    """

    live: Mapping[Reference, Config] = {}
    snapshots: Mapping[Reference, Config] = {}


NO_CONFIGS: Final = Configs()


class Pinned(Struct, frozen=True):
    """A template that refers to snapshots; `writes` are to be made before it is used."""

    template: PodTemplateSpec
    writes: tuple[Create, ...] = ()


def is_pinned(owner: Resource) -> bool:
    """Whether configuration rolls this workload."""
    return owner.metadata.annotations.get(ROLL_ON_CONFIG) == "true"


def source(kind: str, snapshot: Config) -> Reference:
    """What a snapshot is a copy of."""
    return Reference(kind, snapshot.metadata.annotations.get(SNAPSHOT_OF, ""))


def pinned(owner_kind: Kind[Any], owner: Any, configs: Configs) -> Pinned:
    """The template that the workload's pods should be made of now.

    Args:
        owner_kind: Of the workload.
        owner: The workload.
        configs: What there is.
    """
    template: PodTemplateSpec = owner.spec.template
    if not is_pinned(owner):
        return Pinned(template)
    names: dict[Reference, str] = {}
    writes: list[Create] = []
    for wanted in referenced(template.spec):
        live = configs.live.get(wanted)
        if live is None or live.immutable:
            continue
        name = _holding(wanted, live, configs.snapshots)
        if name is None:
            made = _snapshot(owner_kind, owner, wanted, live)
            name = made.metadata.name
            writes.append(Create(KINDS[wanted.kind], made, f"{wanted.kind} {wanted.name} changed"))
        names[wanted] = name
    return Pinned(_with_names(template, names), tuple(writes))


def settled(
    owner_kind: Kind[Any], owner: Any, configs: Configs
) -> tuple[PodTemplateSpec, tuple[Decision, ...]]:
    """What a workload's pods should be made of, or what is to be written before that can be told.

    Args:
        owner_kind: Of the workload.
        owner: The workload, possibly being deleted: then its template is left as it is.
        configs: What there is.
    """
    template: PodTemplateSpec = owner.spec.template
    if owner.metadata.deletion_timestamp:
        return template, ()
    if writes := restored(owner_kind, owner, configs):
        return template, writes
    found = pinned(owner_kind, owner, configs)
    return found.template, found.writes


def restored(owner_kind: Kind[Any], owner: Any, configs: Configs) -> tuple[Decision, ...]:
    """What takes the configuration back, where the template names snapshots; else nothing.

    First what they hold is written to where it came from; when that is done, the workload gets a
    template with the names of old.
    """
    template: PodTemplateSpec = owner.spec.template
    back: dict[Reference, str] = {}
    writes: list[Decision] = []
    for wanted in referenced(template.spec):
        snapshot = configs.snapshots.get(wanted)
        if snapshot is None:
            continue
        origin = source(wanted.kind, snapshot)
        back[wanted] = origin.name
        writes += _written_back(owner_kind, owner, origin, snapshot, configs.live.get(origin))
    if writes or not back:
        return tuple(writes)
    spec = replace(owner.spec, template=_with_names(template, back))
    return (Update(owner_kind, replace(owner, spec=spec), "its configuration is restored"),)


def unused(configs: Configs, templates: Iterable[PodTemplateSpec]) -> Iterator[Remove]:
    """Snapshots that no template of the workload's needs any more."""
    needed = {found for template in templates for found in referenced(template.spec)}
    for snapshot, held in sorted(configs.snapshots.items()):
        if snapshot not in needed and not held.metadata.deletion_timestamp:
            yield Remove(KINDS[snapshot.kind], held, "no revision uses it")


def _with_names(template: PodTemplateSpec, names: Mapping[Reference, str]) -> PodTemplateSpec:
    if not names:
        return template
    spec = renamed(template.spec, lambda found: names.get(found, found.name))
    return replace(template, spec=spec)


def _contents(found: Config) -> Sequence[object]:
    if isinstance(found, Secret):
        return found.data, found.type
    return found.data, found.binary_data


def _holding(wanted: Reference, live: Config, snapshots: Mapping[Reference, Config]) -> str | None:
    """The snapshot with the same contents."""
    return next(
        (
            found.name
            for found, held in sorted(snapshots.items())
            if source(found.kind, held) == wanted
            and found.kind == wanted.kind
            and not held.metadata.deletion_timestamp
            and _contents(held) == _contents(live)
        ),
        None,
    )


def _snapshot(owner_kind: Kind[Any], owner: Resource, of: Reference, live: Config) -> Config:
    meta = live.metadata
    version = f"{owner.metadata.uid}/{meta.uid}/{meta.resource_version}"
    suffix = hashlib.sha256(version.encode()).hexdigest()[:SUFFIX_LENGTH]
    return replace(
        live,
        metadata=ObjectMeta(
            name=f"{of.name[:NAME_MAX].rstrip('-.')}-{suffix}",
            namespace=meta.namespace,
            labels=meta.labels,
            annotations={SNAPSHOT_OF: of.name},
            owner_references=(reference(owner_kind, owner),),
        ),
        immutable=True,
    )


def _written_back(
    owner_kind: Kind[Any], owner: Resource, origin: Reference, snapshot: Config, live: Any
) -> Iterator[Decision]:
    """The object as it was when the snapshot was taken."""
    kind = KINDS[origin.kind]
    cause = f"{owner_kind.singular} {owner.metadata.name} goes back to {snapshot.metadata.name}"
    if live is None:
        meta = snapshot.metadata
        made = ObjectMeta(name=origin.name, namespace=meta.namespace, labels=meta.labels)
        yield Create(kind, replace(snapshot, metadata=made, immutable=None), cause)
    elif _contents(live) == _contents(snapshot):
        return
    else:
        meta, immutable = live.metadata, live.immutable
        yield Update(kind, replace(snapshot, metadata=meta, immutable=immutable), cause)
    text = f"{origin.kind} {origin.name} is again as it was in {snapshot.metadata.name}"
    yield Emit(owner_kind, owner, "Normal", "ConfigRestored", text)
