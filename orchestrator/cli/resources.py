"""Kinds as the cluster's discovery tells them, and the names by which users call them."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from orchestrator.cli.refused import Refused

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
"""The Accept header for all kinds of all groups in two answers."""


class ResourceType(Struct, frozen=True, kw_only=True):
    """One kind.

    Attributes:
        group: Empty for the core group.
        plural: As in paths: ``deployments``.
        singular: ``deployment``; `short_names`: ``deploy``.
        verbs: What can be done: ``list``, ``watch``, ``patch``…
        categories: ``all`` and others.
        subresources: ``scale``, ``log``…
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    is_namespaced: bool
    verbs: frozenset[str] = frozenset()
    short_names: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    subresources: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        """As manifests have it: ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_plural(self) -> str:
        """With the group: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def full_singular(self) -> str:
        """With the group: ``deployment.apps``, as kubectl begins what it says of an object."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Of a collection, an object or a subresource; `namespace` counts where there are any."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.is_namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *filter(None, (name, subresource))])

    def names(self) -> tuple[str, ...]:
        """All by which it may be called, without the group."""
        return (self.plural, self.singular, *self.short_names)


class Types:
    """All kinds of a cluster, in its order: the first of two with one name is meant."""

    def __init__(self, types: Iterable[ResourceType]) -> None:
        self._types = tuple(types)
        preferred: dict[tuple[str, str], ResourceType] = {}
        for type in self._types:
            preferred.setdefault((type.group, type.plural), type)
        self._preferred = tuple(preferred.values())

    def __iter__(self) -> Iterator[ResourceType]:
        """Each kind in the version that its group prefers."""
        return iter(self._preferred)

    def named(self, word: str) -> ResourceType:
        """By plural, singular, short name or kind; the group after a dot, the version between.

        Raises:
            Refused: There is none; the text says what there is.
        """
        name, _, qualifier = word.lower().partition(".")
        for matches in (ResourceType.names, _kind_name):
            for type in self._types:
                groups = ("", type.group, f"{type.version}.{type.group}", type.version)
                if name in matches(type) and qualifier in groups:
                    return type
        known = sorted({alias for type in self._types for alias in type.names()})
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise Refused(
            f'the server doesn\'t have a resource type "{word}"',
            hint=f"{meant}`longshore api-resources` lists them all",
        )

    def of_kind(self, api_version: str, kind: str) -> ResourceType:
        """Of a manifest.

        Raises:
            Refused: The cluster does not serve it.
        """
        for type in self._types:
            if type.kind == kind and type.api_version == api_version:
                return type
        elsewhere = [type.api_version for type in self._types if type.kind == kind]
        hint = f"use apiVersion: {elsewhere[0]}" if elsewhere else "`longshore api-resources`"
        raise Refused(
            f'no matches for kind "{kind}" in version "{api_version}"',
            hint=hint if elsewhere else f"{hint} lists what this cluster serves",
        )

    def in_category(self, category: str) -> list[ResourceType]:
        """Its kinds."""
        return [type for type in self if category in type.categories]


def _kind_name(type: ResourceType) -> tuple[str, ...]:
    return (type.kind.lower(),)


class Selection(Struct, frozen=True):
    """Some objects of one kind: those named, or when no name is given all of them.

    Attributes:
        namespace: Where a manifest says they are; empty for the one of the command.
    """

    type: ResourceType
    names: tuple[str, ...] = ()
    namespace: str = ""

    @property
    def singles(self) -> "list[Selection]":
        """One for each name; all of the kind stay together."""
        each = [Selection(self.type, (name,), self.namespace) for name in self.names]
        return each or [self]


def select(words: Sequence[str], types: Types) -> list[Selection]:
    """What ``TYPE``, ``TYPE NAME...``, ``TYPE/NAME...``, ``TYPE,TYPE`` and ``all`` mean.

    Raises:
        Refused: They do not fit together, or there is no such kind.
    """
    if any("/" in word for word in words):
        return _each_named(words, types)
    selections = [
        Selection(type, tuple(words[1:]))
        for word in words[0].split(",")
        for type in types.in_category(word.lower()) or [types.named(word)]
    ]
    if words[1:] and types.in_category(words[0]):
        raise Refused(
            f"{words[0]} is several kinds: it takes no names",
            hint="name one kind, or use TYPE/NAME",
        )
    return selections


def _each_named(words: Sequence[str], types: Types) -> list[Selection]:
    selections = []
    for word in words:
        kind, slash, name = word.partition("/")
        if not slash or not kind or not name or "/" in name:
            raise Refused(
                f"{word!r} is not TYPE/NAME",
                hint=f"write every object so, as in {words[0].strip('/')}, or TYPE NAME NAME",
            )
        selections.append(Selection(types.named(kind), (name,)))
    return joined(selections)


def joined(selections: Iterable[Selection]) -> list[Selection]:
    """Neighbours of one kind and namespace as one."""
    found: list[Selection] = []
    for one in selections:
        if found and (found[-1].type, found[-1].namespace) == (one.type, one.namespace):
            found[-1] = Selection(one.type, (*found[-1].names, *one.names), one.namespace)
        else:
            found.append(one)
    return found


def parse_discovery(*answers: Any) -> Types:
    """The kinds of aggregated discovery documents, in every version."""
    return Types(
        _type(group["metadata"].get("name", ""), version["version"], resource)
        for answer in answers
        for group in answer.get("items") or ()
        for version in group["versions"]
        for resource in version.get("resources") or ()
    )


def _type(group: str, version: str, resource: Any) -> ResourceType:
    kind = resource["responseKind"]["kind"]
    return ResourceType(
        group=group,
        version=version,
        plural=resource["resource"],
        singular=resource.get("singularResource") or kind.lower(),
        kind=kind,
        is_namespaced=resource["scope"] == "Namespaced",
        verbs=frozenset(resource.get("verbs") or ()),
        short_names=tuple(resource.get("shortNames") or ()),
        categories=frozenset(resource.get("categories") or ()),
        subresources=frozenset(sub["subresource"] for sub in resource.get("subresources") or ()),
    )
