"""Selectors of labels as text: of requests, and of custom resources that have replicas.

Grammar: apimachinery, pkg/labels/selector.go.
"""

import re
from collections.abc import Iterator

from proto.errors import BadRequest
from proto.kinds import validation
from proto.meta import LabelSelector, LabelSelectorRequirement

_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))")
_END = ""


def parse(text: str) -> LabelSelector:
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
