"""Carries out decisions: to writes and events, in order, each failing on its own."""

from collections.abc import Iterable
from typing import Any, assert_never

import structlog

from orchestrator.core.decisions import (
    Bind,
    Create,
    Decision,
    Emit,
    Refused,
    Remove,
    Rescale,
    Update,
    UpdateStatus,
)
from orchestrator.core.managed_fields import UPDATE, Manager
from orchestrator.runtime.recorder import Recorder
from orchestrator.runtime.verbs import Verbs
from orchestrator.runtime.writer import Op, Writer
from proto.errors import LongshoreError, Rejected

log = structlog.get_logger()

MANAGER = "longshore"
"""Whose fields are those that the control plane changes in what somebody else made."""


class Performer:
    """See the module."""

    def __init__(self, verbs: Verbs, writer: Writer, recorder: Recorder) -> None:
        self._verbs = verbs
        self._writer = writer
        self._recorder = recorder

    async def perform(self, decisions: Iterable[Decision]) -> int:
        """Do all of them; returns how many failed (a later pass decides afresh).

        All writes are queued before the first is awaited, so that they share transactions.
        """
        failed = 0
        pending: list[tuple[Decision, Any]] = []
        refusals: list[tuple[Refused, str]] = []
        for decision in decisions:
            try:
                pending.append((decision, self._begin(decision)))
            except LongshoreError as error:
                failed += _failed(decision, error, refusals)
        for decision, future in pending:
            try:
                if future is not None:
                    (written,) = await future
                    self._done(decision, written)
            except LongshoreError as error:
                failed += _failed(decision, error, refusals)
        for refused, why in refusals:
            await self.perform(refused.decisions(why))
        return failed

    def _begin(self, decision: Decision) -> Any:
        """Queue the decision's write; None when there is nothing to write."""
        op: Op | None
        match decision:
            case Create():
                found = self._verbs.prepared(decision.kind, decision.object)
                meta = found.metadata
                op = Op(decision.kind, meta.namespace, meta.name, found, expect="")
            case Update():
                own = Manager(MANAGER, UPDATE, decision.kind.api_version)
                op = self._verbs.update_op(decision.kind, decision.object, manager=own)
            case UpdateStatus():
                op = self._verbs.update_op(decision.kind, decision.object, subresource="status")
            case Rescale():
                own = Manager(MANAGER, UPDATE, decision.kind.api_version, "scale")
                op = self._verbs.update_op(
                    decision.kind, decision.object, subresource="scale", manager=own
                )
            case Bind():
                op = self._verbs.update_op(decision.kind, decision.object, subresource="binding")
            case Remove():
                op = self._verbs.delete_op(
                    decision.kind,
                    decision.object,
                    grace_s=decision.grace_s,
                    propagation=decision.propagation,
                )
            case Emit():
                self._recorder.record(
                    decision.kind,
                    decision.object,
                    decision.type,
                    decision.reason,
                    decision.message,
                )
                return None
            case _:
                assert_never(decision)
        return None if op is None else self._writer.submit((op,))

    def _done(self, decision: Decision, written: Any) -> None:
        if isinstance(decision, Create | Rescale) and decision.announce is not None:
            told = decision.announce
            message = told.message.replace("{name}", written.metadata.name)
            self._recorder.record(told.kind, told.object, told.type, told.reason, message)


def _failed(decision: Decision, error: LongshoreError, refusals: list[tuple[Refused, str]]) -> int:
    """Count a failure, and note the first refusal that something is to be done about."""
    if isinstance(decision, Create) and decision.refused and isinstance(error, Rejected):
        refused = decision.refused
        if not any(known is refused for known, _ in refusals):
            refusals.append((refused, str(error)))
    meta = decision.object.metadata
    log.info(
        "decision.failed",
        decision=type(decision).__name__,
        kind=decision.kind.name,
        namespace=meta.namespace,
        name=meta.name or meta.generate_name,
        error=str(error),
    )
    return 1
