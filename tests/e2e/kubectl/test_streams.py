"""exec, attach, port-forward and cp with every kubectl of this machine: three ways to ask.

Up to 1.29 they speak SPDY; 1.30 executes over a WebSocket and forwards over SPDY; later ones do
both over WebSockets.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import termios
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import streaming
from tests.e2e.kubectl import binaries, needs
from tests.e2e.kubectl.binaries import Kubectl
from tests.e2e.kubectl.cluster import Up, up
from tests.e2e.waiting import eventually, throughout
from tests.servers import free_port

IMAGE = f"longshore-test-streams-{uuid.uuid4().hex[:6]}:1"
MIB = 1 << 20
PATIENCE_S = 60

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  containers:
  - name: c
    image: {image}
    command:
    - sh
    - -c
    - |
      mkdir /www; head -c 1000000 /dev/zero > /www/zeros
      nc -ll -p 9000 -e sha256sum & # answers once its input has ended
      httpd -f -p 8080 -h /www
---
apiVersion: v1
kind: Pod
metadata: {{name: cat}}
spec:
  containers:
  - {{name: c, image: {image}, command: [cat], stdin: true}}
"""

pytestmark = needs.KUBECTL_AND_CLUSTER


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Up]:
    """One node with two pods: a web server, and a cat."""
    folder = tmp_path_factory.mktemp("cluster")
    with up(folder, IMAGE, nodes=1) as found:
        kubectl = Kubectl(binaries.usual(), found.server, folder)
        kubectl("apply", "-f", "-", given=MANIFEST.format(image=IMAGE))
        kubectl("wait", "--for=condition=Ready", "pod/web", "pod/cat", "--timeout=60s")
        yield found


@pytest.fixture(params=binaries.found(), ids=lambda path: path.name)
def kubectl(request, cluster, tmp_path) -> Kubectl:
    """Each kubectl."""
    return Kubectl(request.param, cluster.server, tmp_path)


def processes(*argv: str) -> list[int]:
    """Of this machine, with exactly this command line."""
    wanted = b"".join(word.encode() + b"\0" for word in argv)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == wanted:
                found.append(int(path.parent.name))
    return found


def test_outputs_and_exit_codes_are_the_programs_own(kubectl) -> None:
    answer = kubectl.run("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out) == (7, "out\n")
    assert answer.err == "err\ncommand terminated with exit code 7\n"
    assert kubectl("exec", "web", "--", "true") == ""
    for verb in (("exec", "--", "true"), ("attach",), ("logs",)):
        said = kubectl.fails(verb[0], "web", "-c", "x", *verb[1:])
        assert "container x is not valid for pod web" in said or "container x not found" in said
    assert kubectl.run("exec", "web", "--", "nothing-by-that-name").code in (126, 127)


def test_input_arrives_whole_and_ends(kubectl) -> None:
    text = "".join(f"{number}\n" for number in range(300_000))
    summed = kubectl("exec", "-i", "web", "--", "sha256sum", given=text)
    assert summed.split()[0] == hashlib.sha256(text.encode()).hexdigest()
    assert kubectl("exec", "-i", "web", "--", "cat", given="") == ""


def test_a_large_output_arrives_whole_for_a_reader_that_pauses(kubectl) -> None:
    size = 64 * MIB
    digest, taken = hashlib.sha256(), 0
    with kubectl.beside("exec", "web", "--", "head", "-c", str(size), "/dev/zero") as process:
        while chunk := process.stdout.read(MIB):
            if taken in (MIB, 8 * MIB):
                throughout(lambda: process.poll() is None, for_s=1, what="it waits for its reader")
            digest.update(chunk)
            taken += len(chunk)
        assert process.wait(PATIENCE_S) == 0
    assert taken == size
    assert digest.digest() == hashlib.sha256(bytes(size)).digest()


def test_a_file_arrives_whole_and_costs_no_memory_whether_its_reader_hurries_or_not(cluster):
    """256 MiB through exec; `make bench` has 1 GiB of it."""
    kubectl = Kubectl(binaries.usual(), cluster.server, cluster.data)
    said = kubectl("exec", "web", "-c", "c", "--", "sh", "-c", streaming.making(size_mib=256))
    for pauses_s in (0.0, 0.05):
        found = asyncio.run(
            streaming.pull(
                cluster.server,
                "/api/v1/namespaces/default/pods/web",
                cluster.data,
                pauses_s=pauses_s,
            )
        )
        assert (found.size, found.sha256) == (256 * MIB, said.split()[0])
        assert found.status == "Success"
        assert all(grown < 16 for grown in found.grown_mib.values()), found
    kubectl("exec", "web", "-c", "c", "--", "rm", streaming.LARGE)


def test_a_terminal_has_the_users_size_and_gives_its_exit_code(kubectl) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # the child becomes kubectl
        argv, env = kubectl.command("exec", "-it", "web", "--", "sh")
        os.execve(argv[0], argv, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    os.kill(pid, signal.SIGWINCH)
    seen = b""
    while b"# " not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"stty size; exit 5\r")
    with contextlib.suppress(OSError):  # EIO is a terminal's end
        while chunk := os.read(terminal, 4096):
            seen += chunk
    os.close(terminal)
    assert b"33 99\r\n" in seen
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_a_client_that_is_killed_takes_its_program_with_it(kubectl) -> None:
    seconds = str(random.SystemRandom().randrange(10**6, 10**7))
    with (
        Path("/dev/zero").open("rb") as endless,  # so that nothing can be read from the client
        kubectl.beside("exec", "-i", "web", "--", "sleep", seconds, stdin=endless),
    ):
        eventually(lambda: processes("sleep", seconds), within_s=PATIENCE_S, what="it runs")
    eventually(lambda: not processes("sleep", seconds), within_s=PATIENCE_S, what="it has ended")


def test_who_attaches_talks_to_the_containers_own_program(kubectl) -> None:
    word = uuid.uuid4().hex.encode() + b"\n"
    with kubectl.beside("attach", "-i", "cat", stdin=subprocess.PIPE) as process:
        process.stdin.write(word)
        process.stdin.flush()
        assert process.stdout.read(len(word)) == word
    assert kubectl("get", "pod", "cat", "--no-headers").split()[2:4] == ["Running", "0"]


def test_many_connections_are_forwarded_at_once(kubectl) -> None:
    port = free_port()

    def fetch(_: int) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/zeros", timeout=30) as answer:
            content: bytes = answer.read()
            return content

    with kubectl.beside("port-forward", "pod/web", f"{port}:8080") as process:
        assert b"Forwarding from" in process.stdout.readline()
        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(fetch, range(18))) == {bytes(1_000_000)}


