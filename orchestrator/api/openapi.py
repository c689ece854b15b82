"""OpenAPI documents, generated from the kinds' structs.

kubectl validates nothing itself when it sees that the server takes ``fieldValidation``; it reads
the schemas for ``kubectl explain``. Version 2 exists only as the smallest document that kubectl
1.20 accepts: it asks for protobuf and skips what it does not find.
"""

import hashlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec.inspect as look

from orchestrator.api import routes
from proto import codec
from proto.kinds import ALL as BUILT_IN
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS
from proto.meta import ObjectMeta

V2_PROTOBUF = bytes.fromhex("0a03322e30120a0a036c6162120376312e")
"""``swagger: "2.0"`` and an info; found out by trial with kubectl 1.20."""

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Without the ``@`` of the real one: kubectl cannot parse that."""

Kinds = tuple[Kind[Any], ...]
"""All kinds: `Registry.all`."""

DOCUMENTS_MAX = 128
"""Kept: twice as many as a cluster with many definitions has groups and versions."""

_COMMON_FIELDS = {
    "apiVersion": "The group and version of the kind, such as apps/v1.",
    "kind": "The kind of object, in CamelCase.",
    "metadata": "Name, labels, owners and other facts that every object has.",
    "spec": "What is wanted.",
    "status": "What there is. Written by the control plane.",
}


@lru_cache(maxsize=DOCUMENTS_MAX)
def document(group_version: str, kinds: Kinds) -> bytes:
    """The document of ``api/v1`` or ``apis/apps/v1``."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in kinds:
        if _group_version(kind) == group_version:
            paths |= _paths(kind)
            _add_schema(kind.type, schemas)
            schemas[_name(kind.type)]["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    return codec.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Longshore", "version": "v1"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def etag(group_version: str, kinds: Kinds) -> str:
    """Changes when the document does."""
    return hashlib.sha256(document(group_version, kinds)).hexdigest()[:32].upper()


def group_versions(kinds: Kinds) -> list[str]:
    """Every document there is."""
    return list(dict.fromkeys(_group_version(kind) for kind in kinds))


@lru_cache(maxsize=2)
def index(kinds: Kinds) -> bytes:
    """The list of documents; the hash makes each cacheable for good."""
    return codec.encode(
        {
            "paths": {
                found: {"serverRelativeURL": f"/openapi/v3/{found}?hash={etag(found, kinds)}"}
                for found in group_versions(kinds)
            }
        }
    )


def _group_version(kind: Kind[Any]) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _gvk(kind: Kind[Any]) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.name}


def _paths(kind: Kind[Any]) -> dict[str, Any]:
    base = f"/{_group_version(kind)}"
    inside = f"{base}/namespaces/{{namespace}}" if kind.is_namespaced else base
    collection = f"{inside}/{kind.plural}"
    found = {
        collection: _operations(kind, get="list", post="post", delete="deletecollection"),
        f"{collection}/{{name}}": _operations(
            kind, get="get", put="put", patch="patch", delete="delete"
        ),
    }
    for name in routes.subresources(kind):
        found[f"{collection}/{{name}}/{name}"] = _operations(kind, get="get")
    return found


def _operations(kind: Kind[Any], **actions: str) -> dict[str, Any]:
    return {method: _operation(kind, method, action) for method, action in actions.items()}


def _operation(kind: Kind[Any], method: str, action: str) -> dict[str, Any]:
    asked = (
        ("fieldManager", "fieldValidation", "dryRun") if method in ("post", "put", "patch") else ()
    )
    schema = {"$ref": f"#/components/schemas/{_name(kind.type)}"}
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in asked
        ],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}}
        },
    }


def _name(model: type[Any]) -> str:
    """``io.k8s.api.apps.v1.Deployment``, as Kubernetes names it."""
    if model.__module__ == ObjectMeta.__module__:
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{model.__name__}"
    home = next((k for k in BUILT_IN if k.type.__module__ == model.__module__), PODS)
    return f"io.k8s.api.{home.group or 'core'}.{home.version}.{model.__name__}"


def _add_schema(model: type[Any], schemas: dict[str, Any]) -> None:
    name = _name(model)
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
            _add_schema(inner, schemas)


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
        found["x-kubernetes-patch-strategy"] = "retainKeys"
    return found


def _schema(value: look.Type, description: str = "") -> dict[str, Any]:
    said = {"description": description} if description else {}
    match value:
        case look.Metadata():
            return _schema(value.type, description)
        case look.StructType():
            # kubectl explain follows a reference only from inside allOf.
            reference = {"$ref": f"#/components/schemas/{_name(value.cls)}"}
            return {**(said or {"description": _description(value.cls)}), "allOf": [reference]}
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
            choices = [t for t in value.types if not isinstance(t, look.NoneType)]
            if len(choices) == 1:
                return _schema(choices[0], description)
            return {**said, "oneOf": [_schema(choice) for choice in choices]}
        case look.FloatType():
            return {**said, "type": "number"}
        case _:
            return {**said, "type": "object"}


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
