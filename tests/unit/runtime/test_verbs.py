"""Create, modify and delete, as every way in shares them."""

import asyncio

import pytest
from msgspec.structs import replace

from orchestrator.core import field_sets
from orchestrator.core.decisions import Update, UpdateStatus
from orchestrator.core.managed_fields import UPDATE, Manager
from orchestrator.runtime.verbs import MODIFY_ATTEMPTS
from orchestrator.runtime.writer import Op
from orchestrator.store.memory import Fate
from proto.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from proto.kinds.namespace import NAMESPACES, Namespace
from proto.kinds.pod import PODS, Pod
from proto.meta import ObjectMeta
from tests import virtual_time
from tests.unit.runtime.spine import Spine, leading, pod


def labelled(found: Pod, **labels: str) -> Pod:
    return replace(found, metadata=replace(found.metadata, labels=labels))


def test_a_created_object_is_complete():
    async def main() -> None:
        async with leading() as (spine, _):
            made = await spine.verbs.create(PODS, pod("a"))
            meta = made.metadata
            assert (meta.name, meta.namespace, meta.generation) == ("a", "default", 1)
            assert meta.creation_timestamp == "2023-11-14T22:13:20Z"
            assert len(meta.uid) == 36
            assert meta.uid[14] == "4"
            assert made.spec.restart_policy == "Always"
            assert made == spine.world.get(PODS, "default", "a")

    virtual_time.run(main())


def test_names_are_generated_and_differ():
    async def main() -> None:
        async with leading() as (spine, _):
            asked = replace(pod(""), metadata=ObjectMeta(generate_name="web-", namespace="default"))
            names = {(await spine.verbs.create(PODS, asked)).metadata.name for _ in range(20)}
            assert len(names) == 20
            assert all(name.startswith("web-") and len(name) == 9 for name in names)

    virtual_time.run(main())


def test_what_cannot_be_created_is_refused_with_the_reason():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.verbs.create(PODS, pod("a"))
            for dry_run in (False, True):
                with pytest.raises(AlreadyExists, match='pods "a" already exists'):
                    await spine.verbs.create(PODS, pod("a"), dry_run=dry_run)
                with pytest.raises(Invalid, match=r"metadata.name"):
                    await spine.verbs.create(PODS, pod("Not a name"), dry_run=dry_run)
                with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
                    await spine.verbs.create(PODS, pod("a", namespace="nowhere"), dry_run=dry_run)

    virtual_time.run(main())


def test_nothing_new_comes_into_a_namespace_that_is_being_deleted():
    async def main() -> None:
        async with leading() as (spine, _):
            leaving = Namespace(metadata=ObjectMeta(name="leaving"))
            await spine.verbs.create(NAMESPACES, leaving)
            left = await spine.verbs.delete(NAMESPACES, "", "leaving")
            assert not left.is_gone
            with pytest.raises(Forbidden, match="because it is being terminated"):
                await spine.verbs.create(PODS, pod("a", namespace="leaving"))

    virtual_time.run(main())


def test_a_dry_run_says_what_would_be_and_writes_nothing():
    async def main() -> None:
        async with leading() as (spine, _):
            made = await spine.verbs.create(PODS, pod("a", node="n1"))
            revision = spine.server.revision
            would_be = await spine.verbs.create(PODS, pod("b"), dry_run=True)
            assert would_be.metadata.uid
            changed = await spine.verbs.modify(
                PODS, "default", "a", lambda old: labelled(old, dry="yes"), dry_run=True
            )
            assert changed.metadata.labels == {"dry": "yes"}
            left = await spine.verbs.delete(PODS, "default", "a", dry_run=True)
            assert left.object.metadata.deletion_timestamp
            assert spine.server.revision == revision
            assert spine.world.objects(PODS) == [made]

    virtual_time.run(main())


def test_a_change_that_changes_nothing_writes_nothing():
    async def main() -> None:
        async with leading() as (spine, _):
            made = await spine.verbs.create(PODS, pod("a"))
            revision = spine.server.revision
            assert await spine.verbs.modify(PODS, "default", "a", lambda old: old) == made
            assert spine.server.revision == revision

    virtual_time.run(main())


async def overtaken(spine: Spine, times: int) -> tuple[int, Pod]:
    """Modify a pod while somebody else is faster so many times; attempts made, and the result."""
    attempts = 0

    def change(old: Pod) -> Pod:
        nonlocal attempts
        attempts += 1
        if attempts <= times:  # queued before this change's own write
            other = labelled(old, other=str(attempts))
            version = old.metadata.resource_version
            spine.writer.submit((Op(PODS, "default", "a", other, expect=version),))
        return replace(old, metadata=replace(old.metadata, annotations={"attempt": str(attempts)}))

    return attempts, await spine.verbs.modify(PODS, "default", "a", change)


def test_a_change_is_made_afresh_of_what_somebody_else_wrote_meanwhile():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.verbs.create(PODS, pod("a"))
            _, found = await overtaken(spine, times=MODIFY_ATTEMPTS - 1)
            assert found.metadata.labels == {"other": str(MODIFY_ATTEMPTS - 1)}
            assert found.metadata.annotations == {"attempt": str(MODIFY_ATTEMPTS)}

    virtual_time.run(main())


def test_a_change_that_is_always_overtaken_is_given_up():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.verbs.create(PODS, pod("a"))
            with pytest.raises(Conflict, match="the object has been modified"):
                await overtaken(spine, times=MODIFY_ATTEMPTS)

    virtual_time.run(main())


