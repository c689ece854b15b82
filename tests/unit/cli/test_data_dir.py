import os
import socket
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.data_dir import LOG_BYTES_MAX, DataDir
from orchestrator.cli.refused import Refused


def test_a_folder_holds_one_cluster_at_a_time_and_says_which_process_has_it(tmp_path: Path) -> None:
    with DataDir(tmp_path).locked():
        taken = rf"already \(process {os.getpid()}\): stop that one"
        with pytest.raises(Refused, match=taken), DataDir(tmp_path).locked():
            pass
    with DataDir(tmp_path).locked():
        pass


def test_a_leftover_ready_file_is_gone_before_the_cluster_starts(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.ready.touch()
    with data.locked():
        assert not data.ready.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = DataDir(tmp_path / "file" / "data")
    with (
        pytest.raises(Refused, match=r"cannot be used .*choose another with --data"),
        data.locked(),
    ):
        pass


def test_ports_are_the_same_after_a_restart(tmp_path: Path) -> None:
    ports = DataDir(tmp_path).settle_ports(None)
    assert DataDir(tmp_path).settle_ports(None) == ports
    assert len({ports.api, ports.etcd, ports.etcd_peer, ports.nats}) == 4


def test_a_remembered_port_that_somebody_took_is_replaced(tmp_path: Path) -> None:
    ports = DataDir(tmp_path).settle_ports(None)
    with socket.create_server(("127.0.0.1", ports.nats)):
        again = DataDir(tmp_path).settle_ports(None)
    assert again.nats not in (0, ports.nats)
    assert again.etcd == ports.etcd


def test_a_port_that_was_asked_for_and_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"port {port} is taken: choose another with --port"):
            DataDir(tmp_path).settle_ports(port)


def test_a_port_that_was_asked_for_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert DataDir(tmp_path).settle_ports(port).api == port


def test_damaged_memory_of_ports_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    assert DataDir(tmp_path).settle_ports(None).etcd


def test_the_kubeconfig_has_one_current_context_and_is_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.write_kubeconfig("http://127.0.0.1:7000")
    config = yaml.safe_load(data.kubeconfig.read_text())
    assert config["current-context"] == "longshore"
    assert config["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:7000"}
    assert data.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_a_long_log_is_set_aside(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    log = data.log("etcd")
    with log.open("wb") as file:
        file.truncate(LOG_BYTES_MAX + 1)
    assert not data.log("etcd").exists()
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES_MAX + 1
