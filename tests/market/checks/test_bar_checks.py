"""Bars put right: what comes back exactly, what is counted, and what stops a symbol."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import DataError
from market.checks.bar_checks import checked
from market.reading.raw_bars import FIELDS, FileFormat, RawBars

HOUR = np.timedelta64(3_600_000_000, "us")
MINUTE = np.timedelta64(60_000_000, "us")
NOW = np.datetime64("2026-01-01", "us")
MONDAY = np.datetime64("2024-01-01", "us")
FORMAT = FileFormat(
    "CSV", "utf-8", "comma", None, True, "ISO", "UTC (none is given)",
    {"time": "Date + Time", "open": "Open", "high": "High", "low": "Low", "close": "Close"}, (),
)  # fmt: skip


def raw(rows):
    """A file whose rows are (start, open, high, low, close, volume)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    start_T = np.array(columns[0], dtype="datetime64[us]")
    values = [np.array(column, dtype=float) for column in columns[1:]]
    return RawBars(Path("EURUSD.csv"), start_T, *values, np.arange(1, len(rows) + 1), FORMAT)


def rows_of(bars):
    columns = (getattr(bars, "start_T" if f == "time" else f"{f}_T") for f in FIELDS)
    return list(zip(*columns, strict=True))


def walk(seed, n_bars=360):
    """Hourly bars, Monday to Friday, with volume; high and low are those of open and close."""
    rng = np.random.default_rng(seed)
    close_T = 100.0 + np.cumsum(rng.normal(0, 0.1, n_bars))
    open_T = np.concatenate([[100.0], close_T[:-1]]) + 0.01
    t = np.arange(n_bars)
    start_T = MONDAY + (t + t // 120 * 48) * HOUR
    top_T, bottom_T = np.maximum(open_T, close_T), np.minimum(open_T, close_T)
    return list(zip(start_T, open_T, top_T, bottom_T, close_T, 1.0 + t, strict=True))


def check(rows, length=HOUR, max_dropped=0.02, now_utc=NOW, **more):
    file = rows if isinstance(rows, RawBars) else raw(rows)
    return checked(
        file, symbol="EURUSD", length=length, max_dropped=max_dropped, now_utc=now_utc, **more
    )


def refusal(rows, **more):
    with pytest.raises(DataError) as error:
        check(rows, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


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


LIMIT = "; 1 of 10 rows are bad, at most 0 may be dropped (data.max_dropped)"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({0: np.datetime64("NaT")}, "column Date + Time: is empty, expected a time"),
        ({1: np.nan}, "column Open: nan, expected a price above 0"),
        ({2: np.inf}, "column High: inf, expected a price above 0"),
        ({3: 0.0}, "column Low: 0, expected a price above 0"),
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
        "are bad, at most 3 may be dropped (data.max_dropped)"
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


@pytest.mark.parametrize(("minutes", "found"), [(5, "5min"), (120, "2h"), (1440, "1d")])
def test_a_length_that_contradicts_the_bars_is_refused(minutes, found):
    file = [(MONDAY + t * minutes * MINUTE, 1, 1, 1, 1, 1) for t in range(50)]
    assert refusal(file) == (
        f"EURUSD.csv: data.bar_length says 1h, the bars come every {found}; bars are not resampled"
    )
    assert check(file, length=minutes * MINUTE)[1].reading.length_from == "as set"


def test_a_length_that_only_part_of_the_bars_have_is_refused():
    steps = np.tile([60, 60, 30, 30], 20)
    file = [(MONDAY + t * MINUTE, 1, 1, 1, 1, 1) for t in np.cumsum(steps).tolist()]
    assert refusal(file).startswith("EURUSD.csv: data.bar_length says 1h, the bars come every 30mi")


def test_a_length_may_be_set_where_bars_are_often_missing():
    hours = np.cumsum(np.tile([1, 2, 2], 30))
    file = [(MONDAY + hour * HOUR, 1, 1, 1, 1, 1) for hour in hours.tolist()]
    assert check(file)[0].length == HOUR
    assert check(file, length=None)[0].length == 2 * HOUR


def test_a_file_name_that_says_another_length_is_a_warning():
    _, report = check(walk(1, 50), length=None, named_length=4 * HOUR)
    assert report.warnings == (
        "the file's name says 4h, the bars are of 1h (commonest step, 100% of them); check that it "
        "is the right file",
    )
    assert check(walk(1, 50), named_length=HOUR)[1].warnings == ()
