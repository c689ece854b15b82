"""What an agent is made of, put together: who is told of what by whom."""

import random
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from node_agent.checks import Checks
from node_agent.confining import Confiner
from node_agent.core import devices
from node_agent.core.configs import Host
from node_agent.core.resolving import Names, Resolver
from node_agent.engine import Engine
from node_agent.executor import Executor
from node_agent.host import Clock, Machine
from node_agent.library import Library
from node_agent.meter import Meter
from node_agent.observer import Observer
from node_agent.probing import Probing
from node_agent.pulling import Puller
from node_agent.rooms import Rooms
from node_agent.settings import Settings
from node_agent.storage import Storage
from node_agent.telling import Teller
from node_agent.volumes import VolumeMaker
from node_agent.watchman import Pods, Watchman
from node_agent.witness import Witness
from proto.bus import Bus
from proto.kinds.pod import PodSpec


class Outside(Struct, frozen=True):
    """What an agent works on, and is handed; see `loop.Agent`."""

    settings: Settings
    bus: Bus
    engine: Engine
    storage: Storage
    clock: Clock
    rng: random.Random
    machine: Machine | None
    witness: Witness


class Bells(Struct, frozen=True):
    """What the parts ring.

    Attributes:
        plan: Something may be planned anew.
        look: The engine shows something else than before.
        report: There is something to report.
    """

    plan: Callable[[], None]
    look: Callable[[], None]
    report: Callable[[], None]


class Parts(Struct, frozen=True):
    """All of them, idle."""

    teller: Teller
    observer: Observer
    library: Library
    checks: Checks
    executor: Executor
    probing: Probing
    meter: Meter
    watchman: Watchman
    rooms: Rooms


def assemble(outside: Outside, pods: Pods, bells: Bells) -> Parts:
    """Make all parts of one agent.

    Args:
        outside: What they work on.
        pods: The agent's.
        bells: See there.
    """
    settings, engine, storage, clock = (
        outside.settings,
        outside.engine,
        outside.storage,
        outside.clock,
    )

    def spec_of(uid: str) -> PodSpec | None:
        known = pods.assigned().get(uid)
        return known.spec if known else None

    teller = Teller(outside.bus, settings.node_name, spec_of, clock.wall_ms)
    tell, now = teller.tell, clock.steady_ms
    observer = Observer(engine, storage, bells.look, clock=clock, resync_s=settings.resync_s)
    library = Library(outside.bus, settings.node_name, storage, clock=now, on_done=bells.plan)
    checks = Checks(engine)
    executor = Executor(
        engine,
        observer,
        checks,
        library,
        Puller(engine, observer, tell, settings, clock=now, on_done=bells.plan),
        VolumeMaker(engine, storage, observer, tell),
        Confiner(engine, Path(settings.seccomp_dir or f"{settings.state_dir}/seccomp")),
        tell,
        clock=now,
        on_done=bells.plan,
        concurrency=settings.engine_concurrency,
        witness=outside.witness,
    )
    probing = Probing(checks, tell, clock=clock.wall_ms, rng=outside.rng, on_change=bells.plan)
    meter = Meter(engine, outside.machine, observer, outside.bus, settings)
    watchman = Watchman(
        engine,
        outside.machine,
        observer,
        meter,
        teller,
        pods,
        settings,
        storage.places.disk,
        clock=now,
        on_change=bells.report,
    )
    rooms = Rooms(storage, pods, tell, settings, clock=now)
    return Parts(teller, observer, library, checks, executor, probing, meter, watchman, rooms)


def host_of(settings: Settings, storage: Storage, resolver: Resolver) -> Host:
    """What pods are told of their node."""
    servers = tuple(settings.cluster_dns.split(",")) if settings.cluster_dns else ()
    return Host(
        settings.node_name,
        settings.internal_ip,
        settings.sandbox_pool,
        settings.cluster,
        storage.places,
        names=Names(resolver, servers, settings.cluster_domain),
        resources=devices.parse(settings.resources),
        is_seccomp_default=settings.seccomp_default,
    )
