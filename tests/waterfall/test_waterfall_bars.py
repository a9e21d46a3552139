"""The bars of a waterfall: how far they go, and where each one lies."""

from __future__ import annotations

from dotflow.waterfall.bars import TASK, Bar, extent, place


def bar(start: int, end: int | None) -> Bar:
    return Bar("step", TASK, 1, start, end, "Completed")


def test_the_bars_go_from_the_first_start_to_the_last_end():
    assert extent([bar(30, 40), bar(10, 20), bar(15, 90)]) == (10, 90)


def test_a_bar_that_goes_on_reaches_until_now():
    assert extent([bar(10, 20), bar(15, None)], now=100) == (10, 100)
    assert extent([bar(10, 20), bar(15, None)]) == (10, 20)
    assert extent([bar(10, 20)], now=100) == (10, 20)  # what has ended stays as it is


def test_what_has_not_begun_moves_no_edge():
    assert extent([bar(10, 20), bar(0, None)], now=100) == (10, 20)


def test_no_bars_and_bars_of_no_length_have_an_extent():
    assert extent([]) == (0, 1)
    assert extent([bar(5, 5)]) == (5, 6)


def test_a_bar_lies_where_its_times_say():
    assert place(bar(25, 75), 0, 100) == (0.25, 0.5)
    assert place(bar(25, None), 0, 100) == (0.25, 0.75)


def test_a_bar_whose_clock_was_wrong_lies_within():
    assert place(bar(-50, 150), 0, 100) == (0.0, 1.0)
    assert place(bar(60, 40), 0, 100) == (0.6, 0.0)  # the clock was set back
    assert place(bar(300, 400), 0, 100) == (1.0, 0.0)
