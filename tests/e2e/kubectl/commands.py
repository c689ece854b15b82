"""What kubectl can be asked, by its own help, and what a command line asks of it.

``commands.txt`` keeps the answer of one version, so that who has no kubectl can read it, too::

    # 1.32
    [Deploy Commands]
    rollout status
      -w --watch
      --timeout=

A flag that takes a value ends in ``=``. The flags that all commands have are those of ``options``.
"""

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from itertools import dropwhile, groupby, takewhile
from pathlib import Path
from typing import NamedTuple

KEPT = Path(__file__).parent / "commands.txt"
GLOBAL = "options"
DOES_MORE_THAN_ITS_HELP_SAYS = {("cluster-info",)}
"""Of the commands with subcommands and no flags, those that are not there for these alone."""

_HEADING = re.compile(r"^(\S.*Commands.*):$", re.MULTILINE)
_ENTRY = re.compile(r"^  ([a-z][a-z-]*) ", re.MULTILINE)
_OPTION = re.compile(r"^    (-\w, )?(--[\w-]+)=(.*):$", re.MULTILINE)
_OPERATORS = ";&|()<>\n"


class Flag(NamedTuple):
    """One flag of a command, by its long name.

    Attributes:
        short: ``-f``; empty where it has none.
        takes_value: The next word may be its value.
    """

    name: str
    short: str
    takes_value: bool


class Command(NamedTuple):
    """One that does something itself.

    Attributes:
        section: Of kubectl's help.
        name: Its words: ``rollout status``.
    """

    section: str
    name: str
    flags: tuple[Flag, ...]


class Invocation(NamedTuple):
    """That a command line asks for this command, with these flags by their long names.

    Attributes:
        flags: The command's own.
        shared: Those of every command.
    """

    command: str
    flags: frozenset[str]
    shared: frozenset[str]


def asked(kubectl: Path) -> list[Command]:
    """What the help of a binary lists, in its order."""
    text = _help(kubectl, "--help")
    headings = list(_HEADING.finditer(text))
    ends = [found.start() for found in headings[1:]] + [text.find("\nUsage:")]
    commands: list[Command] = []
    for heading, end in zip(headings, ends, strict=True):
        for name in _ENTRY.findall(text, heading.end(), end):
            commands += _asked_below(kubectl, heading[1], (name,))
    return [*commands, Command(commands[-1].section, GLOBAL, _options(_help(kubectl, "options")))]


def _asked_below(kubectl: Path, section: str, words: tuple[str, ...]) -> Iterator[Command]:
    text = _help(kubectl, *words, "--help")
    listed = text.partition("\nAvailable Commands:\n")[2].partition("\n\n")[0]
    if not listed or "\nOptions:" in text or words in DOES_MORE_THAN_ITS_HELP_SAYS:
        yield Command(section, " ".join(words), _options(text))
    for name in _ENTRY.findall(listed):
        yield from _asked_below(kubectl, section, (*words, name))


def _help(kubectl: Path, *words: str) -> str:
    done = subprocess.run([kubectl, *words], capture_output=True, text=True, check=True)
    return done.stdout


def _options(text: str) -> tuple[Flag, ...]:
    return tuple(
        Flag(name, short.removesuffix(", "), default not in ("true", "false"))
        for short, name, default in _OPTION.findall(text)
    )


def written(kubectl: Path) -> str:
    """What ``commands.txt`` must hold of a binary."""
    lines, section = [f"# {version_of(kubectl)}"], ""
    for command in asked(kubectl):
        if command.section != section:
            section = command.section
            lines.append(f"[{section}]")
        lines.append(command.name)
        lines += [
            f"  {flag.short} {flag.name}{'=' * flag.takes_value}".replace("   ", "  ")
            for flag in command.flags
        ]
    return "".join(f"{line}\n" for line in lines)


def version_of(kubectl: Path) -> str:
    """``1.32``."""
    found = re.search(r"v(\d+\.\d+)", _help(kubectl, "version", "--client"))
    assert found is not None
    return found[1]


def version() -> str:
    """Of kubectl, that ``commands.txt`` is about."""
    return KEPT.read_text().partition("\n")[0].removeprefix("# ")


def kept() -> dict[str, Command]:
    """The commands of ``commands.txt``, by name."""
    found: dict[str, Command] = {}
    section = name = ""
    for line in KEPT.read_text().splitlines()[1:]:
        if line.startswith("["):
            section = line.strip("[]")
        elif not line.startswith(" "):
            name = line
            found[name] = Command(section, name, ())
        else:
            *short, long = line.split()
            flag = Flag(long.removesuffix("="), "".join(short), long.endswith("="))
            found[name] = found[name]._replace(flags=(*found[name].flags, flag))
    return found


def invocations(line: str, commands: Mapping[str, Command]) -> Iterator[Invocation]:
    """Of kubectl's own commands, in a shell's command line; a plugin is none."""
    lexer = shlex.shlex(line.partition("<<")[0], posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace = " \t"
    for is_operator, words in groupby(lexer, key=lambda word: word[:1] in _OPERATORS):
        if not is_operator:
            asked = dropwhile(lambda word: word != "kubectl", words)
            if next(asked, None):
                found = _invocation(takewhile(lambda word: word != "--", asked), commands)
                if found.command in commands:
                    yield found


def _invocation(words: Iterable[str], commands: Mapping[str, Command]) -> Invocation:
    name, flags, rest = "", set[str](), iter(words)
    known = {flag.name: flag for flag in commands[GLOBAL].flags}
    for word in rest:
        if word.startswith("-") and word != "-":
            named = _named(word, known)
            flags |= {flag.name for flag in named}
            if named and named[-1].takes_value and word in (named[-1].name, named[-1].short):
                next(rest, None)
        elif any(f"{other} ".startswith(f"{name} {word} ".lstrip()) for other in commands):
            name = f"{name} {word}".lstrip()
            if name in commands:
                known |= {flag.name: flag for flag in commands[name].flags}
    own = {flag.name for flag in commands[name].flags} if name in commands else set()
    return Invocation(name, frozenset(flags & own), frozenset(flags - own))


def _named(word: str, known: Mapping[str, Flag]) -> list[Flag]:
    """The flags of one word: ``--image=x``, ``-it`` and ``-oyaml`` are words."""
    if word.startswith("--"):
        return [known[name] for name in (word.partition("=")[0],) if name in known]
    by_short = {flag.short: flag for flag in known.values()}
    found: list[Flag] = []
    for letter in word[1:]:
        flag = by_short.get(f"-{letter}")
        if flag is None:
            break
        found.append(flag)
        if flag.takes_value:
            break
    return found
