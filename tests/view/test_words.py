"""Numbers, times and names as people read them."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.view.words import (
    HEIGHTS,
    NO_DATA,
    age,
    clean,
    dollars,
    duration,
    percent,
    printable,
    score,
    short_steps,
    sparkline,
    steps,
    versus,
)

samples = st.lists(
    st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=200
).map(sorted)


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0"), (77_840, "77,840"), (999_999, "999,999"), (1_250_000, "1.2M"), (2 * 10**9, "2G")]
)
def test_steps_are_exact_below_a_million_and_cut_above(count: int, shown: str) -> None:
    assert steps(count) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(9_999, "9,999"), (20_000, "20k"), (77_840, "77.8k"), (79_872, "79.9k"), (999_999, "999.9k")]
)
def test_short_steps_are_rounded_and_claim_no_million_too_early(count: int, shown: str) -> None:
    assert short_steps(count) == shown


@given(st.integers(0, 10**13))
def test_shown_steps_are_short_and_never_more_than_were_made(count: int) -> None:
    shown = steps(count)
    factor = {"M": 10**6, "G": 10**9}.get(shown[-1], 1)
    assert float(shown.rstrip("MG").replace(",", "")) * factor <= count
    assert len(shown) <= 8


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (45.9, "45s"), (80, "1m 20s"), (3_600, "1h 00m"), (7_500, "2h 05m"), (273_600, "3d 04h")],
)
def test_a_duration_has_two_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0 s ago"), (12.7, "12 s ago"), (200, "3 min ago"), (7_300, "2 h ago")]
)
def test_an_age_has_one_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "—"), (math.nan, "—"), (0.8149, "0.81"), (-12.44, "-12.4"), (1240, "1,240")]
)
def test_a_score_is_as_exact_as_it_is_large(value: float | None, shown: str) -> None:
    assert score(value) == shown


@given(st.floats(0, 1), st.integers(1, 100).map(lambda n: n / 100))
def test_a_value_below_its_target_is_never_shown_as_having_reached_it(value: float, target: float) -> None:
    shown, goal = versus(value, target)
    assert float(goal) == target
    if value < target - 1e-5:
        assert float(shown) < float(goal)


def test_a_value_just_below_its_target_gets_the_decimals_that_tell() -> None:
    assert versus(0.7996, 0.8) == ("0.7996", "0.80")
    assert versus(0.9, 0.825) == ("0.90", "0.825")


@given(st.floats(0, 0.999_999))
def test_a_hundred_percent_is_not_shown_before_the_end(share: float) -> None:
    assert percent(share) != "100 %"
    assert percent(1.0) == "100 %"


@given(samples, st.integers(1, 80))
def test_a_sparkline_has_at_most_as_many_cells_as_it_may_of_seven_heights(
    curve: list[tuple[int, float]], cells: int
) -> None:
    line = sparkline(curve, cells)
    assert 1 <= len(line) <= min(cells, len(curve))
    assert set(line) <= set(HEIGHTS)


@given(samples, st.integers(1, 80))
def test_the_last_cell_of_a_sparkline_is_the_newest_sample(curve: list[tuple[int, float]], cells: int) -> None:
    low, high = -2e6, 2e6
    assert sparkline(curve, cells, low=low, high=high)[-1] == sparkline(curve[-1:], 1, low=low, high=high)


@given(st.integers(2, 60))
def test_a_rising_curve_never_falls_in_its_sparkline(cells: int) -> None:
    line = sparkline([(step, float(step)) for step in range(500)], cells)
    assert list(line) == sorted(line, key=HEIGHTS.index)
    assert (line[0], line[-1]) == (HEIGHTS[0], HEIGHTS[-1])


def test_a_sparkline_over_nothing_says_so() -> None:
    assert sparkline([], 20) == NO_DATA
    assert sparkline([(1, math.nan)], 20) == NO_DATA


@given(st.text())
def test_cleaned_text_has_nothing_that_a_terminal_would_obey(text: str) -> None:
    assert not {unicodedata.category(char) for char in clean(text)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link", "alink"),
        ("two\nlines\ttabbed", "two lines tabbed"),
        ("evil\u202etxt", "eviltxt"),
        ("\x9b2Jgone", "2Jgone"),
        ("\ud800half", "\ufffdhalf"),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_escape_sequences_go_whole_and_the_words_stay(text: str, left: str) -> None:
    assert clean(text) == left


def test_a_line_of_a_log_that_a_terminal_would_show_as_it_is_stays_as_it_is() -> None:
    assert printable("  step 10 · loss 0.1 ✓\r\n") == "  step 10 · loss 0.1 ✓"


def test_a_line_of_a_log_keeps_its_indent_and_shows_what_was_last_written_over_it() -> None:
    assert printable("\t  loss: \x1b[1m0.1\x1b[0m\r\n") == "\t  loss: 0.1"
    assert printable("10%\r50%\r100%\n") == "100%"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "$0.00"), (0.0049, "< $0.01"), (0.005, "$0.01"), (12.345, "$12.35"), (999.99, "$999.99"), (1240.4, "$1,240")],
)
def test_money_is_told_to_the_cent_and_never_as_nothing(amount: float, shown: str) -> None:
    assert dollars(amount) == shown
