"""What every plan of the agent owes, for any pods, any leftovers and any history."""

from operator import attrgetter

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from node_agent.core import naming
from node_agent.core.actions import (
    Action,
    ClaimSandbox,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    Plan,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    SignalContainer,
    StartContainer,
    StartSandbox,
    render,
)
from node_agent.core.configs import Host
from node_agent.core.contents import Held, SourceKey
from node_agent.core.observed import (
    Container,
    Failure,
    Memory,
    Observed,
    Pull,
    Sandbox,
    State,
    Volumes,
    by_pod,
    image_names,
)
from node_agent.core.outcome import is_finished
from node_agent.core.reconcile import plan
from node_agent.core.status import pod_status
from node_agent.core.volume_actions import (
    DropContent,
    FetchContent,
    FilesConfig,
    PrepareVolumes,
    RemoveVolumes,
    TellMissing,
    TmpfsConfig,
)
from proto.kinds.volume import (
    ConfigMapVolumeSource,
    EmptyDirVolumeSource,
    SecretVolumeSource,
    Volume,
    VolumeMount,
)
from proto.messages import AssignedPod, AssignedSource, Content
from tests.unit.node_agent.given import (
    HOST,
    IMAGE,
    NODE,
    NOW_MS,
    container,
    key,
    pod,
    sandbox,
    spec,
)

NAMES = ("a", "b", "c")
HOST_WITH_POOL = Host(NODE, ip="10.0.0.1", pool_size=2)
INITIAL = (spec("first"), spec("second"), spec("sidecar", restart_policy="Always"))
NAME = attrgetter("name")
VOLUMES = (
    Volume(name="room", empty_dir=EmptyDirVolumeSource()),
    Volume(name="cache", empty_dir=EmptyDirVolumeSource(medium="Memory")),
    Volume(name="files", config_map=ConfigMapVolumeSource(name="settings")),
    Volume(name="maybe", secret=SecretVolumeSource(secret_name="none", optional=True)),
)
SETTINGS = SourceKey("ConfigMap", "default", "settings")
SOURCES = (
    AssignedSource(kind="ConfigMap", name="settings", version="2"),
    AssignedSource(kind="Secret", name="none"),
)
STEPS_MAX = 90
"""More than any history of three pods with five containers needs to its end."""


CACHED = Volumes({"cache": "", "room": ""}, ("longshore_cache_uid",))


@st.composite
def pods(draw: st.DrawFn) -> dict[str, AssignedPod]:
    """Up to three pods with one or two containers each, and perhaps some that come first."""
    found = {}
    for name in draw(st.sets(st.sampled_from(NAMES))):
        volumes = tuple(draw(st.lists(st.sampled_from(VOLUMES), unique_by=NAME)))
        mounts = tuple(VolumeMount(name=v.name, mount_path=f"/{v.name}") for v in volumes)
        images = draw(st.lists(st.sampled_from([IMAGE, "demo/other:1"]), min_size=1, max_size=2))
        specs = [
            spec(
                f"c{n}",
                image=image,
                image_pull_policy=draw(st.sampled_from(["IfNotPresent", "Always"])),
                volume_mounts=mounts,
            )
            for n, image in enumerate(images)
        ]
        made = pod(
            name,
            *specs,
            policy=draw(st.sampled_from(["Always", "OnFailure", "Never"])),
            delete_grace_s=draw(st.sampled_from([None, None, 0, 5])),
            hostname=draw(st.sampled_from(["", "fixed"])),
            volumes=volumes,
        )
        made = replace(made, sources=SOURCES)
        first = draw(st.lists(st.sampled_from(INITIAL), unique_by=NAME))
        made = replace(made, spec=replace(made.spec, init_containers=tuple(first)))
        found[made.uid] = made
    return found


@st.composite
def nodes(draw: st.DrawFn) -> Observed:
    """Any leftovers: of these pods, of others, of the pool."""
    found: list[Sandbox | Container] = []
    for name in draw(st.sets(st.sampled_from((*NAMES, "stranger")))):
        for n in range(draw(st.integers(0, 2))):
            state = draw(st.sampled_from(State))
            found.append(sandbox(name, state, id=f"box-{name}" if n == 0 else f"box-{name}-{n}"))
        kinds = [spec("c0"), spec("c1", image="demo/other:1"), *INITIAL]
        for of in draw(st.lists(st.sampled_from(kinds), unique_by=NAME)):
            for attempt in range(draw(st.integers(0, 3))):
                found.append(
                    container(
                        name,
                        of,
                        draw(st.sampled_from(State)),
                        attempt,
                        exit_code=draw(st.sampled_from([0, 1])),
                        error=draw(st.sampled_from(["", "", "no such program"])),
                        finished_at_ms=NOW_MS - draw(st.integers(0, 400_000)),
                    )
                )
    for n in range(draw(st.integers(0, 3))):
        state = draw(st.sampled_from(State))
        found.append(sandbox(None, state, id=f"pool-{n}", name=naming.pool_name(NODE, str(n))))
    held = {
        key: Held(Content(text={"a": version}), version, version)
        for key in draw(st.sets(st.sampled_from([SETTINGS, SourceKey("Secret", "x", "old")])))
        for version in (draw(st.sampled_from(["1", "2"])),)
    }
    failed = Failure("CreateContainerError", "no", 1, NOW_MS)
    return Observed(
        sandboxes=tuple(f for f in found if isinstance(f, Sandbox)),
        containers=tuple(f for f in found if isinstance(f, Container)),
        images=frozenset(draw(st.sets(st.sampled_from([IMAGE, "demo/other:1"])))),
        volumes={
            key(name): draw(
                st.sampled_from([Volumes(), Volumes({"room": "", "files": "old"}), CACHED])
            )
            for name in draw(st.sets(st.sampled_from((*NAMES, "stranger"))))
        },
        contents=held,
        memory=Memory(
            accepted_at_ms={f"uid-{name}": NOW_MS - 5 for name in NAMES},
            failures={(uid, ""): failed for uid in draw(st.sets(st.sampled_from(["uid-a", ""])))},
        ),
    )


