"""``serviceaccounts/token``: a token for a service account (`kubectl create token`)."""

from aiohttp import web
from msgspec.structs import replace

from orchestrator.api import bodies, resources
from orchestrator.api.call import Call, answer
from orchestrator.core.tokens import BINDABLE, EXPIRATION_MAX_S, ISSUER
from proto.errors import BadRequest, Conflict, Invalid, NotFound
from proto.kinds.token import (
    TOKEN_REQUESTS,
    BoundObjectReference,
    TokenRequestStatus,
)
from proto.meta import ObjectMeta, Resource, format_time


async def issue(call: Call) -> web.Response:
    """The request, with the token that it asks for."""
    account = resources.find(call).object
    body = bodies.check_identity(call.target, await bodies.read(call.request), TOKEN_REQUESTS)
    request, warnings = bodies.parse(TOKEN_REQUESTS, body, call.query.validation)
    request = TOKEN_REQUESTS.defaults(request)
    if errors := TOKEN_REQUESTS.validate(request, None):
        raise Invalid(TOKEN_REQUESTS.name, account.metadata.name, errors)
    spec = request.spec
    bound = None if spec.bound_object_ref is None else _bound(call, spec.bound_object_ref)
    seconds = spec.expiration_seconds or 0
    if seconds > EXPIRATION_MAX_S:
        said = f"requested expiration of {seconds} seconds shortened to {EXPIRATION_MAX_S} seconds"
        warnings = [*warnings, said]
        seconds = EXPIRATION_MAX_S
    now_ms = call.services.clock()
    token = await call.services.tokens.issue(account, bound, spec.audiences, seconds, now_ms)
    meta = account.metadata
    answered = replace(
        request,
        metadata=ObjectMeta(
            name=meta.name, namespace=meta.namespace, creation_timestamp=format_time(now_ms)
        ),
        spec=replace(spec, audiences=spec.audiences or (ISSUER,), expiration_seconds=seconds),
        status=TokenRequestStatus(
            token=token, expiration_timestamp=format_time(now_ms + seconds * 1000)
        ),
    )
    return await answer(call.request, answered, status=201, warnings=warnings)


def _bound(call: Call, wanted: BoundObjectReference) -> Resource:
    """The object that the token should end with."""
    kind = BINDABLE.get(wanted.kind)
    if kind is None or wanted.api_version not in ("", kind.api_version):
        raise BadRequest(
            f"cannot bind token to object of type {wanted.api_version}, Kind={wanted.kind}: only "
            "to a v1 Pod or a v1 Secret"
        )
    found: Resource | None = call.services.world.get(kind, call.target.namespace or "", wanted.name)
    if found is None:
        raise NotFound(f'{kind.resource} "{wanted.name}" not found')
    if wanted.uid not in ("", found.metadata.uid):
        raise Conflict(
            f'Operation cannot be fulfilled on {kind.name} "{wanted.name}": the UID in the bound '
            f"object reference ({wanted.uid}) does not match the UID in record. The object might "
            "have been deleted and then recreated"
        )
    return found
