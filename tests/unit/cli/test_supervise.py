import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.refused import Refused, first_of
from orchestrator.cli.supervise import Daemon, running

COUNT_STARTS = "import pathlib, time; open('starts', 'a').write('x'); "


class Said(list[str]):
    """What the user was told."""

    def __call__(self, text: str) -> None:
        self.append(text)


def daemon(folder: Path, code: str, said: Said | None = None) -> Daemon:
    return Daemon(
        "worker",
        [sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {code}"],
        log=folder / "worker.log",
        pid_file=folder / "worker.pid",
        say=said if said is not None else Said(),
    )


def pid_of(folder: Path) -> int:
    """Of the worker that runs; 0 for none."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int((folder / "worker.pid").read_text())
    return 0


def starts_of(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return len((folder / "starts").read_text())
    return 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.cli.supervise.RESTART_DELAY_S_MIN", 0.01)


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


async def test_a_daemon_runs_inside_its_block_and_has_ended_after_it(tmp_path: Path) -> None:
    async with running(daemon(tmp_path, COUNT_STARTS + "time.sleep(60)")):
        await until(lambda: starts_of(tmp_path))
        pid = pid_of(tmp_path)
        assert is_alive(pid)
    assert not is_alive(pid)
    assert not (tmp_path / "worker.pid").exists()


async def test_a_daemon_that_dies_is_started_again_and_the_user_is_told(tmp_path: Path) -> None:
    said = Said()
    async with running(daemon(tmp_path, COUNT_STARTS + "time.sleep(60)", said)):
        await until(lambda: starts_of(tmp_path))
        os.kill(pid_of(tmp_path), signal.SIGKILL)
        await until(lambda: starts_of(tmp_path) == 2)
    assert said == [f"worker died (SIGKILL): again in 0.2 s; see {tmp_path / 'worker.log'}"]


async def test_a_daemon_that_never_worked_is_given_up_with_its_last_words(
    tmp_path: Path, quick_restarts: None
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with running(daemon(tmp_path, COUNT_STARTS + "raise SystemExit('no such flag')")):
            await asyncio.Event().wait()
    refusal = first_of(caught.value)
    assert isinstance(refusal, Refused)
    assert str(refusal) == "worker does not start (exit code 1):\n" + "\n".join(
        ["    no such flag"] * 5
    )
    assert starts_of(tmp_path) == 5


async def test_a_daemon_that_has_worked_is_never_given_up(
    tmp_path: Path, quick_restarts: None
) -> None:
    worker = daemon(tmp_path, COUNT_STARTS + "raise SystemExit(1)")
    worker.is_proven = True
    async with running(worker):
        await until(lambda: starts_of(tmp_path) > 5)


async def test_a_killed_daemon_stays_down_until_it_is_revived(tmp_path: Path) -> None:
    worker = daemon(tmp_path, COUNT_STARTS + "time.sleep(60)")
    async with running(worker):
        await until(lambda: starts_of(tmp_path))
        pid = pid_of(tmp_path)
        await worker.kill()
        assert not is_alive(pid)
        assert starts_of(tmp_path) == 1
        worker.revive()
        await until(lambda: starts_of(tmp_path) == 2)


async def test_a_daemon_that_ignores_sigterm_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.cli.supervise.STOP_GRACE_S", 0.2)
    code = (
        "import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = subprocess.Popen(['sleep', '60']); open('child', 'w').write(f'{child.pid}\\n'); "
        "child.wait()"
    )
    child = tmp_path / "child"
    async with running(daemon(tmp_path, code)):
        await until(lambda: child.exists() and child.read_text().endswith("\n"))
    await until(lambda: not is_alive(int(child.read_text())))


async def test_blocks_end_the_daemons_that_started_last_first(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: "
        "(open('../ends', 'a').write(os.path.basename(os.getcwd())), os._exit(0))); "
        "open('up', 'w'); signal.pause()"
    )
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    a, b, c = (daemon(folder, code) for folder in folders)
    async with running(a), running(b), running(c):
        await until(lambda: all((folder / "up").exists() for folder in folders))
    assert (tmp_path / "ends").read_text() == "cba"


async def test_a_daemon_does_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"""
import asyncio, sys
from pathlib import Path
from orchestrator.cli.supervise import Daemon, running

async def main():
    here = Path({str(tmp_path)!r})
    worker = Daemon("worker", ["sleep", "60"], log=here / "log", pid_file=here / "worker.pid", say=print)
    async with running(worker):
        await asyncio.Event().wait()

asyncio.run(main())
""",
    )
    await until(lambda: pid_of(tmp_path))
    pid = pid_of(tmp_path)
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: not is_alive(pid))
