"""Jobs against any order of events: nothing is counted twice, and every job comes to an end."""

from hypothesis import given, settings, strategies as st

from orchestrator.core.decisions import render
from orchestrator.core.job import indexes
from orchestrator.core.job.view import is_tracked
from proto.kinds.job import JOBS, ending_of
from proto.kinds.pod import PODS, is_terminated
from tests.property.batch_model import Batch, a_job

SETTINGS = settings(max_examples=60, deadline=None)

shapes = st.fixed_dictionaries(
    {
        "completions": st.integers(1, 5),
        "parallelism": st.integers(1, 4),
        "completion_mode": st.sampled_from(["NonIndexed", "Indexed"]),
        "backoff_limit": st.integers(0, 6),
        "pod_replacement_policy": st.sampled_from(["Failed", "TerminatingOrFailed"]),
    }
)
limits_per_index = st.fixed_dictionaries(
    {
        "completions": st.integers(1, 4),
        "parallelism": st.integers(1, 4),
        "completion_mode": st.just("Indexed"),
        "backoff_limit_per_index": st.integers(0, 2),
    }
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["succeed", "fail", "delete", "lose", "stopped", "pass", "wait", "forget"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


class Run:
    """A job, and what is known of its pods from outside."""

    def __init__(self, **spec):
        self.batch = Batch()
        self.batch.create(JOBS, a_job(**spec))
        self.batch.rest()
        self.succeeded: set[str] = set()

    def take(self, step: str, which: int) -> None:
        batch = self.batch
        active = batch.active
        pod = active[which % len(active)] if active else None
        match step:
            case "succeed" if pod:
                batch.end(pod)
                self.succeeded.add(pod.metadata.uid)
            case "fail" if pod:
                batch.end(pod, code=1)
            case "delete" if pod:
                batch.remove(batch.run(pod))
            case "lose" if pod:
                batch.lose(batch.run(pod))
            case "forget":  # what ended is deleted, counted or not
                for ended in [pod for pod in batch.pods if is_terminated(pod)]:
                    batch.delete(PODS, ended.metadata.name)
            case "stopped":
                batch.stopped()
            case "pass":
                batch.pass_all()
            case "wait":
                batch.stopped()
                batch.later(600)
        self.check()

    def check(self) -> None:
        job = self.batch.job
        assert job.status.succeeded <= job.spec.completions
        assert len(self.batch.active) <= job.spec.parallelism
        done = len(self.batch.active) + job.status.succeeded
        assert done <= job.spec.completions

    def finish(self) -> None:
        """Nothing goes wrong any more."""
        for _ in range(60):
            if ending_of(self.batch.job):
                return
            self.batch.stopped()
            self.batch.later(600)
            for _ in self.batch.active:
                self.take("succeed", 0)
        raise AssertionError(f"never over: {self.batch.job.status}")


def ran(spec, events) -> Run:
    run = Run(**spec)
    for step, which in events:
        run.take(step, which)
    return run


@SETTINGS
@given(spec=shapes, events=steps)
def test_every_job_comes_to_an_end_and_successes_are_counted_once(spec, events):
    run = ran(spec, events)
    run.finish()
    batch, status = run.batch, run.batch.job.status
    if ending_of(batch.job).type == "Complete":
        assert status.succeeded == spec["completions"]
    if spec["completion_mode"] == "Indexed":
        assert len(indexes.parsed(status.completed_indexes, 99)) == status.succeeded
    else:
        assert status.succeeded == len(run.succeeded)
    assert not any(is_tracked(pod) for pod in batch.pods)
    assert not status.uncounted_terminated_pods.succeeded
    assert not status.uncounted_terminated_pods.failed


@SETTINGS
@given(spec=limits_per_index, events=steps)
def test_every_index_succeeds_or_fails_and_never_both(spec, events):
    run = ran(spec, events)
    run.finish()
    status = run.batch.job.status
    completed = indexes.parsed(status.completed_indexes, 99)
    failed = indexes.parsed(status.failed_indexes, 99)
    assert not len(completed & failed)
    assert list((completed | failed).missing(spec["completions"])) == []
    assert (ending_of(run.batch.job).type == "Complete") == (not len(failed))


@SETTINGS
@given(spec=shapes, events=steps, order=st.randoms(use_true_random=False))
def test_what_is_settled_is_left_alone_and_order_is_irrelevant(spec, events, order):
    batch = ran(spec, events).batch
    before = render(batch.plan_job().decisions)
    shuffled = list(batch.objects.items())
    order.shuffle(shuffled)
    batch.objects = dict(shuffled)
    assert render(batch.plan_job().decisions) == before
    batch.rest()
    assert render(batch.plan_job().decisions) == ""


numbers = st.sets(st.integers(0, 40))


@SETTINGS
@given(one=numbers, other=numbers)
def test_indexes_are_sets(one, other):
    a, b = indexes.of(one), indexes.of(other)
    assert set((a | b).missing(41)) == set(range(41)) - one - other
    assert set((a & b).missing(41)) == set(range(41)) - (one & other)
    assert (len(a), [n in a for n in range(41)]) == (len(one), [n in one for n in range(41)])
    assert indexes.parsed(indexes.formatted(a), 41) == a
