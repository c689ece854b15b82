"""Secrets through the API: what they may hold, and what is shown of it."""

import base64

from proto.kinds.configuration import SECRETS, Secret
from tests.unit.api.server import running


def test_a_secret_holds_a_mebibyte_and_no_more():
    def errors(size: int) -> list[str]:
        return [error.field for error in SECRETS.validate(_secret(size), None)]

    assert (errors(1024 * 1024), errors(1024 * 1024 + 1)) == ([], ["data"])


def _secret(size: int) -> Secret:
    return SECRETS.defaults(Secret(string_data={"a": "x" * size}))


async def test_a_secrets_text_becomes_data_and_is_not_shown():
    async with running() as api:
        old = base64.b64encode(b"old").decode()
        body = {"metadata": {"name": "x"}, "data": {"a": old}, "stringData": {"a": "new"}}
        _, made = await api.ask("POST", "/api/v1/namespaces/default/secrets", body)
    assert base64.b64decode(made["data"]["a"]) == b"new"
    assert "stringData" not in made
