"""``labelSelector`` and ``fieldSelector`` of a request.

Grammars: apimachinery, pkg/labels/selector.go and pkg/fields/selector.go.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from proto.errors import BadRequest
from proto.kinds import validation
from proto.kinds.kind import Kind
from proto.meta import LabelSelector, LabelSelectorRequirement

_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))")
_END = ""


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
    return Selector(kind, parse_labels(labels), parse_fields(kind, fields))


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


def parse_labels(text: str) -> LabelSelector:
    """``a=b,c!=d,e in (f,g),h notin (i),j,!k``.

    Raises:
        BadRequest: It cannot be understood, or a key or a value is no label.
    """
    if not text.strip():
        return LabelSelector()
    tokens = list(_tokens(text))
    position = 0
    terms: list[LabelSelectorRequirement] = []
    while True:
        term, position = _requirement(tokens, position)
        terms.append(term)
        if tokens[position] == _END:
            break
        if tokens[position] != ",":
            raise _unexpected(tokens[position], "',' or 'end of string'")
        position += 1
    selector = LabelSelector(match_expressions=tuple(terms))
    if errors := validation.selector("", selector):
        raise BadRequest(f"unable to parse requirement: {errors[0].message}")
    for value in (value for term in terms for value in term.values):
        if errors := validation.labels("", {"value": value}):
            raise BadRequest(f"unable to parse requirement: {errors[0].message}")
    return selector


def _tokens(text: str) -> Iterator[str]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found is not None  # noqa: S101  every character is a sign or part of a word
        yield found.group(1) or found.group(2)
        position = found.end()
    yield _END


def _unexpected(token: str, expected: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: found '{token}', expected: {expected}")


def _requirement(tokens: list[str], at: int) -> tuple[LabelSelectorRequirement, int]:
    """The term that starts at a token, and where the next one does."""
    if tokens[at] == "!":
        key = _word(tokens[at + 1], "identifier")
        return LabelSelectorRequirement(key=key, operator="DoesNotExist"), at + 2
    key = _word(tokens[at], "!, identifier, or 'end of string'")
    operator = tokens[at + 1]
    if operator in (_END, ","):
        return LabelSelectorRequirement(key=key, operator="Exists"), at + 1
    if operator in ("=", "==", "!="):
        value = tokens[at + 2]
        length = 3
        if value in (_END, ","):
            value, length = "", 2
        else:
            _word(value, "identifier")
        meaning = "NotIn" if operator == "!=" else "In"
        return (
            LabelSelectorRequirement(key=key, operator=meaning, values=(value,)),
            at + length,
        )
    if operator in ("in", "notin"):
        values, at = _values(tokens, at + 2)
        meaning = "In" if operator == "in" else "NotIn"
        return LabelSelectorRequirement(key=key, operator=meaning, values=values), at
    raise _unexpected(operator, "in, notin, =, ==, !=")


def _values(tokens: list[str], at: int) -> tuple[tuple[str, ...], int]:
    if tokens[at] != "(":
        raise _unexpected(tokens[at], "'('")
    at += 1
    values: list[str] = []
    while tokens[at] != ")":
        if tokens[at] == ",":
            at += 1
            continue
        values.append(_word(tokens[at], "',', ')' or identifier"))
        at += 1
    return tuple(values), at + 1


def _word(word: str, expected: str) -> str:
    if word == _END or word in "=!(),<>" or word in ("==", "!="):
        raise _unexpected(word, expected)
    return word
