"""How long bars are: measured, set, or more than one length in a file."""

import re

import numpy as np
import pytest

from tests.market.checks.rows import HOUR, MINUTE, MONDAY, check, refusal, walk


@pytest.mark.parametrize(("minutes", "found"), [(5, "5min"), (120, "2h"), (1440, "1d")])
def test_a_length_that_contradicts_the_bars_is_refused(minutes, found):
    file = [(MONDAY + t * minutes * MINUTE, 1, 1, 1, 1, 1) for t in range(50)]
    assert refusal(file) == (
        f"EURUSD.csv, row 2, column Date + Time: {found} after the bar before, as 100% of the bars "
        f"come at other steps than 1h: data.bar_length says 1h, the bars come every {found}; bars "
        "are not resampled"
    )
    assert check(file, length=minutes * MINUTE)[1].reading.length_from == "as set"


def test_a_length_that_only_part_of_the_bars_have_is_refused():
    steps = np.tile([60, 60, 30, 30], 20)
    file = [(MONDAY + t * MINUTE, 1, 1, 1, 1, 1) for t in np.cumsum(steps).tolist()]
    assert refusal(file).startswith("EURUSD.csv, row 3, column Date + Time: 30min after the bar ")


def two_lengths(first_min, second_min, n_first=130, n_second=120):
    """Bars of one length and then of another, newest first."""
    minutes = np.cumsum([*[first_min] * n_first, *[second_min] * n_second])
    return [(MONDAY + t * MINUTE, 1, 1, 1, 1, 1) for t in minutes.tolist()][::-1]


@pytest.mark.parametrize(
    ("file", "usual", "row", "came", "share"),
    [
        (two_lengths(60, 30), "1h", 120, "30min", "48%"),
        (two_lengths(60, 30, 120, 130), "30min", 249, "1h", "48%"),
        (two_lengths(60, 240), "1h", 120, "4h", "48%"),
        (two_lengths(60, 30, 120, 7), "1h", 7, "30min", "6%"),
    ],
)
def test_bars_of_two_lengths_are_refused_however_the_length_is_known(file, usual, row, came, share):
    said = (
        f"EURUSD.csv, row {row}, column Date + Time: {came} after the bar before, as {share} of "
        f"the bars come at other steps than {usual}"
    )
    more, what = "bars of more than one length", "keep a file per bar length"
    missing = ", or set data.bar_length where bars are only missing"
    assert refusal(file, length=None) == f"{said}: {more}; {what}{missing}"
    length = {"1h": HOUR, "30min": HOUR / 2}[usual]
    if came == "30min":
        assert refusal(file, length=length) == f"{said} (data.bar_length): {more}; {what}"
    else:
        told = check(file, length=length)[1].warnings[0]
        assert re.match(r"bars of more than one length\? 1(19|20) steps in a row from ", told)
        assert told.endswith(f"are longer than {usual}, most of them {came}; {what}")


def test_longer_bars_before_shorter_ones_are_no_daily_pauses():
    hours = np.cumsum([4] * 1000 + [1] * 4000)
    file = [(MONDAY + hour * HOUR, 1, 2, 1, 1.5, 1 + hour) for hour in hours.tolist()]
    assert "20% of the bars come at other steps than 1h" in refusal(file, length=None)
    report = check(file)[1]
    assert report.gaps.daily_pauses == 0
    assert report.warnings[0].startswith("bars of more than one length? 999 steps in a row")


def test_bars_that_are_sparse_at_uneven_steps_are_read_where_the_length_is_set():
    hours = np.cumsum([1, 1, 1] * 40 + [2, 3, 4] * 60)
    file = [(MONDAY + hour * HOUR, 1, 2, 1, 1.5, 1) for hour in hours.tolist()]
    assert "set data.bar_length where bars are only missing" in refusal(file, length=None)
    assert not [text for text in check(file)[1].warnings if "more than one length" in text]


def test_few_short_steps_and_few_bars_far_apart_are_no_second_length():
    assert check(two_lengths(60, 30, 120, 5), length=None)[0].length == HOUR
    assert check(two_lengths(60, 240, 130, 100), length=None)[0].length == HOUR


def test_a_bar_cut_short_by_the_next_is_complete_when_that_begins():
    starts = [MONDAY + (t * 4 - (t >= 30)) * HOUR for t in range(60)]
    bars, _ = check([(start, 1, 2, 1, 1.5, 1) for start in starts], length=None)
    assert bars.length == 4 * HOUR
    assert (bars.close_time_T[:-1] <= bars.start_T[1:]).all()
    assert np.diff(bars.close_time_T).min() == 3 * HOUR
    for cut in (0, 1, 30, 31):
        past = bars.until(cut)
        assert (past.close_time_T[:-1] == bars.close_time_T[:cut][:-1]).all()
        assert (past.close_time_T[-1:] == past.start_T[-1:] + bars.length).all()


def test_a_length_may_be_set_where_bars_are_often_missing():
    hours = np.cumsum(np.tile([1, 2, 2], 30))
    file = [(MONDAY + hour * HOUR, 1, 1, 1, 1, 1) for hour in hours.tolist()]
    assert check(file)[0].length == HOUR
    assert "bars of more than one length; keep a file" in refusal(file, length=None)


def test_a_file_name_that_says_another_length_is_a_warning():
    _, report = check(walk(1, 50), length=None, named_length=4 * HOUR)
    assert report.warnings == (
        "the file's name says 4h, the bars are of 1h (commonest step, 100% of them); check that it "
        "is the right file",
    )
    assert check(walk(1, 50), named_length=HOUR)[1].warnings == ()
