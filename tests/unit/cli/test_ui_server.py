"""The page, over a real API with a store in memory."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest

from orchestrator.cli.connection import connected
from orchestrator.cli.refused import Refused
from orchestrator.cli.ui.server import PAGE, TYPES, serving
from orchestrator.cli.where import Where
from tests.unit.api.server import Running, running

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "web:1"}]},
}
PODS = "/api/v1/namespaces/default/pods"


class Page(NamedTuple):
    """A page that is served.

    Attributes:
        url: Without a slash at its end.
    """

    api: Running
    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        """Status, text and headers."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.get(self.url + path, headers=names) as answer:
            return answer.status, await answer.text(), answer.headers


@asynccontextmanager
async def page() -> AsyncIterator[Page]:
    async with (
        running() as api,
        connected(Where(server=api.url)) as client,
        serving(client, 0) as address,
        aiohttp.ClientSession() as http,
    ):
        yield Page(api, address.rstrip("/"), http)


async def test_the_page_and_everything_it_names_are_served_under_a_strict_policy():
    async with page() as served:
        waiting, seen = ["/"], set()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            code, text, headers = await served.get(path)
            assert code == 200, path
            assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            waiting += re.findall(r'(?:src|href)="(/page/[^"]+)"', text)
            waiting += [f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        assert seen == {"/"} | {f"/page/{file.name}" for file in PAGE.iterdir()} - {
            "/page/index.html"
        }


def test_no_file_of_the_page_needs_what_its_policy_forbids():
    for file in PAGE.iterdir():
        text = file.read_text()
        assert file.suffix in TYPES
        assert "//cdn" not in text and not re.search(r"https?://(?!www\.w3\.org)", text), file
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", text)
        if file.suffix == ".js":
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
            )


async def test_another_name_or_another_sites_page_gets_nothing():
    async with page() as served:
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "https://evil.example"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            for path in ("/", "/live", "/version", "/why/pod/default/web", "/nothing"):
                code, text, _ = await served.get(path, **headers)
                assert (code, json.loads(text)["kind"]) == (403, "Status"), (headers, path)


async def test_the_api_is_read_through_it_and_only_read():
    async with page() as served:
        await served.api.ask("POST", PODS, POD)
        code, text, headers = await served.get(f"{PODS}?limit=1")
        assert (code, len(json.loads(text)["items"])) == (200, 1)
        assert "sandbox" in headers["Content-Security-Policy"]
        code, text, _ = await served.get(f"{PODS}/none")
        assert (code, json.loads(text)["reason"]) == (404, "NotFound")
        async with served.http.delete(f"{served.url}{PODS}/web") as answer:
            assert answer.status == 403
        assert (await served.api.ask("GET", f"{PODS}/web"))[0] == 200
        assert (await served.get(f"{PODS}/web/exec?command=sh"))[0] == 404


async def test_a_path_is_not_tidied_up_on_its_way():
    async with page() as served:
        host, port = served.url.removeprefix("http://").split(":")
        for path in ("/api/../metrics", "/api/%2e%2e/metrics", "http://evil.example/api"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
            assert b"404" in status or b"400" in status, (path, status)


async def test_a_log_is_passed_on_and_is_no_document_of_ours():
    async with page() as served:
        await served.api.ask("POST", PODS, POD)
        status = {
            "phase": "Running",
            "containerStatuses": [
                {"name": "c", "containerID": "docker://1", "state": {"running": {}}}
            ],
        }
        patch = {"status": status}
        kind = {"Content-Type": "application/merge-patch+json"}
        assert (await served.api.ask("PATCH", f"{PODS}/web/status", patch, headers=kind))[0] == 200
        code, text, headers = await served.get(f"{PODS}/web/log")
        assert (code, text) == (200, "one\ntwo\n")
        assert headers["Content-Type"].startswith("text/plain")
        assert "sandbox" in headers["Content-Security-Policy"]


async def states(served: Page) -> AsyncIterator[Any]:
    async with served.http.get(f"{served.url}/live") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


async def test_the_state_comes_at_once_and_again_when_something_changed():
    async with page() as served, asyncio.timeout(20):
        looks = states(served)
        first = await anext(looks)
        assert first["pods"] == []
        assert first["overview"]["controlPlane"]["checks"] == {
            "live": "",
            "ready": "",
            "writes": "",
        }
        await served.api.ask("POST", PODS, POD)
        async for state in looks:
            if state["pods"]:
                break
        assert state["pods"][0]["name"] == "web"
        assert state["pods"][0]["tone"] == "busy"
        assert state["pods"][0]["what"].startswith("It was given to n1, whose agent has not")
        await looks.aclose()


async def test_a_second_page_sees_the_same():
    async with page() as served, asyncio.timeout(20):
        await served.api.ask("POST", PODS, POD)
        one, other = states(served), states(served)
        assert (await anext(one))["pods"] == (await anext(other))["pods"] != []
        await one.aclose()
        await served.api.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
        assert (await anext(other))["pods"] == []
        await other.aclose()


async def test_an_explanation_has_a_path_of_its_own():
    async with page() as served:
        await served.api.ask("POST", PODS, POD)
        async with asyncio.timeout(20):
            while (await served.get("/why/pod/default/web"))[0] == 404:
                await asyncio.sleep(0.02)  # it is told of the pod
        _, text, _ = await served.get("/why/pod/default/web")
        assert json.loads(text)["findings"][0]["reason"] == "NotTakenUp"
        assert (await served.get("/why/pod/default/none"))[0] == 404
        assert (await served.get("/why/nonsense/default/none"))[0] == 404


async def test_a_port_that_is_taken_is_told_with_another_to_take():
    async with page() as served, connected(Where(server=served.api.url)) as client:
        with pytest.raises(Refused, match="cannot be had"):
            async with serving(client, int(served.url.rpartition(":")[2])):
                pass
