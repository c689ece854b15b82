"""The one fenced writer, on a store in memory with faults."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.runtime.writer import QUEUE_LIMIT, REQUEST_OPS_MAX, Op
from orchestrator.store import TXN_BYTES_MAX, TXN_OPS_MAX, Put, keys
from orchestrator.store.memory import FINE, Fate, MemoryServer
from proto.errors import (
    AlreadyExists,
    Conflict,
    LongshoreError,
    NotFound,
    NotLeader,
    TooLarge,
    Unavailable,
    UnknownResult,
)
from proto.kinds.pod import PODS, Pod
from tests import virtual_time
from tests.unit.runtime.spine import Spine, create_op, leading, pod, stored, until


def create(name: str) -> Op:
    return create_op(stored(pod(name)))


def update(found: Pod, **labels: str) -> Op:
    meta = replace(found.metadata, labels=labels)
    return Op(
        PODS,
        meta.namespace,
        meta.name,
        replace(found, metadata=meta),
        expect=found.metadata.resource_version,
    )


def remove(name: str, expect: str | None = None) -> Op:
    return Op(PODS, "default", name, None, expect)


def big(name: str, size: int) -> Op:
    found = stored(pod(name))
    meta = replace(found.metadata, annotations={"big": "x" * size})
    return create_op(replace(found, metadata=meta))


async def outcome(future: "asyncio.Future[Any]") -> type[LongshoreError] | None:
    try:
        await future
    except LongshoreError as error:
        return type(error)
    return None


def once(verb: str, fate: Fate) -> Callable[[str, str], Fate]:
    """The first such request has that fate."""
    fates = iter([fate])
    return lambda _client, asked: next(fates, FINE) if asked == verb else FINE


def listed(spine: Spine) -> list[str]:
    """Names of the pods in the store."""
    prefix = keys.prefix(PODS)
    return [item.key.rpartition("/")[2] for item in spine.server.list(prefix).items]


def test_requests_that_wait_together_share_a_transaction():
    async def main() -> None:
        async with leading() as (spine, _):
            before = spine.server.revision
            waiting = [spine.writer.submit((create(f"p{n}"),)) for n in range(100)]
            written = [(await future)[0] for future in waiting]
            assert spine.server.revision == before + 1
            versions = [int(found.metadata.resource_version) for found in written]
            assert versions == [(before + 1) * TXN_OPS_MAX + n for n in range(100)]
            assert len(listed(spine)) == 100

    virtual_time.run(main())


def test_no_transaction_is_larger_than_the_store_takes():
    async def main() -> None:
        async with leading() as (spine, _):
            before = spine.server.revision
            many = [spine.writer.submit((create(f"p{n}"),)) for n in range(400)]
            fat = [spine.writer.submit((big(f"fat{n}", 500_000),)) for n in range(4)]
            for future in (*many, *fat):
                await future
            assert (
                spine.server.revision == before + 5
            )  # 127, 127, 127, 19 and two fat ones, two fat ones
            assert len(listed(spine)) == 404

    virtual_time.run(main())


def test_the_ops_of_one_request_are_written_together_or_not_at_all():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.commit(create("there"))
            with pytest.raises(AlreadyExists):
                await spine.commit(create("new"), create("there"))
            assert listed(spine) == ["there"]
            new, gone = await spine.commit(create("new"), remove("there"))
            assert (new.metadata.name, gone) == ("new", None)
            assert listed(spine) == ["new"]

    virtual_time.run(main())


def test_a_wrong_expectation_costs_only_its_own_request():
    async def main() -> None:
        async with leading() as (spine, _):
            (old,) = await spine.commit(create("a"))
            await spine.commit(update(old, version="2"))
            before = spine.server.revision
            waiting = [
                spine.writer.submit((op,))
                for op in (
                    create("b"),
                    create("a"),
                    update(old, version="3"),
                    remove("a", old.metadata.resource_version),
                    remove("missing"),
                    update(stored(pod("missing"), resource_version="9"), version="1"),
                    create("c"),
                )
            ]
            assert [await outcome(future) for future in waiting] == [
                None,
                AlreadyExists,
                Conflict,
                Conflict,
                NotFound,
                NotFound,
                None,
            ]
            assert spine.server.revision == before + 1
            assert listed(spine) == ["a", "b", "c"]

    virtual_time.run(main())


def test_two_writes_of_one_object_are_checked_one_after_the_other():
    async def main() -> None:
        async with leading() as (spine, _):
            waiting = [spine.writer.submit((op,)) for op in (create("a"), create("a"), remove("a"))]
            waiting.append(spine.writer.submit((create("a"),)))
            found = [await outcome(future) for future in waiting]
            assert found == [None, AlreadyExists, None, None]

    virtual_time.run(main())


def test_the_world_and_its_listeners_know_a_write_before_its_caller_does():
    async def main() -> None:
        async with leading() as (spine, _):
            heard = []
            spine.world.listen(lambda changes: heard.extend(c.entry.name for c in changes))
            (written,) = await spine.commit(create("a"))
            assert heard == ["a"]
            assert spine.world.get(PODS, "default", "a") == written

    virtual_time.run(main())


def test_records_are_put_in_the_transaction_of_their_ops_or_not_at_all():
    async def main() -> None:
        async with leading() as (spine, _):
            record = Put(keys.deploy("default", "1"), b"done")
            with pytest.raises(NotFound):
                await spine.writer.commit((remove("missing"),), (record,))
            assert spine.server.item(record.key) is None
            await spine.writer.commit((create("a"),), (record,))
            (item,) = spine.server.list(keys.prefix(PODS)).items
            assert spine.server.item(record.key).mod_revision == item.mod_revision
            assert await spine.writer.commit((), (replace(record, value=b"alone"),)) == []
            assert spine.server.item(record.key).value == b"alone"

    virtual_time.run(main())


def test_what_fits_no_transaction_is_refused_and_costs_nobody_else_anything():
    async def main() -> None:
        async with leading() as (spine, _):
            waiting = [
                spine.writer.submit(ops)
                for ops in (
                    (create("a"),),
                    (big("fat", TXN_BYTES_MAX),),
                    tuple(create(f"p{n}") for n in range(REQUEST_OPS_MAX + 1)),
                    (create("b"),),
                )
            ]
            found = [await outcome(future) for future in waiting]
            assert found == [None, TooLarge, TooLarge, None]
            assert listed(spine) == ["a", "b"]
            await spine.commit(*(create(f"p{n}") for n in range(REQUEST_OPS_MAX)))

    virtual_time.run(main())


def test_more_requests_than_the_queue_takes_are_refused_at_once():
    async def main() -> None:
        async with leading() as (spine, _):
            waiting = [spine.writer.submit((remove("missing"),)) for _ in range(QUEUE_LIMIT)]
            refused = spine.writer.submit((create("a"),))
            assert isinstance(refused.exception(), Unavailable)
            assert {await outcome(future) for future in waiting} == {NotFound}
            await spine.commit(create("a"))

    virtual_time.run(main())


def test_a_store_that_is_away_fails_what_waits_and_serves_again_when_it_is_back():
    async def main() -> None:
        async with leading() as (spine, _):
            spine.server.is_up = False
            waiting = [spine.writer.submit((create(name),)) for name in "ab"]
            assert [await outcome(future) for future in waiting] == [Unavailable, Unavailable]
            spine.server.is_up = True
            await spine.commit(create("a"))
            assert listed(spine) == ["a"]

    virtual_time.run(main())


def test_an_unknown_outcome_is_made_certain_before_anybody_is_told():
    for is_applied in (True, False):
        late = 0.0 if is_applied else 1_000.0
        fate = Fate(is_response_lost=True, request_delay_s=late, response_delay_s=1)

        async def main(fate: Fate = fate) -> None:
            async with leading() as (spine, _):
                spine.server.faults = once("txn", fate)
                (written,) = await spine.commit(create("a"))
                item = spine.server.item(keys.of(PODS, "default", "a"))
                version = str(item.mod_revision * TXN_OPS_MAX)
                assert written.metadata.resource_version == version
                assert spine.world.revision == item.mod_revision
                (again,) = await spine.commit(update(written, settled="yes"))
                assert again.metadata.labels == {"settled": "yes"}

        virtual_time.run(main())


def test_removals_of_an_unknown_outcome_are_made_certain_too():
    async def main() -> None:
        async with leading() as (spine, _):
            await spine.commit(create("a"))
            spine.server.faults = once("txn", Fate(is_response_lost=True, response_delay_s=1))
            assert await spine.commit(remove("a")) == [None]
            assert spine.world.revision == spine.server.revision

    virtual_time.run(main())


def test_an_attempt_that_arrives_after_everything_else_changes_nothing_any_more():
    async def main() -> None:
        async with leading() as (spine, _):
            late = Fate(is_response_lost=True, request_delay_s=30, response_delay_s=1)
            spine.server.faults = once("txn", late)
            await spine.commit(create("a"))
            await spine.commit(remove("a"))
            await asyncio.sleep(60)  # the first attempt arrives, and "a" is not there again
            assert listed(spine) == []

    virtual_time.run(main())


def test_a_transaction_is_made_certain_however_often_its_repetitions_fail():
    fates = iter(
        [
            Fate(is_response_lost=True, response_delay_s=0.5),
            Fate(is_request_lost=True),
            Fate(is_response_lost=True, response_delay_s=0.5),
        ]
    )

    def faults(_client: str, verb: str) -> Fate:
        return next(fates, FINE) if verb in ("txn", "get") else FINE

    async def main() -> None:
        async with leading() as (spine, _):
            spine.server.faults = faults
            (written,) = await spine.commit(create("a"))
            assert spine.world.get(PODS, "default", "a") == written
            assert listed(spine) == ["a"]

    virtual_time.run(main())


def test_nobody_is_served_before_leading():
    async def main() -> None:
        spine = Spine(MemoryServer())
        with pytest.raises(NotLeader, match="try again"):
            await spine.commit(create("a"))
        assert spine.writer.epoch is None

    virtual_time.run(main())


def test_a_deposed_leader_cannot_write_and_says_so_to_everyone_who_waits():
    async def main() -> None:
        server = MemoryServer()
        spine = Spine(server)
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(spine.writer.run(spine.elect()))
                await spine.writer.ready.wait()
                spine.depose()
                revision = server.revision
                waiting = [spine.writer.submit((create("a"),)) for _ in range(3)]
                assert [await outcome(one) for one in waiting[:1]] == [NotLeader]
                await until(lambda: False)
        assert raised.group_contains(NotLeader)
        assert [type(one.exception()) for one in waiting] == [NotLeader] * 3
        assert server.revision == revision
        assert spine.writer.epoch is None
        assert not spine.writer.ready.is_set()

    virtual_time.run(main())


def test_when_a_term_ends_under_a_write_its_outcome_is_unknown_and_the_others_were_not_made():
    async def main() -> None:
        server = MemoryServer()
        spine = Spine(server)
        async with asyncio.TaskGroup() as tasks:
            leading = tasks.create_task(spine.writer.run(spine.elect()))
            await spine.writer.ready.wait()
            server.faults = lambda _client, _verb: Fate(request_delay_s=60)
            under_way = spine.writer.submit((create("a"),))
            await asyncio.sleep(1)
            queued = spine.writer.submit((create("b"),))
            leading.cancel()
        assert await outcome(under_way) is UnknownResult
        assert await outcome(queued) is NotLeader
        await asyncio.sleep(60)
        assert listed(spine) == ["a"]

    virtual_time.run(main())


def test_a_write_whose_answer_was_lost_with_the_leadership_stays_unknown():
    async def main() -> None:
        server = MemoryServer()
        spine = Spine(server)
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(spine.writer.run(spine.elect()))
                await spine.writer.ready.wait()
                server.faults = once("txn", Fate(is_response_lost=True, response_delay_s=1))
                future = spine.writer.submit((create("a"),))
                await asyncio.sleep(0.5)
                spine.depose()
                await asyncio.sleep(60)
        assert raised.group_contains(NotLeader)
        assert isinstance(future.exception(), UnknownResult)
        assert listed(spine) == ["a"]

    virtual_time.run(main())


def test_the_next_leader_knows_everything_its_predecessor_acknowledged():
    async def main() -> None:
        server = MemoryServer()
        async with leading(server) as (first, _):
            await first.commit(*(create(name) for name in "abc"))
            await first.commit(remove("b"))
        async with leading(server) as (second, _):
            assert [e.version for e in second.world.entries(PODS)] == [
                e.version for e in first.world.entries(PODS)
            ]
            await second.commit(create("b"))

    virtual_time.run(main())


def test_a_caller_that_went_away_before_its_write_began_leaves_no_trace():
    async def main() -> None:
        async with leading() as (spine, _):
            spine.server.faults = lambda _client, _verb: Fate(request_delay_s=1)
            first = spine.writer.submit((create("a"),))
            await asyncio.sleep(0.5)
            second, third = (spine.writer.submit((create(name),)) for name in "bc")
            second.cancel()
            await first
            await third
            assert listed(spine) == ["a", "c"]

    virtual_time.run(main())


def test_a_caller_that_went_away_during_its_write_changes_nothing_for_the_others():
    async def main() -> None:
        async with leading() as (spine, _):
            spine.server.faults = lambda _client, _verb: Fate(request_delay_s=1)
            first, second = (spine.writer.submit((create(name),)) for name in "ab")
            await asyncio.sleep(0.5)
            first.cancel()
            await second
            assert spine.world.count(PODS) == 2

    virtual_time.run(main())


def test_a_failure_that_nobody_awaits_is_not_a_lost_exception():
    async def main() -> None:
        lost: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        async with leading() as (spine, _):
            spine.writer.submit((remove("missing"),))
            await spine.commit(create("a"))
        spine.writer.submit((create("b"),))
        assert lost == []

    virtual_time.run(main())
