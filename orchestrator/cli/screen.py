"""What a command prints: colours and live displays on a terminal, plain lines for scripts.

Tables look just like kubectl's: no boxes, columns three blanks apart, rows as wide as they are.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

STATES = {
    "green": "Active Available Bound Complete Completed Healthy Ready Running Succeeded True",
    "yellow": "ContainerCreating Pending PodInitializing Progressing SchedulingDisabled Terminating"
    " Unknown Warning",
    "red": "BackOff CrashLoopBackOff CreateContainerConfigError CreateContainerError Degraded Error"
    " ErrImageNeverPull ErrImagePull Evicted Failed False ImageInspectError ImagePullBackOff"
    " InvalidImageName NodeLost NotReady OOMKilled RunContainerError Unschedulable",
}
STYLES = {word: style for style, words in STATES.items() for word in words.split()}
COLOURED = frozenset({"STATUS", "READY", "TYPE", "REASON"})
"""Columns whose cells have the colour of a state."""

GAP = 3
"""Blanks between columns. Source: kubectl's tab writer."""


class Screen:
    """The standard output and error of a command.

    Attributes:
        out: For colours and live displays.
        err: The same, on standard error.
    """

    def __init__(self) -> None:
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it now."""
        return self.out.is_terminal

    def say(self, text: str, *, style: str = "") -> None:
        """A line of the answer, at once. The style counts on a terminal only."""
        if style and self.is_terminal:
            self.out.print(Text(text, style=style))
        else:
            print(text, flush=True)

    def tell(self, text: str) -> None:
        """A line beside the answer, on standard error."""
        print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def progress(self) -> Iterator["Bar"]:
        """A bar for as long as the block takes; it leaves no trace."""
        if not self.is_terminal:
            yield Bar(None)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", style="dim"),
        )
        with Progress(*columns, console=self.out, transient=True) as progress:
            yield Bar(progress)

    def write(self, content: bytes) -> None:
        """Bytes as they are."""
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[str]], *, has_header: bool = True
    ) -> "Columns":
        """Print a table; the answer prints more rows below it."""
        found = [list(row) for row in rows]
        columns = Columns(self, header, found)
        if has_header:
            columns.print_header()
        for row in found:
            columns.print(row)
        sys.stdout.flush()
        return columns


class Columns:
    """Rows below each other. Widths are those of the first rows, as kubectl's."""

    def __init__(
        self, screen: Screen, header: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> None:
        self._screen = screen
        self._header = list(header)
        self._widths = [
            max(map(len, (name, *(row[index] for row in rows if index < len(row)))))
            for index, name in enumerate(header)
        ]

    def print_header(self) -> None:
        """The columns' names."""
        line = self._line([Text(name, style="bold") for name in self._header])
        self._put(line)

    def print(self, row: Sequence[str]) -> None:
        """One more row."""
        row = [printable(cell) for cell in row]
        self._widths = [
            max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)
        ]
        cells = [
            Text(cell, style=style_of(name, cell))
            for name, cell in zip(self._header, row, strict=True)
        ]
        self._put(self._line(cells))

    def _line(self, cells: Sequence[Text]) -> Text:
        line = Text()
        for cell, width in zip(cells, self._widths, strict=True):
            line.append_text(cell)
            line.append(" " * (width + GAP - len(cell.plain)))
        line.rstrip()
        return line

    def _put(self, line: Text) -> None:
        if self._screen.is_terminal:
            self._screen.out.print(line)
        else:
            print(line.plain)


def printable(text: str) -> str:
    """One line without what would move a terminal's cursor: objects may hold anything.

    >>> printable("a" + chr(27) + "[2Jb")
    'a?[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "?" for one in text)


def style_of(column: str, cell: str) -> str:
    """The colour of a cell: green when all is well, yellow when it is not yet, red on failure.

    >>> style_of("STATUS", "Running"), style_of("READY", "1/2"), style_of("NAME", "Running")
    ('green', 'yellow', '')
    >>> style_of("STATUS", "Ready,SchedulingDisabled"), style_of("STATUS", "Init:Error")
    ('yellow', 'red')
    """
    if column not in COLOURED:
        return ""
    ready, slash, wanted = cell.partition("/")
    if slash and ready.isdigit() and wanted.isdigit():
        return "green" if ready == wanted else "yellow"
    found = {STYLES.get(word, "") for word in cell.replace(":", ",").split(",")}
    return next((style for style in ("red", "yellow", "green") if style in found), "")


class Bar:
    """A progress bar on a terminal; nothing elsewhere.

    Attributes:
        is_live: Whether anybody sees it.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self.is_live = progress is not None

    def show(self, name: str, done: int, wanted: int, text: str) -> None:
        """How far it is, and in words."""
        if self._progress is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, text="")
        self._progress.update(self._tasks[name], total=max(wanted, 1), completed=done, text=text)
