"""Events that repeat themselves in other words: combined, and then held back.

A loop that fails a thousand times must fill neither the store nor ``kubectl describe``.
Two rules, those of Kubernetes (client-go, tools/record/events_cache.go): ten different messages
about one object for one reason within ten minutes, and from then on they are one event that shows
the latest; 25 events about one object at once, then one every five minutes.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from msgspec.structs import replace

from proto.kinds.event import Event

REMEMBERED_MAX = 4096
"""Of either rule's subjects; the one unheard of for longest is forgotten."""

DIFFERENT_MAX = 10
WITHIN_MS = 600_000
BURST = 25
REFILL_MS = 300_000

COMBINED = "(combined from similar events): "

V = TypeVar("V")


class _Similar:
    """Messages about one object for one reason."""

    def __init__(self, last_ms: int) -> None:
        self.messages: set[str] = set()
        self.last_ms = last_ms


class _Allowance:
    """How many more events about one object are let through."""

    def __init__(self, at_ms: int) -> None:
        self.left = float(BURST)
        self.at_ms = at_ms


class _Recent(Generic[V]):
    """The subjects heard of last."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, new: V) -> V:
        found = self._held.setdefault(key, new)
        self._held.move_to_end(key)
        if len(self._held) > REMEMBERED_MAX:
            self._held.popitem(last=False)
        return found


class Correlator:
    """What is remembered of the events so far; a restart forgets it."""

    def __init__(self) -> None:
        self._similar: _Recent[_Similar] = _Recent()
        self._allowances: _Recent[_Allowance] = _Recent()

    def correlated(self, event: Event, now_ms: int) -> Event | None:
        """The event to record; None: hold it back.

        The allowance is one for each reason, where Kubernetes has one for each component: here all
        of the control plane is one.
        """
        about = event.involved_object
        subject = (
            *(event.source.component, event.source.host, about.uid, about.namespace, about.name),
            *(about.field_path, event.reason),
        )
        combined = self._combined((*subject, event.type), event, now_ms)
        allowance = self._allowances.get(subject, _Allowance(now_ms))
        now_ms = max(now_ms, allowance.at_ms)  # agents' clocks differ
        gained = (now_ms - allowance.at_ms) / REFILL_MS
        allowance.left, allowance.at_ms = min(BURST, allowance.left + gained), now_ms
        if allowance.left < 1:
            return None
        allowance.left -= 1
        return combined

    def _combined(self, key: Hashable, event: Event, now_ms: int) -> Event:
        similar = self._similar.get(key, _Similar(now_ms))
        if now_ms - similar.last_ms > WITHIN_MS:
            similar.messages.clear()
        similar.last_ms = now_ms
        if len(similar.messages) < DIFFERENT_MAX:
            similar.messages.add(event.message)
        if len(similar.messages) < DIFFERENT_MAX:
            return event
        return replace(event, message=COMBINED + event.message)
