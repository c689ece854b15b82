"""Which kinds there are: the built-in ones, and those that definitions in the world declare.

Routes, discovery, OpenAPI and store keys ask here. What is derived from all kinds is cached by the
tuple of them, which is another one whenever a kind comes, changes or goes.
"""

from collections.abc import Iterable
from typing import Any

from orchestrator.store import keys
from proto import kinds
from proto.kinds.kind import Kind


class Registry:
    """See the module. Only the world changes it.

    Attributes:
        all: Every kind whose objects are stored, in the version that they are kept in.
        served: Every version of every kind that clients may ask for; the measured ones last.
    """

    def __init__(self) -> None:
        self._custom: dict[str, tuple[Kind[Any], ...]] = {}
        self._derive()

    def _derive(self) -> None:
        known: tuple[Kind[Any], ...] = (
            *kinds.ALL,
            *(kind for name in sorted(self._custom) for kind in self._custom[name]),
        )
        self.all = tuple(kind for kind in known if kind.conversion is None)
        self.served = (*(kind for kind in known if kind.is_served), *kinds.MEASURED)
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in self.served}
        self._by_prefix = {keys.prefix(kind): kind for kind in self.all}
        self._by_resource = {kind.resource: kind for kind in self.all}

    def at(self, group: str, version: str, plural: str) -> Kind[Any] | None:
        """The kind that is served at a path."""
        return self._by_path.get((group, version, plural))

    def stored_at(self, key: str) -> Kind[Any] | None:
        """The kind of the object under a key; None for one that is not known."""
        return self._by_prefix.get(keys.prefix_of(key))

    def named(self, resource: str) -> Kind[Any] | None:
        """The kind of a plural with its group: ``deployments.apps``."""
        return self._by_resource.get(resource)

    def find(self, api_version: str, name: str) -> Kind[Any] | None:
        """The kind of a manifest's ``apiVersion`` and ``kind``."""
        found = (k for k in self.served if k.api_version == api_version and k.name == name)
        return next(found, None)

    def declared(self, definition: str) -> tuple[Kind[Any], ...]:
        """What a definition of that name declares, in the version that objects are kept in."""
        return tuple(kind for kind in self._custom.get(definition, ()) if kind.conversion is None)

    def declare(self, definition: str, declared: Iterable[Kind[Any]]) -> None:
        """Serve what a definition of that name declares, in place of what it did before."""
        self._custom[definition] = tuple(declared)
        if not self._custom[definition]:
            del self._custom[definition]
        self._derive()
