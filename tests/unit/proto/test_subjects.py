"""Subjects: one token for each name, and back."""

import inspect

from proto import subjects
from proto.bus.memory import matches


def test_a_name_with_dots_is_one_token_and_comes_back():
    for name in ("n1", "n1.example.com", "10-0-0-1.rack.dc"):
        for made in (subjects.heartbeat, subjects.report, subjects.node_event, subjects.probe):
            assert subjects.node_of(made(name)) == name
            assert matches(made(subjects.ANY), made(name))


def test_no_two_subjects_of_a_node_are_the_same():
    made = [subjects.assignment, subjects.report_request, subjects.probe, subjects.open_stream]
    made += [subjects.heartbeat, subjects.report, subjects.node_event]
    assert len({subject("n1") for subject in made}) == len(made)


def test_every_subject_begins_with_product_and_version():
    for name, made in inspect.getmembers(subjects, inspect.isfunction):
        if name in ("node_of", "namespace_of_deploy") or name.startswith("_"):
            continue
        given = ["x"] * len(inspect.signature(made).parameters)
        assert made(*given).startswith("longshore.v1.")
        assert " " not in made(*given)


def test_dead_letters_are_not_taken_for_deploys():
    assert not matches(subjects.deploy(subjects.ANY), subjects.deploy_rejected("default"))
    assert subjects.namespace_of_deploy(subjects.deploy("default")) == "default"


def test_events_of_cluster_scoped_objects_have_a_namespace_that_no_namespace_has():
    assert subjects.event("node", "", "n1.lan", "lost") == "longshore.v1.event.node._.n1_lan.lost"
