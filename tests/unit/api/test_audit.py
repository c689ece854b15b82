"""Who asked for what, when, and what came of it."""

import asyncio
import json
import resource
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runtime import audit as audits
from orchestrator.runtime.audit import AuditLog, Event
from proto.errors import Unavailable
from tests.unit.api.server import running

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "busybox"}]},
}
PATIENCE_S = 10.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def log_to(path: Path, **options: Any) -> AuditLog:
    return AuditLog(path, new_id=lambda: str(uuid.uuid4()), clock=now_ms, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def said(path: Path) -> list[tuple[str, str, int]]:
    return [
        (line["stage"], line["verb"], line["responseStatus"].get("code", 0)) for line in lines(path)
    ]


def event(name: str) -> Event:
    return Event(
        audit_id=name,
        stage="ResponseComplete",
        request_uri="/",
        verb="get",
        user={},
        request_received_timestamp="",
        stage_timestamp="",
    )


async def test_every_change_says_who_what_when_and_what_came_of_it(tmp_path):
    path = tmp_path / "logs" / "audit.log"
    audit = log_to(path)
    before_ms = now_ms()
    async with audit.writing(), running(audit=audit) as api:
        headers = {"User-Agent": "kubectl/v1.32", "X-Forwarded-For": "10.0.0.9, 10.0.0.8"}
        async with api.http.post(api.url + PODS, json=POD, headers=headers) as response:
            id_ = response.headers["Audit-Id"]
        await api.ask("POST", PODS, POD)
        merge = {"Content-Type": "application/merge-patch+json"}
        async with api.http.patch(f"{api.url}{PODS}/p", data="{}", headers=merge) as response:
            assert response.status == 200
        await api.ask("PUT", f"{PODS}/p/status", POD)
        await api.ask("DELETE", f"{PODS}/gone")
        await api.ask("DELETE", f"{PODS}?labelSelector=a%3Db")
        review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        await api.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        await api.ask("POST", "/nowhere")
    first, second, *_, gone, all_, who, nowhere = lines(path)
    assert [verb for _, verb, _ in said(path)] == [
        "create", "create", "patch", "update", "delete", "deletecollection", "create", "post",
    ]  # fmt: skip
    assert (first["kind"], first["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert (first["level"], first["stage"]) == ("Metadata", "ResponseComplete")
    assert first["auditID"] == id_ != second["auditID"]
    assert first["requestURI"] == PODS
    assert first["user"]["username"] == "longshore-admin"
    assert first["sourceIPs"] == ["10.0.0.9", "10.0.0.8", "127.0.0.1"]
    assert first["userAgent"] == "kubectl/v1.32"
    assert first["objectRef"] == {
        "resource": "pods", "namespace": "default", "name": "p", "apiVersion": "v1",
    }  # fmt: skip
    assert first["responseStatus"] == {"metadata": {}, "code": 201}
    assert second["responseStatus"]["reason"] == "AlreadyExists"
    received, answered = first["requestReceivedTimestamp"], first["stageTimestamp"]
    assert audits.format_micro_time(before_ms) <= received <= answered
    assert answered <= audits.format_micro_time(now_ms())
    assert gone["responseStatus"]["code"] == 404
    assert gone["responseStatus"]["message"] == 'pods "gone" not found'
    assert "name" not in all_["objectRef"]
    assert who["objectRef"]["apiGroup"] == "authentication.k8s.io"
    assert "objectRef" not in nowhere
    assert path.stat().st_mode & 0o077 == 0


async def test_who_only_reads_is_not_written_down_unless_asked(tmp_path):
    quiet, curious = log_to(tmp_path / "quiet"), log_to(tmp_path / "curious", includes_reads=True)
    for audit in (quiet, curious):
        async with audit.writing(), running(audit=audit) as api:
            for path in (PODS, f"{PODS}/p", f"{PODS}?watch=1&timeoutSeconds=1", "/version"):
                async with api.http.get(api.url + path) as response:
                    await response.read()
    assert lines(tmp_path / "quiet") == []
    assert said(tmp_path / "curious") == [
        ("ResponseComplete", "list", 200),
        ("ResponseComplete", "get", 404),
        ("ResponseStarted", "watch", 200),
        ("ResponseComplete", "watch", 200),
        ("ResponseComplete", "get", 200),
    ]


async def test_what_is_in_a_secret_never_gets_into_the_log(tmp_path):
    audit = log_to(tmp_path / "audit.log", includes_reads=True)
    async with audit.writing(), running(audit=audit) as api:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
        assert (await api.ask("POST", SECRETS, secret | {"stringData": {"a": "hush"}}))[0] == 201
        assert (await api.ask("GET", f"{SECRETS}/s"))[0] == 200
        strict = f"{SECRETS}/s?fieldValidation=Strict"
        status, refused = await api.ask("PUT", strict, secret | {"hush": "hush"})
        assert (status, "hush" in refused["message"]) == (400, True)
    text = (tmp_path / "audit.log").read_text()
    assert "hush" not in text
    assert "aHVzaA" not in text
    assert lines(tmp_path / "audit.log")[-1]["responseStatus"]["reason"] == "BadRequest"


async def test_a_command_in_a_container_is_written_down_when_it_begins_and_when_it_ends(tmp_path):
    audit = log_to(tmp_path / "audit.log")
    async with audit.writing(), running(audit=audit) as api:
        await api.ask("POST", PODS, POD)
        url = f"{api.url}{PODS}/p/exec?command=rm&command=-rf&stdout=true"
        async with api.http.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            async for _ in socket:
                pass
        assert (await api.ask("GET", f"{PODS}/p/log"))[0] == 400  # it does not run yet
    _, begun, *rest = lines(tmp_path / "audit.log")  # the client may be quicker than the end
    log, ended = sorted(rest, key=lambda line: line["objectRef"]["subresource"] == "exec")
    assert (begun["stage"], ended["stage"]) == ("ResponseStarted", "ResponseComplete")
    assert begun["auditID"] == ended["auditID"] != log["auditID"]
    assert begun["requestURI"].endswith("/p/exec?command=rm&command=-rf&stdout=true")
    assert begun["objectRef"]["subresource"] == "exec"
    assert begun["responseStatus"]["code"] == 101
    assert (log["objectRef"]["subresource"], log["responseStatus"]["code"]) == ("log", 400)


async def test_a_change_whose_client_left_is_written_down(tmp_path):
    audit = log_to(tmp_path / "audit.log")
    async with audit.writing(), running(audit=audit) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(f"POST {PODS} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        await writer.drain()
        writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while not (tmp_path / "audit.log").stat().st_size:
                await asyncio.sleep(0.01)
    (line,) = lines(tmp_path / "audit.log")
    assert line["responseStatus"] == {
        "metadata": {},
        "message": "the client did not wait for the answer",
    }


async def test_nothing_is_changed_that_a_full_disk_could_not_hold_and_reads_go_on():
    audit = log_to(Path("/dev/full"))
    async with audit.writing(), running(audit=audit) as api:
        await api.ask("POST", PODS, POD)  # nobody could know yet
        async with asyncio.timeout(PATIENCE_S):
            while not audit.trouble:
                await asyncio.sleep(0.01)
        async with api.http.delete(f"{api.url}{PODS}/p") as response:
            refused = await response.json()
            assert response.headers["Retry-After"] == "1"
        assert (refused["code"], refused["reason"]) == (503, "ServiceUnavailable")
        assert "/dev/full cannot be written (No space left on device)" in refused["message"]
        assert (await api.ask("GET", f"{PODS}/p/exec?command=x&stdout=1"))[0] == 503
        assert (await api.ask("GET", f"{PODS}/p"))[0] == 200
    assert audit.lost == 3  # the create, and what was refused


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond it: as good as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_what_waited_for_the_disk_is_written_once_it_has_room_and_no_line_is_torn(tmp_path):
    audit = log_to(tmp_path / "audit.log")
    async with audit.writing():
        with largest_file(1000):
            for number in range(20):
                audit.add(event(str(number)))
            async with asyncio.timeout(PATIENCE_S):
                while not audit.trouble:
                    await asyncio.sleep(0.01)
            assert (tmp_path / "audit.log").stat().st_size == 1000
            with pytest.raises(Unavailable):
                audit.check()
        async with asyncio.timeout(PATIENCE_S):
            while audit.trouble:
                await asyncio.sleep(0.01)
        audit.check()
    assert [line["auditID"] for line in lines(tmp_path / "audit.log")] == [*map(str, range(20))]
    assert audit.lost == 0


async def test_a_disk_that_stands_still_bounds_the_queue_and_what_is_lost_is_counted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(audits, "QUEUE_BYTES_MAX", 10_000)
    audit = log_to(tmp_path / "audit.log")  # nobody writes yet
    size = 0
    while True:
        try:
            audit.check()
        except Unavailable as error:
            assert "the disk does not keep up" in str(error)
            break
        audit.add(event(f"{size}"))
        size += 1
    for number in range(1000):
        audit.add(event(f"late {number}"))
    async with audit.writing():
        pass
    written = lines(tmp_path / "audit.log")
    assert len(written) + audit.lost == size + 1000
    assert [line["auditID"] for line in written[:size]] == [*map(str, range(size))]
    assert (tmp_path / "audit.log").stat().st_size < 2 * 10_000 + 1000


async def test_the_files_are_bounded_and_the_oldest_goes_first(tmp_path):
    path = tmp_path / "audit.log"
    for round_ in range(5):
        audit = log_to(path, file_bytes_max=2000, files_max=3)
        async with audit.writing():
            for number in range(8):  # together: some 1,500 bytes
                audit.add(event(f"{round_}.{number}"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit.log", "audit.log.1", "audit.log.2"]
    assert [lines(tmp_path / name)[0]["auditID"] for name in ("audit.log", "audit.log.1")] == [
        "4.0",
        "3.0",
    ]
    assert all(p.stat().st_size <= 2000 for p in tmp_path.iterdir())
