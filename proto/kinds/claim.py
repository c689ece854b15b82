"""What is wanted of storage: the spec of claims, and of the templates that claims are made of."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import LabelSelector, Model, ObjectMeta

Amounts = dict[str, quantity.Quantity]

MODES: Mapping[str, str] = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
"""Access modes, as they are shown."""

FILESYSTEM = "Filesystem"


class VolumeResources(Model, frozen=True, kw_only=True):
    """How much storage."""

    limits: Amounts = {}
    requests: Amounts = {}


class PersistentVolumeClaimSpec(Model, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        storage_class_name: None: the default class's, as soon as there is one; empty: none.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {
        "dataSource": "volumes are made empty: there are no snapshots and no clones",
        "dataSourceRef": "volumes are made empty: there are no snapshots and no clones",
    }

    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: VolumeResources = VolumeResources()
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: str = ""
    volume_attributes_class_name: str | None = None


class PersistentVolumeClaimTemplate(Model, frozen=True, kw_only=True):
    """What a claim is made of: labels and annotations, and its spec."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()


def default_claim_spec(spec: PersistentVolumeClaimSpec) -> PersistentVolumeClaimSpec:
    """Source: Kubernetes, pkg/apis/core/v1/defaults.go."""
    return replace(spec, volume_mode=spec.volume_mode or FILESYSTEM)


def validate_access(at: str, modes: tuple[str, ...], mode: str) -> list[FieldError]:
    """Access modes and the volume mode of a volume or a claim."""
    errors: list[FieldError] = []
    if not modes:
        errors.append(
            validation.required(f"{at}.accessModes", "at least 1 access mode is required")
        )
    for index, found in enumerate(modes):
        errors += validation.one_of(f"{at}.accessModes[{index}]", found, sorted(MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        said = "may not use ReadWriteOncePod with other access modes"
        errors.append(validation.forbidden(f"{at}.accessModes", said))
    if mode == "Block":
        said = f"Longshore has no block devices: leave it out, or say {FILESYSTEM}"
        return [*errors, validation.forbidden(f"{at}.volumeMode", said)]
    return errors + validation.one_of(f"{at}.volumeMode", mode, ("Block", FILESYSTEM))


def modes_cell(modes: tuple[str, ...]) -> str:
    """Access modes, as they are shown."""
    return ",".join(short for name, short in MODES.items() if name in modes)


def phase_cell(meta: ObjectMeta, phase: str) -> str:
    """How far a claim or a volume is, as it is shown."""
    return "Terminating" if meta.deletion_timestamp else phase


def validate_claim_spec(at: str, spec: PersistentVolumeClaimSpec) -> list[FieldError]:
    """Every wrong field of what is wanted, after defaults."""
    errors = validate_access(at, spec.access_modes, spec.volume_mode)
    if "storage" not in spec.resources.requests:
        errors.append(validation.required(f"{at}.resources[storage]"))
    errors += validation.amounts(f"{at}.resources.requests", spec.resources.requests)
    if spec.selector is not None:
        errors += validation.selector(f"{at}.selector", spec.selector)
    return errors
