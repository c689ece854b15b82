"""logs, exec, attach, run, port-forward and cp, through a terminal and through pipes."""

import contextlib
import fcntl
import hashlib
import os
import pty
import random
import re
import signal
import struct
import subprocess
import termios
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

PATIENCE_S = 60
MIB = 1 << 20

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: {image}
    ports: [{{name: http, containerPort: 8080}}]
    command: [sh, -c, "mkdir -p /www; head -c 1000000 /dev/zero > /www/zeros; httpd -p 8080 -h /www;
      for i in 1 2 3; do echo line $i; done; while :; do sleep 0.2; echo tick; done"]
  - {{name: side, image: {image}, command: [sh, -c, "echo side; sleep 1000"]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: cat}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: {image}, command: [cat], stdin: true}}
"""

pytestmark = [pytest.mark.docker]


@pytest.fixture(scope="module")
def pods(longshore):
    """A web server with a companion, and a cat."""
    longshore("apply", "-f", "-", given=MANIFEST.format(image=longshore.image))
    longshore("wait", "--for=condition=Ready", "pod/web", "pod/cat", "--timeout=60s")
    return longshore


@contextlib.contextmanager
def at_terminal(longshore, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run it in a terminal of 99 columns and 33 rows."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child becomes longshore
        argv, env = longshore.command(*arguments, TERM="xterm")
        os.execve(argv[0], argv, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    try:
        yield pid, terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)


def read_until(terminal: int, ending: bytes) -> bytes:
    seen = b""
    while ending not in seen:
        seen += os.read(terminal, 4096)
    return seen


def read_all(terminal: int) -> bytes:
    seen = b""
    with contextlib.suppress(OSError):  # EIO is a terminal's end
        while chunk := os.read(terminal, 4096):
            seen += chunk
    return seen


def test_logs_are_chosen_by_container_count_and_label(pods) -> None:
    first = pods.run("logs", "web", "--tail=1000")
    assert first.out.splitlines()[:3] == ["line 1", "line 2", "line 3"]
    assert first.err == 'Defaulted container "c" out of: c, side\n'
    assert pods("logs", "web", "side") == pods("logs", "pod/web", "-c", "side") == "side\n"
    both = pods("logs", "-l", "app=web", "--all-containers", "--prefix", "--tail=1")
    assert sorted(both.splitlines()) == ["[pod/web/c] tick", "[pod/web/side] side"]
    stamped = pods("logs", "web", "-c", "side", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z side\n", stamped)
    assert "its containers are c, side" in pods.fails("logs", "web", "-c", "x")
    assert "expected POD or TYPE/NAME" in pods.fails("logs")
    assert '"x" not found' in pods.fails("logs", "x")


def test_logs_are_followed_line_by_line(pods) -> None:
    with pods.beside("logs", "-f", "web", "-c", "c", "--tail=1", "--prefix") as process:
        for _ in range(3):
            assert process.stdout.readline() == "[pod/web/c] tick\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_the_exit_code_and_both_outputs_are_the_programs_own(pods) -> None:
    answer = pods.run("exec", "web", "-c", "c", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out) == (7, "out\n")
    assert answer.err == "err\ncommand terminated with exit code 7\n"
    assert pods.run("exec", "web", "-c", "c", "--", "sh", "-c", "exit 2").code == 2
    assert "is not valid" in pods.fails("exec", "web", "-c", "x", "--", "true")
    assert "at least one command" in pods.fails("exec", "web")
    assert '"x" not found' in pods.fails("exec", "x", "--", "true")


def test_a_program_that_takes_its_time_is_not_given_up(pods) -> None:
    """The server sends a sign of life every five seconds."""
    assert pods("exec", "web", "-c", "c", "--", "sh", "-c", "sleep 6; echo done") == "done\n"


def test_input_and_output_pass_whole(pods) -> None:
    text = "".join(f"{number}\n" for number in range(300_000))
    summed = pods("exec", "-i", "web", "-c", "c", "--", "sha256sum", given=text)
    assert summed.split()[0] == hashlib.sha256(text.encode()).hexdigest()
    assert pods("exec", "-i", "web", "-c", "c", "--", "cat", given="") == ""
    argv, env = pods.command(
        "exec", "web", "-c", "c", "--", "head", "-c", str(16 * MIB), "/dev/zero"
    )
    digest = hashlib.sha256()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
        while chunk := process.stdout.read(MIB):
            digest.update(chunk)
    assert process.returncode == 0
    assert digest.digest() == hashlib.sha256(bytes(16 * MIB)).digest()


def test_a_terminal_is_passed_on_with_its_size_and_its_keys(pods) -> None:
    with at_terminal(pods, "exec", "-it", "web", "-c", "c", "--", "sh") as (pid, terminal):
        read_until(terminal, b"# ")
        os.write(terminal, b"stty size; cat\r")
        read_until(terminal, b"33 99\r\n")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        os.kill(pid, signal.SIGWINCH)
        os.write(terminal, b"\x03")  # Ctrl-C ends the cat there, and not the client here
        read_until(terminal, b"# ")
        os.write(terminal, b"stty size; exit 5\r")
        seen = read_all(terminal)
        assert b"44 88\r\n" in seen
        assert b"exit code 5" in seen
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_a_terminal_sees_colours_and_nobody_else_does(pods) -> None:
    with at_terminal(pods, "get", "pod", "cat") as (pid, terminal):
        assert b"\x1b[32mRunning" in read_all(terminal)
        os.waitpid(pid, 0)
    assert "\x1b" not in pods("get", "pod", "cat")
    argv, env = pods.command("get", "pod", "cat", NO_COLOR="1", TERM="xterm")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, env)
    assert b"\x1b[32m" not in read_all(terminal)
    os.waitpid(pid, 0)
    os.close(terminal)


def test_who_attaches_talks_to_the_containers_own_program(pods) -> None:
    argv, env = pods.command("attach", "-i", "cat")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"hello\n"
        process.kill()


def test_a_pod_is_run_talked_to_and_removed(pods) -> None:
    once = ("run", "once", f"--image={pods.image}", "--restart=Never", "-i", "--rm")
    ended = pods.run(*once, "--", "sh", "-c", "echo at-once; cat; exit 3", given="typed\n")
    assert ended.code == 3
    assert ended.out == 'at-once\ntyped\npod "once" deleted\n'
    assert '"once" not found' in pods.fails("get", "pod", "once")
    assert pods("run", "bare", f"--image={pods.image}", "--", "true") == "pod/bare created\n"
    assert pods("get", "pod", "bare", "-o", "jsonpath={.spec.containers[0].args}") == '["true"]'
    assert "--rm should only" in pods.fails("run", "x", "--image=y", "--rm")


def test_ports_are_forwarded_for_many_connections_at_once(pods) -> None:
    with pods.beside("port-forward", "web", ":8080", ":http") as process:
        ports = []
        for _ in range(2):
            line = process.stdout.readline()
            ports.append(int(re.fullmatch(r"Forwarding from 127.0.0.1:(\d+) -> 8080\n", line)[1]))

        def fetch(number: int) -> bytes:
            url = f"http://127.0.0.1:{ports[number % 2]}/zeros"
            with urllib.request.urlopen(url, timeout=30) as answer:
                content: bytes = answer.read()
                return content

        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(fetch, range(12))) == {bytes(1_000_000)}
        taken = pods.fails("port-forward", "web", f"{ports[0]}:8080")
        assert f"unable to listen on port {ports[0]}" in taken
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert "has no port named 'x'" in pods.fails("port-forward", "pod/web", "8080:x")
    assert "is no port" in pods.fails("port-forward", "web", "a:b")


def test_a_connection_that_fails_is_told_and_the_others_go_on(pods) -> None:
    with pods.beside("port-forward", "web", ":9", ":8080") as process:
        closed, open_ = (int(process.stdout.readline().split(":")[1].split()[0]) for _ in range(2))
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{closed}/", timeout=30)
        assert process.stderr.readline().startswith(f"error: forwarding {closed} -> 9: ")
        with urllib.request.urlopen(f"http://127.0.0.1:{open_}/zeros", timeout=30) as answer:
            assert len(answer.read()) == 1_000_000


def test_files_and_folders_are_copied_there_and_back(pods, tmp_path) -> None:
    content = random.Random(1).randbytes(4 * MIB)
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "file").write_bytes(content)
    assert pods("cp", str(tmp_path / "tree"), "web:/tmp/copied", "-c", "c") == ""
    assert pods("cp", "web:/tmp/copied", str(tmp_path / "back"), "-c", "c") == ""
    assert (tmp_path / "back" / "sub" / "file").read_bytes() == content
    pods("cp", str(tmp_path / "tree" / "sub" / "file"), f"{pods.namespace}/web:/tmp", "-c", "c")
    pods("cp", "web:tmp/file", str(tmp_path), "-c", "c")
    assert (tmp_path / "file").read_bytes() == content
    pods("exec", "web", "-c", "c", "--", "ln", "-s", "/etc/passwd", "/tmp/copied/evil")
    assert "is a link" in pods.fails("cp", "web:/tmp/copied", str(tmp_path / "no"), "-c", "c")
    assert not (tmp_path / "no" / "evil").exists()
    missing = pods.fails("cp", "web:/not/there", str(tmp_path / "x"), "-c", "c")
    assert "No such file" in missing
    assert not (tmp_path / "x").exists()
    assert "doesn't exist" in pods.fails("cp", "/not/there", "web:/tmp")
    assert "must be in a pod" in pods.fails("cp", "a", "b")
