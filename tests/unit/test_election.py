"""Elections on virtual time, with faults of the store."""

import asyncio
from collections.abc import Callable

from orchestrator.runtime.election import RETRY_S, SAFETY, TTL_S, Election, Term
from orchestrator.store import Compare, Put, Store, keys
from orchestrator.store.memory import FINE, Fate, MemoryServer, MemoryStore
from tests import virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def lossy(verb: str, *, until_s: float, fate: Fate) -> Callable[[str, str], Fate]:
    return lambda _client, asked: fate if asked == verb and now() < until_s else FINE


async def campaign(server: MemoryServer, identity: str) -> Term:
    return await Election(MemoryStore(server, identity), identity).campaign()


async def write_as(store: Store, term: Term) -> bool:
    """Whether the store takes a leader's write."""
    fence = Compare(keys.LEADER, create_revision=term.epoch)
    return (await store.txn([fence], [Put("/written", b"")])).succeeded


async def until_lost(term: Term) -> float:
    """When it was lost."""
    await term.lost()
    return now()


def test_the_only_candidate_is_elected_at_once_and_its_writes_are_taken():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        assert now() == 0
        assert term.is_valid()
        assert await write_as(MemoryStore(server), term)

    virtual_time.run(main())


def test_a_renewed_term_goes_on_for_as_long_as_it_is_renewed():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        try:
            async with asyncio.timeout(1000):
                await term.lost()
        except TimeoutError:
            pass
        assert term.is_valid()
        assert await write_as(MemoryStore(server), term)

    virtual_time.run(main())


def test_a_leader_that_resigns_is_succeeded_at_once_by_a_later_epoch():
    async def main() -> None:
        server = MemoryServer()
        first = await campaign(server, "one")
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(campaign(server, "two"))
            renewing = tasks.create_task(first.lost())
            await asyncio.sleep(10)
            assert not waiting.done()
            renewing.cancel()
            await first.resign()
        second = waiting.result()
        assert now() == 10
        assert second.epoch > first.epoch
        assert not first.is_valid()
        assert not await write_as(MemoryStore(server), first)
        assert await write_as(MemoryStore(server), second)

    virtual_time.run(main())


def test_a_crashed_leader_is_succeeded_when_its_lease_ends():
    async def main() -> None:
        server = MemoryServer()
        crashed = await campaign(server, "one")
        assert crashed.is_valid()
        second = await campaign(server, "two")
        assert now() == TTL_S
        assert second.epoch > crashed.epoch

    virtual_time.run(main())


def test_a_restarted_orchestrator_takes_over_from_its_previous_life_at_once():
    async def main() -> None:
        server = MemoryServer()
        before = await campaign(server, "one")
        after = await campaign(server, "one")
        assert now() == 0
        assert after.epoch > before.epoch
        assert not await write_as(MemoryStore(server), before)  # should it live after all
        assert await write_as(MemoryStore(server), after)

    virtual_time.run(main())


def test_the_old_lease_of_a_previous_life_takes_nothing_from_the_new_term():
    async def main() -> None:
        server = MemoryServer()
        await campaign(server, "one")
        after = await campaign(server, "one")
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(after.lost())
            await asyncio.sleep(3 * TTL_S)
            renewing.cancel()
        assert await write_as(MemoryStore(server), after)

    virtual_time.run(main())


def test_of_many_candidates_one_leads_at_a_time():
    async def main() -> None:
        server = MemoryServer()
        leading: list[str] = []
        epochs: list[int] = []

        async def live(name: str) -> None:
            term = await campaign(server, name)
            leading.append(name)
            assert leading == [name]
            epochs.append(term.epoch)
            async with asyncio.TaskGroup() as tasks:
                renewing = tasks.create_task(term.lost())
                await asyncio.sleep(7)
                renewing.cancel()
            leading.remove(name)
            await term.resign()

        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(live(f"candidate-{number}"))
        assert len(set(epochs)) == 5
        assert epochs == sorted(epochs)
        assert now() == 5 * 7

    virtual_time.run(main())


def test_a_leader_cut_off_stops_before_its_successor_can_start():
    async def main() -> None:
        server = MemoryServer()

        def cut(client: str, verb: str) -> Fate:
            is_cut = client == "one" and now() >= 10
            return Fate(is_request_lost=True, request_delay_s=1) if is_cut else FINE

        server.faults = cut
        first = await campaign(server, "one")
        async with asyncio.TaskGroup() as tasks:
            lost = tasks.create_task(until_lost(first))
            second = await campaign(server, "two")
            assert lost.done()
            assert lost.result() < now()
            assert second.epoch > first.epoch

    virtual_time.run(main())


