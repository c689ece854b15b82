"""A daemon's settings, from its flags, its environment and a TOML file, in that order.

A daemon has one frozen struct; each field is a flag, a variable and a key of the file, and carries
its own help as ``Annotated[..., Meta(description=...)]``. ``--help`` is generated from it.
"""

import argparse
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

T = TypeVar("T", bound=msgspec.Struct)


def load(
    type_: type[T],
    *,
    program: str,
    about: str,
    prefix: str,
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> T:
    """The settings; ends the process with a clear message when one of them is wrong.

    Args:
        type_: The daemon's struct; its fields are text, numbers, booleans, or maps of text (a
            repeatable flag ``--label key=value`` for a field ``labels``).
        program: Its command.
        about: Its first paragraph of help.
        prefix: Of the variables: ``LONGSHORE_`` makes ``nats`` into ``LONGSHORE_NATS``.
        argv: Arguments after the command; those of this process by default.
        environment: Those of this process by default.
    """
    parser = _parser(type_, program, about, prefix)
    flags = vars(parser.parse_args(argv))
    environment = os.environ if environment is None else environment
    path = flags.pop("config") or environment.get(f"{prefix}CONFIG")
    values: dict[str, Any] = {}
    try:
        if path:
            values |= tomllib.loads(Path(path).read_text(encoding="utf-8"))
        unknown = sorted(values.keys() - set(type_.__struct_fields__))
        if unknown:
            parser.error(f"{path}: unknown setting {unknown[0]!r}; see --help")
        plain = get_type_hints(type_)
        for name in type_.__struct_fields__:
            variable = environment.get(f"{prefix}{name.upper()}")
            if variable is not None:
                is_map = get_origin(plain[name]) is dict
                values[name] = _pairs(variable.split(",")) if is_map else variable
            if flags[name] is not None:
                is_map = get_origin(plain[name]) is dict
                values[name] = _pairs(flags[name]) if is_map else flags[name]
        return msgspec.convert(values, type_, strict=False)  # text may stand for a number
    except (OSError, tomllib.TOMLDecodeError) as error:
        parser.error(f"{path}: {error}")
    except ValueError as error:  # msgspec's name the setting: "… - at `$.port`"
        said = _without_pattern(str(error), values, type_)
        parser.error(f"{said}; see --help (flags win over {prefix}… variables, those over a file)")


def _without_pattern(said: str, values: Mapping[str, Any], type_: type[Any]) -> str:
    """The complaint in words, where msgspec shows the pattern that a text should match."""
    _, is_pattern, rest = said.partition("matching regex")
    name = rest.rpartition("`$.")[2].rstrip("`")
    if not is_pattern or name not in values:
        return said
    wanted = _description(get_type_hints(type_, include_extras=True)[name])
    return f"{values[name]!r} does not fit: {wanted} - at `$.{name}`"


def one_of(*words: str) -> Meta:
    """The setting is one of these."""
    return Meta(pattern=f"^({'|'.join(words)})$")


def urls(schemes: str) -> Meta:
    """The setting is URLs of servers, separated by commas; schemes as ``http|https``."""
    one = rf"(({schemes})://)?([^@/,\s]+@)?([^:/@,\s]+|\[[0-9a-fA-F:.]+\])(:[0-9]{{1,5}})?/?"
    return Meta(pattern=f"^{one}(,{one})*$")


NATS_URLS = urls("nats|tls|ws|wss")


def _parser(type_: type[T], program: str, about: str, prefix: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=about,
        epilog=f"Each flag may also be set as a variable ({prefix}NAME) or in the TOML file.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"TOML file with settings ({prefix}CONFIG)"
    )
    annotated = get_type_hints(type_, include_extras=True)
    plain = get_type_hints(type_)
    for field in msgspec.structs.fields(type_):
        text = _description(annotated[field.name])
        flag = "--" + field.name.replace("_", "-")
        kind = plain[field.name]
        if get_origin(kind) is dict:
            parser.add_argument(
                flag.removesuffix("s"),
                dest=field.name,
                action="append",
                metavar="KEY=VALUE",
                help=f"{text}; repeatable",
            )
        elif kind is bool:
            parser.add_argument(
                flag,
                dest=field.name,
                default=None,
                action=argparse.BooleanOptionalAction,
                help=text,
            )
        else:
            shown = "" if field.default in ("", msgspec.NODEFAULT) else f" ({field.default})"
            parser.add_argument(
                flag, dest=field.name, metavar=kind.__name__.upper(), help=text + shown
            )
    return parser


def _description(annotated: Any) -> str:
    """A field's help, safe for argparse, which formats it."""
    described = (m.description for m in get_args(annotated) if isinstance(m, msgspec.Meta))
    return next((text for text in described if text), "").replace("%", "%%")


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"{text!r} is not key=value")
        found[key] = value
    return found
