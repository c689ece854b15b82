"""What the page's server answers, and to whom: it has the user's credentials."""

import pytest
from hypothesis import given, strategies as st

from orchestrator.cli.ui.guard import RUNNING, Asked, proxied_path, refusal

PORT = 8001


def refused(**fields: str) -> str:
    given = {"method": "GET", "path": "/version", "host": f"127.0.0.1:{PORT}"}
    return refusal(Asked(**(given | fields)), PORT)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "LOCALHOST:8001"]
)
def test_a_loopback_name_is_answered(host: str):
    assert refused(host=host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:8002",
        "evil.example:8001",
        "localhost.evil.example:8001",
        "127.0.0.1.evil.example:8001",
        "evil.example",
        "0.0.0.0:8001",
        "2130706433:8001",
        "localhost:8001@evil.example",
    ],
)
def test_a_name_that_was_rebound_to_loopback_is_not(host: str):
    assert "loopback" in refused(host=host)


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9000"},
        {"origin": "https://localhost:8001"},
        {"fetch_site": "cross-site"},
        {"fetch_site": "same-site"},
    ],
)
def test_another_sites_page_is_not(fields: dict[str, str]):
    assert "other site" in refused(**fields)


def test_our_own_page_and_the_address_bar_are():
    assert refused(origin="http://localhost:8001", fetch_site="same-origin") == ""
    assert refused(fetch_site="none") == ""


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"])
def test_nothing_but_reads_is_answered(method: str):
    assert refused(method=method) == "this server only reads"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/apis",
        "/version",
        "/version/",
        "/openapi/v3",
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods/web/log",
        "/apis/apps/v1/namespaces/default/deployments/web/scale",
        "/api/v1/nodes/node-1",
        "/api/v1/namespaces/exec/pods/attach",
        "/api/v1/namespaces/proxy",
        "/apis/apps/v1/namespaces/proxy/deployments/exec",
    ],
)
def test_reads_of_the_api_are_passed_on_as_they_came(path: str):
    assert proxied_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/v1/pods",
        "http://evil.example/api",
        "//evil.example/api",
        "/",
        "/healthz",
        "/metrics",
        "/apiextra",
        "/api/../metrics",
        "/api/./v1",
        "/api//v1",
        "/api/%2e%2e/metrics",
        "/api/%2E./metrics",
        "/api/%252e%252e/metrics",
        "/api/v1%2fpods",
        "/api/v1%5cpods",
        "/api/v1\\pods",
        "/api/v1/pods%00",
        "/api/v1/pods%0d%0aHost:%20evil",
        "/api/v1/pods%3fwatch=1",
        "/api/v1/pods%23",
        "/api/v1/pods;x",
        "/api/%ff",
        "/api/" + "a" * 5000,
    ],
)
def test_paths_that_mean_something_else_on_the_way_are_not(path: str):
    assert proxied_path(path) is None


@pytest.mark.parametrize("part", sorted(RUNNING))
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/pods/web/{}",
        "/api/v1/namespaces/default/pods/web/{}/",
        "/api/v1/namespaces/default/services/web/{}/admin",
        "/api/v1/nodes/node-1/{}",
        "/api/v1/nodes/node-1/{}/logs",
        "/apis/example.com/v1/namespaces/default/things/web/{}",
    ],
)
def test_nothing_is_run_in_a_pod_and_nothing_of_a_pods_is_served_as_ours(path: str, part: str):
    assert proxied_path(path.format(part)) is None
    escaped = "".join(f"%{ord(letter):02x}" for letter in part)
    assert proxied_path(path.format(escaped)) is None


@given(st.lists(st.text(max_size=8), max_size=9))
def test_no_path_breaks_the_guard(parts: list[str]):
    found = proxied_path("/" + "/".join(parts))
    assert found is None or (found.startswith(("/api", "/apis", "/openapi", "/version")))
    if found is not None:
        assert ".." not in found.split("/")