def test_a_version_that_the_client_insists_on_is_insisted_on():
    async def main() -> None:
        async with leading() as (spine, _):
            old = await spine.verbs.create(PODS, pod("a"))
            await spine.verbs.modify(PODS, "default", "a", lambda found: labelled(found, new="1"))
            with pytest.raises(Conflict):
                await spine.verbs.modify(PODS, "default", "a", lambda _: labelled(old, mine="1"))
            with pytest.raises(Conflict):
                await spine.verbs.delete(
                    PODS, "default", "a", resource_version=old.metadata.resource_version
                )
            with pytest.raises(Conflict, match="UID in precondition"):
                await spine.verbs.delete(PODS, "default", "a", uid="another")

    virtual_time.run(main())


def test_what_is_not_there_cannot_be_changed_or_deleted():
    async def main() -> None:
        async with leading() as (spine, _):
            with pytest.raises(NotFound, match='pods "a" not found'):
                await spine.verbs.modify(PODS, "default", "a", lambda old: old)
            with pytest.raises(NotFound):
                await spine.verbs.delete(PODS, "default", "a")
            with pytest.raises(NotFound):
                spine.verbs.update_op(PODS, pod("a"))

    virtual_time.run(main())


def test_status_and_spec_are_written_apart():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.verbs.create(PODS, pod("a"))

            def change(old: Pod) -> Pod:
                running = replace(old.status, phase="Running")
                return labelled(replace(old, status=running), both="yes")

            found = await spine.verbs.modify(PODS, "default", "a", change, subresource="status")
            assert (found.status.phase, found.metadata.labels) == ("Running", {"app": "web"})
            assert found.metadata.generation == 1
            reset = replace(pod("a"), status=replace(found.status, phase="Failed"))
            found = await spine.verbs.modify(PODS, "default", "a", lambda _: labelled(reset, x="y"))
            assert (found.status.phase, found.metadata.labels) == ("Running", {"x": "y"})

    virtual_time.run(main())


def test_a_pod_that_runs_nowhere_goes_at_once_and_a_bound_one_waits_for_its_node():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.verbs.create(PODS, pod("free"))
            await spine.verbs.create(PODS, pod("bound", node="n1"))
            assert (await spine.verbs.delete(PODS, "default", "free")).is_gone
            left = await spine.verbs.delete(PODS, "default", "bound")
            meta = left.object.metadata
            assert not left.is_gone
            assert meta.deletion_grace_period_seconds == 30
            assert meta.deletion_timestamp == "2023-11-14T22:13:50Z"
            revision = spine.server.revision
            again = await spine.verbs.delete(PODS, "default", "bound")
            assert again.object == left.object
            assert spine.server.revision == revision
            assert (await spine.verbs.delete(PODS, "default", "bound", grace_s=0)).is_gone
            assert spine.world.count(PODS) == 0

    virtual_time.run(main())


def test_an_object_goes_with_its_last_finalizer():
    async def main() -> None:
        async with leading() as (spine, _):
            kept = replace(pod("a").metadata, finalizers=("example.com/a", "example.com/b"))
            await spine.verbs.create(PODS, replace(pod("a"), metadata=kept))
            assert not (await spine.verbs.delete(PODS, "default", "a")).is_gone
            for left in (("example.com/b",), ()):

                def released(old: Pod, left: tuple[str, ...] = left) -> Pod:
                    return replace(old, metadata=replace(old.metadata, finalizers=left))

                for is_dry in (True, False):
                    answer = await spine.verbs.modify(
                        PODS, "default", "a", released, dry_run=is_dry
                    )
                    assert answer.metadata.finalizers == left
                assert spine.world.count(PODS) == len(left)

    virtual_time.run(main())


def test_of_two_who_create_the_same_name_one_is_told_that_it_exists():
    async def main() -> None:
        async with leading() as (spine, _):
            spine.server.faults = lambda _client, _verb: Fate(request_delay_s=0.1)
            made = []

            async def create() -> None:
                try:
                    made.append(await spine.verbs.create(PODS, pod("a")))
                except AlreadyExists as error:
                    made.append(error)

            async with asyncio.TaskGroup() as both:
                both.create_task(create())
                both.create_task(create())
            assert {type(one) for one in made} == {Pod, AlreadyExists}

    virtual_time.run(main())


def test_the_control_plane_owns_what_it_changes_in_what_others_made_and_nothing_else():
    async def main() -> None:
        async with leading() as (spine, _):
            own = await spine.verbs.create(PODS, pod("own"))
            made = await spine.verbs.create(PODS, pod("a"), manager=Manager("me", UPDATE, "v1"))
            for found in (own, made):
                status = replace(found, status=replace(found.status, phase="Running"))
                await spine.perform([UpdateStatus(PODS, status, "it runs")])
                ran = spine.verbs.existing(PODS, "default", found.metadata.name)
                await spine.perform([Update(PODS, labelled(ran, app="web", more="1"), "why not")])
            left = spine.verbs.existing(PODS, "default", "own").metadata
            assert (left.labels["more"], left.managed_fields) == ("1", ())
            ours, theirs = spine.verbs.existing(PODS, "default", "a").metadata.managed_fields
            assert (ours.manager, theirs.manager) == ("longshore", "me")
            label = ("f:metadata", "f:labels", "f:more")
            assert field_sets.decode(ours.fields_v1) == {label}

    virtual_time.run(main())
