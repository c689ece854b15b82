"""``pods/eviction``: a pod deleted at the request of somebody who takes no for an answer."""

from typing import Any

from aiohttp import web

from orchestrator.api import bodies, resources
from orchestrator.api.call import Call, answer
from orchestrator.api.errors import success
from proto.errors import BadRequest, FieldError, Invalid


async def evict(call: Call) -> web.Response:
    """The pod deleted, if its disruption budget allows it."""
    target = call.target
    options = _options(await bodies.read(call.request), target.name)
    await call.services.evictions.evict(
        target.namespace or "", target.name, **resources.options_of(options, call)
    )
    return await answer(call.request, success(), status=201)


def _options(body: dict[str, Any], pod: str) -> dict[str, Any]:
    """The DeleteOptions in an Eviction."""
    metadata = body.get("metadata") or {}
    if isinstance(metadata, dict) and metadata.get("name") not in (None, "", pod):
        raise BadRequest("name in URL does not match name in Eviction object")
    options = body.get("deleteOptions") or {}
    if not isinstance(options, dict):
        raise Invalid(
            "Eviction", pod, [FieldError("FieldValueInvalid", "deleteOptions", "is no object")]
        )
    return options