def apply(seen: Observed, action: Action, now_ms: int) -> Observed:
    """The node after an action went well; programs end when they are asked to."""
    boxes = {s.id: s for s in seen.sandboxes}
    containers = {c.id: c for c in seen.containers}
    memory = seen.memory
    images = seen.images
    volumes, contents = dict(seen.volumes), dict(seen.contents)
    match action:
        case PullImage():
            images |= set(image_names(action.image))
            memory = replace(memory, pulls={**memory.pulls, action.key: Pull(now_ms)})
        case ClaimSandbox():
            boxes[action.sandbox_id] = replace(
                boxes[action.sandbox_id], name=action.name, pod=action.pod
            )
        case CreateSandbox():
            id = f"new-{action.config.name}-{now_ms}"
            boxes[id] = Sandbox(id=id, name=action.config.name, pod=action.pod, state=State.CREATED)
        case StartSandbox():
            boxes[action.sandbox_id] = replace(boxes[action.sandbox_id], state=State.RUNNING)
        case RemoveSandbox():
            del boxes[action.sandbox_id]
        case CreateContainer():
            labels = action.config.labels
            assert action.config.name not in {c.name for c in containers.values()}
            assert boxes[action.config.sandbox_id].state is State.RUNNING
            there = volumes.get(action.pod, Volumes()).marks
            assert {mount.name for mount in action.config.mounts} <= there.keys()
            id = f"{action.config.name}-{now_ms}"
            containers[id] = Container(
                id=id,
                name=action.config.name,
                pod=action.pod,
                container=action.container,
                attempt=int(labels[naming.ATTEMPT]),
                backoff=int(labels[naming.BACKOFF]),
                spec_hash=labels[naming.SPEC_HASH],
                sandbox_id=action.config.sandbox_id,
                state=State.CREATED,
                created_at_ms=now_ms,
            )
        case StartContainer():
            found = replace(containers[action.container_id], started_at_ms=now_ms)
            containers[found.id] = replace(found, state=State.RUNNING)
        case SignalContainer() | KillContainer():
            found = containers[action.container_id]
            containers[found.id] = replace(
                found, state=State.EXITED, exit_code=143, finished_at_ms=now_ms
            )
        case FetchContent():
            content = Content(text={"a": action.version})
            contents[action.source] = Held(content, action.version, action.version)
        case DropContent():
            del contents[action.source]
        case PrepareVolumes():
            there = volumes.get(action.pod, Volumes())
            made = {v.name: v.mark if isinstance(v, FilesConfig) else "" for v in action.volumes}
            names = {v.engine_name for v in action.volumes if isinstance(v, TmpfsConfig)}
            tmpfs = tuple(sorted({*there.tmpfs, *names}))
            volumes[action.pod] = Volumes({**there.marks, **made}, tmpfs)
        case RemoveVolumes():
            left = (*boxes.values(), *containers.values())
            assert action.pod not in {found.pod for found in left}, "something may use them yet"
            assert action.tmpfs == volumes.pop(action.pod).tmpfs
        case TellMissing():
            raise AssertionError("nothing is missing")
        case RemoveContainer():
            assert containers.pop(action.container_id).state is not State.RUNNING
    return replace(
        seen,
        sandboxes=tuple(boxes.values()),
        containers=tuple(containers.values()),
        images=images,
        volumes=volumes,
        contents=contents,
        memory=memory,
    )


def played(seen: Observed, now_ms: int) -> Observed:
    """The node once its init containers have done their part."""
    return replace(
        seen,
        containers=tuple(
            replace(c, state=State.EXITED, exit_code=0, finished_at_ms=now_ms)
            if c.state is State.RUNNING and c.container in ("first", "second")
            else c
            for c in seen.containers
        ),
    )


