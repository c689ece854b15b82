"""``labelSelector`` and ``fieldSelector`` of a request.

Grammar of the latter: apimachinery, pkg/fields/selector.go; of the former: `label_selectors`.
"""

import re
from typing import Any

from msgspec import Struct

from orchestrator.core import label_selectors
from proto.errors import BadRequest
from proto.kinds.kind import Kind
from proto.meta import LabelSelector


class FieldTerm(Struct, frozen=True):
    """``field=value``, or ``field!=value``."""

    field: str
    value: str
    is_equal: bool


class Selector(Struct, frozen=True):
    """Both selectors of a request; empty ones select everything."""

    kind: Kind[Any]
    labels: LabelSelector = LabelSelector()
    fields: tuple[FieldTerm, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it selects everything."""
        return self.labels.is_empty and not self.fields

    @property
    def name(self) -> str:
        """The only name that is selected; empty when there may be more."""
        names = (t.value for t in self.fields if t.field == "metadata.name" and t.is_equal)
        return next(names, "")

    def matches(self, resource: Any) -> bool:
        """Whether the object is selected."""
        return all(
            (_read(self.kind, term.field, resource) == term.value) is term.is_equal
            for term in self.fields
        ) and self.labels.matches(resource.metadata.labels)


def _read(kind: Kind[Any], field: str, resource: Any) -> str:
    if field == "metadata.name":
        name: str = resource.metadata.name
        return name
    if field == "metadata.namespace":
        namespace: str = resource.metadata.namespace
        return namespace
    return kind.fields[field](resource)


def parse(kind: Kind[Any], labels: str, fields: str) -> Selector:
    """The selector of these two texts.

    Raises:
        BadRequest: One cannot be understood, or names a field that the kind cannot be selected by.
    """
    return Selector(kind, label_selectors.parse(labels), parse_fields(kind, fields))


def parse_fields(kind: Kind[Any], text: str) -> tuple[FieldTerm, ...]:
    r"""``a=b,c!=d``; a value may hold ``\,``, ``\=`` and ``\\``.

    Raises:
        BadRequest: It cannot be understood, or a field is unknown.
    """
    return tuple(_field_term(kind, term) for term in re.split(r"(?<!\\),", text) if term)


def _field_term(kind: Kind[Any], text: str) -> FieldTerm:
    found = re.match(r"(.*?)(!=|==|=)(.*)", text, re.DOTALL)
    if found is None:
        raise BadRequest(f"invalid selector: '{text}'; can't understand '{text}'")
    field, operator, value = found.groups()
    known = {"metadata.name", *kind.fields}
    if kind.is_namespaced:
        known.add("metadata.namespace")
    if field not in known:
        raise BadRequest(f"field label not supported: {field}")
    return FieldTerm(field, re.sub(r"\\([\\,=])", r"\1", value), operator != "!=")
