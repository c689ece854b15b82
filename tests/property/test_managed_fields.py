"""What holds of server-side apply whatever is applied, by whomever."""

from typing import Any

from hypothesis import given, strategies as st

from orchestrator.core import field_sets, managed_fields
from orchestrator.core.managed_fields import APPLY, UPDATE, Manager
from orchestrator.core.schema import shape_of
from proto.errors import ApplyConflict
from proto.kinds.deployment import Deployment

SHAPE = shape_of(Deployment)
names = st.sampled_from("abc")
values = st.sampled_from(["1", "2"])


def without_nothing(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


@st.composite
def items(draw, **fields):
    """A list whose items have different names."""
    chosen = draw(st.lists(names, unique=True, max_size=3))
    return [without_nothing({"name": n, **{f: draw(s) for f, s in fields.items()}}) for n in chosen]


env = items(value=values)
containers = items(image=st.none() | values, env=env)


@st.composite
def manifests(draw) -> dict[str, Any]:
    labels = draw(st.dictionaries(names, values, max_size=3))
    finalizers = draw(st.lists(names, unique=True, max_size=2))
    selector = draw(st.none() | st.builds(lambda v: {"matchLabels": {"a": v}}, values))
    template = without_nothing({"containers": draw(containers)})
    spec = {
        "replicas": draw(st.none() | st.integers(0, 2)),
        "selector": selector,
        "template": without_nothing({"spec": template}),
    }
    metadata = {"name": "web"} | without_nothing({"labels": labels, "finalizers": finalizers})
    return {"metadata": metadata} | without_nothing({"spec": without_nothing(spec)})


appliers = st.lists(st.tuples(st.sampled_from(["x", "y"]), manifests()), min_size=1, max_size=6)


def by(name: str, operation: str = APPLY) -> Manager:
    return Manager(name, operation, "apps/v1")


def apply(live, config, entries, name, *, force=True, now_ms=0):
    manager = by(name)
    return managed_fields.applied(live, config, SHAPE, entries, manager, force=force, now_ms=now_ms)


def leaves(document) -> dict[Any, Any]:
    found = field_sets.leaves(document, SHAPE)
    return {path: value for path, value in found.items() if path != ("f:metadata", "f:name")}


def owned(entries) -> dict[str, Any]:
    return {entry.manager: field_sets.decode(entry.fields_v1) for entry in entries}


def after(steps) -> tuple[dict[str, Any], Any]:
    live: dict[str, Any] = {}
    entries: Any = ()
    for name, config in steps:
        live, entries = apply(live, config, entries, name)
    return live, entries


@given(appliers)
def test_a_set_of_fields_is_the_same_written_and_read(steps):
    fields = frozenset(leaves(after(steps)[0]))
    assert field_sets.decode(field_sets.encode(fields)) == fields


@given(manifests())
def test_a_new_object_belongs_to_its_maker_as_if_field_by_field(document):
    fields = frozenset(leaves(document)) - {("f:metadata",)}
    if fields:
        assert field_sets.whole(document, SHAPE) == field_sets.encode(
            frozenset(field_sets.leaves(document, SHAPE))
        )
    made = managed_fields.made(document, SHAPE, by("maker", UPDATE), 0)
    assert owned(made) == ({"maker": fields} if fields else {})


@given(appliers)
def test_to_apply_twice_is_to_apply_once(steps):
    live, entries = after(steps)
    name, config = steps[-1]
    assert apply(live, config, entries, name, force=False, now_ms=99_000) == (live, entries)


@given(appliers)
def test_an_applier_owns_exactly_what_it_sent_and_it_is_so(steps):
    live, entries = after(steps)
    name, config = steps[-1]
    wanted = leaves(config)
    assert owned(entries).get(name, frozenset()) == frozenset(wanted)
    assert {path: leaves(live)[path] for path in wanted} == wanted


@given(appliers)
def test_all_that_is_there_is_somebodys_and_all_that_is_owned_is_there(steps):
    live, entries = after(steps)
    assert frozenset().union(*owned(entries).values()) == frozenset(leaves(live))


@given(manifests(), appliers)
def test_what_no_applier_ever_named_is_never_removed(base, steps):
    live = base
    entries = managed_fields.made(base, SHAPE, by("maker", UPDATE), 0)
    for name, config in steps:
        live, entries = apply(live, config, entries, name)
    named = frozenset().union(*(leaves(config) for _, config in steps))
    left = leaves(live)
    assert {path: left.get(path) for path in leaves(base).keys() - named} == {
        path: value for path, value in leaves(base).items() if path not in named
    }


@given(manifests(), manifests())
def test_a_conflict_is_another_value_of_what_another_owns_and_nothing_else(one, two):
    live, entries = apply({}, one, (), "x")
    theirs, mine = leaves(one), leaves(two)
    different = {field_sets.say(p) for p in mine.keys() & theirs.keys() if mine[p] != theirs[p]}
    try:
        apply(live, two, entries, "y", force=False)
        said = set()
    except ApplyConflict as conflict:
        said = {cause.field for cause in conflict.causes}
    assert said == different


@given(manifests(), manifests())
def test_force_leaves_one_owner_of_what_differed(one, two):
    live, entries = apply({}, one, (), "x")
    _, entries = apply(live, two, entries, "y")
    theirs, mine = leaves(one), leaves(two)
    lost = {path for path in mine.keys() & theirs.keys() if mine[path] != theirs[path]}
    assert owned(entries).get("x", frozenset()) == frozenset(theirs) - lost


@given(manifests(), manifests())
def test_an_update_gives_what_it_changed_to_its_manager_and_takes_it_from_others(one, two):
    _, entries = apply({}, one, (), "x")
    entries = managed_fields.updated(one, two, SHAPE, entries, by("z", UPDATE), 0)
    before, now = leaves(one), leaves(two)
    changed = {path for path, value in now.items() if path not in before or before[path] != value}
    found = owned(entries)
    if before:
        assert found.get("z", frozenset()) == frozenset(changed)
        assert found.get("x", frozenset()) == frozenset(before) & frozenset(now) - changed
