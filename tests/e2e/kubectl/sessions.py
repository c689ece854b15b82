"""Sessions with kubectl as Markdown: what one types, what comes of it, and why one would.

A page of ``sessions`` is documentation that is run. Its second-level headings are *scenes*, each
independent of all others: a namespace, a home and a shell of its own. Of a scene run

* ``console`` blocks, line by line: ``$ `` begins a command (``> `` continues it), what follows is
  all it prints, and ``[1]`` at its end is its exit code where that is not 0;
* any other block whose fence names a file, as in ``yaml web.yaml``: written before the scene
  begins, and executable when it starts with ``#!``. Files above the first scene are every scene's.

In what is printed ``…`` stands for any text, and on a line alone for any lines; two or more spaces
between columns for any two or more. ``$NAMESPACE`` and ``$IMAGE`` are the scene's own. Warnings that
nothing acts on a kind yet may be left out: they go when its controller comes.

Two comments after a command say more: ``# within 20s`` runs it again until it prints that, and
``# refused: why`` marks what Longshore does not do (``table`` collects these).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proto.kinds import ALL

FOLDER = Path(__file__).parent / "sessions"

NOTICES = {f"Warning: {kind.resource} {kind.notice}\n" for kind in ALL if kind.notice}
"""That nothing acts on a kind yet. They come with every write: who shows one shows all of a step."""

_REMARK = re.compile(r"\s+# (?:within (?P<within_s>\d+)s|refused: (?P<refused>.+))$")


class Step(NamedTuple):
    """One command, and what must come of it.

    Attributes:
        where: Page and line, as editors jump to it.
        expected: What it prints, with its wildcards.
        within_s: It may be repeated for that long; 0 for one attempt.
        refused: Why Longshore does not do it; empty where it does.
    """

    where: str
    command: str
    expected: str
    code: int = 0
    within_s: int = 0
    refused: str = ""

    def is_met_by(self, code: int, printed: str) -> bool:
        whole = tidy(printed)
        unnoticed = "".join(line for line in whole.splitlines(keepends=True) if line not in NOTICES)
        return code == self.code and any(map(pattern(self.expected).fullmatch, (whole, unnoticed)))


class Scene(NamedTuple):
    """What somebody does in one sitting."""

    page: str
    title: str
    files: dict[str, str]
    steps: list[Step]

    @property
    def id(self) -> str:
        return f"{self.page}-{re.sub(r'[^a-z0-9]+', '-', self.title.lower()).strip('-')}"


class _Block(NamedTuple):
    """A fenced block, or a heading (which has no info string)."""

    line: int
    info: str
    text: str


def scenes(folder: Path = FOLDER) -> list[Scene]:
    """Of all pages."""
    return [scene for page in sorted(folder.glob("*.md")) for scene in read(page)]


def read(page: Path) -> list[Scene]:
    """The scenes of one page."""
    found: list[Scene] = []
    shared: dict[str, str] = {}
    for block in _blocks(page.read_text()):
        kind, _, name = block.info.partition(" ")
        if not kind:
            found.append(Scene(page.stem, block.text, dict(shared), []))
        elif kind == "console":
            found[-1].steps.extend(_steps(page.name, block))
        elif name:
            (found[-1].files if found else shared)[name] = block.text
    return found


def _blocks(text: str) -> Iterator[_Block]:
    begun: _Block | None = None
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if line.startswith("```"):
            if begun is None:
                begun = _Block(number, line.removeprefix("```").strip(), "")
            else:
                yield begun
                begun = None
        elif begun is not None:
            begun = begun._replace(text=begun.text + line)
        elif line.startswith("## "):
            yield _Block(number, "", line.removeprefix("## ").strip())


def _steps(page: str, block: _Block) -> Iterator[Step]:
    command, printed, began = "", [], 0
    for number, line in enumerate([*block.text.splitlines(), "$ "], block.line + 1):
        if line.startswith("$ "):
            if command:
                yield _step(f"{page}:{began}", command, printed)
            command, printed, began = line.removeprefix("$ "), [], number
        elif line.startswith("> ") and not printed:
            command += "\n" + line.removeprefix("> ")
        else:
            printed.append(line)


def _step(where: str, command: str, printed: list[str]) -> Step:
    code = re.fullmatch(r"\[(\d+)\]", printed[-1]) if printed else None
    remark = _REMARK.search(command.partition("\n")[0])
    return Step(
        where,
        command,
        "\n".join(printed[:-1] if code else printed),
        int(code[1]) if code else 0,
        int((remark and remark["within_s"]) or 0),
        (remark and remark["refused"]) or "",
    )


def tidy(printed: str) -> str:
    """Without what no reader sees: which white space, how much at the ends of lines."""
    lines = printed.replace("\t", "  ").rstrip().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def pattern(expected: str) -> re.Pattern[str]:
    """What an expected text matches, once that is tidy."""
    lines = tidy(expected).splitlines()
    return re.compile("".join("(?:.*\n)*" if line == "…" else _line(line) for line in lines))


def _line(line: str) -> str:
    words = re.split(r"(?<=\S)( {2,})|(…)", line)
    return (
        "".join(
            ".*" if word == "…" else " {2,}" if word.startswith("  ") and at else re.escape(word)
            for at, word in enumerate(word for word in words if word)
        )
        + r"\n"
    )
