"""`longshore up` on this machine, for kubectl to talk to."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.e2e.engine import Engine
from tests.e2e.images import busybox_root
from tests.e2e.process import Process
from tests.e2e.waiting import eventually
from tests.servers import free_port

ENGINE = Engine(Path("/var/run/docker.sock"))
CLUSTER_LABEL = "longshore.dev/cluster"


class Up(NamedTuple):
    """A cluster that is ready.

    Attributes:
        server: Where its API is.
        nats: Where its NATS server is.
        data: Its folder.
    """

    server: str
    nats: str
    data: Path


@contextmanager
def up(
    folder: Path, image: str, nodes: int, *options: str, settings: Sequence[str] = ()
) -> Iterator[Up]:
    """A cluster that leaves nothing behind, and BusyBox under that name for its pods.

    Args:
        folder: Where to keep it.
        image: The name.
        nodes: How many.
        options: Of ``longshore up``.
        settings: Of its daemons, as environment variables: ``NAME=value``.
    """
    data = folder / "data"
    ENGINE.import_image(image, busybox_root())
    longshore = str(Path(sys.executable).parent / "longshore")
    port = free_port()  # other tests run beside this one
    argv = ["env", *settings, longshore, "up", f"--data={data}", f"--port={port}"]
    process = Process(
        "longshore up", [*argv, f"--nodes={nodes}", *options], folder / "up.log", is_inner=False
    )
    try:
        eventually(
            lambda: (data / "ready").exists() or not process.is_running,
            within_s=60,
            what="DIR/ready appears",
        )
        assert process.is_running, process.tail()
        config = yaml.safe_load((data / "kubeconfig").read_text())
        ports = json.loads((data / "ports.json").read_text())
        server = config["clusters"][0]["cluster"]["server"]
        yield Up(server, f"nats://127.0.0.1:{ports['nats']}", data)
    finally:
        process.stop(40)
        cluster = (data / "cluster").read_text() if (data / "cluster").exists() else "none"
        for container in ENGINE.containers():
            if container["Labels"].get(CLUSTER_LABEL) == cluster:
                ENGINE.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in ENGINE.call("GET", "/volumes")["Volumes"] or ():
            if (volume["Labels"] or {}).get(CLUSTER_LABEL) == cluster:
                ENGINE.call("DELETE", f"/volumes/{volume['Name']}")
        for run in ("/run", "/dev/shm"):
            for secrets in Path(run, "longshore").glob(f"{cluster}.*"):
                shutil.rmtree(secrets)
        ENGINE.call("DELETE", f"/images/{image}?force=1")
