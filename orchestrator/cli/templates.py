r"""``-o jsonpath=…`` and ``-o custom-columns=…``: kubectl's templates over JSON.

A template is text with expressions in braces: paths (``{.items[*].metadata.name}``), quoted text
(``{"\n"}``), and ``{range .items[*]}…{end}``. Paths are python-jsonpath's, with kubectl's
``\.`` for a dot inside a name. Source: kubernetes.io, reference, kubectl, jsonpath.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonpath

from orchestrator.cli.refused import Refused
from proto import codec

_TOKEN = re.compile(
    r"""\{((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^{}"'])*)\}|([^{]+)""", re.DOTALL
)


class _Range(NamedTuple):
    path: str
    body: "list[_Part]"


class _Path(NamedTuple):
    path: str


_Part = str | _Path | _Range


class Template:
    """A parsed one.

    Raises:
        Refused: It is none; the text says where.
    """

    def __init__(self, text: str) -> None:
        tokens = _tokens(text)
        self._parts, is_ended = _parse(tokens)
        if is_ended:
            raise Refused(f"the template {text!r} has an {{end}} without a {{range}}")

    def render(self, value: Any) -> str:
        """The template filled in; what a path does not find is left out."""
        return _render(self._parts, value)


def find(path: str, value: Any) -> list[Any]:
    r"""All that a path finds: ``.metadata.name``, ``{.metadata.name}``, ``metadata.name``.

    Raises:
        Refused: It is no path.

    >>> find(r".labels.app\.kubernetes\.io/name", {"labels": {"app.kubernetes.io/name": "web"}})
    ['web']
    """
    inner = path.strip().removeprefix("{").removesuffix("}").strip()
    inner = inner.removeprefix("$").removeprefix("@")
    if inner in ("", "."):
        return [value]
    if not inner.startswith((".", "[")):
        inner = f".{inner}"
    # What is in brackets is as it has to be; elsewhere names may need quotes.
    parts = re.split(r"(\[[^\]]*\])", inner)
    inner = "".join(part if part.startswith("[") else _NAME.sub(_quoted, part) for part in parts)
    try:
        return list(jsonpath.findall(f"${inner}", value))
    except jsonpath.JSONPathError as error:
        raise Refused(
            f"{path!r} is no path: {error}", hint="write it like .metadata.name"
        ) from None


def text_of(value: Any) -> str:
    """As kubectl prints a value: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    return codec.encode(value).decode()


_NAME = re.compile(r"\.((?:[\w/-]|\\\.)+)")


def _quoted(found: re.Match[str]) -> str:
    """A name with a dot, a slash or a dash has to be quoted for python-jsonpath."""
    name = found[1].replace("\\.", ".")
    return found[0] if name.isidentifier() else f"['{name}']"


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Whether it stood in braces, and what."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise Refused(
                f"the template {text!r} has a brace that is not closed",
                hint="put it in single quotes: -o jsonpath='{.metadata.name}'",
            )
        position = found.end()
        yield (True, found.group(1).strip()) if found.group(2) is None else (False, found.group(2))


def _parse(tokens: Iterator[tuple[bool, str]]) -> tuple[list[_Part], bool]:
    """The parts up to the end, or up to an ``{end}``; and whether there was one."""
    parts: list[_Part] = []
    for is_expression, text in tokens:
        if not is_expression:
            parts.append(text)
        elif text == "end":
            return parts, True
        elif text.startswith("range "):
            body, is_ended = _parse(tokens)
            if not is_ended:
                raise Refused("the template has a {range} without an {end}")
            parts.append(_Range(text.removeprefix("range "), body))
        elif text[:1] in ('"', "'"):
            parts.append(unquoted(text))
        else:
            parts.append(_Path(text))
    return parts, False


def unquoted(quoted: str) -> str:
    r"""What a quoted text means: ``\n`` is a new line."""
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), quoted[1:-1])


def _render(parts: list[_Part], value: Any) -> str:
    said = []
    for part in parts:
        match part:
            case str():
                said.append(part)
            case _Path(path):
                said.append(" ".join(map(text_of, find(path, value))))
            case _Range(path, body):
                said.extend(_render(body, item) for item in find(path, value))
    return "".join(said)
