"""Request bodies: bytes in one of three formats to plain JSON, and that to an object."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from orchestrator.api import protobuf
from orchestrator.api.errors import unsupported_media_type
from orchestrator.api.routes import Target
from orchestrator.core import fields
from proto import codec, manifest
from proto.errors import BadRequest
from proto.kinds.kind import Kind
from proto.meta import Resource

R = TypeVar("R", bound=Resource)

PROTOBUF = "application/vnd.kubernetes.protobuf"
_SUPPORTED = f"application/json, application/yaml, {PROTOBUF}"


async def read(request: web.Request) -> dict[str, Any]:
    """The object in the body; empty when there is none.

    Raises:
        BadRequest: It cannot be understood, or is no object.
        HttpError: 415 for a format that is not known.
    """
    body = await read_bytes(request)
    if not body.strip():
        return {}
    found = _decoded(request.content_type, body)
    if not isinstance(found, dict):
        raise BadRequest("the body of the request is not an object")
    return found


async def read_bytes(request: web.Request) -> bytes:
    """The body as it came.

    Raises:
        BadRequest: It is not encoded as its headers say.
    """
    try:
        return await request.read()
    except (web.RequestPayloadError, BadHttpMessage) as error:
        raise BadRequest(f"the body of the request cannot be read: {error}") from error


def _decoded(content_type: str, body: bytes) -> Any:
    match content_type:
        # Python's clients and curl leave the type out, or say it is just bytes.
        case "application/json" | "application/octet-stream" | "text/plain":
            return codec.decode_any(body)
        case "application/x-www-form-urlencoded" if body.lstrip()[:1] == b"{":
            return codec.decode_any(body)
        case "application/yaml" | "application/x-yaml" | "text/yaml":
            return manifest.load(body)
        case _ if content_type == PROTOBUF:
            return protobuf.decode(body)
        case _:
            raise unsupported_media_type(content_type, _SUPPORTED)


def check_identity(
    target: Target, body: dict[str, Any], kind: Kind[Any] | None = None
) -> dict[str, Any]:
    """The body with the kind, namespace and name of its URL, which it may leave out.

    Args:
        target: What the URL says.
        body: Plain JSON.
        kind: What it must be; None: the target's.

    Raises:
        BadRequest: It is of another kind, namespace or name than the URL.
    """
    kind = kind or target.kind
    name, version = body.get("kind") or kind.name, body.get("apiVersion") or kind.api_version
    if (name, version) != (kind.name, kind.api_version):
        raise BadRequest(
            f'{name} in version "{version}" cannot be handled as a {kind.name}: '
            f'expected "{kind.api_version}, Kind={kind.name}"'
        )
    metadata = {} if body.get("metadata") is None else body["metadata"]
    if not isinstance(metadata, dict):
        raise BadRequest("metadata is not an object")
    namespace = metadata.get("namespace") or target.namespace
    if target.kind.is_namespaced and namespace != target.namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata = metadata | ({"namespace": namespace} if namespace else {})
    if target.name and metadata.get("name", target.name) != target.name:
        raise BadRequest(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL "
            f"({target.name})"
        )
    if target.name:
        metadata["name"] = target.name
    return body | {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}


def parse(kind: Kind[R], body: Mapping[str, Any], validation: str) -> tuple[R, Sequence[str]]:
    """The object in a body, and what its writer should be warned of.

    Args:
        kind: Of the object.
        body: Plain JSON.
        validation: ``Strict``, ``Warn`` or ``Ignore``: what becomes of unknown fields.

    Raises:
        BadRequest: A field has the wrong type, or is unknown and may not be.
        Invalid: It sets fields that are not supported and would change what runs.
    """
    found, findings = fields.parse(kind, body)
    if validation == "Strict":
        fields.refuse_unknown(kind, findings)
    if validation == "Ignore":
        findings.unknown.clear()
    return found, findings.warnings
