"""A daemon's settings, from its flags, its environment and a TOML file, in that order.

A daemon has one frozen struct; each field is a flag, a variable and a key of the file, and carries
its own help as ``Annotated[..., Meta(description=...)]``. ``--help`` is generated from it.
"""

import argparse
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

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
        type_: The daemon's struct.
        program: Its command.
        about: Its first paragraph of help.
        prefix: Of the variables: ``LONGSHORE_`` makes ``nats`` into ``LONGSHORE_NATS``.
        argv: Arguments after the command; those of this process by default.
        environment: Those of this process by default.
    """
    parser = _parser(type_, program, about, prefix)
    given = vars(parser.parse_args(argv))
    environment = os.environ if environment is None else environment
    path = given.pop("config") or environment.get(f"{prefix}CONFIG")
    values: dict[str, Any] = {}
    try:
        if path:
            values |= tomllib.loads(Path(path).read_text(encoding="utf-8"))
        unknown = sorted(values.keys() - set(type_.__struct_fields__))
        if unknown:
            parser.error(f"{path}: unknown setting {unknown[0]!r}; see --help")
        for name in type_.__struct_fields__:
            variable = environment.get(f"{prefix}{name.upper()}")
            if variable is not None:
                values[name] = variable
            if given[name] is not None:
                values[name] = given[name]
        return msgspec.convert(values, type_, strict=False)
    except (OSError, tomllib.TOMLDecodeError) as error:
        parser.error(f"{path}: {error}")
    except msgspec.ValidationError as error:
        parser.error(f"{error} (flags go before {prefix}… variables, and those before the file)")


def _parser(type_: type[T], program: str, about: str, prefix: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=about,
        epilog=f"Each flag may also be set as a variable ({prefix}NAME) or in the TOML file.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"TOML file with settings ({prefix}CONFIG)"
    )
    hints = get_type_hints(type_, include_extras=True)
    for field in msgspec.structs.fields(type_):
        flag = "--" + field.name.replace("_", "-")
        meta = next((m for m in get_args(hints[field.name]) if isinstance(m, msgspec.Meta)), None)
        text = (meta.description if meta and meta.description else "").replace("%", "%%")
        plain = get_type_hints(type_)[field.name]
        default = field.default if field.default is not msgspec.NODEFAULT else None
        shown = f" (default: {default})" if default not in (None, "", False, ()) else ""
        if plain is bool:
            parser.add_argument(
                flag,
                dest=field.name,
                default=None,
                action=argparse.BooleanOptionalAction,
                help=text,
            )
        elif plain not in (str, int, float):
            parser.add_argument(
                flag, dest=field.name, default=None, action="append", help=f"{text}; repeatable"
            )
        else:
            parser.add_argument(
                flag,
                dest=field.name,
                default=None,
                metavar=plain.__name__.upper(),
                help=text + shown,
            )
    return parser
