"""Deploy by message: a manifest published on ``longshore.v1.deploy.<namespace>`` is applied once.

All objects of a manifest are written in one transaction, together with the outcome under the
message's id; so a message that comes again (the publisher repeats it, the queue redelivers it after
a crash) finds that outcome and changes nothing. Only then the publisher is answered and the message
taken off the queue. A message the control plane cannot take goes to a dead-letter subject, with the
reason.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from orchestrator.core import apply, fields, objects
from orchestrator.core.managed_fields import UPDATE, Manager
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Op, Writer
from orchestrator.store import Put, Store, keys
from orchestrator.world import World
from proto import codec, manifest, subjects
from proto.bus import MESSAGE_ID_HEADER, Bus, Delivery
from proto.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    LongshoreError,
    NotFound,
    Rejected,
    Retryable,
    Unavailable,
)
from proto.kinds.event import EVENTS
from proto.kinds.kind import Kind
from proto.messages import DeployOutcome

log = structlog.get_logger()

MANAGER = "longshore-deploy"
"""Whose fields are those that deploy events set."""

REASON_HEADER = "Longshore-Reason"

OBJECTS_MAX = 100
"""In one manifest: they share a transaction (see `store.TXN_OPS_MAX`) with the outcome."""

OUTCOME_TTL_S = 24 * 3600
"""How long a message id is remembered: as long as the queue keeps messages."""

LEASE_RENEWED_S = 3600.0
"""Outcomes of one hour share a lease, so that there are few."""

RETRY_S = 0.5
"""Before a message that met a store or a bus in trouble is tried again."""


class _Applied(Struct, frozen=True):
    """One object of a manifest: the write it needs, the line that says so, what it ignores."""

    op: Op | None
    verb: str
    line: str
    warnings: tuple[str, ...]


class Deploys:
    """See the module."""

    def __init__(self, world: World, writer: Writer, verbs: Verbs, store: Store, bus: Bus) -> None:
        self._world = world
        self._writer = writer
        self._verbs = verbs
        self._store = store
        self._bus = bus
        self._lease = 0
        self._lease_until = 0.0
        self.rejected = 0

    async def run(self) -> None:
        """Take messages for one term, until cancelled."""
        self._lease_until = 0.0
        while True:
            try:
                intake = await self._bus.intake(
                    subjects.DEPLOY_STREAM, subjects.deploy(subjects.ANY)
                )
            except Unavailable as error:
                log.warning("deploy.intake_unavailable", error=str(error))
                await asyncio.sleep(RETRY_S * 10)
                continue
            try:
                while True:
                    await self._take(await intake.get())
            except Unavailable as error:
                log.warning("deploy.intake_lost", error=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                await intake.close()

    async def _take(self, delivery: Delivery) -> None:
        """Apply one message, however long the store takes to answer."""
        outcome = None
        while outcome is None:
            try:
                outcome = await self._outcome(delivery)
            except Retryable as error:
                if self._writer.epoch is None:
                    raise
                self._lease_until = 0.0  # it may be the lease that has gone
                log.info("deploy.retried", subject=delivery.envelope.subject, error=str(error))
                await asyncio.sleep(RETRY_S)
        await self._answer(delivery, outcome)
        await delivery.ack()

    async def _answer(self, delivery: Delivery, outcome: DeployOutcome) -> None:
        envelope = delivery.envelope
        log.info(
            "deploy.handled",
            subject=envelope.subject,
            outcome=outcome.outcome,
            objects=outcome.objects,
            reason=outcome.reason,
        )
        try:
            if outcome.outcome == "rejected":
                self.rejected += 1
                namespace = subjects.namespace_of_deploy(envelope.subject)
                await self._bus.publish(
                    subjects.deploy_rejected(namespace),
                    envelope.payload,
                    headers={**envelope.headers, REASON_HEADER: _one_line(outcome.reason)},
                )
            await delivery.answer(codec.encode(outcome))
        except Unavailable as error:  # the publisher asks again, and finds the outcome
            log.info("deploy.unanswered", error=str(error))

    async def _outcome(self, delivery: Delivery) -> DeployOutcome:
        envelope = delivery.envelope
        namespace = subjects.namespace_of_deploy(envelope.subject)
        id_ = envelope.headers.get(MESSAGE_ID_HEADER) or f"delivery {delivery.id}"
        key = keys.deploy(namespace, hashlib.sha256(id_.encode()).hexdigest())
        known = await self._store.get(key)
        if known is not None:
            return replace(codec.decode(known.value, DeployOutcome), is_duplicate=True)
        lease = await self._current_lease()
        try:
            # From here to the queue nothing is awaited: no namespace goes between plan and write.
            applied = self._planned(namespace, envelope.payload)
            outcome = _summary(applied)
            ops = [found.op for found in applied if found.op is not None]
            await self._commit(ops, Put(key, codec.encode(outcome), lease))
        except Rejected as error:
            return DeployOutcome(outcome="rejected", reason=str(error))
        return outcome

    async def _commit(self, ops: Sequence[Op], record: Put) -> None:
        try:
            await self._writer.commit(ops, (record,))
        except (AlreadyExists, NotFound) as error:  # since the plan was made: plan afresh
            raise Conflict(str(error)) from error

    def _planned(self, namespace: str, payload: bytes) -> list[_Applied]:
        try:
            return self._plan(namespace, payload)
        except LongshoreError:
            raise
        except Exception as error:
            # It would come again and end every leader in turn: set it aside, loudly.
            log.exception("deploy.failed", namespace=namespace)
            raise BadRequest(f"the manifest cannot be handled: {error!r}") from error

    def _plan(self, namespace: str, payload: bytes) -> list[_Applied]:
        documents = [doc for found in manifest.load_all(payload) for doc in _items(found)]
        if not documents:
            raise BadRequest("the message holds no manifest: publish YAML or JSON")
        if len(documents) > OBJECTS_MAX:
            raise BadRequest(f"{len(documents)} objects; publish at most {OBJECTS_MAX} at once")
        applied = [self._apply(namespace, document) for document in documents]
        named = [found.op and (found.op.kind, found.op.name) for found in applied]
        twice = next((name for name in named if name and named.count(name) > 1), None)
        if twice is not None:
            raise BadRequest(f"{twice[0].resource}/{twice[1]} is in the manifest twice")
        return applied

    def _apply(self, namespace: str, document: dict[str, Any]) -> _Applied:
        kind = self._kind_of(document)
        document = _placed(document, kind, namespace)
        name = document["metadata"].get("name")
        if not isinstance(name, str) or not name:
            raise BadRequest(f"{kind.name}: metadata.name: Required value")
        found, findings = fields.parse(kind, document)  # what it says must stand on its own
        fields.refuse_unknown(kind, findings)
        if (version := kind.conversion) is not None:
            kind, document = version.kind, objects.plain(version.to_stored(found))
        warnings = tuple(f"{_called(kind)}/{name}: {said}" for said in findings.warnings)
        manager = Manager(MANAGER, UPDATE, kind.api_version)
        old = self._world.get(kind, namespace, name)
        if old is None:
            new, _ = fields.parse(kind, apply.with_annotation(document))
            found = self._verbs.prepared(kind, new, manager=manager)
            op: Op | None = Op(kind, namespace, name, found, expect="")
            return _Applied(op, "created", f"{_called(kind)}/{name} created", warnings)
        merged, _ = fields.parse(kind, apply.apply(kind, objects.plain(old), document))
        op = self._verbs.update_op(kind, merged, manager=manager)
        verb = "unchanged" if op is None else "configured"
        return _Applied(op, verb, f"{_called(kind)}/{name} {verb}", warnings)

    def _kind_of(self, document: dict[str, Any]) -> Kind[Any]:
        api_version, name = document.get("apiVersion"), document.get("kind")
        if not isinstance(api_version, str) or not isinstance(name, str):
            raise BadRequest("apiVersion and kind: Required value")
        kind = self._world.kinds.find(api_version, name)
        if kind is None or kind is EVENTS:
            raise BadRequest(f'no matches for kind "{name}" in version "{api_version}"')
        if not kind.is_namespaced:
            raise BadRequest(f"{name}: only objects of a namespace can be deployed by message")
        return kind

    async def _current_lease(self) -> int:
        """The lease of outcomes stored now."""
        now = asyncio.get_running_loop().time()
        if now >= self._lease_until:
            self._lease = await self._store.grant(OUTCOME_TTL_S)
            self._lease_until = now + LEASE_RENEWED_S
        return self._lease


def _items(document: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The objects of a List, or the one object."""
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
        if not all(isinstance(item, dict) for item in items):
            raise BadRequest("items: every item must be an object")
        return items
    return (document,)


def _placed(document: dict[str, Any], kind: Kind[Any], namespace: str) -> dict[str, Any]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise BadRequest(f"{kind.name}: metadata: Required value")
    said = metadata.get("namespace")
    if said not in (None, "", namespace):
        raise BadRequest(
            f"the namespace of the object ({said}) does not match the one the message was "
            f"published for ({namespace})"
        )
    return {**document, "metadata": {**metadata, "namespace": namespace}}


def _summary(applied: Sequence[_Applied]) -> DeployOutcome:
    verbs = {found.verb for found in applied}
    outcome = verbs.pop() if len(verbs) == 1 else "configured"
    return DeployOutcome(
        outcome=outcome,
        objects=tuple(found.line for found in applied),
        warnings=tuple(warning for found in applied for warning in found.warnings),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1024]


def _called(kind: Kind[Any]) -> str:
    """As kubectl says it: ``deployment.apps``."""
    return f"{kind.singular}.{kind.group}" if kind.group else kind.singular
