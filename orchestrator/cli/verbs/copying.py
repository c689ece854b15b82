"""`longshore cp`: files into containers and out of them, as a tar stream through `exec`.

The container needs ``tar``. Nothing that comes out of it is trusted: what would land outside of the
chosen folder, and what is neither file, folder nor link within it, is refused.
"""

import asyncio
import contextlib
import os
import posixpath
import tarfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import IO

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.execution import STDERR, Input, exit_code, program, stream_params
from orchestrator.cli.verbs.pods import container_of, pod_of

CHUNK = 64 * 1024
SAID_MAX = 4096
"""Of what tar complains, in bytes."""


class Place(Struct, frozen=True):
    """``[[NAMESPACE/]POD:]PATH``; without a pod it is here."""

    pod: str
    path: str
    namespace: str = ""


def parse_place(text: str) -> Place:
    """What the text means.

    >>> parse_place("web:/tmp/a"), parse_place("./a:b")
    (Place(pod='web', path='/tmp/a', namespace=''), Place(pod='', path='./a:b', namespace=''))
    """
    pod, colon, path = text.partition(":")
    if not colon or pod.startswith((".", "/")) or pod.count("/") > 1:
        return Place("", text)
    namespace, _, name = pod.rpartition("/")
    return Place(name, path, namespace)


async def copy(
    session: Session, source: str, target: str, *, container: str, keeps_owner: bool
) -> None:
    """One file or folder.

    Raises:
        Refused: It cannot be copied; the text says why.
    """
    there, here = parse_place(source), parse_place(target)
    if bool(there.pod) == bool(here.pod):
        raise Refused(
            "one of source and target must be in a pod",
            hint="longshore cp FILE POD:PATH, or longshore cp POD:PATH FILE",
        )
    if not there.path or not here.path:
        raise Refused("filepath can not be empty")
    remote = there if there.pod else here
    if remote.namespace:
        session.client.namespace = remote.namespace
    box = await _Box.of(session, remote.pod, container)
    if there.pod:
        await _download(session, box, there.path, Path(here.path))
    else:
        await _upload(box, Path(there.path), here.path, keeps_owner=keeps_owner)


class _Box:
    """A container, to run small programs in."""

    def __init__(self, session: Session, path: str, container: str) -> None:
        self._session = session
        self._path = path
        self._container = container

    @classmethod
    async def of(cls, session: Session, pod: str, container: str) -> "_Box":
        """The container of that pod."""
        found = await pod_of(session, pod)
        name = container_of(session, found, container)
        pods = (await session.client.types()).of_kind("v1", "Pod")
        metadata = found["metadata"]
        return cls(session, pods.path(metadata["namespace"], metadata["name"], "exec"), name)

    async def run(
        self, command: list[str], given: Input | None, take: Callable[[bytes], None]
    ) -> tuple[int, str]:
        """A program, to its end. Returns its exit code and what it complained of."""
        said = bytearray()

        async def write(channel: int, content: bytes) -> None:
            if channel == STDERR:
                said.extend(content[: SAID_MAX - len(said)])
            else:
                await asyncio.to_thread(take, content)

        params = stream_params(self._container, command, has_stdin=given is not None, has_tty=False)
        async with program(self._session.client, self._path, params) as connected:
            status: Json = await connected.converse(given, write)
        code, text = exit_code(status)
        return code, said.decode(errors="replace").strip() or text


async def _upload(box: _Box, source: Path, target: str, *, keeps_owner: bool) -> None:
    own_name = _name_of(source)
    target = target.rstrip("/") or "/"
    is_folder = (await box.run(["test", "-d", target], None, _nothing))[0] == 0
    path = posixpath.join(target, own_name) if is_folder else target
    folder, name = posixpath.split(path)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as packed:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(_pack, source, name, writing))
            owner = [] if keeps_owner else ["-o"]
            command = ["tar", "-xmf", "-", *owner, "-C", folder or "."]
            code, said = await box.run(command, _chunks(packed), _nothing)
            if code:
                packed.close()  # whoever packs shall not wait for us
    if code:
        raise Refused(f"tar in the container ended with exit code {code}: {said}")


