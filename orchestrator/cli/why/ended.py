"""How a container's program ended, and what that usually means."""

import re

from msgspec import Struct

from orchestrator.cli.why.words import signal_name
from proto.kinds.container import Container, ContainerStateTerminated

NOT_STARTED = "StartError"
"""The runtime could not start the program at all. Source: kubelet."""

_RUNTIME_PREAMBLE = re.compile(r".*unable to start container process: ", re.DOTALL)
_RUNTIME_EPILOGUE = re.compile(r": unknown$")


class End(Struct, frozen=True):
    """An end, in words.

    Attributes:
        reason: As in `Finding.reason`.
        what: A clause that follows the container's name: ``was killed…``.
        advice: What would mend it.
    """

    reason: str
    what: str
    advice: str


_SIGNALS = {
    "SIGKILL": (
        "Something killed it from outside: it did not stop in time, its host ran out of memory, or "
        "someone ran docker kill."
    ),
    "SIGTERM": "It was asked to stop, and did.",
    "SIGSEGV": "It touched memory that is not its own: a mistake in the program or its libraries.",
    "SIGABRT": "It gave up by itself (an assertion or a panic): its log says why.",
    "SIGILL": "Its image may be built for another kind of processor.",
    "SIGBUS": "It touched memory that is not there: a file cut short, or /dev/shm that is full.",
}


def end_of(ended: ContainerStateTerminated, spec: Container | None) -> End:
    """What became of the program.

    Args:
        ended: How it ended.
        spec: What it was asked to run; None when that is not known.
    """
    if ended.reason == NOT_STARTED:
        return _not_started(ended, spec)
    if ended.reason == "OOMKilled":
        limit = spec.resources.limits.get("memory") if spec else None
        than = f"its limit of {limit}" if limit else "there was"
        return End(
            "OutOfMemory",
            f"was killed because it used more memory than {than} (OOMKilled)",
            "Raise resources.limits.memory, or have the program use less.",
        )
    code = ended.exit_code
    if name := signal_name(code):
        advice = _SIGNALS.get(name, "Its log may say why.")
        return End("Killed", f"was ended by {name} (exit code {code})", advice)
    if code == 0:
        advice = "A program that is done belongs into a Job; one that serves must not return."
        return End("EndsBySuccess", "came to its end with success (exit code 0)", advice)
    return End("ExitsWithError", f"exited with code {code}", _of_code(code))


def _of_code(code: int) -> str:
    match code:
        case 126:
            return "A shell found the command but may not run it: is it executable?"
        case 127:
            return "A shell did not find the command: is it in the image, and on its PATH?"
        case 2:
            return "Often a mistake in the command's arguments: its log says."
        case _:
            return "The program itself gave up: its log says why."


def _not_started(ended: ContainerStateTerminated, spec: Container | None) -> End:
    error = runtime_error(ended.message)
    command = (spec.command or spec.args)[:1] if spec else ()
    named = f" {command[0]!r}" if command else ""
    if "no such file or directory" in error or "executable file not found" in error:
        return End(
            "CommandNotFound",
            f"cannot start: its command{named} is not in the image",
            "Mend the command, or use an image that has it.",
        )
    if "permission denied" in error:
        return End(
            "CommandNotExecutable",
            f"cannot start: its command{named} is not executable",
            "Make it executable in the image (chmod +x).",
        )
    return End("CannotStart", "cannot start", "The runtime's words say why.")


def runtime_error(message: str) -> str:
    """The part of a runtime's error that is about the program.

    >>> runtime_error('OCI: unable to start container process: exec: "/x": stat /x: gone: unknown')
    'exec: "/x": stat /x: gone'
    """
    return _RUNTIME_EPILOGUE.sub("", _RUNTIME_PREAMBLE.sub("", message)).strip()
