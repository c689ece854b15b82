"""Which kinds there are: the built-in ones, and those that definitions in the world declare.

A version that is served and not stored is a kind of its own, a view of the one that is. Routes,
discovery, OpenAPI and store keys ask here. What is derived from all kinds is cached by the
tuple of them, which is another one whenever a kind comes, changes or goes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.store import keys
from proto import kinds
from proto.kinds.kind import Kind


class Registry:
    """See the module. Only the world changes it."""

    def __init__(self) -> None:
        self._custom: dict[str, tuple[Kind[Any], ...]] = {}
        self._derive()

    def _derive(self) -> None:
        self.all: tuple[Kind[Any], ...] = (
            *kinds.ALL,
            *(kind for name in sorted(self._custom) for kind in self._custom[name]),
        )
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in self.all}
        self.stored = tuple(kind for kind in self.all if kind.conversion is None)
        self._views: dict[Kind[Any], list[Kind[Any]]] = {}
        for kind in self.all:
            if kind.conversion is not None:
                self._views.setdefault(kind.stored, []).append(kind)
        self._by_prefix = {keys.prefix(kind): kind for kind in self.stored}
        self._by_resource = {kind.resource: kind for kind in self.stored}

    def at(self, group: str, version: str, plural: str) -> Kind[Any] | None:
        """The kind that is served at a path."""
        return self._by_path.get((group, version, plural))

    def stored_at(self, key: str) -> Kind[Any] | None:
        """The kind of the object under a key; None for one that is not known."""
        return self._by_prefix.get(keys.prefix_of(key))

    def named(self, resource: str) -> Kind[Any] | None:
        """The kind of a plural with its group: ``deployments.apps``."""
        return self._by_resource.get(resource)

    def views(self, kind: Kind[Any]) -> Sequence[Kind[Any]]:
        """The further versions in which a stored kind is served."""
        return self._views.get(kind, ())

    def find(self, api_version: str, name: str) -> Kind[Any] | None:
        """The kind of a manifest's ``apiVersion`` and ``kind``."""
        found = (k for k in self.all if k.api_version == api_version and k.name == name)
        return next(found, None)

    def declared(self, definition: str) -> tuple[Kind[Any], ...]:
        """What a definition of that name declares."""
        return self._custom.get(definition, ())

    def declare(self, definition: str, declared: Iterable[Kind[Any]]) -> None:
        """Serve what a definition of that name declares, in place of what it did before."""
        self._custom[definition] = tuple(declared)
        if not self._custom[definition]:
            del self._custom[definition]
        self._derive()
