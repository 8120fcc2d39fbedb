"""A folder of price files: which file is a symbol's, and what is said of it."""

import os
import re
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import polars as pl
import pytest

from market.bars import DataError
from market.table_files import TableFiles
from tests.market.conftest import bar_files

HOUR = np.timedelta64(1, "h")
TEXT = """timestamp,open,high,low,close,volume
2024-01-01 00:00:00,1,2,0.5,1.5,10
2024-01-01 01:00:00,1.5,3,1,2,20
2024-01-01 02:00:00,2,2.5,1.75,2.25,30
"""
HOURS = np.datetime64("2024-01-01", "us") + np.arange(3) * HOUR


def write(folder, text=TEXT, name="EURUSD.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(content)
    return folder


def refusal(folder, symbol="EURUSD", **settings):
    with pytest.raises(DataError) as error:
        bar_files(folder, **settings).read(symbol)
    assert "\n" not in str(error.value)
    return str(error.value)


def later(hours, text=TEXT):
    """The same bars a few hours later or earlier."""
    first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    starts = iter(f"{first + timedelta(hours=t):%Y-%m-%d %H:%M:%S}" for t in range(3))
    return re.sub(r"2024-01-01 0\d:00:00", lambda _: next(starts), text)


def test_a_file_is_read_as_it_stands_and_reported_on(tmp_path):
    source = bar_files(write(tmp_path))
    bars, report = source.read("EURUSD")
    assert (bars.symbol, len(bars), bars.length) == ("EURUSD", 3, HOUR)
    assert (bars.start_T == HOURS).all()
    assert bars.start_T.dtype == np.dtype("datetime64[us]")
    assert [bars.open_T.tolist(), bars.high_T.tolist()] == [[1, 1.5, 2], [2, 3, 2.5]]
    assert [bars.low_T.tolist(), bars.close_T.tolist()] == [[0.5, 1, 1.75], [1.5, 2, 2.25]]
    assert bars.volume_T.tolist() == [10, 20, 30]
    reading = report.reading
    assert (reading.file, reading.rows, reading.format.kind[:3]) == ("EURUSD.csv", 3, "CSV")
    assert reading.sha256 == source.digest("EURUSD")
    assert (source.bars("EURUSD").close_T == bars.close_T).all()
    assert source.raw("EURUSD").row_T.tolist() == [1, 2, 3]


def test_a_parquet_file_is_read_too(tmp_path):
    frame = pl.read_csv(TEXT.encode()).with_columns(timestamp=pl.Series(HOURS))
    frame.write_parquet(tmp_path / "EURUSD.parquet")
    bars, report = bar_files(tmp_path).read("EURUSD")
    assert bars.close_T.tolist() == [1.5, 2, 2.25]
    assert report.reading.format.kind == "Parquet"


@pytest.mark.parametrize(
    ("settings", "hours"),
    [({"time_zone": "Europe/Helsinki"}, -2), ({"time_zone": "UTC-5"}, 5), ({}, 0)],
)
def test_times_are_read_by_the_clock_that_is_set(tmp_path, settings, hours):
    bars, report = bar_files(write(tmp_path), **settings).read("EURUSD")
    assert (bars.start_T == HOURS + hours * HOUR).all()
    assert report.reading.format.time_zone.endswith("(set)" if settings else "(none is given)")


def test_columns_may_be_named(tmp_path):
    source = bar_files(write(tmp_path), columns={"close": "high", "high": "high", "volume": 0})
    assert source.bars("EURUSD").close_T.tolist() == [2, 3, 2.5]
    assert source.bars("EURUSD").volume_T.tolist() == [0, 0, 0]


def test_what_cannot_be_used_is_told_in_one_line_with_the_file_s_own_names(tmp_path):
    write(tmp_path, TEXT.replace("open", "Open").replace("1.5,3,1,2,20", "-1,3,1,2,20"))
    assert refusal(tmp_path) == (
        "EURUSD.csv, row 2, column Open: -1, expected a price above 0; 1 of 3 rows are bad, at "
        "most 0 may be dropped: mend them, or raise data.max_dropped"
    )
    bars, report = bar_files(tmp_path, max_dropped=0.4).read("EURUSD")
    assert len(bars) == 2
    assert report.warnings[0].startswith("left out as bad: 1 row with a price missing or not a")


def test_a_failing_symbol_leaves_the_others_alone(tmp_path):
    (tmp_path / "BROKEN.csv").write_bytes(b"")
    source = bar_files(write(tmp_path))
    assert source.symbols == ["BROKEN", "EURUSD"]
    assert refusal(tmp_path, "BROKEN").startswith("BROKEN.csv: ")
    assert len(source.bars("EURUSD")) == 3


def test_two_files_for_one_symbol_need_a_length_to_choose_by(tmp_path):
    write(tmp_path, name="EURUSD60.csv")
    write(tmp_path, TEXT.replace(" 02:", " 08:").replace(" 01:", " 04:"), name="EURUSD240.csv")
    assert refusal(tmp_path) == (
        "EURUSD240.csv and EURUSD60.csv are both EURUSD; choose one by data.bar_length (4h, 1h)"
    )
    assert bar_files(tmp_path, bar_length="1h").bars("EURUSD").length == HOUR
    assert bar_files(tmp_path, bar_length="240").read("EURUSD")[1].reading.file == "EURUSD240.csv"
    assert refusal(tmp_path, bar_length="1d").startswith("EURUSD240.csv and EURUSD60.csv are both")


def test_two_files_that_say_the_same_are_refused(tmp_path):
    write(tmp_path)
    write(tmp_path, name="EURUSD.txt")
    assert refusal(tmp_path) == (
        "EURUSD.csv and EURUSD.txt are both EURUSD; join them into one file, or keep one"
    )


def test_a_length_is_never_made_by_resampling(tmp_path):
    assert refusal(write(tmp_path), bar_length="4h") == (
        "EURUSD.csv, row 2, column timestamp: 1h after the bar before, as 100% of the bars come at "
        "other steps than 4h: data.bar_length says 4h, the bars come every 1h; bars are not "
        "resampled"
    )


def test_a_name_that_says_another_length_than_the_bars_is_a_warning(tmp_path):
    _, report = bar_files(write(tmp_path, name="EURUSD_M5.csv")).read("EURUSD")
    assert report.reading.length_named == "5min"
    assert report.warnings[0].startswith("the file's name says 5min, the bars are of 1h (commonest")


def test_names_may_be_taken_apart_by_a_pattern(tmp_path):
    write(tmp_path, name="x-EURUSD-H1.csv")
    source = bar_files(tmp_path, name_pattern="x-(?P<symbol>[A-Z]+)-(?P<length>.+)")
    assert source.symbols == ["EURUSD"]
    assert source.read("EURUSD")[1].reading.length_named == "1h"


@pytest.mark.parametrize(
    ("name", "symbol", "shown"),
    [
        ("a b", "a_b", "a b"),
        ("#AAPL", "AAPL", "#AAPL"),
        ("A" * 70, "A" * 64, "A" * 70),
        (os.fsdecode(b"\xff\xfe_bad"), "xff_xfe_bad", r"\xff\xfe_bad"),
        ("esc\x1b[2J", "esc_x1b_2J", r"esc\x1b[2J"),
        ("nl\nname", "nl_nname", r"nl\nname"),
        ("\u202e", "u202e", r"\u202e"),
        ("~~", "file", "~~"),
    ],
)
def test_a_name_that_cannot_be_a_symbol_has_a_safe_one_and_is_told(tmp_path, name, symbol, shown):
    write(tmp_path, name=f"{name}.csv")
    assert bar_files(tmp_path).symbols == [symbol]
    line = f"{shown}.csv: '{shown}' cannot be a symbol; rename the file to at most 64 letters"
    assert refusal(tmp_path, symbol).startswith(line)
    with pytest.raises(DataError, match="cannot be a symbol"):
        bar_files(tmp_path).digest(symbol)
    source = TableFiles(dir=str(tmp_path))
    assert source.symbols == [symbol]
    with pytest.raises(DataError, match="cannot be a symbol") as error:
        source.table(symbol)
    assert str(error.value).startswith(line)


def test_safe_names_take_no_symbol_s_place_nor_each_other_s(tmp_path):
    for name in ("AAPL", "#AAPL", "##AAPL", "A" * 64, "A" * 65, "A" * 66):
        write(tmp_path, name=f"{name}.csv")
    symbols = ["AAPL", "AAPL-2", "AAPL-3", "A" * 64, "A" * 62 + "-2", "A" * 62 + "-3"]
    assert bar_files(tmp_path).symbols == TableFiles(dir=str(tmp_path)).symbols == sorted(symbols)
    assert len(bar_files(tmp_path).bars("AAPL")) == 3


def test_a_strange_file_name_of_a_good_symbol_is_printable_in_its_report(tmp_path):
    write(tmp_path, name="EURUSD\n\x1b.csv")
    source = bar_files(tmp_path, name_pattern=r"(?P<symbol>[A-Z]+)\s.*")
    assert source.read("EURUSD")[1].reading.file == r"EURUSD\n\x1b.csv"
    assert refusal(tmp_path, bar_length="4h", name_pattern=r"(?P<symbol>[A-Z]+)\s.*").startswith(
        r"EURUSD\n\x1b.csv, row 2"
    )


@pytest.mark.parametrize(("minutes", "n_bars"), [(119, None), (120, 2), (179, 2), (180, 3)])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=9))])
def test_the_clock_says_which_bar_is_forming_and_which_has_not_begun(
    tmp_path, minutes, n_bars, zone
):
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    settings = {"clock": lambda: now.astimezone(zone)}
    write(tmp_path)
    if n_bars is None:
        assert refusal(tmp_path, **settings) == (
            "EURUSD.csv, row 3, column timestamp: 2024-01-01 02:00 UTC is in the future, it is "
            "2024-01-01 01:59 UTC; set data.time_zone to the clock of the file"
        )
    else:
        assert len(bar_files(tmp_path, **settings).bars("EURUSD")) == n_bars


