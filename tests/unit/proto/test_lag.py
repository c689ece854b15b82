"""What a JetStream server says of a consumer; tests/contract/test_bus.py asks a real one."""

import pytest

from proto.bus import lag
from proto.bus.lag import Lag
from proto.errors import NotFound, Unavailable


def test_what_the_server_counts_is_the_lag():
    answer = b'{"type":"x","num_pending":7,"num_ack_pending":2,"num_waiting":1}'
    assert lag.read(answer, "S", "c") == Lag(7, 2)
    assert Lag(7, 2).total == 9


@pytest.mark.parametrize("code", [10014, 10059])
def test_no_consumer_and_no_stream_are_the_same(code):
    answer = b'{"error":{"code":404,"err_code":%d,"description":"not found"}}' % code
    with pytest.raises(NotFound, match='stream "S" has no consumer "c"'):
        lag.read(answer, "S", "c")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"error":{"code":503,"description":"temporarily unavailable"}}', "temporarily"),
        (b'{"num_pending":"many"}', "makes no sense"),
        (b"-ERR", "makes no sense"),
    ],
)
def test_any_other_answer_leaves_the_lag_unknown(answer, said):
    with pytest.raises(Unavailable, match=said):
        lag.read(answer, "S", "c")
