"""Subresources: scale and binding."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from orchestrator.api import bodies, resources
from orchestrator.api.applying import Applying
from orchestrator.api.call import Call, answer
from orchestrator.api.errors import success
from orchestrator.core import managed_fields, scale
from orchestrator.core.managed_fields import Manager
from orchestrator.world import Entry
from proto import codec
from proto.errors import BadRequest, Conflict, Invalid
from proto.kinds import validation
from proto.kinds.kind import Column, Kind, ScalePaths
from proto.kinds.pod import Pod, age_cell
from proto.meta import Model, ObjectMeta, Resource


class ScaleSpec(Model, frozen=True, kw_only=True, omit_defaults=False):
    """How many are wanted."""

    replicas: int = 0


class ScaleStatus(Model, frozen=True, kw_only=True, omit_defaults=False):
    """How many there are, and the selector that finds them, as text."""

    replicas: int = 0
    selector: str = ""


class Scale(Resource, frozen=True, kw_only=True):
    """What every kind with a number of replicas can be seen as (autoscaling/v1)."""

    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


SCALES: Kind[Scale] = Kind(
    name="Scale",
    group="autoscaling",
    version="v1",
    plural="scales",
    singular="scale",
    type=Scale,
    columns=(
        Column("Desired", lambda scale, _: scale.spec.replicas, type="integer"),
        Column("Available", lambda scale, _: scale.status.replicas, type="integer"),
        Column("Age", age_cell),
    ),
)
"""How one is shown. Columns: Kubernetes, pkg/printers/internalversion, printScale."""


def scale_of(found: Any, paths: ScalePaths | None) -> Scale:
    """An object, as a Scale.

    Args:
        found: The object.
        paths: Of a custom kind's numbers.
    """
    meta: ObjectMeta = found.metadata
    numbers = scale.numbers(found, paths)
    return Scale(
        api_version=SCALES.api_version,
        kind=SCALES.name,
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=numbers.wanted),
        status=ScaleStatus(replicas=numbers.observed, selector=numbers.selector),
    )


async def get_scale(call: Call) -> web.Response:
    """The number of replicas."""
    found = resources.find(call)
    seen = Entry(SCALES, scale_of(found.object, call.target.kind.scale), found.version)
    return await answer(call.request, resources.shown(call, seen))


async def update_scale(call: Call) -> web.Response:
    """Another number of replicas."""
    body = await bodies.read(call.request)
    return await _rescale(call, lambda _document, _model: body)


async def patch_scale(call: Call) -> web.Response:
    """The same, by a patch or an apply."""
    if call.request.content_type == resources.APPLY_PATCH:
        applying = await Applying.read_scale(call)
        return await _modify(call, applying.to, applying.manager)
    return await _rescale(call, await resources.read_patch(call))


async def _rescale(call: Call, apply: resources.Patcher) -> web.Response:
    target = call.target

    def change(old: Any) -> Any:
        wanted = codec.decode(
            codec.encode(apply(resources.plain(scale_of(old, target.kind.scale)), Scale)), Scale
        )
        if wanted.metadata.name not in ("", target.name):
            raise BadRequest(
                f"the name of the object ({wanted.metadata.name}) does not match the name on the "
                f"URL ({target.name})"
            )
        if errors := validation.non_negative("spec.replicas", wanted.spec.replicas):
            raise Invalid("Scale", target.name, errors)
        paths = target.kind.scale
        return replace(
            scale.rescaled(old, wanted.spec.replicas, paths),
            metadata=replace(
                old.metadata,
                uid=wanted.metadata.uid,
                resource_version=wanted.metadata.resource_version,
            ),
        )

    return await _modify(call, change, call.manager(managed_fields.UPDATE))


async def _modify(call: Call, change: Callable[[Any], Any], manager: Manager) -> web.Response:
    target = call.target
    written = await call.services.verbs.modify(
        target.kind,
        target.namespace or "",
        target.name,
        change,
        subresource="scale",
        manager=manager,
        dry_run=call.query.is_dry_run,
    )
    return await answer(call.request, codec.encode(scale_of(written, target.kind.scale)))


async def bind(call: Call) -> web.Response:
    """A pod given to a node."""
    body = await bodies.read(call.request)
    node = _target_node(body, call.target.name)

    def change(pod: Pod) -> Pod:
        if pod.metadata.deletion_timestamp or pod.spec.node_name:
            why = "is being deleted" if pod.metadata.deletion_timestamp else "is already assigned"
            raise Conflict(
                f'Operation cannot be fulfilled on pods/binding "{pod.metadata.name}": pod '
                f"{pod.metadata.name} {why} to a node"
            )
        return replace(pod, spec=replace(pod.spec, node_name=node))

    await call.services.verbs.modify(
        call.target.kind,
        call.target.namespace or "",
        call.target.name,
        change,
        dry_run=call.query.is_dry_run,
    )
    return await answer(call.request, success(), status=201)


def _target_node(body: dict[str, Any], pod: str) -> str:
    target = body.get("target")
    name = target.get("name") if isinstance(target, dict) else None
    if not isinstance(name, str) or not name:
        raise Invalid("Binding", pod, [validation.required("target.name")])
    return name
