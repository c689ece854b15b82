"""OpenAPI documents, generated from the kinds' structs.

kubectl validates nothing itself when it sees that the server takes ``fieldValidation``; it reads
the schemas for ``kubectl explain``. Version 3 has a document for each group's version; version 2
has one for all. kubectl 1.20 wants that as protobuf and skips what it does not find: it gets the
smallest document that it accepts.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from orchestrator.api.openapi import paths, schemas, v2
from proto import codec
from proto.kinds.kind import Kind

V2_PROTOBUF = bytes.fromhex("0a03322e30120a0a036c6162120376312e")
"""``swagger: "2.0"`` and an info; found out by trial with kubectl 1.20."""

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Without the ``@`` of the real one: kubectl cannot parse that."""

Kinds = tuple[Kind[Any], ...]
"""All kinds: `Registry.served`."""

DOCUMENTS_MAX = 128
"""Kept: twice as many as a cluster with many definitions has groups and versions."""

_INFO = {"title": "Longshore", "version": "v1"}


@lru_cache(maxsize=DOCUMENTS_MAX)
def document(group_version: str, kinds: Kinds) -> bytes:
    """The version 3 document of ``api/v1`` or ``apis/apps/v1``."""
    found, components = _content(kind for kind in kinds if _group_version(kind) == group_version)
    return codec.encode(
        {
            "openapi": "3.0.0",
            "info": _INFO,
            "paths": found,
            "components": {"schemas": components},
        }
    )


@lru_cache(maxsize=2)
def document_v2(kinds: Kinds) -> bytes:
    """The version 2 document of everything."""
    found, components = _content(kinds)
    return codec.encode(v2.document(_INFO, found, components))


def _content(served: Iterable[Kind[Any]]) -> tuple[dict[str, Any], schemas.Schemas]:
    """The paths and schemas of kinds."""
    components: schemas.Schemas = dict(schemas.COMMON)
    found: dict[str, Any] = {}
    for kind in served:
        schemas.add_kind(kind, components)
        found |= paths.of(f"/{_group_version(kind)}", kind, components)
    return found, components


def etag(group_version: str, kinds: Kinds) -> str:
    """Changes when the document does."""
    return hashlib.sha256(document(group_version, kinds)).hexdigest()[:32].upper()


def group_versions(kinds: Kinds) -> list[str]:
    """Every version 3 document there is."""
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
