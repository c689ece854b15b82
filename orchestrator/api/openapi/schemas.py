"""Schemas of the structs, for ``kubectl explain`` and for clients that generate code."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec.inspect as look

from orchestrator.api import parts
from proto.kinds import ALL as BUILT_IN, autoscaler_metrics, metrics
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS
from proto.meta import ObjectMeta

Schemas = dict[str, Any]
"""By name."""

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
REFERENCE = "#/components/schemas/"

_COMMON_FIELDS = {
    "apiVersion": "The group and version of the kind, such as apps/v1.",
    "kind": "The kind of object, in CamelCase.",
    "metadata": "Name, labels, owners and other facts that every object has.",
    "spec": "What is wanted.",
    "status": "What there is. Written by the control plane.",
}

_PACKAGES = {
    ObjectMeta.__module__: META,
    autoscaler_metrics.__name__: "io.k8s.api.autoscaling.v2",
    parts.__name__: "io.k8s.api.autoscaling.v1",
    metrics.__name__: "io.k8s.metrics.pkg.apis.metrics.v1beta1",
}
"""Where Kubernetes has what is in these modules."""

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
"""By this name kubectl explain calls it."""

COMMON: Schemas = {
    INT_OR_STRING: {
        "description": "A number or a text: of ports a name, of shares a percentage.",
        "oneOf": [{"type": "integer", "format": "int32"}, {"type": "string"}],
    },
    f"{META}.Status": {
        "type": "object",
        "description": "What became of a request that is not answered with an object.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "status": {"type": "string", "description": "Success or Failure."},
            "message": {"type": "string"},
            "reason": {"type": "string", "description": "One word, such as NotFound."},
            "details": {"type": "object", "description": "What it is about; with causes."},
            "code": {"type": "integer", "format": "int32", "description": "HTTP status."},
        },
    },
    f"{META}.DeleteOptions": {
        "type": "object",
        "description": "How to delete.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "dryRun": {"type": "array", "items": {"type": "string"}},
            "gracePeriodSeconds": {"type": "integer", "format": "int64"},
            "orphanDependents": {"type": "boolean"},
            "preconditions": {
                "type": "object",
                "properties": {"resourceVersion": {"type": "string"}, "uid": {"type": "string"}},
            },
            "propagationPolicy": {
                "type": "string",
                "description": "Background, Foreground or Orphan.",
            },
        },
    },
    f"{META}.Patch": {"description": "A patch; what it looks like its content type says."},
}
"""What documents share and no struct holds."""


def reference(name: str) -> dict[str, Any]:
    """To a schema, by name."""
    return {"$ref": f"{REFERENCE}{name}"}


def name_of(model: type[Any]) -> str:
    """``io.k8s.api.apps.v1.Deployment``, as Kubernetes names it."""
    package = _PACKAGES.get(model.__module__)
    if package is None:
        home = next((k for k in BUILT_IN if k.type.__module__ == model.__module__), PODS)
        package = f"io.k8s.api.{home.group or 'core'}.{home.version}"
    return f"{package}.{model.__name__}"


def name_of_kind(kind: Kind[Any]) -> str:
    """The same of a kind; of a custom one ``com.example.v1.Boat``."""
    if kind.schema is None:
        return name_of(kind.type)
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.name))


def _declared(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a definition says of its objects, with what every object has."""
    metadata = {
        "description": _COMMON_FIELDS["metadata"],
        "allOf": [reference(name_of(ObjectMeta))],
    }
    common = {
        name: {"type": "string", "description": _COMMON_FIELDS[name]}
        for name in ("apiVersion", "kind")
    }
    properties = dict(schema.get("properties", {})) | common | {"metadata": metadata}
    return {**schema, "properties": properties}


def gvk(kind: Kind[Any]) -> dict[str, str]:
    """The kind, as the extension ``x-kubernetes-group-version-kind`` says it."""
    return {"group": kind.group, "version": kind.version, "kind": kind.name}


