"""Table names: the guide's where possible, and never two queues in one table."""

from hypothesis import given
from hypothesis import strategies as st

from fmq.store.sqlite.names import quoted, table_name


def test_the_guides_names() -> None:
    """The guide's three topics get the guide's three tables."""
    assert table_name("dstdb", ()) == "msg_dstdb"
    assert table_name("sensor/temperature", ()) == "msg_sensor_temperature"
    assert table_name("alerts/critical", ()) == "msg_alerts_critical"


@given(st.lists(st.text(), unique=True, max_size=30))
def test_no_two_queues_share_a_table(queues: list[str]) -> None:
    """Any set of names gets tables that differ in more than case, need no quotes and are of bounded length."""
    taken: list[str] = []
    for queue in queues:
        name = table_name(queue, taken)
        assert name.isascii()
        assert name.isidentifier()
        assert name.startswith("msg_")
        assert len(name) <= 63
        assert name.lower() not in {other.lower() for other in taken}
        taken.append(name)


def test_quoting() -> None:
    """A quote in a name can't end the identifier."""
    assert quoted('a"b') == '"a""b"'
