"""What becomes of a definition: its names, its kinds, its end."""

from msgspec.structs import replace

from orchestrator.core import objects
from orchestrator.core.custom import declared
from orchestrator.core.custom.definitions import plan
from orchestrator.core.decisions import render
from proto.kinds.definition import (
    DEFINITIONS,
    ESTABLISHED,
    NAMES_ACCEPTED,
    CustomResourceDefinition,
    DefinitionSpec,
    Names,
    Schema,
    Version,
)
from proto.meta import CustomResource, ObjectMeta, condition, is_true
from tests.unit.core.making import NOW_MS

SCHEMA = Schema(open_api_v3_schema={"type": "object"})
BOATS = Names(plural="boats", kind="Boat", short_names=("bo",))


def defined(*versions, names=BOATS):
    """As it was made."""
    versions = versions or (Version(name="v1", served=True, storage=True, schema=SCHEMA),)
    spec = DefinitionSpec(group="example.com", scope="Namespaced", names=names, versions=versions)
    new = CustomResourceDefinition(
        metadata=ObjectMeta(name=f"{names.plural}.example.com"), spec=spec
    )
    return objects.prepare_create(DEFINITIONS, new, uid="d1", suffix="", now_ms=NOW_MS)


def after(found, *, taken=(), contents=()):
    """The definition once its plan was followed to its end."""
    while decisions := plan(found, taken, contents, NOW_MS).decisions:
        for decision in decisions:
            found = decision.object
    return found


def deleted(found):
    return objects.prepare_delete(DEFINITIONS, found, grace_s=0, propagation="", now_ms=NOW_MS)


def test_its_names_are_accepted_and_it_is_established():
    found = after(defined())
    assert is_true(found.status.conditions, NAMES_ACCEPTED)
    assert is_true(found.status.conditions, ESTABLISHED)
    assert found.status.accepted_names.plural == "boats"
    assert found.status.stored_versions == ("v1",)
    assert [kind.resource for kind in declared.kinds(found)] == ["boats.example.com"]


def test_a_name_that_another_has_keeps_it_from_being_served_until_that_goes():
    clashes = {
        "PluralConflict": Names(plural="boats", kind="X"),
        "SingularConflict": Names(plural="x", singular="boat", kind="X"),
        "ShortNamesConflict": Names(plural="x", short_names=("bo",), kind="X"),
        "KindConflict": Names(plural="x", kind="Boat"),
    }
    for reason, other in clashes.items():
        found = after(defined(), taken=[other])
        accepted = condition(found.status.conditions, NAMES_ACCEPTED)
        assert (accepted.status, accepted.reason) == ("False", reason)
        assert not is_true(found.status.conditions, ESTABLISHED)
        assert declared.kinds(found) == ()
        assert is_true(after(found).status.conditions, ESTABLISHED)


def test_what_is_served_stays_so_under_its_old_names_when_new_ones_clash():
    found = after(defined())
    renamed = replace(BOATS, short_names=("bt",))
    found = replace(found, spec=replace(found.spec, names=renamed))
    found = after(found, taken=[Names(plural="bats", kind="Bat", short_names=("bt",))])
    assert not is_true(found.status.conditions, NAMES_ACCEPTED)
    (kind,) = declared.kinds(found)
    assert kind.short_names == ("bo",)


def test_every_version_that_objects_were_kept_in_is_remembered():
    found = after(defined())
    versions = (
        Version(name="v1", served=True, schema=SCHEMA),
        Version(name="v2", served=True, storage=True, schema=SCHEMA),
        Version(name="v3", schema=SCHEMA),
    )
    found = after(replace(found, spec=replace(found.spec, versions=versions)))
    assert found.status.stored_versions == ("v1", "v2")
    kept, other = declared.kinds(found)
    assert (kept.version, other.version, other.stored) == ("v2", "v1", kept)


def test_its_objects_go_before_it_does():
    found = deleted(after(defined()))
    (kind,) = declared.kinds(found)
    boat = CustomResource(metadata=ObjectMeta(name="b", namespace="default"))
    leaving = replace(boat, metadata=replace(boat.metadata, deletion_timestamp="2024"))
    assert render(plan(found, (), [(kind, boat)], NOW_MS).decisions) == (
        "delete boat b: its definition boats.example.com is being deleted\n"
        "update status of customresourcedefinition boats.example.com: "
        "CustomResource deletion is in progress"
    )
    waiting = after(found, contents=[(kind, leaving)])
    assert not objects.is_finished(waiting)
    assert objects.is_finished(after(waiting))
