"""Paths and operations of a kind, as version 3 documents say them."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.api import parts, routes
from orchestrator.api.openapi.schemas import (
    META,
    Schemas,
    add,
    gvk,
    name_of,
    name_of_kind,
    reference,
)
from proto.kinds.kind import Kind
from proto.kinds.token import TokenRequest

JSON = "application/json"
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_DRY_RUN = {"type": "string", "enum": ["All"]}

_SELECT = {"labelSelector": _TEXT, "fieldSelector": _TEXT}
_LIST = _SELECT | {
    "limit": _NUMBER,
    "continue": _TEXT,
    "resourceVersion": _TEXT,
    "resourceVersionMatch": {"type": "string", "enum": ["Exact", "NotOlderThan"]},
    "watch": _FLAG,
    "timeoutSeconds": _NUMBER,
    "allowWatchBookmarks": _FLAG,
    "sendInitialEvents": _FLAG,
}
_WRITE = {
    "dryRun": _DRY_RUN,
    "fieldManager": _TEXT,
    "fieldValidation": {"type": "string", "enum": ["Ignore", "Strict", "Warn"]},
}
_DELETE = {
    "dryRun": _DRY_RUN,
    "gracePeriodSeconds": _NUMBER,
    "propagationPolicy": {"type": "string", "enum": ["Background", "Foreground", "Orphan"]},
}
_CONSOLE = {
    "command": {"type": "array", "items": _TEXT},
    "container": _TEXT,
    "stdin": _FLAG,
    "stdout": _FLAG,
    "stderr": _FLAG,
    "tty": _FLAG,
}
_LOG = {
    "container": _TEXT,
    "follow": _FLAG,
    "limitBytes": _NUMBER,
    "previous": _FLAG,
    "sinceSeconds": _NUMBER,
    "sinceTime": _TEXT,
    "tailLines": _NUMBER,
    "timestamps": _FLAG,
}
_CONNECT: Mapping[str, Mapping[str, Any]] = {
    "log": _LOG,
    "exec": _CONSOLE,
    "attach": {name: schema for name, schema in _CONSOLE.items() if name != "command"},
    "portforward": {"ports": {"type": "array", "items": {"type": "integer"}}},
}
"""Parameters of the parts that are talked to instead of read or written."""

_METHODS = {"get": "get", "create": "post", "update": "put", "patch": "patch"}
_WORDS = {"post": "create", "put": "replace"}


def of(base: str, kind: Kind[Any], schemas: Schemas) -> dict[str, Any]:
    """Every path of a kind.

    Args:
        base: ``/api/v1`` or ``/apis/<group>/<version>``.
        kind: What is served there.
        schemas: Where those that only parts of it have are added.
    """
    about = _About(kind)
    inside = f"{base}/namespaces/{{namespace}}" if kind.is_namespaced else base
    collection = f"{inside}/{kind.plural}"
    found = {
        collection: _path(
            about.parameters,
            get=about.list_(),
            post=about.write("post", "", about.schema),
            delete=about.delete_collection(),
        ),
        f"{collection}/{{name}}": _path(
            [*about.parameters, _in_path("name")],
            get=about.read("", about.schema),
            put=about.write("put", "", about.schema),
            patch=about.patch("", about.schema),
            delete=about.delete(),
        ),
    }
    if kind.is_namespaced:
        found[f"{base}/{kind.plural}"] = _path([], get=about.list_(is_everywhere=True))
    for name, verbs in routes.subresources(kind).items():
        found[f"{collection}/{{name}}/{name}"] = _path(
            [*about.parameters, _in_path("name")], **about.part(name, verbs, schemas)
        )
    return found


def _path(parameters: list[dict[str, Any]], **operations: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": parameters, **operations} if parameters else operations


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


class _About:
    """The operations of one kind."""

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.schema = reference(name_of_kind(kind))
        self.parameters = [_in_path("namespace")] if kind.is_namespaced else []
        group = "".join(
            part.title() for part in (kind.group or "core").removesuffix(".k8s.io").split(".")
        )
        self._place = f"{group}{kind.version.title()}"
        self._what = f"{'Namespaced' if kind.is_namespaced else ''}{kind.name}"
        self._tag = f"{group[:1].lower()}{group[1:]}_{kind.version}"

    def list_(self, *, is_everywhere: bool = False) -> dict[str, Any]:
        """Of a namespace, or of all."""
        what = f"{self.kind.name}ForAllNamespaces" if is_everywhere else self._what
        found = reference(f"{name_of_kind(self.kind)}List")
        return self._operation(f"list{self._place}{what}", "list", _LIST, found)

    def delete_collection(self) -> dict[str, Any]:
        """Of whatever the selectors let through."""
        return self._operation(
            f"delete{self._place}Collection{self._what}",
            "deletecollection",
            _SELECT | _DELETE,
            reference(f"{META}.Status"),
            body=_body([JSON], reference(f"{META}.DeleteOptions"), is_required=False),
        )

    def delete(self) -> dict[str, Any]:
        """Of one object: it while it is still there, a Status once it is gone."""
        return self._operation(
            f"delete{self._place}{self._what}",
            "delete",
            _DELETE,
            {"anyOf": [self.schema, reference(f"{META}.Status")]},
            body=_body([JSON], reference(f"{META}.DeleteOptions"), is_required=False),
        )

    def read(self, part: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Of an object, or a part of it."""
        return self._operation(f"read{self._place}{self._what}{part}", "get", {}, schema)

    def write(self, method: str, part: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Of a whole object, or of a part of it."""
        return self._operation(
            f"{_WORDS[method]}{self._place}{self._what}{part}",
            method,
            _WRITE,
            schema,
            body=_body([JSON, "application/yaml"], schema),
        )

    def patch(self, part: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """In any of the ways there are."""
        return self._operation(
            f"patch{self._place}{self._what}{part}",
            "patch",
            _WRITE | {"force": _FLAG},
            schema,
            body=_body(
                _PATCHES if self.kind.schema is None else _PATCHES[:2], reference(f"{META}.Patch")
            ),
        )

    def part(self, name: str, verbs: Iterable[str], schemas: Schemas) -> dict[str, dict[str, Any]]:
        """The operations of a subresource."""
        title = name.title()
        if name in _CONNECT:
            return {
                _METHODS[verb]: self._operation(
                    f"connect{self._place}{_METHODS[verb].title()}{self._what}{title}",
                    "connect",
                    _CONNECT[name],
                    _TEXT,
                    produces="text/plain",
                )
                for verb in verbs
            }
        schema: Mapping[str, Any] = self.schema
        if name == "scale":
            add(parts.Scale, schemas)
            schema = reference(name_of(parts.Scale))
        elif name == "token":
            add(TokenRequest, schemas)
            schema = reference(name_of(TokenRequest))
        elif name in ("binding", "eviction"):
            schema = {"type": "object"}
        found = {}
        for method in (_METHODS[verb] for verb in verbs):
            if method == "get":
                found[method] = self.read(title, schema)
            elif method == "patch":
                found[method] = self.patch(title, schema)
            else:
                found[method] = self.write(method, title, schema)
        return found

    def _operation(
        self,
        name: str,
        action: str,
        asked: Mapping[str, Any],
        answered: Mapping[str, Any],
        *,
        body: Mapping[str, Any] | None = None,
        produces: str = JSON,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "operationId": name,
            "tags": [self._tag],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(self.kind),
            "parameters": [
                {"name": name, "in": "query", "schema": schema} for name, schema in asked.items()
            ],
            "responses": {
                _status(action): {
                    "description": "Done, or what is asked for.",
                    "content": {produces: {"schema": answered}},
                },
                "default": {
                    "description": "Refused; the Status says why.",
                    "content": {JSON: {"schema": reference(f"{META}.Status")}},
                },
            },
        }
        if body is not None:
            found["requestBody"] = body
        return found


def _body(
    types: Iterable[str], schema: Mapping[str, Any], *, is_required: bool = True
) -> dict[str, Any]:
    return {"required": is_required, "content": {type_: {"schema": schema} for type_ in types}}


def _status(action: str) -> str:
    return "201" if action == "post" else "200"
