"""`longshore explain`: what a field means, from the cluster's OpenAPI."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.resources import ResourceType
from orchestrator.cli.session import Session

DEPTH_MAX = 20
"""Of --recursive: schemas that hold themselves end there."""

WIDTH = 80


async def explain(session: Session, word: str, *, is_recursive: bool, api_version: str) -> None:
    """A kind, or a field of it: ``pods``, ``deploy.spec.strategy``."""
    types = await session.client.types()
    name, *fields = word.replace("/", ".").split(".")
    type = types.named(name)
    if api_version:
        type = types.of_kind(api_version, type.kind)
    schemas = await _schemas(session, type)
    schema = _of_kind(schemas, type)
    shown = f"{type.kind}"
    for field in fields:
        inner = schemas.properties(schema)
        if field not in inner:
            raise Refused(
                f'field "{field}" does not exist',
                hint=f"{shown} has {', '.join(sorted(inner)) or 'no fields'}",
            )
        schema, shown = inner[field], f"{shown}.{field}"
    said = session.screen.say
    if type.group:
        said(f"GROUP:      {type.group}")
    said(f"KIND:       {type.kind}\nVERSION:    {type.version}\n")
    if fields:
        said(f"FIELD: {fields[-1]} <{schemas.type_of(schema)}>\n")
    said("DESCRIPTION:")
    said(_wrapped(schemas.description(schema) or "<empty>", 4))
    properties = schemas.properties(schema)
    if properties:
        said("\nFIELDS:")
        for line in _fields(schemas, schema, is_recursive=is_recursive, depth=1):
            said(line)


class _Schemas:
    """OpenAPI's components, with references followed."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas

    def all(self) -> Mapping[str, Json]:
        return self._schemas

    def resolved(self, schema: Json) -> Json:
        """Behind ``$ref``, alone or in ``allOf``."""
        reference = self._reference(schema)
        return self._schemas.get(reference, {}) if reference else schema

    def properties(self, schema: Json) -> dict[str, Json]:
        """Of an object, or of what a list or a map holds."""
        found = self.resolved(schema)
        if found.get("type") == "array":
            return self.properties(found.get("items") or {})
        if found.get("properties"):
            return dict(found["properties"])
        inner = found.get("additionalProperties")
        return self.properties(inner) if isinstance(inner, dict) else {}

    def required(self, schema: Json) -> frozenset[str]:
        found = self.resolved(schema)
        if found.get("type") == "array":
            return self.required(found.get("items") or {})
        return frozenset(found.get("required") or ())

    def description(self, schema: Json) -> str:
        own = str(schema.get("description") or "")
        inner = str(self.resolved(schema).get("description") or "")
        if schema.get("type") == "array":
            inner = self.description(schema.get("items") or {})
        return "\n\n".join(dict.fromkeys(filter(None, (own, inner))))

    def type_of(self, schema: Json) -> str:
        """``string``, ``[]Container``, ``map[string]string``, ``DeploymentSpec``."""
        reference = self._reference(schema)
        if reference:
            return reference.rpartition(".")[2]
        kind = schema.get("type") or "Object"
        if kind == "array":
            return f"[]{self.type_of(schema.get('items') or {})}"
        inner = schema.get("additionalProperties")
        if kind == "object" and isinstance(inner, dict):
            return f"map[string]{self.type_of(inner)}"
        return "Object" if kind == "object" else str(kind)

    @staticmethod
    def _reference(schema: Json) -> str:
        parts: list[Any] = [schema, *(schema.get("allOf") or ())]
        return next((part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part), "")


async def _schemas(session: Session, type: ResourceType) -> _Schemas:
    index = await session.client.get("/openapi/v3")
    root = f"apis/{type.api_version}" if type.group else f"api/{type.version}"
    if root not in index["paths"]:
        raise Refused(f"the cluster does not document {type.api_version}")
    document = await session.client.get(f"/openapi/v3/{root}")
    return _Schemas(document["components"]["schemas"])


def _of_kind(schemas: _Schemas, type: ResourceType) -> Json:
    wanted = {"group": type.group, "version": type.version, "kind": type.kind}
    for schema in schemas.all().values():
        if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
            return schema
    raise Refused(f"the cluster does not document {type.kind}")


def _fields(schemas: _Schemas, schema: Json, *, is_recursive: bool, depth: int) -> Iterator[str]:
    indent, required = "  " * depth, schemas.required(schema)
    for name, field in sorted(schemas.properties(schema).items()):
        must = " -required-" if name in required else ""
        yield f"{indent}{name}\t<{schemas.type_of(field)}>{must}"
        if is_recursive:
            if depth < DEPTH_MAX:
                yield from _fields(schemas, field, is_recursive=True, depth=depth + 1)
        else:
            yield _wrapped(schemas.description(field) or "<no description>", 2 * depth + 2) + "\n"


def _wrapped(text: str, indent: int) -> str:
    paragraphs = text.split("\n\n")
    prefix = " " * indent
    return "\n\n".join(
        textwrap.fill(paragraph, WIDTH, initial_indent=prefix, subsequent_indent=prefix)
        for paragraph in paragraphs
    )
