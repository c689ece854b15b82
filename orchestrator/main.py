"""The orchestrator daemon: builds the adapters, then runs the control plane and the API on it."""

import asyncio
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import time
import uuid
from pathlib import Path

import structlog
import uvloop

from orchestrator.api import server
from orchestrator.runtime.audit import AuditLog
from orchestrator.runtime.control_plane import ControlPlane
from orchestrator.runtime.reencryption import Reencryption
from orchestrator.settings import ENVIRONMENT_PREFIX, Settings
from orchestrator.store import encryption
from orchestrator.store.encrypted import EncryptedStore
from orchestrator.store.encryption import EncryptionError
from orchestrator.store.etcd import EtcdStore
from proto import logs
from proto.bus.late import LateBus
from proto.settings import load

log = structlog.get_logger()

ABOUT = """The control plane of Longshore: keeps desired state in etcd, serves the Kubernetes API,
decides, and tells the node agents over NATS. Several may run; one leads."""

GC_WHILE_LOADING = (50_000, 20, 50)
"""Decoding a large listing under the default thresholds costs five times as much (measured)."""

GC_WHILE_SERVING = (2_000, 5, 400)
"""A write leaves some 20 objects that only a collection frees, and everybody waits for one: at 500
writes a second 50 ms every other second under the thresholds of loading, under these 2 to 10 ms
(measured).
"""


def main() -> None:
    """Entry point of the ``orchestrator`` command."""
    settings = load(Settings, program="orchestrator", about=ABOUT, prefix=ENVIRONMENT_PREFIX)
    logs.configure(settings.log_format, settings.log_level)
    gc.set_threshold(*GC_WHILE_LOADING)
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # a connection is a file
    try:
        uvloop.run(_serve(settings))
    # A secret that no key opens; the port is taken, the address is not ours.
    except* (EncryptionError, OSError) as group:
        raise SystemExit(f"orchestrator: {_first(group)}") from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of them that is no group itself."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def now_ms() -> int:
    """Wall-clock time, epoch milliseconds."""
    return time.time_ns() // 1_000_000


async def _serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; what is under way is finished or refused, not cut off."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # Without a port of its own, a process tells itself apart by its number.
    identity = settings.identity or f"{socket.gethostname()}:{settings.port or os.getpid()}"
    rules = encryption.load(settings.encryption_config)
    store = EncryptedStore(await EtcdStore.connect(settings.etcd.split(",")), rules)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_run(settings, identity, store))
            await stopped.wait()
            log.info("orchestrator.stopping")
            running.cancel()
    finally:
        await store.close()


async def _keep_what_was_loaded(plane: ControlPlane) -> None:
    """Spare it from garbage collections: looking through 100,000 pods takes a second (measured)."""
    await plane.writer.ready.wait()
    gc.freeze()
    gc.set_threshold(*GC_WHILE_SERVING)


def _audit_log(settings: Settings, chance: random.Random) -> AuditLog | None:
    if not settings.audit_log:
        return None
    return AuditLog(
        Path(settings.audit_log),
        new_id=lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        clock=now_ms,
        includes_reads=settings.audit_reads,
        file_bytes_max=settings.audit_log_mb * 1_000_000,
        files_max=settings.audit_log_files,
    )


async def _run(settings: Settings, identity: str, store: EncryptedStore) -> None:
    chance = random.Random()  # noqa: S311  uids and name suffixes: nothing secret
    audit = _audit_log(settings, chance)
    bus = LateBus(settings.nats.split(","), name=f"orchestrator {identity}")
    plane = ControlPlane(
        settings,
        store,
        bus,
        identity=identity,
        clock=now_ms,
        chance=chance,
        audit=audit,
    )
    try:
        async with (
            contextlib.nullcontext() if audit is None else audit.writing(),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(bus.run())
            tasks.create_task(plane.run())
            if settings.encryption_config:
                path = settings.encryption_config
                tasks.create_task(Reencryption(path, store, plane.writer, plane.world).run())
            tasks.create_task(_keep_what_was_loaded(plane))
            # Inside: at the end, what writes is still there for the requests under way.
            async with server.listening(plane, settings.listen, settings.port, now_ms, audit):
                await asyncio.Event().wait()  # until cancelled
    finally:
        await bus.close()
