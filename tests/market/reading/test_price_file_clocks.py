"""Clocks of price files: what is set, and the hours that summer time repeats."""

import numpy as np
import pytest

from market.reading.price_file import ReadOptions, read_price_file


def read(folder, text, **options):
    (folder / "EURUSD.csv").write_text(text)
    return read_price_file(folder / "EURUSD.csv", ReadOptions(**options))


@pytest.mark.parametrize(
    ("zone", "utc"),
    [
        ("Europe/Helsinki", "2020-07-01T09:00"),
        ("UTC+2", "2020-07-01T10:00"),
        ("-05:30", "2020-07-01T17:30"),
        ("America/New_York+7h", "2020-07-01T09:00"),
        ("UTC", "2020-07-01T12:00"),
    ],
)
def test_times_without_a_clock_are_on_the_one_that_is_set(tmp_path, zone, utc):
    text = "time,open,high,low,close\n{},1,1,1,1\n"
    bars = read(tmp_path, text.format("2020-07-01 12:00"), time_zone=zone)
    assert bars.start_T[0] == np.datetime64(utc)
    assert bars.format.time_zone == f"{zone} (set)"
    own = read(tmp_path, text.format("2020-07-01T12:00+03:00"), time_zone=zone)
    assert (own.start_T[0], own.format.time_zone) == (
        np.datetime64("2020-07-01T09:00"),
        "+03:00 (in the file)",
    )


@pytest.mark.parametrize("newest_first", [False, True])
def test_an_hour_that_happens_twice_is_told_apart_by_the_order_of_rows(tmp_path, newest_first):
    clocks = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    lines = [f"2020-10-25 {clock},1,1,1,1" for clock in clocks][:: -1 if newest_first else 1]
    text = "\n".join(["time,open,high,low,close", *lines])
    start_T = np.sort(read(tmp_path, text, time_zone="Europe/Berlin").start_T)
    first = np.datetime64("2020-10-24T23:30", "us")
    assert (start_T == first + np.arange(6) * np.timedelta64(30, "m")).all()


def test_a_metatrader_server_begins_its_week_on_monday_all_year(tmp_path):
    lines = ["2020.03.02,00:00,1,2,1,2,5", "2020.03.16,00:00,1,2,1,2,5"]
    start_T = read(tmp_path, "\n".join(lines), time_zone="America/New_York+7h").start_T
    assert start_T.astype("datetime64[h]").astype(str).tolist() == [
        "2020-03-01T22",
        "2020-03-15T21",
    ]


def test_seconds_are_counted_on_the_clock_that_is_set_as_metatrader_does(tmp_path):
    text = "time,open,high,low,close\n1593604800,1,1,1,1\n"
    bars = read(tmp_path, text, time_zone="Europe/Helsinki")
    assert bars.start_T[0] == np.datetime64("2020-07-01T09:00")


def test_a_clock_that_is_set_comes_before_one_the_header_notes(tmp_path):
    text = "Time (EET),open,high,low,close\n2020-07-01 12:00,1,1,1,1\n"
    assert read(tmp_path, text).start_T[0] == np.datetime64("2020-07-01T09:00")
    assert read(tmp_path, text, time_zone="UTC").start_T[0] == np.datetime64("2020-07-01T12:00")


@pytest.mark.parametrize("name", ["Gmt time", "time_utc", "TimeUTC", "Time (UTC)", "UTC Time"])
def test_utc_in_the_header_comes_before_a_clock_that_is_set(tmp_path, name):
    text = f"{name},open,high,low,close\n2020-07-01 12:00,1,1,1,1\n"
    bars = read(tmp_path, text, time_zone="Europe/Helsinki")
    assert bars.start_T[0] == np.datetime64("2020-07-01T12:00")
    assert bars.format.time_zone.endswith(" (in the header)")


@pytest.mark.parametrize(("zone", "hour"), [(None, 10), ("UTC+3", 9)])
def test_an_offset_in_the_header_gives_way_to_a_clock_that_is_set(tmp_path, zone, hour):
    text = "Time (UTC+2),open,high,low,close\n2020-07-01 12:00,1,1,1,1\n"
    assert read(tmp_path, text, time_zone=zone).start_T[0] == np.datetime64(f"2020-07-01T{hour:02}")
