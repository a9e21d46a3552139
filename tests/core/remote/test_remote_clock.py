"""The times of a worker, as the process that reports tells them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dotflow.core.remote.clock import Fitted

TIMES = st.integers(0, 10**19)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(began=TIMES, took=st.integers(0, 10**15), low=TIMES, there_was=st.integers(0, 10**15))
def test_times_lie_where_they_must_in_their_order(began, took, low, there_was):
    """Between the submission and the answer; what fits keeps its duration."""
    clock = Fitted(began, began + took, low, low + there_was)
    first, middle, last = (clock(at) for at in (began, began + took // 2, began + took))
    assert low <= first <= middle <= last <= low + there_was
    if took <= there_was:
        assert last - first == took
    if low <= began and began + took <= low + there_was:
        assert first == began
