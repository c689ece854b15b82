"""Manifests from anywhere."""

from hypothesis import given, settings, strategies as st

from orchestrator.core.fields import parse
from orchestrator.core.objects import prepare_create
from proto.errors import BadRequest, Invalid
from proto.kinds import ALL

SETTINGS = settings(max_examples=200, deadline=None)

words = st.sampled_from(
    ["metadata", "spec", "status", "name", "namespace", "labels", "containers", "image", "replicas",
     "selector", "matchLabels", "template", "strategy", "taints", "key", "effect", "resources",
     "requests", "cpu", "limits", "ports", "containerPort", "volumes", "annotations", "finalizers"]
)  # fmt: skip
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8),
        st.sampled_from(["web", "1", "25%", "100m", "NoSchedule", "-1", "é\x00"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(words, st.text(max_size=5)), inner, max_size=5)
    ),
    max_leaves=25,
)  # fmt: skip


@SETTINGS
@given(manifest=st.dictionaries(words, values, max_size=5), number=st.integers(0, 99))
def test_any_manifest_becomes_a_valid_object_or_a_rejection(manifest, number):
    kind = ALL[number % len(ALL)]
    try:
        found, _ = parse(kind, manifest)
        stored = prepare_create(kind, found, uid="u", suffix="x2z4c", now_ms=0)
    except (BadRequest, Invalid) as error:
        assert str(error)
        return
    assert stored.metadata.name
    assert kind.validate(stored, None) == []


VALID = {
    "Pod": {
        "metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "web:1",
                    "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {"requests": {"cpu": 1}, "limits": {"memory": "64Mi"}},
                }
            ],
            "tolerations": [{"operator": "Exists"}],
        },
    },
    "Node": {
        "metadata": {"name": "n1"},
        "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "4", "memory": 1e9}},
    },
    "Deployment": {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
        },
    },
}


def spots(value, path=()):
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from spots(inner, (*path, key))


def with_spot(value, path, new):
    if not path:
        return new
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = with_spot(copy[key], rest, new)
    return copy


@SETTINGS
@given(name=st.sampled_from(sorted(VALID)), spot=st.integers(0, 99), new=values)
def test_a_good_manifest_with_one_thing_wrong_is_an_object_or_a_rejection(name, spot, new):
    kind = next(kind for kind in ALL if kind.name == name)
    paths = [path for path in spots(VALID[name]) if path]
    manifest = with_spot(VALID[name], paths[spot % len(paths)], new)
    try:
        found, _ = parse(kind, manifest)
        stored = prepare_create(kind, found, uid="u", suffix="x2z4c", now_ms=0)
    except (BadRequest, Invalid) as error:
        assert str(error)
        return
    assert kind.validate(stored, None) == []
    assert kind.defaults(stored) == stored
