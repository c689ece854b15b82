"""The account that every namespace has."""

from msgspec.structs import replace

from orchestrator.core.decisions import render
from orchestrator.core.service_accounts import plan
from proto.kinds.access import ServiceAccount
from proto.kinds.namespace import Namespace
from proto.meta import ObjectMeta
from tests.unit.core.making import NOW

NAMESPACE = Namespace(metadata=ObjectMeta(name="team"))


def test_a_namespace_without_the_default_account_gets_one():
    found = plan(NAMESPACE, None)
    assert render(found.decisions) == "create serviceaccount default: every namespace has it"
    assert found.decisions[0].object.metadata.namespace == "team"


def test_one_that_is_there_is_left_alone_and_none_is_made_where_everything_goes():
    assert plan(NAMESPACE, ServiceAccount()).decisions == ()
    going = replace(NAMESPACE, metadata=replace(NAMESPACE.metadata, deletion_timestamp=NOW))
    assert plan(going, None).decisions == ()
