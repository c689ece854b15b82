"""The body of a server-side apply, and what it makes of an object."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from orchestrator.api import bodies
from orchestrator.api.call import Call
from orchestrator.core import apply, fields, managed_fields, objects, schema
from proto import codec, manifest
from proto.errors import BadRequest, Conflict, Invalid
from proto.kinds import validation
from proto.meta import Resource

KUBECTL = "kubectl"
"""The manager that keeps client-side apply's annotation up to date, so that an operator can go back
to it. Source: apimachinery, lastappliedupdater.go."""


class Applying:
    """What one manager wants of one object.

    Attributes:
        kind: In its stored version: what is applied is put into that first.
        manager: Who it is.
        warnings: For the client.
    """

    def __init__(self, call: Call, body: Mapping[str, Any]) -> None:
        self.kind = call.target.kind.stored
        manager = call.manager(managed_fields.APPLY)
        self.manager = replace(manager, api_version=self.kind.api_version)
        self.warnings: list[str] = []
        self._call = call
        self._config = self._read_config(body)

    @classmethod
    async def read(cls, call: Call) -> "Applying":
        """From a request about an object, or its status.

        Raises:
            BadRequest: The body cannot be applied.
            Invalid: Nobody says who applies.
        """
        return cls(call, bodies.check_identity(call.target, await cls._read_body(call)))

    @classmethod
    async def read_scale(cls, call: Call) -> "Applying":
        """From a request about the scale of an object, whose number of replicas is then owned.

        Raises:
            BadRequest, Invalid: See `read`.
        """
        body = await cls._read_body(call)
        if (body.get("apiVersion"), body.get("kind")) != ("autoscaling/v1", "Scale"):
            raise BadRequest("only an autoscaling/v1 Scale can be applied to a scale")
        kind = call.target.kind
        of_object = {**body, "apiVersion": kind.api_version, "kind": kind.name}
        return cls(call, bodies.check_identity(call.target, of_object))

    @staticmethod
    async def _read_body(call: Call) -> dict[str, Any]:
        if not call.query.field_manager:
            required = validation.required("fieldManager", "is required for apply patch")
            raise Invalid("PatchOptions.meta.k8s.io", "", [required])
        documents = manifest.load_all(await bodies.read_bytes(call.request))
        if len(documents) != 1:
            raise BadRequest("the body of an apply must be one object")
        if not documents[0].get("kind"):
            raise BadRequest("Object 'Kind' is missing in the body of the request")
        return documents[0]

    def _read_config(self, body: Mapping[str, Any]) -> dict[str, Any]:
        kind = self._call.target.kind
        if body["metadata"].get("managedFields") is not None:
            raise BadRequest("metadata.managedFields must be nil")
        config, findings = fields.clean(kind, body)
        if self._call.query.validation == "Strict":
            fields.refuse_unknown(kind, findings)
        if self._call.query.validation == "Ignore":
            findings.unknown.clear()
        fields.refuse_unsupported(kind, config, findings)
        self.warnings += findings.warnings
        if kind.conversion is not None:
            found, _ = fields.parse(kind, body)
            config = objects.plain(kind.conversion.to_stored(found))
        return _part(config, self._call.target.subresource, has_status=kind.has_status)

    def to(self, old: Resource) -> Resource:
        """The object with the manager's wishes, and whose its fields are then.

        Raises:
            ApplyConflict: Others own fields with other values.
            BadRequest, Invalid: What comes out is no such object.
        """
        live = objects.plain(old)
        found, owners = self._applied(live, old)
        if self.manager.name == KUBECTL and apply.is_annotated(live):
            found = apply.with_annotation_of(found, self._config)
        return self._parsed(found, owners)

    def anew(self) -> Resource:
        """The object as it is to be made.

        Raises:
            Conflict: The manager means one that is there.
            BadRequest, Invalid: It is no such object.
        """
        meta = self._config["metadata"]
        if meta.get("uid") or meta.get("resourceVersion"):
            target = self._call.target
            raise Conflict(
                f'Operation cannot be fulfilled on {target.kind.resource} "{target.name}": '
                "the object to apply names a uid or a resourceVersion, and no such object was found"
            )
        return self._parsed(*self._applied({}, None))

    def _applied(self, live: Mapping[str, Any], old: Resource | None) -> tuple[dict[str, Any], Any]:
        call = self._call
        return managed_fields.applied(
            live,
            self._config,
            schema.of(self.kind),
            () if old is None else old.metadata.managed_fields,
            self.manager,
            force=call.query.is_forced,
            now_ms=call.services.clock(),
        )

    def _parsed(self, found: dict[str, Any], owners: Any) -> Resource:
        owned = {**found, "metadata": {**found["metadata"], "managedFields": _plain(owners)}}
        parsed: Resource
        parsed, _ = bodies.parse(self.kind, owned, "Ignore")
        return parsed


def _part(config: dict[str, Any], subresource: str, *, has_status: bool) -> dict[str, Any]:
    """What a subresource's writes may own. Source: Kubernetes, the kinds' GetResetFields."""
    if subresource:
        named = ("name", "namespace", "uid", "resourceVersion")
        metadata = {k: v for k, v in config["metadata"].items() if k in named}
        config = {**config, "metadata": metadata}
    if subresource == "status":
        return {k: v for k, v in config.items() if k != "spec"}
    if subresource == "scale":
        spec = config.get("spec")
        replicas = spec.get("replicas") if isinstance(spec, dict) else None
        identity = {k: v for k, v in config.items() if k in ("apiVersion", "kind", "metadata")}
        return identity if replicas is None else {**identity, "spec": {"replicas": replicas}}
    return {k: v for k, v in config.items() if k != "status" or not has_status}


def _plain(owners: Any) -> Any:
    return codec.decode_any(codec.encode(owners))
