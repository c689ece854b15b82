"""Flags over environment over file over defaults."""

from pathlib import Path

import pytest

from node_agent.main import load_settings
from node_agent.settings import Settings


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path):
    file = tmp_path / "agent.toml"
    file.write_text('nats = "nats://file:1"\ndocker = "tcp://file:2"\nmax_pods = 3\n')
    environment = {
        "LONGSHORE_AGENT_CONFIG": str(file),
        "LONGSHORE_AGENT_DOCKER": "tcp://environment:2",
        "LONGSHORE_AGENT_MAX_PODS": "4",
    }
    found = load_settings(["--max-pods=5"], environment)
    assert (found.nats, found.docker, found.max_pods) == (
        "nats://file:1",
        "tcp://environment:2",
        5,
    )


def test_labels_may_be_given_one_by_one_or_in_the_environment():
    assert load_settings(["--label", "a=1", "--label", "b=2"], {}).labels == {"a": "1", "b": "2"}
    assert load_settings([], {"LONGSHORE_AGENT_LABELS": "a=1,b="}).labels == {"a": "1", "b": ""}


def test_a_node_has_a_name_and_an_address_without_being_told():
    found = load_settings([], {})
    assert found.node_name
    assert found.internal_ip.count(".") == 3


def test_the_loss_of_the_host_can_be_simulated():
    assert load_settings(["--simulate-host-loss"], {}).simulate_host_loss
    assert load_settings([], {"LONGSHORE_AGENT_SIMULATE_HOST_LOSS": "true"}).simulate_host_loss


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--heartbeat-ms=1"], {}, "heartbeat_ms"),
        ([], {"LONGSHORE_AGENT_MAX_PODS": "many"}, "max_pods"),
        ([], {"LONGSHORE_AGENT_LABELS": "nonsense"}, "key=value"),
        (["--log-format=xml"], {}, "log_format"),
    ],
)
def test_a_wrong_setting_is_named(
    arguments: list[str],
    environment: dict[str, str],
    said: str,
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit):
        load_settings(arguments, environment)
    assert said in capsys.readouterr().err


def test_an_unknown_setting_in_the_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "agent.toml"
    file.write_text("heartbeats = 1\n")
    with pytest.raises(SystemExit):
        load_settings([f"--config={file}"], {})
    assert "heartbeats" in capsys.readouterr().err


def test_every_setting_is_described_by_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        load_settings(["--help"], {})
    shown = capsys.readouterr().out
    for name in Settings.__struct_fields__:
        is_repeated = name in ("labels", "resources", "eviction_thresholds")
        flag = (name.removesuffix("s") if is_repeated else name).replace("_", "-")
        assert (f"--{flag} KEY=VALUE" if is_repeated else f"--{flag}") in shown
