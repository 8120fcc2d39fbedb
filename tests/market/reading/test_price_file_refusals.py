"""Price files and options that cannot be meant: one line says what is wrong."""

import gzip
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import DataError
from market.reading.price_file import ReadOptions, read_price_file

TEXT = """time,open,high,low,close,volume
2020-01-02 00:00,1.1,1.4,1.0,1.2,3
2020-01-02 01:00,1.2,1.5,1.1,1.3,4
2020-01-02 02:00,1.3,1.6,1.2,1.4,5
"""
HEADER = TEXT.splitlines()[0]
PACKED = gzip.compress(TEXT.encode(), mtime=0)


def parquet(**columns):
    prices = {name: [1.5, 2.5] for name in ("open", "high", "low", "close")}
    file = io.BytesIO()
    pl.DataFrame({"time": [1577955600, 1577959200]} | prices | columns).write_parquet(file)
    return file.getvalue()


def far(unit, count):
    """Two times, the second so many ``unit`` (or days) since 1970."""
    if unit is None:
        return pl.Series([18_000, count], dtype=pl.Int32).cast(pl.Date)
    return pl.Series([10**12, count], dtype=pl.Int64).cast(pl.Datetime(unit))


def read(folder, content, **options):
    path = folder / "EURUSD.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_price_file(path, ReadOptions(**options))


def said_of(folder, content):
    try:
        read(folder, content)
    except DataError as error:
        return str(error)


