"""A disruption budget against any pods there may be."""

from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from orchestrator.core.decisions import UpdateStatus
from orchestrator.core.disruption import Controller, charged, plan
from proto.errors import NotNow
from proto.kinds.pod import is_ready
from proto.meta import format_time
from tests.unit.core.making import NOW_MS, pod
from tests.unit.core.test_disruption import budget

SETTINGS = settings(max_examples=100, deadline=None)

shapes = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["", "rs1", "rs2"]),
        "phase": st.sampled_from(["Pending", "Running", "Failed"]),
        "ready_since_ms": st.sampled_from([None, NOW_MS, NOW_MS]),
        "deleting": st.sampled_from([False, False, True]),
    }
)
anything = st.lists(shapes, max_size=10).map(
    lambda found: [pod(f"p{index:02}", node="n1", **shape) for index, shape in enumerate(found)]
)
shares = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda share: f"{share}%"))
specs = st.one_of(
    shares.map(lambda share: {"min_available": share}),
    shares.map(lambda share: {"max_unavailable": share}),
)
KNOWN = {"rs1": Controller("rs1", 4), "rs2": Controller("d2", 3)}


def after(found, pods, now_ms=NOW_MS):
    planned = plan(found, pods, KNOWN, now_ms)
    told = [d.object for d in planned.decisions if isinstance(d, UpdateStatus)]
    return told[-1] if told else found


@SETTINGS
@given(pods=anything, spec=specs, order=st.randoms(use_true_random=False))
def test_the_order_of_pods_is_irrelevant_and_one_pass_is_enough(pods, spec, order):
    first = plan(budget(**spec), pods, KNOWN, NOW_MS)
    order.shuffle(pods)
    assert plan(budget(**spec), pods, KNOWN, NOW_MS) == first
    assert plan(after(budget(**spec), pods), pods, KNOWN, NOW_MS).decisions == ()


@SETTINGS
@given(
    pods=anything, spec=specs, asked=st.lists(st.integers(0, 9), max_size=20), late=st.booleans()
)
def test_evictions_never_leave_fewer_healthy_pods_than_the_budget_wants(pods, spec, asked, late):
    """Whether the controller looks between two of them or not."""
    by_name = {found.metadata.name: found for found in pods}
    found = after(budget(**spec), pods)
    wanted = found.status.desired_healthy
    before = sum(is_ready(p) and not p.metadata.deletion_timestamp for p in pods)
    for number in asked:
        victim = by_name.get(f"p{number:02}")
        if victim is None or victim.status.phase != "Running":
            continue
        try:
            found = charged(victim, [found], NOW_MS) or found
        except NotNow:
            continue
        meta = replace(victim.metadata, deletion_timestamp=format_time(NOW_MS))
        by_name[victim.metadata.name] = replace(victim, metadata=meta)
        if not late:
            found = after(found, list(by_name.values()))
    left = sum(is_ready(p) and not p.metadata.deletion_timestamp for p in by_name.values())
    assert left >= min(before, wanted)
