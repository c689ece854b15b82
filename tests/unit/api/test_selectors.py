import pytest
from hypothesis import given, strategies as st

from orchestrator.api import selectors
from orchestrator.core import label_selectors
from proto.errors import BadRequest
from proto.kinds.event import EVENTS
from proto.kinds.namespace import NAMESPACES
from proto.kinds.pod import PODS, Pod, PodSpec, PodStatus
from proto.meta import ObjectMeta

WEB = Pod(
    metadata=ObjectMeta(name="p", namespace="d", labels={"app": "web", "tier": "front"}),
    spec=PodSpec(node_name="n1"),
    status=PodStatus(phase="Running"),
)


@pytest.mark.parametrize(
    ("text", "is_selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("absent!=x", True),
        ("app", True),
        ("!app", False),
        ("!absent", True),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("absent notin (db)", True),
        ("app notin (web)", False),
        ("app=web,tier in (back)", False),
        ("app in (web),!absent,tier", True),
        ("empty=", False),
        ("empty!=", True),
    ],
)
def test_label_selectors_select_what_kubernetes_says(text, is_selected):
    assert selectors.parse(PODS, text, "").matches(WEB) is is_selected


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "a=b,",
        "a in",
        "a in (b",
        "a in b",
        "a=b c",
        "!",
        "a=(",
        "-a-",
        "a=-",
        "a b",
        "(",
        "a<1",
    ],
)
def test_what_is_no_label_selector_is_a_bad_request(text):
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        selectors.parse(PODS, text, "")


def test_a_list_of_values_without_an_end_is_told_so_in_kubernetes_words():
    with pytest.raises(BadRequest, match=r"found '', expected: ',', '\)' or identifier"):
        label_selectors.parse("app in (a,")


@given(st.text(alphabet="ab=!(), in not<>", max_size=20))
def test_any_text_is_a_label_selector_or_a_bad_request(text):
    try:
        label_selectors.parse(text).matches({})
    except BadRequest as error:
        assert str(error).startswith("unable to parse requirement")


@pytest.mark.parametrize(
    ("text", "is_selected"),
    [
        ("metadata.name=p", True),
        ("metadata.name==q", False),
        ("metadata.name!=q,metadata.namespace=d", True),
        ("spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed", True),
        ("spec.nodeName=", False),
        ("status.podIP=", True),
    ],
)
def test_field_selectors_select_what_kubernetes_says(text, is_selected):
    assert selectors.parse(PODS, "", text).matches(WEB) is is_selected


def test_a_field_that_cannot_be_selected_by_is_named():
    with pytest.raises(BadRequest, match=r"^field label not supported: spec\.foo$"):
        selectors.parse(PODS, "", "spec.foo=x")


def test_a_cluster_scoped_kind_has_no_namespace_to_select_by():
    with pytest.raises(BadRequest, match=r"metadata\.namespace"):
        selectors.parse(NAMESPACES, "", "metadata.namespace=x")


def test_a_field_selector_without_an_operator_is_refused():
    with pytest.raises(BadRequest, match=r"can't understand 'metadata\.name'"):
        selectors.parse(PODS, "", "metadata.name")


def test_values_may_be_escaped():
    assert selectors.parse_fields(EVENTS, r"reason=a\,b\=c\\d")[0].value == r"a,b=c\d"


def test_the_only_name_selected_is_known():
    assert selectors.parse(PODS, "", "metadata.name=p,status.phase=Running").name == "p"
    assert selectors.parse(PODS, "", "metadata.name!=p").name == ""
