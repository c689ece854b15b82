"""Probes against real programs: HTTP, TCP, a command, gRPC; and what follows on real Docker."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from msgspec.structs import replace

from node_agent.checks import Checks, Outcome
from node_agent.core.question import Question
from node_agent.engine.docker import Docker
from proto.kinds.container import ContainerPort
from proto.kinds.handler import (
    ExecAction,
    GRPCAction,
    HTTPGetAction,
    HTTPHeader,
    TCPSocketAction,
)
from proto.kinds.lifecycle import Lifecycle, LifecycleHandler
from proto.kinds.probe import Probe, default_probe
from proto.messages import LogRequest
from tests.integration.test_agent import a_node
from tests.unit.node_agent import given
from tests.unit.node_agent.node import pod as reported

pytestmark = pytest.mark.docker

HOST = "127.0.0.1"


def question(probe: Probe, container_id: str = "", **fields: object) -> Question:
    found = default_probe(probe)
    assert found is not None
    return Question(given.spec(**fields), container_id, HOST, found.handler, found.timeout_seconds)


@asynccontextmanager
async def asking() -> AsyncIterator[Checks]:
    engine = Docker("unix:///var/run/docker.sock", "nobody")
    checks = Checks(engine)
    try:
        yield checks
    finally:
        await checks.close()
        await engine.close()


@asynccontextmanager
async def a_website() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/ok":
                return web.Response(text=request.headers["User-Agent"])
            case "/named":
                return web.Response(status=200 if request.headers.get("Host") == "shop" else 404)
            case "/query":
                return web.Response(status=200 if request.query == {"a": "1 2"} else 400)
            case "/slow":
                await asyncio.Event().wait()
            case "/moved":
                raise web.HTTPFound("/ok")
            case "/broken":
                raise web.HTTPFound("/nowhere")
            case "/away":
                raise web.HTTPFound("http://192.0.2.1/")
            case "/loop":
                raise web.HTTPFound("/loop")
        return web.Response(status=500)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "is_success", "text"),
    [
        ("/ok", True, ""),
        ("no-slash", False, "statuscode: 500"),
        ("/query?a=1%202", True, ""),
        ("/moved", True, ""),
        ("/broken", False, "statuscode: 500"),
        ("/away", True, ""),
        ("/loop", False, "stopped after 10 redirects"),
        ("/slow", False, "within 1s"),
    ],
)
async def test_an_http_probe_takes_the_word_of_the_answers_status(path, is_success, text):
    async with asking() as checks, a_website() as port:
        probe = Probe(http_get=HTTPGetAction(port=port, path=path))
        outcome = await checks.ask(question(probe))
        assert outcome.is_success is is_success
        assert text in outcome.text


async def test_an_http_probe_may_name_its_port_and_send_headers():
    async with asking() as checks, a_website() as port:
        headers = (HTTPHeader(name="Host", value="shop"),)
        probe = Probe(http_get=HTTPGetAction(port="web", path="/named", http_headers=headers))
        ports = (ContainerPort(name="web", container_port=port),)
        assert (await checks.ask(question(probe, ports=ports))).is_success
        assert await checks.ask(question(probe)) == Outcome(
            is_success=False, text='container "c" has no port of the name "web"'
        )


async def test_a_port_that_nobody_listens_on_is_a_failure_and_not_an_accident():
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
        async with asking() as checks:
            refused = await checks.ask(question(Probe(tcp_socket=TCPSocketAction(port=port))))
            assert refused.text == f"dial tcp {HOST}:{port}: connect: connection refused"
            get = Probe(http_get=HTTPGetAction(port=port))
            assert not (await checks.ask(question(get))).is_success
            rpc = await checks.ask(question(Probe(grpc=GRPCAction(port=port))))
            assert not rpc.is_success
            assert rpc.text.startswith("error: health rpc probe failed")


async def test_a_tcp_probe_is_content_with_a_connection():
    async with asking() as checks, a_website() as port:
        assert (await checks.ask(question(Probe(tcp_socket=TCPSocketAction(port=port))))).is_success


async def test_a_grpc_probe_asks_the_health_service():
    server = grpc.aio.server()
    port = server.add_insecure_port(f"{HOST}:0")
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await server.start()
    try:
        async with asking() as checks:
            asked = question(Probe(grpc=GRPCAction(port=port)))
            assert (await checks.ask(asked)).is_success
            await servicer.set("shop", health_pb2.HealthCheckResponse.NOT_SERVING)
            shop = await checks.ask(question(Probe(grpc=GRPCAction(port=port, service="shop"))))
            assert shop == Outcome(
                is_success=False, text='service unhealthy (responded with "NOT_SERVING")'
            )
    finally:
        await server.stop(None)


async def test_a_pod_serves_when_its_web_server_does_and_is_restarted_when_it_hangs():
    """Readiness over HTTP by name, liveness by a command that looks at a file."""
    serve = "mkdir /www; echo hi > /www/ok; touch /alive; httpd -f -p 8080 -h /www"
    page = Probe(http_get=HTTPGetAction(port="web", path="/ok"), period_seconds=1)
    alive = Probe(  # httpd as process 1 takes no notice of SIGTERM
        exec=ExecAction(command=("sh", "-c", "cat /alive")),
        period_seconds=1,
        timeout_seconds=10,
        failure_threshold=1,
        termination_grace_period_seconds=1,
    )
    probed = given.spec(
        "c0",
        image="demo/busybox:1",
        command=("sh", "-c", serve),
        ports=(ContainerPort(name="web", container_port=8080),),
        readiness_probe=default_probe(page),
        liveness_probe=default_probe(alive),
        startup_probe=default_probe(Probe(tcp_socket=TCPSocketAction(port=8080), period_seconds=1)),
    )
    found = given.pod("web", probed)
    async with a_node() as node:

        def ready_and_restarts() -> tuple[bool, int]:
            seen = reported(node.reports[-1], "web")
            (status,) = seen.status.container_statuses if seen else (None,)
            return (status.ready, status.restart_count) if status else (False, 0)

        await node.assign(found)
        await node.until(lambda _: ready_and_restarts() == (True, 0))
        await execute(node, "rm /www/ok")
        await node.until(lambda _: ready_and_restarts() == (False, 0))
        await execute(node, "rm /alive")
        await node.until(lambda _: ready_and_restarts() == (True, 1))
        texts = [event.message for event in node.events if event.reason == "Unhealthy"]
        assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in texts
        assert "Liveness probe failed: cat: can't open '/alive': No such file or directory" in texts


async def execute(node, script: str) -> None:
    """Run it in the newest container."""
    containers, _ = await node.existing()
    newest = max(containers, key=lambda c: c.attempt)
    probe = Probe(exec=ExecAction(command=("sh", "-c", script)))
    async with asking() as checks:
        assert (await checks.ask(question(probe, newest.id))).is_success


async def test_hooks_run_in_the_container_after_its_start_and_before_its_end():
    """What they write to its output, in order, is in its log."""
    say = "trap 'echo told to end; exit 0' TERM; echo started; sleep 1000 & wait"
    hooks = [
        LifecycleHandler(
            exec=ExecAction(command=("sh", "-c", f"sleep 0.2; echo {said} > /proc/1/fd/1"))
        )
        for said in ("hello", "goodbye")
    ]
    probed = given.spec(
        "c0",
        image="demo/busybox:1",
        command=("sh", "-c", say),
        lifecycle=Lifecycle(post_start=hooks[0], pre_stop=hooks[1]),
    )
    found = given.pod("web", probed, policy="Never")
    async with a_node() as node:
        await node.assign(found)
        await node.running("web")
        assert await node.logs(LogRequest(pod_uid=found.uid, container="c0")) == b"started\nhello\n"
        async with asyncio.TaskGroup() as tasks:
            everything = LogRequest(pod_uid=found.uid, container="c0", follow=True)
            following = tasks.create_task(node.logs(everything))
            await node.assign(replace(found, delete_grace_s=20))
            await node.until(lambda r: (w := reported(r, "web")) and w.is_gone)
        assert following.result() == b"started\nhello\ngoodbye\ntold to end\n"
