"""CustomResourceDefinition: a kind that a user declares, served like the built-in ones.

Source of rules and texts: apiextensions-apiserver, pkg/apis/apiextensions/validation.
"""

import re
from typing import Annotated, Any

from msgspec import Meta, field
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import structural, validation
from proto.kinds.kind import Column, Kind
from proto.meta import Condition, Model, Resource

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""Held until none of the objects is left."""

ESTABLISHED = "Established"
NAMES_ACCEPTED = "NamesAccepted"
TERMINATING = "Terminating"

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_KIND = re.compile(r"[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?")


class Names(Model, frozen=True, kw_only=True):
    """What the kind is called."""

    plural: str = ""
    kind: str = ""
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class ScaleSubresource(Model, frozen=True, kw_only=True):
    """Where the numbers of replicas are: ``.spec.replicas``."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


class Subresources(Model, frozen=True, kw_only=True):
    """Which subresources there are.

    Attributes:
        status: An empty object when there is one.
    """

    status: dict[str, Any] | None = None
    scale: ScaleSubresource | None = None


class PrinterColumn(Model, frozen=True, kw_only=True):
    """A column of ``kubectl get``."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class SelectableField(Model, frozen=True, kw_only=True):
    """A field that field selectors may name."""

    json_path: str


class Schema(Model, frozen=True, kw_only=True):
    """What an object's JSON may hold."""

    open_api_v3_schema: dict[str, Any] = field(default_factory=dict, name="openAPIV3Schema")


class Version(Model, frozen=True, kw_only=True):
    """One version of the kind.

    Attributes:
        storage: Whether objects are kept in this version: true for exactly one.
    """

    name: str
    served: bool = False
    storage: bool = False
    deprecated: bool = False
    deprecation_warning: str = ""
    schema: Schema | None = None
    subresources: Subresources | None = None
    additional_printer_columns: tuple[PrinterColumn, ...] = ()
    selectable_fields: tuple[SelectableField, ...] = ()


class Conversion(Model, frozen=True, kw_only=True):
    """How an object of one version becomes one of another: only the name of the version changes."""

    strategy: str = ""
    webhook: dict[str, Any] = {}


class DefinitionSpec(Model, frozen=True, kw_only=True):
    """The kind."""

    group: str = ""
    names: Names = Names()
    scope: str = ""
    versions: Annotated[tuple[Version, ...], Meta(extra={"merge_key": "name"})] = ()
    conversion: Conversion | None = None
    preserve_unknown_fields: bool = False


class DefinitionStatus(Model, frozen=True, kw_only=True):
    """What of it is served."""

    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    accepted_names: Names | None = None
    stored_versions: tuple[str, ...] = ()


