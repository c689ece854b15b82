"""Settings: flags over environment over file over defaults, and clear words when one is wrong."""

from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

import node_agent.settings as node_agent
import orchestrator.settings as orchestrator
from orchestrator.settings import ENVIRONMENT_PREFIX, Settings
from proto.settings import load


class Some(Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="what it is called, 100 % of it")] = "none"
    count: Annotated[int, Meta(ge=1, description="how many")] = 3
    is_loud: Annotated[bool, Meta(description="whether it is heard")] = False
    ratio: Annotated[float, Meta(description="of what")] = 0.5


def loaded(*argv: str, environment: dict[str, str] | None = None) -> Some:
    return load(
        Some,
        program="some",
        about="Something.",
        prefix="SOME_",
        argv=argv,
        environment=environment or {},
    )


def test_flags_win_over_the_environment_that_over_the_file_and_that_over_defaults(tmp_path: Path):
    file = tmp_path / "some.toml"
    file.write_text('name = "file"\ncount = 7\nratio = 2')
    config = f"--config={file}"
    assert loaded() == Some()
    assert loaded(config) == Some(name="file", count=7, ratio=2.0)
    environment = {"SOME_NAME": "environment", "SOME_CONFIG": str(file), "OTHER": "x"}
    assert loaded(environment=environment) == Some(name="environment", count=7, ratio=2.0)
    found = loaded("--name", "flag", "--is-loud", environment=environment)
    assert found == Some(name="flag", count=7, is_loud=True, ratio=2.0)


def test_switches_can_be_set_both_ways(tmp_path: Path):
    file = tmp_path / "some.toml"
    file.write_text("is_loud = true")
    assert loaded(f"--config={file}").is_loud
    assert not loaded(f"--config={file}", "--no-is-loud").is_loud
    assert loaded(environment={"SOME_IS_LOUD": "true"}).is_loud


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--count", "many"], "count"),
        (["--count", "0"], "count"),
        (["--colour", "red"], "--colour"),
        (["--config", "/nowhere/some.toml"], "/nowhere/some.toml"),
    ],
)
def test_a_wrong_setting_ends_the_program_and_names_it(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        loaded(*argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", ["colour = 'red'", "name = [", "name = 5", "\xff"])
def test_a_wrong_file_ends_the_program_too(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "some.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(SystemExit):
        loaded(f"--config={file}")
    assert "some: error:" in capsys.readouterr().err


def test_help_names_every_setting_of_the_orchestrator(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        load(Settings, program="orchestrator", about="", prefix=ENVIRONMENT_PREFIX, argv=["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for name in Settings.__struct_fields__:
        assert f"--{name.replace('_', '-')}" in told


@pytest.mark.parametrize(
    "argv",
    [
        ["--nats=x:y:z"], ["--nats="], ["--nats=http://h:1"], ["--etcd=h:1,,h:2"], ["--port=65536"],
        ["--leader-ttl-s=1"], ["--node-grace-ms=0"], ["--log-level=loud"], ["--log-format=xml"],
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_the_orchestrator_starts(
    argv: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        load(orchestrator.Settings, program="some", about="", prefix="X_", argv=argv)
    setting = argv[0][2:].partition("=")[0].replace("-", "_")
    assert f"$.{setting}`; see --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["--node-name=Bad Name"], ["--cpu=x"], ["--memory=1 Gi"], ["--nats=x:y"]]
)
def test_what_cannot_work_is_refused_before_an_agent_starts(
    argv: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        load(node_agent.Settings, program="some", about="", prefix="X_", argv=argv)
    assert f"{argv[0].partition('=')[2]!r} does not fit: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "urls",
    [
        "nats://127.0.0.1:4222",
        "h",
        "h:1,nats://[::1]:4222",
        "nats://me:secret@h:1",
        "tls://a.b:4222",
    ],
)
def test_servers_are_named_as_their_own_clients_take_them(urls: str):
    found = load(node_agent.Settings, program="some", about="", prefix="X_", argv=["--nats", urls])
    assert found.nats == urls