def _pack(source: Path, name: str, descriptor: int) -> None:
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(descriptor, "wb") as out,
        tarfile.open(fileobj=out, mode="w|") as archive,
    ):
        archive.add(source, name)


def _name_of(source: Path) -> str:
    if not source.exists():
        raise Refused(f"{source} doesn't exist in local filesystem")
    return source.resolve().name


def _landing(target: Path, name: str) -> Path:
    """Where a file or folder of that name goes: into a folder that is there, or to `target`."""
    landing = target / (name or "root") if target.is_dir() else target
    if not landing.parent.is_dir():
        raise Refused(f"{landing.parent} is no folder", hint=f"mkdir -p {landing.parent}")
    return landing


async def _chunks(packed: IO[bytes]) -> AsyncGenerator[bytes, None]:
    while chunk := await asyncio.to_thread(packed.read, CHUNK):
        yield chunk


async def _download(session: Session, box: _Box, source: str, target: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise Refused("this Python cannot unpack safely", hint="Python 3.11.4 and later can")
    folder, name = posixpath.split(source.rstrip("/") or "/")
    unpacking = _Unpacking(name or ".", _landing(target, name))
    reading, writing = os.pipe()
    async with asyncio.TaskGroup() as group:
        done = group.create_task(asyncio.to_thread(unpacking.run, reading))
        with os.fdopen(writing, "wb", buffering=0) as out:
            command = ["tar", "cf", "-", "-C", folder or ".", f"./{name}" if name else "."]
            code, said = await box.run(command, None, _Sink(out).write)
        await done
    for problem in unpacking.problems:
        session.screen.tell(f"Warning: {problem}")
    if code or not unpacking.count:
        raise Refused(f"tar in the container ended with exit code {code}: {said or 'no files'}")
    if unpacking.problems:
        raise Refused("not everything was copied: see the warnings above")


class _Sink:
    """Takes what comes, also after nobody reads it any more."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, content: bytes) -> None:
        left = memoryview(content)
        with contextlib.suppress(BrokenPipeError):
            while left:
                left = left[self._out.write(left) :]


class _Unpacking:
    """Puts what was packed under one name at another.

    Attributes:
        count: Of what was unpacked.
        problems: What was refused, and why.
    """

    def __init__(self, name: str, target: Path) -> None:
        self._name = name
        self._target = target
        self.count = 0
        self.problems: list[str] = []

    def run(self, descriptor: int) -> None:
        """Read the archive to its end."""
        with os.fdopen(descriptor, "rb") as packed:
            try:
                with tarfile.open(fileobj=packed, mode="r|") as archive:
                    archive.extractall(self._target.parent, filter=self._checked)  # noqa: S202
            except tarfile.ReadError:
                pass  # there is none: the exit code of the other side says why
            while packed.read(CHUNK):
                pass

    def _checked(self, member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        """The member under its new name; None for one that may not come."""
        path = posixpath.normpath(member.name)
        rest = "" if path == self._name else path.removeprefix(f"{self._name}/")
        if self._name == ".":
            rest = "" if path == "." else path
        elif path != self._name and rest == path:
            self.problems.append(f"{member.name!r} was not asked for")
            return None
        renamed = posixpath.join(self._target.name, rest) if rest else self._target.name
        try:
            inside = os.path.realpath(os.path.join(folder, self._target.name))  # noqa: PTH118
            checked = tarfile.data_filter(member.replace(name=renamed), folder)
            landed = os.path.realpath(os.path.join(folder, checked.name))  # noqa: PTH118
            if os.path.commonpath((inside, landed)) != inside:
                self.problems.append(f"{member.name!r} would land outside of {self._target}")
                return None
        except tarfile.FilterError as error:
            self.problems.append(str(error))
            return None
        self.count += 1
        return checked


def _nothing(_content: bytes) -> None:
    """Of no interest."""
