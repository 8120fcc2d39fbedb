"""Bars put right: what comes back exactly, what is counted, and what stops a symbol."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.checks.rows import (
    FORMAT,
    HOUR,
    MINUTE,
    MONDAY,
    check,
    raw,
    refusal,
    rows_of,
    walk,
)


def corrupted(rows, seed):
    """The same bars as people's files have them, and the counts of what was done."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.arange(3, len(rows) - 3, 3))
    counts = rng.integers(0, 4, 5).tolist()
    chosen = [places[20 * kind : 20 * kind + count] for kind, count in enumerate(counts)]
    rows = [list(row) for row in rows]
    noisy, late, repeated, blank, swapped = chosen
    for t in noisy:
        rows[t][2] *= 1 - 1e-11
    for t in late:
        rows[t][0] = rows[t][0] + 5 * MINUTE
    file = []
    for t, row in enumerate(rows):
        file.append(row)
        file += [list(row)] * (t in repeated) + [[row[0], *[np.nan] * 4, 0.0]] * (t in blank)
        friday, still = t % 120 == 119, rows[t][4]
        file += [[row[0] + h * HOUR, *[still] * 4, 0.0] for h in range(1, 49) if friday]
    for t in swapped:
        place = next(i for i, row in enumerate(file) if row is rows[t])
        file[place - 1], file[place] = file[place], file[place - 1]
    names = (
        "high or low widened by rounding noise",
        "stamped late, moved to their bar's start",
        "rows repeated, one kept",
        "rows without prices, left out",
        "rows out of order, sorted",
        "fillers, left out",
    )
    done = zip(names, [*counts, 48 * (len(rows) // 120)], strict=True)
    return file, {name: count for name, count in done if count}


@given(st.integers(0, 10**6))
def test_what_was_corrupted_in_known_ways_comes_back_exactly_and_is_counted(seed):
    clean = walk(seed)
    file, done = corrupted(clean, seed)
    bars, report = check(file)
    assert rows_of(bars) == clean
    assert report.reading.repairs == done
    assert report.reading.dropped == {}
    assert (report.reading.rows, report.n_bars) == (len(file), len(clean))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_cutting_later_rows_changes_no_earlier_bar(seed, cut_at, shuffled):
    file, _ = corrupted(walk(seed), seed)
    rng = np.random.default_rng(seed)
    for t in rng.choice(len(file), 5, replace=False):
        file[t] = [*file[t][:3], -1.0, *file[t][4:]]
        file.append([file[t - 1][0], 100.0, 101.0, 99.0, 100.5, 3.0])
    if shuffled:
        rng.shuffle(file)
    times = sorted(row[0] for row in file)
    cut = times[len(times) // 2 + cut_at % (len(times) // 2)] + MINUTE
    full, _ = check(file, max_dropped=0.2)
    past, _ = check([row for row in file if row[0] <= cut], max_dropped=0.2)
    known = [row for row in rows_of(full) if row[0] + HOUR <= cut]
    assert known == [row for row in rows_of(past) if row[0] + HOUR <= cut]
    assert len(known) > 100


@given(st.integers(0, 10**6))
def test_clean_bars_are_returned_as_they_are(seed):
    clean = walk(seed, 100)
    bars, report = check(clean, length=None, max_dropped=0.0)
    assert rows_of(bars) == clean
    assert (bars.symbol, bars.length) == ("EURUSD", HOUR)
    assert report.reading.repairs == report.reading.dropped == {}
    assert report.reading.length_from == "commonest step, 100% of them"


def test_a_file_with_the_newest_bar_at_the_top_is_turned_round_and_said_so():
    clean = walk(1, 50)
    bars, report = check(clean[::-1])
    assert rows_of(bars) == clean
    assert report.reading.newest_first
    assert report.reading.repairs == {"rows newest first, turned round": 50}


def test_a_late_stamp_stays_out_where_its_bar_is_already_there():
    clean = walk(1, 60)
    late = (clean[7][0] + 5 * MINUTE, 100.0, 101.0, 99.0, 100.0, 1.0)
    bars, report = check([*clean, late])
    assert rows_of(bars) == clean
    assert dataclasses.astuple(report.reading.dropped["second bar at one time"]) == (1, 61)


@pytest.mark.parametrize(("minutes", "moved"), [(6, True), (7, False), (-5, False), (30, False)])
def test_only_stamps_at_most_a_tenth_of_a_bar_late_are_moved(minutes, moved):
    file = walk(2, 60)
    file[30] = (file[30][0] + minutes * MINUTE, *file[30][1:])
    bars, report = check(file)
    assert rows_of(bars) == (walk(2, 60) if moved else file)
    assert report.off_grid_bars == (0 if moved else 1)


@pytest.mark.parametrize("hours", [4, 12, 24])
def test_bars_of_many_hours_that_move_with_summer_time_are_not_late(hours):
    starts = [MONDAY + (t * hours - (t >= 60)) * HOUR for t in range(120)]
    file = [(start, *row[1:]) for start, row in zip(starts, walk(3, 120), strict=True)]
    bars, report = check(file, length=hours * HOUR)
    assert rows_of(bars) == file
    assert report.off_grid_bars == 0


def test_of_two_different_bars_at_one_time_the_first_in_the_file_is_kept():
    clean = walk(1, 60)
    other = (clean[5][0], 1.0, 2.0, 0.5, 1.5, 1.0)
    bars, report = check([*clean[:6], other, *clean[6:]])
    assert rows_of(bars) == clean
    assert dataclasses.astuple(report.reading.dropped["second bar at one time"]) == (1, 7)


def test_a_repeated_row_is_one_whatever_stands_between():
    clean = walk(1, 60)
    other = (clean[5][0], 1.0, 2.0, 0.5, 1.5, 1.0)
    bars, report = check([*clean[:6], other, clean[5], *clean[6:]])
    assert rows_of(bars) == clean
    assert report.reading.repairs == {"rows repeated, one kept": 1}
    assert report.reading.dropped["second bar at one time"].count == 1


def test_only_rounding_noise_is_widened():
    file = walk(1, 60)
    file[4] = (*file[4][:2], file[4][2] * (1 - 1e-6), *file[4][3:])
    assert " lies outside low " in refusal(file, max_dropped=0.0)


def test_still_bars_are_fillers_only_after_volume_and_only_without_their_own():
    file = [(MONDAY + t * HOUR, 1.0, 1.0, 1.0, 1.0, volume) for t, volume in enumerate([0, 0, 5])]
    file += [(MONDAY + t * HOUR, 1.0, 1.0, 1.0, 1.0, volume) for t, volume in [(3, 0), (4, 1)]]
    file += [(MONDAY + 5 * HOUR, 1.5, 1.5, 1.5, 1.5, 0), (MONDAY + 6 * HOUR, 1, 2, 1, 1.5, 0)]
    bars, report = check(file)
    assert rows_of(bars) == [file[t] for t in (0, 1, 2, 4, 5, 6)]
    assert report.reading.repairs == {"fillers, left out": 1}


def test_an_empty_volume_is_none_and_the_price_is_kept():
    file = walk(1, 10)
    file[4] = (*file[4][:5], np.nan)
    bars, report = check(file)
    assert bars.volume_T[4] == 0
    assert len(bars) == 10
    assert report.reading.repairs == {"without volume, taken as 0": 1}


@pytest.mark.parametrize(("minutes", "n_bars"), [(0, 9), (59, 9), (60, 10)])
def test_a_bar_that_is_still_forming_is_left_out(minutes, n_bars):
    file = walk(1, 10)
    bars, report = check(file, now_utc=file[-1][0] + minutes * MINUTE)
    assert len(bars) == n_bars
    assert report.reading.repairs == ({"still forming, left out": 1} if n_bars == 9 else {})


LIMIT = "; 1 of 10 rows are bad, at most 0 may be dropped: mend them, or raise data.max_dropped"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({0: np.datetime64("NaT")}, "column Date + Time: is empty, expected a time"),
        ({1: np.nan}, "column Open: nan, expected a price above 0"),
        ({2: np.inf}, "column High: inf, expected a price above 0"),
        ({3: 0.0}, "column Low: 0, expected a price above 0"),
        ({3: 5e-324}, "column Low: 4.94066e-324, expected a price above 0, 1e-100 at least"),
        ({2: 1e101}, "column High: 1e+101, expected a price above 0 and up to 1e+100"),
        ({5: 1e101}, "column volume: 1e+101, expected a volume of 0 or more and up to 1e+100"),
        ({4: -1.5}, "column Close: -1.5, expected a price above 0"),
        ({2: 1.5, 3: 2.5}, "column High: 1.5 is below low 2.5"),
        ({1: 5.0, 2: 4.0, 3: 1.0, 4: 2.0}, "column Open: 5.0 lies outside low 1 to high 4"),
        ({1: 2.0, 2: 4.0, 3: 1.0, 4: 0.5}, "column Close: 0.5 lies outside low 1 to high 4"),
        ({5: -1.0}, "column volume: -1, expected a volume of 0 or more"),
        ({5: np.inf}, "column volume: inf, expected a volume of 0 or more"),
        ({0: MONDAY + HOUR},
         "column Date + Time: a second, different bar at 2024-01-01 01:00 UTC, expected one"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_where_none_may_be_dropped_and_else_left_out(changes, line):
    file = walk(1, 10)
    file[4] = tuple(changes.get(place, value) for place, value in enumerate(file[4]))
    assert refusal(file, max_dropped=0.0999) == f"EURUSD.csv, row 5, {line}{LIMIT}"
    bars, report = check(file, max_dropped=0.1)
    assert rows_of(bars) == file[:4] + file[5:]
    assert [(part.count, part.first_row) for part in report.reading.dropped.values()] == [(1, 5)]


def test_the_first_bad_row_of_any_kind_is_named_with_their_number():
    file = walk(1, 3070)
    for t in range(400, 417):
        file[t] = (file[t][0], *file[t][1:3], -1.0, *file[t][4:])
    file[300] = (*file[300][:5], -1.0)
    assert refusal(file, max_dropped=0.001) == (
        "EURUSD.csv, row 301, column volume: -1, expected a volume of 0 or more; 18 of 3,070 rows "
        "are bad, at most 3 may be dropped: mend them, or raise data.max_dropped"
    )


def test_a_column_without_a_name_is_called_by_its_place():
    file = dataclasses.replace(
        raw([(MONDAY, 1, 1, 0, 1, 1), (MONDAY + HOUR, 1, 1, 1, 1, 1)]),
        format=dataclasses.replace(FORMAT, columns={"low": "column 5"}, has_header=False),
    )
    assert refusal(file).startswith("EURUSD.csv, row 1, column 5: 0, expected a price above 0")


def test_a_time_in_the_future_is_named_with_what_may_be_the_cause():
    file = walk(1, 10)
    assert refusal(file, now_utc=file[7][0] + MINUTE) == (
        "EURUSD.csv, row 9, column Date + Time: 2024-01-01 08:00 UTC is in the future, it is "
        "2024-01-01 07:01 UTC; set data.time_zone to the clock of the file"
    )


@pytest.mark.parametrize("rows", [[], walk(1, 1), [walk(1, 1)[0]] * 5])
def test_fewer_than_two_bars_are_refused(rows):
    expected = f"EURUSD.csv: {len(rows[:1])} usable bars in {len(rows)} rows, at least 2 are needed"
    assert refusal(rows, length=None) == refusal(rows) == expected


def test_a_time_far_in_the_future_is_taken_for_a_wrong_year():
    file = walk(1, 10)
    file[7] = (np.datetime64("2062-01-01", "us"), *file[7][1:])
    assert refusal(file).endswith("it is 2026-01-01 00:00 UTC; is it a wrong year?")


def test_high_and_low_swapped_throughout_are_named_with_the_settings_that_mend_it():
    file = [(*row[:2], row[3], row[2], *row[4:]) for row in walk(1, 50)]
    assert refusal(file) == (
        "EURUSD.csv: high and low look swapped: high is below low in 50 of 50 rows; if so set "
        "data.columns.high=Low data.columns.low=High"
    )


def test_open_and_close_swapped_are_named_with_the_settings_that_mend_it():
    file = [(row[0], row[4], *row[2:4], row[1], row[5]) for row in walk(1, 100)]
    assert check(walk(1, 100))[1].warnings == ()
    assert (
        check(file)[1].warnings[0].endswith("set data.columns.open=Close data.columns.close=Open")
    )


@pytest.mark.parametrize(("nightly", "advice"), [(0, False), (9, True)])
def test_fillers_of_a_closed_market_are_counted_and_ask_for_nothing(nightly, advice):
    file = []
    for t, row in enumerate(walk(1, 480)):
        file.append(row if t % 24 >= nightly or t == 0 else (row[0], *[file[-1][4]] * 4, 0.0))
        if t % 120 == 119:
            file += [(row[0] + h * HOUR, *[file[-1][4]] * 4, 0.0) for h in range(1, 49)]
    _, report = check(file)
    fillers = report.reading.repairs["fillers, left out"]
    assert (fillers > 192, advice) == (advice, advice)
    told = next(text for text in report.warnings if "stand still without" in text)
    assert told.endswith("livelier market") == advice
    assert "of them while the market is closed (weekends, holidays)" in told


def test_a_file_without_a_volume_column_is_not_one_of_zeros():
    file = [(*row[:5], 0.0) for row in walk(1, 50)]
    _, report = check(file)
    assert (report.zero_volume_bars, report.constant_volume, report.warnings) == (0, None, ())
    columns = dict(FORMAT.columns) | {"volume": "Vol"}
    made = dataclasses.replace(raw(file), format=dataclasses.replace(FORMAT, columns=columns))
    assert check(made)[1].warnings == ("volume is 0 in every bar; it says nothing",)
    assert check(made)[1].zero_volume_bars == 50


def test_rows_dropped_are_told_in_words():
    file = walk(1, 100)
    for t in (20, 30):
        file[t] = (*file[t][:3], -1.0, *file[t][4:])
    assert check(file)[1].warnings == (
        "left out as bad: 2 rows with a price missing or not above 0 (first in row 21); mend them "
        "at their source",
    )


def test_a_saturday_alone_is_a_closed_market_and_a_thursday_is_not():
    for day, closed in ((5, 8), (3, 0)):
        file = [(MONDAY + t * 24 * HOUR, *row[1:]) for t, row in enumerate(walk(1, 60))]
        for t in range(day, 60, 7):
            file[t] = (file[t][0], *[file[t - 1][4]] * 4, 0.0)
        _, report = check(file, length=24 * HOUR)
        assert report.reading.repairs["fillers, left out"] == 8 + (day == 3)
        assert report.reading.closed_fillers == closed