def refusal(folder, content, **options):
    with pytest.raises(DataError) as error:
        read(folder, content, **options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("EURUSD.csv")
    return str(error.value).removeprefix("EURUSD.csv")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", ": cannot be read: empty file"),
        (b"\n \r\n", ": cannot be read: empty file"),
        (",,,,,\n,,,,,\n", ": cannot be read: empty file"),
        (HEADER, ": holds no rows below its header"),
        ("2020-01-02,1,1,1,1\n2020-01-03,1,x,1,1", ": has no header, and its 5 columns are not"),
        (HEADER + "\n\n", ": holds no rows below its header"),
        (np.random.default_rng(0).bytes(4000), ": cannot be read: is neither text nor Parquet"),
        (TEXT.replace("3", "\0"), ": cannot be read: is neither text nor Parquet"),
        (TEXT.encode() + b"\x81", ": cannot be read: is neither text nor Parquet"),
        (TEXT.encode("utf-16")[:-1], ": cannot be read as utf-16-le; see data.encoding"),
        ("\n<!DOCTYPE html>\n<p>404</p>", ": is a web page, expected prices; download"),
        ('{"open": [1]}', ": is JSON, expected Parquet or text"),
        (b"PK\x03\x04 and so on", ": is a zip archive or an Excel workbook"),
        (PACKED[:-5], ": cannot be read: gzip: Compressed file ended"),
        (b"\x1f\x8b\x08\x00" + b"x" * 40, ": cannot be read: gzip: invalid stored block"),
        (gzip.compress(b"", mtime=0), ": cannot be read: empty file"),
        (b"PAR1", ": cannot be read: parquet: "),
        (parquet()[:-1], ": cannot be read: parquet: "),
        (parquet()[: len(parquet()) // 2], ": cannot be read: parquet: "),
        (parquet(time=[[1], [2]]), ", column time: holds List(Int64), expected times such as"),
        (parquet(time=[None, None]), ", column time: is empty, expected times such as 2024-"),
        (parquet(time=pl.Series([None, np.nan], dtype=pl.Float64)), ", column time: is empty, exp"),
        (parquet(time=pl.Series([None, None], dtype=pl.Datetime("us"))), ", column time: is empty"),
        (parquet(time=pl.Series([None, None], dtype=pl.Int64)), ", column time: is empty, exp"),
        (parquet(time=["", "n/a"]), ", column time: is empty, expected times such as"),
        (parquet(time=far("ms", 2**62)), ", row 2, column time: 4611686018427387904 milliseconds "
         "since 1970 is outside the years 1900 to 2199"),
        (parquet(time=far("us", -(2**62))), ", row 2, column time: -4611686018427387904 microsec"),
        (parquet(time=far("ns", -(2**62))), ", row 2, column time: -4611686018427387904 nanosec"),
        (parquet(time=far("ms", 2**62).dt.replace_time_zone("UTC")), ", row 2, column time: 46116"),
        (parquet(time=far(None, 2**31 - 1)), ", row 2, column time: 2147483647 days since 1970 is"),
        (parquet(time=["0:00", "1:00"], date=far(None, -(2**31))), ", row 2, column date: -214748"),
        (parquet(close=[True, False]), ", column close: holds Boolean, expected a price above 0"),
        (parquet(close=["1", "x"]), ", row 2, column close: 'x', expected a price above 0"),
        ("hello\nworld\n", ": no separator in 'hello'; say which with data.separator"),
        ("1,2,3\n4,5,6\n", ": has no header, and its 3 columns are not time, open, high, low, clo"),
        ("2020-01-02,5,1,9,3\n", ": has no header, and its 5 columns are not time, open, high"),
        ('a,b,c,d,e\n1,1",1,1,1\n2,2,2",2,2\n', ": cannot be read: its quotation marks do not"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_table_of_prices_is_told_in_one_line(tmp_path, content, finding):
    assert refusal(tmp_path, content).startswith(finding)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("1.3,4\n", "1.3\n", ", row 2: number of fields is 5, expected 6 as in the header"),
        ("1.3,4\n", "1.3,4,5\n", ", row 2: number of fields is 7, expected 6 as in the header"),
        (",1.3,1.6,1.2,1.4,5\n", "", ", row 3: number of fields is 1, expected 6 as in the header"),
        ("\n2020-01-02 01", "\n\n2020-01-02 1x", ", row 3, column time: '2020-01-02 1x:00' is not"),
        (" 01:00", " noon", ", row 2, column time: '2020-01-02 noon' is not a time such as 2020-01-"
         "02 00:00, written %Y-%m-%d %H:%M; see data.time_format"),
        ("02 01:00", "32 01:00", ", row 2, column time: '2020-01-32 01:00' is not a time such as"),
        ("2020-01-02 01", "0020-01-02 01", ", row 2, column time: '0020-01-02 01:00' is not a"),
        ("2020-01-02 01:00", "1577955600", ", row 2, column time: '1577955600' is not a time such"),
        ("2020-01-02", "noon", ", row 1, column time: 'noon 00:00' is not a time such as 2024"),
        ("2020-01-02", "01/02/2020", ", column time: '01/02/2020 00:00' may be day or month first, "
         "and no row tells; say which with data.time_format='%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M'"),
        (",1.5,", ",oops,", ", row 2, column high: 'oops', expected a price above 0"),
        (",1.5,", ",1-5,", ", row 2, column high: '1-5', expected a price above 0"),
        (",4\n", ",4M\n", ", row 2, column volume: '4M', expected a volume of 0 or more"),
        ("close", "shut", ": no column close; found time, open, high, low, shut, volume; say which "
         "it is with data.columns.close=..."),
        ("2020-01-02 01:00,1.2", "Time,open", ", row 2, column time: the header again: files app"),
        ("2020-01-02 01:00", "########", ", row 2, column time: '########', as Excel shows what a"),
        (",1.5,", ",#####,", ", row 2, column high: '#####', as Excel shows what a narrow column"),
        (",1.2,1.4,5\n", "\n", ", row 3: number of fields is 3, expected 6 as in the header; it is "
         "the last row: cut off?"),
        ("2020-01-02", "1/2/20", ", column time: '1/2/20 00:00' may be day or month first, a"),
        ("time", "when", ": no column time; found when, open, high"),
        ("close", "adj close", ": no column close; found"),
        ("volume", "OPEN", ": columns open and OPEN (positions 2 and 6) could both be open; say"),
        ("time", "Time (CST)", ", column Time (CST): 'CST' is no clock that is known; set"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_row_and_column(tmp_path, old, new, finding):
    assert old in TEXT
    assert refusal(tmp_path, TEXT.replace(old, new)).startswith(finding)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("time;open;high;low;close\n2020-01-02;161,234;161,235;161,233;161,234\n",
         ", column open: '161,234' may have a decimal comma or thousands; say which with data.dec"),
        ("date,bidopen,askopen,high,low,close\n2020-01-02,1,1,1,1,1\n",
         ": columns bidopen and askopen (positions 2 and 3) could both be open; say which"),
        ("time,open,high,low,close\n43831.5,1,1,1,1\n",
         ", column time: holds 43831.5 to 43831.5, expected times such as 2024-01-31 13:"),
        ("time,open,high,low,close\n1577955600,1,1,1,1\nx,1,1,1,1\n",
         ", row 2, column time: 'x' is not a time such as 2024-01-31 13:00:00, nor seconds since"),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_guessed(tmp_path, text, finding):
    assert refusal(tmp_path, text).startswith(finding)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"encoding": "utf-16-be"}, ": "),
        ({"separator": ";"}, ": no column time, open, high, low, close; found time,open,high"),
        ({"header": False}, ": has no header, and its 6 columns are not time, open, high, low"),
        (
            {"time_format": "%d.%m.%Y"},
            ", row 1, column time: '2020-01-02 00:00' is not a time",
        ),
        ({"decimal": ","}, ", row 1, column open: '1.1', expected a price above 0"),
        ({"columns": {"close": "last"}}, ": data.columns.close=last is no one column; found time"),
        ({"columns": {"close": 7}}, ": data.columns.close=7, but it has 6 columns"),
    ],
)
def test_what_is_set_and_does_not_fit_the_file_is_told(tmp_path, options, finding):
    assert refusal(tmp_path, TEXT, **options).startswith(finding)


def test_an_hour_that_its_clock_never_shows_is_told(tmp_path):
    text = f"{HEADER}\n2020-03-29 01:00,1,1,1,1,1\n2020-03-29 02:30,1,1,1,1,1\n"
    assert refusal(tmp_path, text, time_zone="Europe/Berlin") == (
        ", row 2, column time: 2020-03-29 02:30:00 does not exist on the clock Europe/Berlin (set),"
        " which skips it; check data.time_zone"
    )


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    (tmp_path / "EURUSD.csv").mkdir()
    with pytest.raises(DataError, match=r"^EURUSD\.csv: is a folder, expected a file; take"):
        read_price_file(tmp_path / "EURUSD.csv", ReadOptions())
    with pytest.raises(DataError, match=r"^none\.csv: cannot be read: no such file"):
        read_price_file(tmp_path / "none.csv", ReadOptions())


def test_a_panic_of_the_reader_leaves_standard_error_alone(tmp_path, capfd):
    whole = parquet()
    said = [said_of(tmp_path, whole[:cut] + whole[cut + 5 :]) for cut in range(4, 500, 7)]
    assert sum(finding is not None for finding in said) > 10
    assert capfd.readouterr().err == ""


def test_names_of_columns_are_printable_in_messages_and_matched_as_they_stand(tmp_path):
    frame = pl.DataFrame({"wh\nen": [1577955600], "\x1b[2J": [1.0], "\u202e": [2.0], "c": [1.5]})
    frame.with_columns(h=pl.lit(2.0), l=pl.lit(1.0)).write_parquet(tmp_path / "EURUSD.csv")
    content = (tmp_path / "EURUSD.csv").read_bytes()
    assert refusal(tmp_path, content) == (
        r": no column time, open; found wh\nen, \x1b[2J, \u202e, c, h, l; say which it is with "
        "data.columns.time=... (data.columns.date=... too where the date stands apart)"
    )
    said = {"time": "wh\nen", "open": "\x1b[2J"}
    found = read(tmp_path, content, columns=said).format
    assert (found.columns["time"], found.columns["open"]) == (r"wh\nen", r"\x1b[2J")
    assert found.ignored == (r"\u202e",)
    line = refusal(tmp_path, content, columns=said | {"close": "x\ny"})
    assert line.startswith(r": data.columns.close=x\ny is no one column; found wh\nen, \x1b[2J, ")


def test_a_clock_in_a_header_is_found_beside_strange_signs(tmp_path):
    text = TEXT.replace("time,", "time\u00a0utc,")
    assert read(tmp_path, text).format.time_zone == "UTC (in the header)"


BYTES = st.sampled_from(
    [TEXT.encode(), TEXT.encode("utf-16"), gzip.compress(TEXT.encode(), mtime=0)]
)


@given(content=BYTES, at=st.floats(0, 1), junk=st.binary(max_size=4), gone=st.integers(0, 4))
def test_a_damaged_file_is_read_or_told_in_one_line(tmp_path_factory, content, at, junk, gone):
    cut = int(at * len(content))
    damaged = content[:cut] + junk + content[cut + gone :]
    assert "\n" not in (said_of(tmp_path_factory.mktemp("junk"), damaged) or "")


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"separator": "x"}, "separator must be comma, semicolon, pipe, tab or blank, or null"),
        ({"encoding": "utf-9"}, "encoding must be such as utf-8"),
        ({"encoding": "hex"}, "encoding must be such as utf-8"),
        ({"header": "yes"}, "header must be true, false or null, was 'yes'"),
        ({"time_format": "H"}, "time_format must be such as"),
        ({"time_format": "%d %Q"}, "time_format must be such as"),
        ({"time_zone": "Mars"}, "time_zone must be such as Europe/Helsinki, UTC"),
        ({"time_zone": "+99"}, "time_zone must be within 14 hours"),
        ({"time_zone": "Europe/Berlin+20h"}, "time_zone must be within 14 hours"),
        ({"decimal": ";"}, "decimal must be '.', ',' or null, was ';'"),
        ({"columns": {"shut": 1}}, "columns.shut is not known; known are time, date, open"),
        ({"columns": {"open": 0}}, "columns.open must be a name or a position from 1 on, was 0"),
        ({"columns": {"open": True}}, "columns.open must be a name or a position from 1 on"),
        ({"columns": {"open": 1.5}}, "columns.open must be a name or a position, was 1.5"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_their_key(options, finding):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
        ReadOptions(**options)
    assert str(error.value).startswith(finding)


def test_dates_that_repeat_ask_for_the_time_of_day(tmp_path):
    rows = [f"2020-01-0{day};0{hour}:00;1;1;1;1" for day in (1, 2) for hour in range(5)]
    text = "\n".join(["Datum;Stunde;open;high;low;close", *rows])
    assert refusal(tmp_path, text) == (
        ", column Datum: holds only dates, and most rows repeat one; say where the time of day is "
        "with data.columns.date=Datum data.columns.time=Stunde, or keep a file per symbol"
    )
    said = {"date": "Datum", "time": "Stunde"}
    assert read(tmp_path, text, columns=said).start_T[1] == np.datetime64("2020-01-01T01:00")
