"""Many observations at once."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from fmq.service.metrics import observe_many


def test_a_negative_span_counts_as_none() -> None:
    """The clock may be set between two moments: a sum that decreases would look like a restart."""
    registry = CollectorRegistry()
    histogram = Histogram("x_seconds", "X.", buckets=(1.0,), registry=registry)
    observe_many([-3_600.0, 0.5], histogram)
    assert registry.get_sample_value("x_seconds_sum") == 0.5
    assert registry.get_sample_value("x_seconds_bucket", {"le": "1.0"}) == 2


@given(st.lists(st.floats(0, 20) | st.sampled_from([0.1, 1.0, 10.0])))
def test_it_is_the_same_as_one_by_one(values: list[float]) -> None:
    """Buckets, sum and count, also on the bounds: it reaches into prometheus-client, whose upgrades could change that."""
    registries = (CollectorRegistry(), CollectorRegistry())
    one_by_one, at_once = (
        Histogram("x_seconds", "X.", ["queue"], buckets=(0.1, 1.0, 10.0), registry=registry).labels("q")
        for registry in registries
    )
    for value in values:
        one_by_one.observe(value)
    observe_many(values, at_once)
    lines = [generate_latest(registry).decode().splitlines() for registry in registries]
    for left, right in zip(*lines, strict=True):
        if "_created" in left:  # when each of them was made
            continue
        if "_sum" in left:
            assert abs(float(left.split()[-1]) - float(right.split()[-1])) < 1e-6
        else:
            assert left == right