def test_the_deadline_counts_from_the_sending_of_a_renewal_not_from_its_answer():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        slow = Fate(request_delay_s=0, response_delay_s=0.4)
        server.faults = lossy("keepalive", until_s=5, fate=slow)
        async with asyncio.TaskGroup() as tasks:
            lost = tasks.create_task(until_lost(term))
            await asyncio.sleep(5)
            server.faults = lambda _client, verb: (
                Fate(is_request_lost=True) if verb == "keepalive" else FINE
            )
        last_sent = 4.5  # every half second from 0
        assert abs(lost.result() - (last_sent + TTL_S * SAFETY)) < 0.01

    virtual_time.run(main())


def test_two_lost_renewals_do_not_end_a_term():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        server.faults = lossy("keepalive", until_s=1.2, fate=Fate(is_request_lost=True))
        try:
            async with asyncio.timeout(100):
                await term.lost()
        except TimeoutError:
            pass
        assert term.is_valid()

    virtual_time.run(main())


def test_a_frozen_leader_does_not_trust_its_term_when_it_wakes():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        await asyncio.sleep(TTL_S * SAFETY)  # nobody renews
        assert not term.is_valid()
        started = now()
        assert await until_lost(term) == started

    virtual_time.run(main())


def test_a_term_whose_lease_was_revoked_is_lost_at_the_next_renewal():
    async def main() -> None:
        server = MemoryServer()
        term = await campaign(server, "one")
        server.revoke(term._lease)
        assert await until_lost(term) <= TTL_S / 4
        assert not term.is_valid()

    virtual_time.run(main())


def test_a_store_that_is_away_is_waited_for():
    async def main() -> None:
        server = MemoryServer()
        server.is_up = False
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(campaign(server, "one"))
            await asyncio.sleep(30)
            assert not waiting.done()
            server.is_up = True
        assert waiting.result().is_valid()
        assert now() <= 30 + RETRY_S

    virtual_time.run(main())


def test_an_election_whose_outcome_is_unknown_is_held_again():
    for delay_s in (0.0, 0.3, 1.0, 5.0):
        unknown = Fate(is_response_lost=True, request_delay_s=delay_s, response_delay_s=0.5)

        async def main(unknown: Fate = unknown) -> None:
            server = MemoryServer(lossy("txn", until_s=0.4, fate=unknown))
            term = await campaign(server, "one")
            async with asyncio.TaskGroup() as tasks:
                renewing = tasks.create_task(term.lost())
                await asyncio.sleep(10)
                renewing.cancel()
            assert term.is_valid()
            assert await write_as(MemoryStore(server), term)

        virtual_time.run(main())


def test_a_candidate_that_was_too_late_leaves_no_lease_behind():
    async def main() -> None:
        server = MemoryServer(lossy("grant", until_s=1, fate=Fate(response_delay_s=1)))
        async with asyncio.TaskGroup() as tasks:
            candidates = [tasks.create_task(campaign(server, name)) for name in "abc"]
            await asyncio.sleep(1.5)
            assert len(server._leases) == 1
            for candidate in candidates:
                candidate.cancel()

    virtual_time.run(main())


def test_a_candidate_with_a_broken_or_silent_watch_still_sees_the_vacancy():
    for fate in (Fate(is_request_lost=True), Fate(request_delay_s=1_000_000)):

        async def main(fate: Fate = fate) -> None:
            server = MemoryServer()
            first = await campaign(server, "one")
            server.faults = lossy("batch", until_s=1_000, fate=fate)
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(campaign(server, "two"))
                await asyncio.sleep(1)
                await first.resign()
            assert waiting.result().is_valid()
            assert now() < 12

        virtual_time.run(main())


def test_a_candidate_whose_history_was_compacted_still_sees_the_vacancy():
    async def main() -> None:
        server = MemoryServer()
        first = await campaign(server, "one")

        def compact_before_the_watch(_client: str, verb: str) -> Fate:
            if verb == "watch":
                server.apply([], [Put("/busy", b"")])
                server.apply([], [Put("/busy", b"")])
                server.compact(server.revision)
            return FINE

        server.faults = compact_before_the_watch
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(campaign(server, "two"))
            await asyncio.sleep(1)
            await first.resign()
        assert waiting.result().is_valid()

    virtual_time.run(main())
