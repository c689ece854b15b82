"""What may be said of volumes and of mounts.

Source of rules and texts: Kubernetes, pkg/apis/core/validation, ValidateVolumes and
ValidateVolumeMounts.
"""

from collections.abc import Collection, Iterable, Sequence

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.claim import validate_claim_spec
from proto.kinds.source import validate_resource_field
from proto.kinds.volume import (
    DownwardAPIVolumeFile,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    KeyToPath,
    Volume,
    VolumeMount,
    VolumeProjection,
    default_mode,
    projections,
    sources,
)

HOST_PATH_TYPES = ("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")

FILE_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
"""What a file of the downward API may hold, besides one label or annotation."""


def validate_volumes(path: str, volumes: Sequence[Volume]) -> list[FieldError]:
    """Every wrong field of a pod's volumes, after defaults."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        if not volume.name:
            errors.append(validation.required(f"{at}.name"))
        else:
            errors += validation.label(f"{at}.name", volume.name)
        if volume.name in seen:
            errors.append(validation.duplicate(f"{at}.name", volume.name))
        seen.add(volume.name)
        found = sources(volume)
        errors += [
            validation.forbidden(f"{at}.{name}", "may not specify more than 1 volume type")
            for name in found[1:]
        ]
        if found:
            errors += _validate_source(f"{at}.{found[0]}", volume)
    return errors


def _validate_source(at: str, volume: Volume) -> list[FieldError]:
    if volume.empty_dir is not None:
        return _validate_empty_dir(at, volume.empty_dir)
    if volume.host_path is not None:
        return _validate_host_path(at, volume.host_path)
    if volume.persistent_volume_claim is not None:
        name = volume.persistent_volume_claim.claim_name
        return [] if name else [validation.required(f"{at}.claimName")]
    if volume.ephemeral is not None:
        template = volume.ephemeral.volume_claim_template
        if template is None:
            return [validation.required(f"{at}.volumeClaimTemplate")]
        return validate_claim_spec(f"{at}.volumeClaimTemplate.spec", template.spec)
    errors = _mode(f"{at}.defaultMode", default_mode(volume))
    if volume.projected is not None and not volume.projected.sources:
        errors.append(validation.required(f"{at}.sources", "must specify at least one source"))
    for index, source in enumerate(projections(volume)):
        here = f"{at}.sources[{index}]" if volume.projected is not None else ""
        errors += _validate_projection(here, at, source)
    return errors + _conflicts(at, volume)


def _validate_empty_dir(at: str, source: EmptyDirVolumeSource) -> list[FieldError]:
    errors = validation.one_of(f"{at}.medium", source.medium, ("", "Memory"))
    if source.size_limit:
        size = {"sizeLimit": source.size_limit}
        errors += validation.amounts(at, size)
    return errors


def _validate_host_path(at: str, source: HostPathVolumeSource) -> list[FieldError]:
    errors = validation.one_of(f"{at}.type", source.type or "", HOST_PATH_TYPES)
    if not source.path:
        errors.append(validation.required(f"{at}.path"))
    elif not source.path.startswith("/"):
        errors.append(validation.invalid(f"{at}.path", source.path, "must be an absolute path"))
    return errors + _no_backsteps(f"{at}.path", source.path)


def _validate_projection(here: str, at: str, source: VolumeProjection) -> list[FieldError]:
    """One source; `here` is its path in a projected volume, `at` that of a volume's only one."""
    named = {
        "configMap": source.config_map,
        "secret": source.secret,
        "downwardAPI": source.downward_api,
    }
    found = [name for name, one in named.items() if one is not None]
    if here and len(found) != 1:
        text = "may not specify more than 1 volume type per source" if found else ""
        return [
            validation.forbidden(f"{here}.{found[1]}", text)
            if found
            else validation.required(here, "must specify at least 1 volume type per source")
        ]
    where = f"{here}.{found[0]}" if here else at
    if source.downward_api is not None:
        return [
            error
            for index, item in enumerate(source.downward_api.items)
            for error in _validate_downward(f"{where}.items[{index}]", item)
        ]
    one = source.config_map or source.secret
    assert one is not None  # noqa: S101  one of three is set
    errors = []
    if not one.name:
        is_secret_volume = source.secret is not None and not here
        errors.append(
            validation.required(f"{where}.{'secretName' if is_secret_volume else 'name'}")
        )
    for index, item in enumerate(one.items):
        errors += _validate_item(f"{where}.items[{index}]", item)
    return errors


def _validate_item(at: str, item: KeyToPath) -> list[FieldError]:
    errors = []
    if not item.key:
        errors.append(validation.required(f"{at}.key"))
    return errors + _file_path(f"{at}.path", item.path) + _mode(f"{at}.mode", item.mode)