class CustomResourceDefinition(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: DefinitionSpec = DefinitionSpec()
    status: DefinitionStatus = DefinitionStatus()


def defaults(definition: CustomResourceDefinition) -> CustomResourceDefinition:
    """Names that follow from others, no conversion, and the finalizer until objects are gone."""
    spec, meta = definition.spec, definition.metadata
    names = replace(
        spec.names,
        singular=spec.names.singular or spec.names.kind.lower(),
        list_kind=spec.names.list_kind or (spec.names.kind and f"{spec.names.kind}List"),
    )
    if not meta.deletion_timestamp and FINALIZER not in meta.finalizers:
        meta = replace(meta, finalizers=(*meta.finalizers, FINALIZER))
    conversion = spec.conversion or Conversion()
    conversion = replace(conversion, strategy=conversion.strategy or "None")
    return replace(
        definition, metadata=meta, spec=replace(spec, names=names, conversion=conversion)
    )


def storage_version(definition: CustomResourceDefinition) -> str:
    """The version that objects are kept in."""
    return next((version.name for version in definition.spec.versions if version.storage), "")


def validate(
    new: CustomResourceDefinition, old: CustomResourceDefinition | None
) -> list[FieldError]:
    """Its name, its names, its versions and their schemas."""
    spec = new.spec
    errors = []
    if new.metadata.name != f"{spec.names.plural}.{spec.group}":
        errors.append(
            validation.invalid(
                "metadata.name",
                new.metadata.name,
                'must be spec.names.plural+"."+spec.group',
            )
        )
    errors += _group(spec.group)
    if spec.scope not in ("Cluster", "Namespaced"):
        errors.append(
            validation.required("spec.scope")
            if not spec.scope
            else validation.not_supported("spec.scope", spec.scope, ("Cluster", "Namespaced"))
        )
    errors += _names("spec.names", spec.names)
    errors += _versions(spec)
    conversion = spec.conversion or Conversion()
    if conversion.strategy == "Webhook":
        errors.append(
            validation.forbidden(
                "spec.conversion.strategy",
                "Longshore calls no webhooks: serve one version, or versions that differ only in "
                'optional fields, with the strategy "None"',
            )
        )
    elif conversion.strategy != "None":
        errors.append(
            validation.not_supported(
                "spec.conversion.strategy", conversion.strategy, ("None", "Webhook")
            )
        )
    if spec.preserve_unknown_fields:
        errors.append(
            validation.invalid(
                "spec.preserveUnknownFields",
                value=True,
                detail="cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                "spec.versions[*].schema instead",
            )
        )
    if old is not None:
        errors += _unchangeable(new, old)
    return errors


def _group(group: str) -> list[FieldError]:
    errors = validation.subdomain("spec.group", group)
    if not errors and "." not in group:
        errors.append(
            validation.invalid("spec.group", group, "should be a domain with at least one dot")
        )
    return errors


def _names(path: str, names: Names) -> list[FieldError]:
    errors = validation.dns_1035(f"{path}.plural", names.plural)
    if names.singular:
        errors += validation.dns_1035(f"{path}.singular", names.singular)
    for at, value in (("kind", names.kind), ("listKind", names.list_kind)):
        if not _KIND.fullmatch(value) or len(value) > 63:
            errors.append(
                validation.invalid(
                    f"{path}.{at}",
                    value,
                    "may have mixed case, but should otherwise match: a DNS-1035 label must start "
                    "with an alphabetic character and end with an alphanumeric character",
                )
            )
    if names.kind and names.kind == names.list_kind:
        errors.append(
            validation.invalid(
                f"{path}.listKind", names.list_kind, "kind and listKind may not be the same"
            )
        )
    for at, values in (("shortNames", names.short_names), ("categories", names.categories)):
        for index, value in enumerate(values):
            errors += validation.dns_1035(f"{path}.{at}[{index}]", value)
    return errors


def _versions(spec: DefinitionSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.versions:
        errors.append(validation.required("spec.versions", "must have at least one version"))
    seen: set[str] = set()
    for index, version in enumerate(spec.versions):
        at = f"spec.versions[{index}]"
        errors += validation.dns_1035(f"{at}.name", version.name)
        if version.name in seen:
            errors.append(validation.duplicate(f"{at}.name", version.name))
        seen.add(version.name)
        errors += _version(at, version)
    if spec.versions and sum(version.storage for version in spec.versions) != 1:
        errors.append(
            FieldError(
                "FieldValueInvalid",
                "spec.versions",
                "Invalid value: must have exactly one version marked as storage version",
            )
        )
    return errors


def _version(at: str, version: Version) -> list[FieldError]:
    errors: list[FieldError] = []
    if version.schema is None or not version.schema.open_api_v3_schema:
        errors.append(validation.required(f"{at}.schema.openAPIV3Schema", "schemas are required"))
    else:
        errors += structural.validate(
            f"{at}.schema.openAPIV3Schema", version.schema.open_api_v3_schema
        )
    for index, column in enumerate(version.additional_printer_columns):
        errors += _column(f"{at}.additionalPrinterColumns[{index}]", column)
    for index, selectable in enumerate(version.selectable_fields):
        errors += _path(f"{at}.selectableFields[{index}].jsonPath", selectable.json_path)
    scale = version.subresources.scale if version.subresources else None
    if scale is not None:
        below = f"{at}.subresources.scale"
        errors += _scale_path(f"{below}.specReplicasPath", scale.spec_replicas_path, (".spec.",))
        errors += _scale_path(
            f"{below}.statusReplicasPath", scale.status_replicas_path, (".status.",)
        )
        if scale.label_selector_path:
            errors += _scale_path(
                f"{below}.labelSelectorPath", scale.label_selector_path, (".spec.", ".status.")
            )
    return errors


def _column(at: str, column: PrinterColumn) -> list[FieldError]:
    errors: list[FieldError] = []
    if not column.name:
        errors.append(validation.required(f"{at}.name"))
    if column.type not in _COLUMN_TYPES:
        errors.append(validation.not_supported(f"{at}.type", column.type, _COLUMN_TYPES))
    if column.format not in _COLUMN_FORMATS:
        errors.append(validation.not_supported(f"{at}.format", column.format, _COLUMN_FORMATS[1:]))
    return errors + _path(f"{at}.jsonPath", column.json_path)


def _path(at: str, path: str) -> list[FieldError]:
    if not path:
        return [validation.required(at)]
    if not path.startswith("."):
        return [validation.invalid(at, path, "must be a simple json path starting with .")]
    return []


def _scale_path(at: str, path: str, roots: tuple[str, ...]) -> list[FieldError]:
    errors = _path(at, path)
    if not errors and (not path.startswith(roots) or "[" in path):
        wanted = " or ".join(f"{root[:-1]}" for root in roots)
        errors.append(
            validation.invalid(at, path, f"should be a json path under {wanted}, without brackets")
        )
    return errors


def _unchangeable(new: CustomResourceDefinition, old: CustomResourceDefinition) -> list[FieldError]:
    """Once objects may exist, what their addresses consist of stays."""
    pairs = (
        ("spec.group", new.spec.group, old.spec.group),
        ("spec.names.plural", new.spec.names.plural, old.spec.names.plural),
        ("spec.scope", new.spec.scope, old.spec.scope),
        ("spec.names.kind", new.spec.names.kind, old.spec.names.kind),
    )
    errors = [
        validation.invalid(at, now, "field is immutable") for at, now, was in pairs if now != was
    ]
    kept = {version.name for version in new.spec.versions}
    errors += [
        validation.invalid(
            f"status.storedVersions[{index}]",
            name,
            f"missing from spec.versions; {name} was previously a storage version, and must remain "
            "in spec.versions until a storage migration ensures no data remains persisted in "
            f"{name} and removes {name} from status.storedVersions",
        )
        for index, name in enumerate(old.status.stored_versions)
        if name not in kept and name in new.status.stored_versions
    ]
    return errors


def priority(version: str) -> tuple[int, int, int, str]:
    """Orders versions as discovery lists them: v2, v1, v1beta2, v1beta1, v1alpha1, others by name.

    >>> sorted(["v1alpha1", "foo", "v1", "v10", "v1beta1"], key=priority)
    ['v10', 'v1', 'v1beta1', 'v1alpha1', 'foo']
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), "")


DEFINITIONS: Kind[CustomResourceDefinition] = Kind(
    name="CustomResourceDefinition",
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    type=CustomResourceDefinition,
    is_namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    columns=(
        Column(
            "Created At",
            lambda definition, _: definition.metadata.creation_timestamp,
            type="date",
        ),
    ),
    defaults=defaults,
    validate=validate,
)
