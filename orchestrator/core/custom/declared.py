"""From a CustomResourceDefinition to the kinds it declares."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from orchestrator.core.custom import check, columns, structure
from proto import codec
from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.definition import (
    ESTABLISHED,
    CustomResourceDefinition,
    Subresources,
    Version,
    storage_version,
)
from proto.kinds.kind import Conversion, Kind, ScalePaths
from proto.meta import CustomResource, is_true


def kinds(definition: CustomResourceDefinition) -> tuple[Kind[CustomResource], ...]:
    """The version that objects are kept in, then the others that are served.

    None before the definition is established.

    Raises:
        ValueError: A schema, or a path in one, cannot be understood.
    """
    if not is_true(definition.status.conditions, ESTABLISHED):
        return ()
    name = storage_version(definition)
    (kept,) = (kind_of(definition, v) for v in definition.spec.versions if v.name == name)
    others = (v for v in definition.spec.versions if v.served and v.name != name)
    return (kept, *(kind_of(definition, version, kept) for version in others))


def _conversion(stored: Kind[CustomResource], group: str, version: Version) -> Conversion:
    """What the other version does not have is left out, and defaults are filled in when read.

    This is the conversion strategy ``None``. Source: apiextensions-apiserver, pkg/apiserver/
    conversion/nop_converter.go, and the pruning and defaulting that follow it.
    """
    schema = version.schema.open_api_v3_schema if version.schema else {}

    def to_stored(found: CustomResource) -> CustomResource:
        content = structure.pruned(found.content, stored.schema or {}, "", [])
        return replace(found, api_version=stored.api_version).with_content(content)

    def from_stored(found: CustomResource) -> CustomResource:
        content = structure.defaulted(structure.pruned(found.content, schema, "", []), schema)
        return replace(found, api_version=f"{group}/{version.name}").with_content(content)

    return Conversion(stored, to_stored, from_stored)


def facts(definition: CustomResourceDefinition | None) -> object:
    """What the served kinds follow from; None when there are none."""
    if definition is None or not is_true(definition.status.conditions, ESTABLISHED):
        return None
    return definition.spec, definition.status.accepted_names


def kind_of(
    definition: CustomResourceDefinition,
    version: Version,
    stored: Kind[CustomResource] | None = None,
) -> Kind[CustomResource]:
    """One version, as a kind; with the version that its objects are kept in, if it is another.

    Raises:
        ValueError: Its schema, or a path in it, cannot be understood.
    """
    spec = definition.spec
    names = definition.status.accepted_names or spec.names
    schema = version.schema.open_api_v3_schema if version.schema else {}
    parts = version.subresources or Subresources()
    return Kind(
        name=names.kind,
        group=spec.group,
        version=version.name,
        plural=names.plural,
        singular=names.singular,
        type=CustomResource,
        is_namespaced=spec.scope == "Namespaced",
        short_names=names.short_names,
        categories=names.categories,
        columns=tuple(
            columns.column(column)
            for column in version.additional_printer_columns or (columns.AGE,)
        ),
        defaults=_defaults(schema),
        validate=_validate(schema),
        fields={
            found.json_path.removeprefix("."): _field(found.json_path)
            for found in version.selectable_fields
        },
        has_status=parts.status is not None,
        has_scale=parts.scale is not None,
        scale=None
        if parts.scale is None
        else ScalePaths(
            _steps(parts.scale.spec_replicas_path),
            _steps(parts.scale.status_replicas_path),
            _steps(parts.scale.label_selector_path),
        ),
        schema=schema,
        conversion=None if stored is None else _conversion(stored, spec.group, version),
        is_served=version.served,
        deprecation=_deprecation(definition, version),
    )


def _deprecation(definition: CustomResourceDefinition, version: Version) -> str:
    if not version.deprecated:
        return ""
    spec = definition.spec
    said = f"{spec.group}/{version.name} {spec.names.kind} is deprecated"
    return version.deprecation_warning or said


def mistakes(definition: CustomResourceDefinition) -> Iterator[FieldError]:
    """Where a schema or a path cannot be understood though its form is right."""
    for index, version in enumerate(definition.spec.versions):
        at = f"spec.versions[{index}]"
        wrong = list(_wrong_columns(version, f"{at}.additionalPrinterColumns"))
        yield from wrong
        if wrong:
            continue
        try:
            kind_of(definition, version)
        except ValueError as error:
            said = str(error).partition("\n")[0]
            yield FieldError("FieldValueInvalid", at, f"Invalid value: {said}")
        else:
            schema = version.schema.open_api_v3_schema if version.schema else {}
            yield from _wrong_defaults(schema, f"{at}.schema.openAPIV3Schema")


def _wrong_defaults(schema: structure.Schema, path: str) -> Iterator[FieldError]:
    """Defaults that their own schemas refuse: no object could be made that leaves them to it."""
    if "default" in schema:
        default, unknown = schema["default"], list[str]()
        structure.pruned(default, schema, "", unknown)
        why = [f"unknown field {name}" for name in unknown]
        why += [error.message for error in check.compile_(schema)(default)]
        if why:
            yield validation.invalid(f"{path}.default", default, "; ".join(why))
    for name, inner in schema.get("properties", {}).items():
        yield from _wrong_defaults(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _wrong_defaults(schema[name], f"{path}.{name}")


def _wrong_columns(version: Version, path: str) -> Iterator[FieldError]:
    for index, column in enumerate(version.additional_printer_columns):
        try:
            columns.finder(column.json_path)
        except ValueError as error:
            yield validation.invalid(f"{path}[{index}].jsonPath", column.json_path, str(error))


def unsupported(definition: CustomResourceDefinition) -> Iterator[str]:
    """What of its schemas is stored and not acted on."""
    for index, version in enumerate(definition.spec.versions):
        if version.schema and _has_rules(version.schema.open_api_v3_schema):
            yield (
                f"spec.versions[{index}].schema: x-kubernetes-validations: ignored: Longshore does "
                "not evaluate CEL rules"
            )


def _has_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        return "x-kubernetes-validations" in schema or any(map(_has_rules, schema.values()))
    return isinstance(schema, list) and any(map(_has_rules, schema))


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split(".")) if path else ()


def _field(path: str) -> Callable[[CustomResource], str]:
    find = columns.finder(path)

    def read(found: CustomResource) -> str:
        value = find(found)
        if value is None:
            return ""
        return value if isinstance(value, str) else codec.encode(value).decode()

    return read


def _defaults(schema: structure.Schema) -> Callable[[CustomResource], CustomResource]:
    def defaults(found: CustomResource) -> CustomResource:
        return found.with_content(structure.defaulted(found.content, schema))

    return defaults


def _validate(
    schema: structure.Schema,
) -> Callable[[CustomResource, CustomResource | None], list[FieldError]]:
    compiled = check.compile_(schema)

    def validate(new: CustomResource, _old: CustomResource | None) -> list[FieldError]:
        return compiled(codec.decode_any(codec.encode(new)))

    return validate