def test_a_connection_whose_sender_has_finished_still_gets_its_answer(kubectl) -> None:
    port, sent = free_port(), random.Random(2).randbytes(3 * MIB)
    with kubectl.beside("port-forward", "pod/web", f"{port}:9000") as process:
        assert b"Forwarding from" in process.stdout.readline()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    assert answer.split()[:1] == [hashlib.sha256(sent).hexdigest().encode()]


def test_a_port_where_nobody_listens_is_told_in_words(kubectl) -> None:
    port = free_port()
    with kubectl.start("port-forward", "pod/web", f"{port}:81") as forward:
        try:
            assert "Forwarding from" in forward.stdout.readline()
            with (
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection,
                contextlib.suppress(ConnectionResetError),
            ):
                assert connection.recv(1) == b""
            said = ""
            while "an error occurred forwarding" not in said:
                said = forward.stdout.readline()
                assert said, "kubectl ended without a word"
            assert "failed to connect to" in said
            assert ":81 in the pod" in said
        finally:
            forward.kill()


def test_the_audit_log_tells_who_executed_what(cluster) -> None:
    kubectl = Kubectl(binaries.usual(), cluster.server, cluster.data)
    word = uuid.uuid4().hex
    kubectl("exec", "web", "--", "echo", word)

    def told() -> list[dict[str, Any]]:
        log = (cluster.data / "logs" / "audit.log").read_text()
        return [json.loads(line) for line in log.splitlines() if word in line]

    lines = eventually(lambda: told()[1:] and told(), within_s=PATIENCE_S, what="it is told")
    assert {line["stage"] for line in lines} == {"ResponseStarted", "ResponseComplete"}
    assert all(line["userAgent"].startswith("kubectl") for line in lines)
    assert lines[0]["objectRef"]["subresource"] == "exec"


WAITING = """
apiVersion: v1
kind: Pod
metadata: {{name: waiting}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: up, image: {image}, command: [sleep, "1000000"]}}
  - {{name: pulling, image: nobody.invalid/has/this:1}}
"""


def test_a_command_for_what_does_not_run_says_why(cluster) -> None:
    kubectl = Kubectl(binaries.usual(), cluster.server, cluster.data)
    kubectl("run", "ended", f"--image={IMAGE}", "--restart=Never", "--", "true")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ended", "--timeout=60s")
    assert "cannot exec into a container in a completed pod" in kubectl.fails(
        "exec", "ended", "--", "true"
    )
    assert "cannot attach a container in a completed pod" in kubectl.fails("attach", "ended")
    kubectl("apply", "-f", "-", given=WAITING.format(image=IMAGE))
    kubectl("wait", "--for=jsonpath={.status.phase}=Pending", "pod/waiting", "--timeout=60s")
    assert 'container not found ("pulling")' in kubectl.fails(
        "exec", "waiting", "-c", "pulling", "--", "true"
    )
    assert "is waiting to start" in kubectl.fails("logs", "waiting", "-c", "pulling")
    path = "/api/v1/namespaces/default/pods/waiting/exec?command=true&stdout=1&container=x"
    assert "valid containers are: up, pulling" in kubectl.fails("get", "--raw", path)
    kubectl("run", "nowhere", f"--image={IMAGE}", '--overrides={"spec":{"nodeSelector":{"a":"b"}}}')
    assert "pod nowhere does not have a host assigned" in kubectl.fails(
        "exec", "nowhere", "--", "true"
    )
    assert 'pods "missing" not found' in kubectl.fails("exec", "missing", "--", "true")
    kubectl("delete", "pod", "ended", "waiting", "nowhere", "--force", "--grace-period=0")


def test_files_are_copied_there_and_back(kubectl, tmp_path) -> None:
    content = random.Random(1).randbytes(4 * MIB)
    (tmp_path / "there").write_bytes(content)
    name = uuid.uuid4().hex
    kubectl("cp", str(tmp_path / "there"), f"web:/tmp/{name}")
    kubectl("cp", f"web:/tmp/{name}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
