from pathlib import Path

import pytest

from tests.unit.cli.program import longshore


@pytest.mark.parametrize("command", ["up", "demo", "version", "node"])
def test_help_names_every_command(command: str) -> None:
    done = longshore("--help")
    assert done.returncode == 0
    assert command in done.stdout


@pytest.mark.parametrize(
    "option", ["--nodes", "--data", "--port", "--etcd", "--nats", "--simulate-host-loss"]
)
def test_the_help_of_up_explains_every_option_and_has_examples(option: str) -> None:
    done = longshore("up", "--help")
    assert option in done.stdout
    assert "longshore up --nodes 5" in done.stdout


def test_the_version_is_that_of_the_installed_package() -> None:
    assert longshore("version", "--client").stdout == "Client Version: 0.1.0\n"


def test_without_docker_up_says_what_to_install(tmp_path: Path) -> None:
    done = longshore("up", "--data", str(tmp_path), DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no Docker engine at {tmp_path}/none.sock: install")
    assert "Traceback" not in done.stderr


def test_a_node_command_without_a_cluster_says_how_to_start_one(tmp_path: Path) -> None:
    done = longshore("node", "kill", "node-1", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "start it with longshore up" in done.stderr