def _validate_downward(at: str, item: DownwardAPIVolumeFile) -> list[FieldError]:
    errors = _file_path(f"{at}.path", item.path) + _mode(f"{at}.mode", item.mode)
    field, resource = item.field_ref, item.resource_field_ref
    if field is not None and resource is not None:
        text = "fieldRef and resourceFieldRef can not be specified simultaneously"
        errors.append(validation.invalid(at, "resource", text))
    elif field is not None:
        path = field.field_path
        is_keyed = path.startswith(("metadata.labels['", "metadata.annotations['"))
        if path not in FILE_FIELDS and not is_keyed:
            errors.append(validation.not_supported(f"{at}.fieldRef.fieldPath", path, FILE_FIELDS))
    elif resource is not None:
        if not resource.container_name:
            errors.append(validation.required(f"{at}.resourceFieldRef.containerName"))
        errors += validate_resource_field(f"{at}.resourceFieldRef", resource)
    else:
        errors.append(validation.required(at, "one of fieldRef and resourceFieldRef is required"))
    return errors


def _conflicts(at: str, volume: Volume) -> list[FieldError]:
    """Paths that two sources, or two items, claim."""
    paths = [
        item.path
        for source in projections(volume)
        for one in (source.config_map, source.secret, source.downward_api)
        if one is not None
        for item in one.items
    ]
    twice = sorted({path for path in paths if path and paths.count(path) > 1})
    return [validation.invalid(at, path, "conflicting duplicate paths") for path in twice]


def _mode(path: str, mode: int | None) -> list[FieldError]:
    if mode is None or 0 <= mode <= 0o777:
        return []
    text = "must be a number between 0 and 0777 (octal), both inclusive"
    return [validation.invalid(path, mode, text)]


def _file_path(path: str, value: str) -> list[FieldError]:
    """Where a file is to be within its volume."""
    if not value:
        return [validation.required(path)]
    errors = _inside(path, value)
    if value.startswith("..") and not errors:
        errors.append(validation.invalid(path, value, "must not start with '..'"))
    return errors


def _inside(path: str, value: str) -> list[FieldError]:
    if value.startswith("/"):
        return [validation.invalid(path, value, "must be a relative path")]
    return _no_backsteps(path, value)


def _no_backsteps(path: str, value: str) -> list[FieldError]:
    if ".." in value.split("/"):
        return [validation.invalid(path, value, "must not contain '..'")]
    return []


def validate_mounts(
    path: str, mounts: Sequence[VolumeMount], volumes: Iterable[Volume]
) -> list[FieldError]:
    """Every wrong field of a container's mounts."""
    known = {volume.name for volume in volumes}
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{path}[{index}]"
        if not mount.name:
            errors.append(validation.required(f"{at}.name"))
        elif mount.name not in known:
            errors.append(validation.not_found(f"{at}.name", mount.name))
        if not mount.mount_path:
            errors.append(validation.required(f"{at}.mountPath"))
        elif mount.mount_path in seen:
            errors.append(validation.invalid(f"{at}.mountPath", mount.mount_path, "must be unique"))
        seen.add(mount.mount_path)
        errors += _validate_mount(at, mount)
    return errors


def _validate_mount(at: str, mount: VolumeMount) -> list[FieldError]:
    errors: list[FieldError] = []
    if mount.sub_path and mount.sub_path_expr:
        text = "subPathExpr and subPath are mutually exclusive"
        errors.append(validation.invalid(f"{at}.subPathExpr", mount.sub_path_expr, text))
    for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
        errors += _inside(f"{at}.{name}", value)
    if mount.mount_propagation not in ("", "None"):
        text = "Longshore does not propagate mounts: leave it out, or say None"
        errors.append(validation.forbidden(f"{at}.mountPropagation", text))
    return errors


def validate_no_sub_paths(path: str, mounts: Sequence[VolumeMount]) -> list[FieldError]:
    """What ephemeral containers may not have."""
    return [
        validation.forbidden(f"{path}[{index}].{name}", "cannot be set for an Ephemeral Container")
        for index, mount in enumerate(mounts)
        for name, value in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr))
        if value
    ]


def validate_container_names(
    path: str, volumes: Sequence[Volume], names: Collection[str]
) -> list[FieldError]:
    """Files of the downward API that tell of a container that the pod does not have."""
    return [
        validation.not_found(f"{path}[{index}]", item.resource_field_ref.container_name)
        for index, volume in enumerate(volumes)
        for source in projections(volume)
        if source.downward_api is not None
        for item in source.downward_api.items
        if item.resource_field_ref is not None
        and item.resource_field_ref.container_name not in ("", *names)
    ]