def test_without_another_clock_it_is_now(tmp_path):
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = int((now - datetime(2024, 1, 1, tzinfo=UTC)).total_seconds() // 3600)
    assert len(bar_files(write(tmp_path, later(hours - 3))).bars("EURUSD")) == 3
    assert " is in the future, it is " in refusal(write(tmp_path, later(hours)))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"max_dropped": 1.5}, "max_dropped must be from 0 to 1, was 1.5"),
        ({"max_dropped": -0.1}, "max_dropped must be from 0 to 1, was -0.1"),
        ({"bar_length": "soon"}, "bar_length must be such as 5min, 1h or 1d, or null, was 'soon'"),
        ({"bar_length": "1mo"}, "bar_length must be such as 5min, 1h or 1d, or null, was '1mo'"),
        ({"name_pattern": "x"}, "name_pattern 'x' must have a group (?P<symbol>...)"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_by_its_name(tmp_path, settings, line):
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        bar_files(write(tmp_path), **settings)


def test_a_folder_that_is_missing_or_holds_no_data_is_named(tmp_path):
    with pytest.raises(DataError, match=r"/nowhere: no such folder$"):
        bar_files(tmp_path / "nowhere")
    (tmp_path / "README.txt").write_text("empty")
    with pytest.raises(DataError, match=r": no \.parquet or \.csv file named after a symbol$"):
        bar_files(tmp_path)


def test_sub_folders_that_hold_price_files_are_named(tmp_path):
    for name in ("mt4_headerless", "mt4_header", "empty"):
        (tmp_path / name).mkdir()
    for name in ("mt4_headerless", "mt4_header"):
        write(tmp_path / name)
    for source in (bar_files, lambda folder: TableFiles(dir=str(folder))):
        with pytest.raises(DataError, match=r" a symbol; look in mt4_header, mt4_headerless$"):
            source(tmp_path)


def test_the_home_of_nobody_is_no_folder():
    for source in (bar_files, lambda folder: TableFiles(dir=str(folder))):
        with pytest.raises(DataError, match=r"^~nouser/x: no such folder: no home of that user"):
            source("~nouser/x")


def test_the_digest_is_that_of_the_file(tmp_path):
    source = bar_files(write(tmp_path))
    before = source.digest("EURUSD")
    assert before == source.digest("EURUSD")
    write(tmp_path, TEXT.replace("30", "31"))
    assert source.digest("EURUSD") != before


def test_the_digest_is_that_of_the_bytes_that_were_read(tmp_path):
    source = bar_files(write(tmp_path))
    _, report = source.read("EURUSD")
    write(tmp_path, TEXT.replace("30", "31"))
    assert source.digest("EURUSD") == report.reading.sha256 == sha256(TEXT.encode()).hexdigest()


PIPE = "is a pipe, expected a file; write its content into one"


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "EURUSD.csv")
    assert refusal(tmp_path) == f"EURUSD.csv: {PIPE}"
    table = TableFiles(dir=str(tmp_path))
    for opened in (bar_files(tmp_path).digest, table.digest, table.table):
        with pytest.raises(DataError, match=rf"^EURUSD\.csv: {PIPE}$"):
            opened("EURUSD")
