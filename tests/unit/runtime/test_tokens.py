"""The key that tokens are signed with, among several orchestrators."""

import asyncio

import jwt
import pytest

from orchestrator.core.tokens import UntrustedError
from orchestrator.runtime.controllers import Controllers
from orchestrator.runtime.replica import follow
from orchestrator.runtime.tokens import KEY_AGE_MS, Tokens
from orchestrator.store import Delete, keys
from orchestrator.store.memory import MemoryServer
from proto.errors import NotLeader
from proto.kinds.access import SERVICE_ACCOUNTS
from tests import virtual_time
from tests.unit.runtime.spine import Spine, clock, leading, until


def tokens_of(spine: Spine) -> Tokens:
    return Tokens(spine.store, spine.writer, spine.world, clock, spine.verbs.new_uid)


async def account(spine: Spine, tasks: asyncio.TaskGroup):
    """The default one, made by its controller."""
    spine.run(tasks, Controllers(spine.world, spine.perform, clock).run())
    return await until(lambda: spine.world.get(SERVICE_ACCOUNTS, "default", "default"))


async def issue(tokens: Tokens, found) -> str:
    return await tokens.issue(found, None, (), 600, clock())


def test_the_default_account_comes_back_as_another_one_when_it_is_deleted():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            found = await account(spine, tasks)
            tokens = tokens_of(spine)
            token = await issue(tokens, found)
            await tokens.check(token)
            await spine.verbs.delete(SERVICE_ACCOUNTS, "default", "default")
            again = await until(lambda: spine.world.get(SERVICE_ACCOUNTS, "default", "default"))
            assert again.metadata.uid != found.metadata.uid
            with pytest.raises(UntrustedError, match="does not match claim"):
                await tokens.check(token)

    virtual_time.run(scene())


def test_the_first_tokens_share_one_key_and_other_orchestrators_read_it():
    async def scene() -> None:
        server = MemoryServer()
        async with leading(server) as (spine, tasks):
            found = await account(spine, tasks)
            tokens = tokens_of(spine)
            async with asyncio.TaskGroup() as asking:
                asked = [asking.create_task(issue(tokens, found)) for _ in range(5)]
            made = [task.result() for task in asked]
            assert len({jwt.get_unverified_header(token)["kid"] for token in made}) == 1
            other = Spine(server, "two")
            spine.run(tasks, follow(other.store, other.world))
            await until(lambda: other.world.get(SERVICE_ACCOUNTS, "default", "default"))
            followers = tokens_of(other)
            for token in made:
                believed = await followers.check(token)
                assert believed.claims.sub == "system:serviceaccount:default:default"
            assert await issue(followers, found)  # the key is there: nothing needs to be written

    virtual_time.run(scene())


def test_only_the_leader_makes_the_key():
    async def scene() -> None:
        server = MemoryServer()
        async with leading(server) as (spine, tasks):
            found = await account(spine, tasks)
            with pytest.raises(NotLeader):
                await issue(tokens_of(Spine(server, "two")), found)
            assert await spine.store.get(keys.TOKEN_KEY) is None

    virtual_time.run(scene())


def test_whoever_removes_the_key_ends_all_tokens():
    async def scene() -> None:
        server = MemoryServer()
        async with leading(server) as (spine, tasks):
            found = await account(spine, tasks)
            tokens = tokens_of(spine)
            token = await issue(tokens, found)
            await tokens.check(token)
            server.apply([], [Delete(keys.TOKEN_KEY)])
            await asyncio.sleep(KEY_AGE_MS / 1000)
            with pytest.raises(UntrustedError, match="key that is not known"):
                await tokens.check(token)
            await tokens.check(await issue(tokens, found))

    virtual_time.run(scene())


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "." * 9, "a" * 5000])
def test_what_is_no_token_is_not_believed(token):
    async def scene() -> None:
        async with leading() as (spine, tasks):
            tokens = tokens_of(spine)
            await issue(tokens, await account(spine, tasks))
            with pytest.raises(UntrustedError):
                await tokens.check(token)

    virtual_time.run(scene())


def test_a_token_that_was_changed_or_signed_by_another_is_not_believed():
    async def scene() -> None:
        async with leading() as (spine, tasks):
            found = await account(spine, tasks)
            tokens = tokens_of(spine)
            token = await issue(tokens, found)
            header, payload, signature = token.split(".")
            kid = jwt.get_unverified_header(token)["kid"]
            said = jwt.decode(token, options={"verify_signature": False})
            unsigned = jwt.encode(said, None, "none", headers={"kid": kid})
            by_guess = jwt.encode(said, "x" * 32, "HS256", headers={"kid": kid})
            cut = f"{header}.{payload}.{signature[:-4]}"
            other = jwt.encode(said | {"sub": "a"}, "x" * 32, "HS256").split(".")[1]
            for forged in (unsigned, by_guess, cut, f"{header}.{other}.{signature}"):
                with pytest.raises(UntrustedError):
                    await tokens.check(forged)

    virtual_time.run(scene())
