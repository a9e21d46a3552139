"""The order that the calls about one workflow have to arrive in."""

from __future__ import annotations


def in_order(history):
    """Whether a workflow came first and ended last, and each task was posted before patched."""
    assert history[0].startswith("POST workflow")
    assert history[-1] == "PATCH workflow Completed"
    posted = set()
    for line in history:
        method, what = line.split(" ", 1)
        if what.startswith("task"):
            number = what.split()[1]
            assert method == "POST" or number in posted, history
            posted.add(number)
    return True