def follow(desired: dict[str, AssignedPod], seen: Observed, host: Host) -> tuple[Observed, Plan]:
    """The node when nothing is left to do, time passing where the plan says to wait."""
    now_ms = NOW_MS
    for _ in range(STEPS_MAX):
        steps = plan(desired, seen, host, now_ms)
        for action in steps.actions:
            seen = apply(seen, action, now_ms)
        if not steps.actions:
            before, seen = seen, played(seen, now_ms)
            if seen != before:
                continue
            if steps.wake_at_ms is None:
                return seen, steps
            assert steps.wake_at_ms > now_ms, "it must not be woken before it can act"
            now_ms = steps.wake_at_ms
        else:
            now_ms += 1
    raise AssertionError(f"still busy after {STEPS_MAX} steps: {render(steps)}")


@given(pods(), nodes())
@settings(max_examples=300, deadline=None)
def test_following_the_plan_ends_with_what_is_desired_and_nothing_else(
    desired: dict[str, AssignedPod], seen: Observed
):
    seen, _ = follow(desired, seen, HOST_WITH_POOL)
    views = by_pod(seen)
    for assigned in desired.values():
        view = views.pop(naming.key(assigned), None)
        if assigned.delete_grace_s is not None:
            assert view is None
        elif is_finished(assigned, view):
            assert not view.sandboxes
        else:
            (box,) = view.sandboxes
            staying = (*assigned.spec.sidecars, *assigned.spec.containers)
            newest = [view.newest(s.name) for s in staying]
            for found, wanted in zip(newest, staying, strict=True):
                if found.state is State.RUNNING:
                    assert found.sandbox_id == box.id
                    assert found.spec_hash == naming.spec_hash(wanted)
                else:
                    policy = assigned.spec.restart_policy
                    assert policy == "Never" or (policy == "OnFailure" and found.has_succeeded)
    assert not views, "only assigned pods are left"
    for assigned in desired.values():
        if assigned.delete_grace_s is None and not is_finished(
            assigned, by_pod(seen)[naming.key(assigned)]
        ):
            there = seen.volumes.get(naming.key(assigned), Volumes()).marks
            assert {volume.name for volume in assigned.spec.volumes} <= there.keys()
    assert set(seen.contents) == ({SETTINGS} if desired else set())
    assert [s.state for s in seen.sandboxes if s.pod is None] == [State.RUNNING] * 2


@given(pods(), nodes())
@settings(max_examples=100, deadline=None)
def test_what_is_settled_is_never_touched(desired: dict[str, AssignedPod], seen: Observed):
    seen, _ = follow(desired, seen, HOST)
    for later_ms in (1, 1000, 10**7):
        assert plan(desired, seen, HOST, NOW_MS + 10**7 + later_ms).actions == ()


@given(pods(), nodes(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_what_is_seen_does_not_matter(
    desired: dict[str, AssignedPod], seen: Observed, random
):
    boxes, containers, order = list(seen.sandboxes), list(seen.containers), list(desired)
    for items in (boxes, containers, order):
        random.shuffle(items)
    shuffled = replace(seen, sandboxes=tuple(boxes), containers=tuple(containers))
    assert plan({uid: desired[uid] for uid in order}, shuffled, HOST, NOW_MS) == plan(
        desired, seen, HOST, NOW_MS
    )


@given(pods(), nodes())
@settings(max_examples=200, deadline=None)
def test_no_object_is_acted_on_twice_in_one_pass(desired: dict[str, AssignedPod], seen: Observed):
    touched = []
    for action in plan(desired, seen, HOST_WITH_POOL, NOW_MS).actions:
        match action:
            case PullImage():
                touched.append(action.image)
            case FetchContent() | DropContent():
                touched.append(action.source)
            case PrepareVolumes() | TellMissing() | RemoveVolumes():
                touched.append(("volumes", action.pod))
            case CreateSandbox() | CreateContainer():
                touched.append(action.config.name)
            case ClaimSandbox() | StartSandbox() | RemoveSandbox():
                touched.append(action.sandbox_id)
            case _:
                touched.append(action.container_id)
    assert len(touched) == len(set(touched))


@given(pods(), nodes())
@settings(max_examples=200, deadline=None)
def test_every_pod_has_a_status_whatever_is_there(desired: dict[str, AssignedPod], seen: Observed):
    waits = {
        (wait.pod.uid, wait.container): wait for wait in plan(desired, seen, HOST, NOW_MS).waits
    }
    views = by_pod(seen)
    for assigned in desired.values():
        view = views.get(naming.key(assigned))
        if view is None:
            continue
        status = pod_status(assigned, view, waits, host_ip="10.0.0.1", accepted_at_ms=NOW_MS)
        assert status.phase in ("Pending", "Running", "Succeeded", "Failed")
        sidecars = [s.name for s in assigned.spec.sidecars]
        first = [s for s in status.init_container_statuses if s.name in sidecars]
        staying = [*first, *status.container_statuses]
        for found in staying:
            states = (found.state.running, found.state.waiting, found.state.terminated)
            assert sum(state is not None for state in states) == 1
            assert found.ready == (found.state.running is not None)
        ready = {c.type: c.status for c in status.conditions}["Ready"]
        assert (ready == "True") == all(found.ready for found in staying)