def add_kind(kind: Kind[Any], schemas: Schemas) -> None:
    """The schemas of a kind, of lists of it, and of everything in it."""
    name = name_of_kind(kind)
    if kind.schema is None:
        add(kind.type, schemas)
    else:
        add(ObjectMeta, schemas)
        schemas[name] = _declared(kind.schema)
    schemas[name]["x-kubernetes-group-version-kind"] = [gvk(kind)]
    schemas[f"{name}List"] = {
        "type": "object",
        "description": f"Objects of kind {kind.name}.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {
                    "continue": {"type": "string"},
                    "remainingItemCount": {"type": "integer", "format": "int64"},
                    "resourceVersion": {"type": "string"},
                },
            },
            "items": {"type": "array", "items": reference(name)},
        },
        "x-kubernetes-group-version-kind": [gvk(kind) | {"kind": f"{kind.name}List"}],
    }


def add(model: type[Any], schemas: Schemas) -> None:
    """The schemas of a struct and of those in it."""
    name = name_of(model)
    if name in schemas:
        return
    said = _COMMON_FIELDS | dict(_attribute_docs(model))
    fields = _fields(model)
    schemas[name] = schema = {
        "type": "object",
        "description": _description(model),
        "properties": {
            field.encode_name: _property(field.type, said.get(field.encode_name, ""))
            for field in fields
        },
    }
    if required := [field.encode_name for field in fields if field.required]:
        schema["required"] = required
    for field in fields:
        for inner in _models(field.type):
            add(inner, schemas)


def _fields(model: type[Any]) -> tuple[look.Field, ...]:
    found = look.type_info(model)
    assert isinstance(found, look.StructType)  # noqa: S101  models are structs
    return found.fields


def _models(value: look.Type) -> Iterator[type[Any]]:
    """The structs in a type."""
    match value:
        case look.StructType():
            yield value.cls
        case look.Metadata():
            yield from _models(value.type)
        case look.CollectionType():
            yield from _models(value.item_type)
        case look.UnionType():
            for choice in value.types:
                yield from _models(choice)
        case _:
            pass


def _property(value: look.Type, description: str) -> dict[str, Any]:
    found = _schema(value, description)
    extra = value.extra or {} if isinstance(value, look.Metadata) else {}
    if key := extra.get("merge_key"):
        found["x-kubernetes-patch-merge-key"] = key
    if key or extra.get("is_set"):
        found["x-kubernetes-patch-strategy"] = "merge"
    if extra.get("retain_keys"):
        found["x-kubernetes-patch-strategy"] = "merge,retainKeys" if key else "retainKeys"
    return found


def _schema(value: look.Type, description: str = "") -> dict[str, Any]:
    said = {"description": description} if description else {}
    match value:
        case look.Metadata():
            return _schema(value.type, description)
        case look.StructType():
            # kubectl explain follows a reference only from inside allOf.
            described = said or {"description": _description(value.cls)}
            return {**described, "allOf": [reference(name_of(value.cls))]}
        case look.CollectionType():
            items = _schema(value.item_type)
            if said:
                items.pop("description", None)  # kubectl explain prints both
            return {**said, "type": "array", "items": items}
        case look.DictType():
            return {**said, "type": "object", "additionalProperties": _schema(value.value_type)}
        case look.BoolType():
            return {**said, "type": "boolean"}
        case look.IntType():
            return {**said, "type": "integer", "format": "int32"}
        case look.StrType():
            return {**said, "type": "string"}
        case look.UnionType():
            return _choice([t for t in value.types if not isinstance(t, look.NoneType)], said)
        case look.FloatType():
            return {**said, "type": "number"}
        case _:
            return {**said, "type": "object"}


def _choice(choices: Sequence[look.Type], said: dict[str, Any]) -> dict[str, Any]:
    if len(choices) == 1:
        return _schema(choices[0], said.get("description", ""))
    if {type(choice) for choice in choices} == {look.IntType, look.StrType}:
        return {**said, "allOf": [reference(INT_OR_STRING)]}
    return {**said, "oneOf": [_schema(choice) for choice in choices]}


def _description(model: type[Any]) -> str:
    first = (inspect.getdoc(model) or "").partition("\n")[0]
    if first.startswith("See the module"):
        first = (sys.modules[model.__module__].__doc__ or "").partition("\n")[0]
    return first


def _attribute_docs(model: type[Any]) -> Iterator[tuple[str, str]]:
    """JSON name and text of what the docstring's Attributes section tells of."""
    _, _, section = (inspect.getdoc(model) or "").partition("Attributes:\n")
    names = {field.name: field.encode_name for field in _fields(model)}
    for found in re.finditer(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE):
        name, text = found.groups()
        if name in names:
            yield names[name], " ".join(text.replace("``", "").replace("`", "").split())
