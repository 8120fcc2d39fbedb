"""Price files: how they may be spelled, and the one line that says what is wrong."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from market.bar_files import BarFiles
from market.bars import DataError

TEXT = """timestamp,open,high,low,close,volume
2024-01-01 00:00:00,1,2,0.5,1.5,10
2024-01-01 01:00:00,1.5,3,1,2,20
2024-01-01 02:00:00,2,2.5,1.75,2.25,30
"""
HOURS = np.datetime64("2024-01-01", "us") + np.arange(3) * np.timedelta64(1, "h")


def read(folder, text):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "EURUSD.csv").write_bytes(content)
    return BarFiles(dir=str(folder)).bars("EURUSD")


def read_parquet(folder, **columns):
    """Three bars; the columns given take the place of the usual ones."""
    frame = pl.read_csv(TEXT.encode()).with_columns(timestamp=pl.Series(HOURS))
    frame = frame.with_columns(**columns)
    frame.write_parquet(folder / "EURUSD.parquet")
    return BarFiles(dir=str(folder)).bars("EURUSD")


def refusal(folder, text):
    with pytest.raises(DataError) as error:
        read(folder, text)
    assert "\n" not in str(error.value)
    return str(error.value)


def times(*texts):
    """The three bars with other times, from the first on."""
    lines = TEXT.splitlines()
    for row, text in enumerate(texts, start=1):
        lines[row] = text + lines[row][19:]
    return "\n".join(lines)


def test_a_csv_file_is_read_as_it_stands(tmp_path):
    bars = read(tmp_path, TEXT)
    assert (bars.symbol, len(bars), bars.length) == ("EURUSD", 3, np.timedelta64(1, "h"))
    assert (bars.start_T == HOURS).all()
    assert bars.start_T.dtype == np.dtype("datetime64[us]")
    assert bars.open_T.tolist() == [1, 1.5, 2]
    assert bars.high_T.tolist() == [2, 3, 2.5]
    assert bars.low_T.tolist() == [0.5, 1, 1.75]
    assert bars.close_T.tolist() == [1.5, 2, 2.25]
    assert bars.volume_T.tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "header",
    [
        "Timestamp,Open,HIGH,low,Close,VOLUME",
        "time, open, high, low, close, volume",
        "DATE,OPEN,HIGH,LOW,CLOSE,Volume",
        '"Datetime","open","high","low","close","volume"',
        "\ufefftimestamp,open,high,low,close,volume",
    ],
)
def test_a_header_may_be_spelled_in_any_case(tmp_path, header):
    text = TEXT.replace("timestamp,open,high,low,close,volume", header)
    bars = read(tmp_path, text)
    assert (bars.start_T == HOURS).all()
    assert bars.volume_T.tolist() == [10, 20, 30]


def test_columns_may_stand_in_any_order_beside_others(tmp_path):
    frame = pl.read_csv(TEXT.encode())
    order = ["close", "note", "low", "volume", "high", "timestamp", "open"]
    bars = read(tmp_path, frame.with_columns(note=pl.lit("x")).select(order).write_csv())
    assert bars.close_T.tolist() == [1.5, 2, 2.25]
    assert (bars.start_T == HOURS).all()


def test_volume_is_zero_where_there_is_none(tmp_path):
    no_column = "\n".join(line.rpartition(",")[0] for line in TEXT.splitlines())
    assert read(tmp_path, no_column).volume_T.tolist() == [0, 0, 0]
    no_value = no_column.replace("close", "close,volume").replace("5\n", "5,\n")
    assert read(tmp_path, no_value).volume_T.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (("2024-01-01T00:00:00", "2024-01-01T01:00:00", "2024-01-01T02:00:00"), "2024-01-01T00:00"),
        (("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"), "2024-01-01T00:00"),
        (("2024-01-01T02:00:00+02:00", "2024-01-01T03:00:00+02:00", "2024-01-01T04:00:00+02:00"),
         "2024-01-01T00:00"),
        (("2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00", "2024-03-31T04:00:00+02:00"),
         "2024-03-31T00:00"),
        (("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"), "2024-01-01"),
        (("2024-01-01 00:00:00.250", "2024-01-01 01:00:00.250", "2024-01-01 02:00:00.250"),
         "2024-01-01T00:00:00.250"),
        (("2024.01.01 00:00", "2024.01.01 01:00", "2024.01.01 02:00"), "2024-01-01"),
        (("2024/01/01 00:00", "2024/01/01 01:00", "2024/01/01 02:00"), "2024-01-01"),
        (("02.01.2024 00:00:00.000", "02.01.2024 01:00:00.000", "02.01.2024 02:00:00.000"),
         "2024-01-02"),
        (("1704067200", "1704070800", "1704074400"), "2024-01-01"),
        (("1704067200000", "1704070800000", "1704074400000"), "2024-01-01"),
        (("1704067200000000", "1704070800000000", "1704074400000000"), "2024-01-01"),
        (("1704067200000000000", "1704070800000000000", "1704074400000000000"), "2024-01-01"),
    ],
)  # fmt: skip
def test_times_may_be_spelled_in_many_ways(tmp_path, texts, first):
    bars = read(tmp_path, times(*texts))
    assert (bars.start_T == np.datetime64(first, "us") + np.arange(3) * bars.length).all()
    assert bars.length == np.timedelta64(1, "h")


def test_dates_alone_are_daily_bars(tmp_path):
    bars = read(tmp_path, times("2024-01-01", "2024-01-02", "2024-01-03"))
    assert bars.length == np.timedelta64(1, "D")
    assert bars.start_T[2] == np.datetime64("2024-01-03")


def test_the_bar_length_is_the_commonest_step_not_the_shortest_or_the_mean(tmp_path):
    hours = np.array([0, 1, 2, 3, 3.5, 10, 17.5, 28, 40])
    lines = [f"{HOURS[0] + np.timedelta64(int(h * 60), 'm')},1,2,0.5,1.5" for h in hours]
    bars = read(tmp_path, "\n".join(["timestamp,open,high,low,close", *lines]))
    assert bars.length == np.timedelta64(1, "h")


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York", "Asia/Kolkata"])
def test_parquet_times_are_utc_where_they_name_no_zone_and_else_converted(tmp_path, zone, unit):
    utc = pl.Series(HOURS.astype("datetime64[us]")).dt.replace_time_zone("UTC")
    there = utc.dt.replace_time_zone(None) if zone is None else utc.dt.convert_time_zone(zone)
    bars = read_parquet(tmp_path, timestamp=there.dt.cast_time_unit(unit))
    assert (bars.start_T == HOURS).all()
    assert bars.start_T.dtype == np.dtype("datetime64[us]")


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Int32, pl.Decimal(10, 3), pl.String])
def test_parquet_prices_may_be_any_kind_of_number(tmp_path, dtype):
    bars = read_parquet(tmp_path, high=pl.Series([2, 3, 4]).cast(dtype))
    assert bars.high_T.tolist() == [2, 3, 4]
    assert bars.high_T.dtype == np.float64


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "01:00:00,",
            "00:00:00,",
            ", row 2, column timestamp: 2024-01-01T00:00:00.000000 is not a",
        ),
        (
            "02:00:00,",
            "00:30:00,",
            ", row 3, column timestamp: 2024-01-01T00:30:00.000000 is not a",
        ),
        ("2024-01-01 01:00:00,", ",", ", row 2, column timestamp: is empty"),
        ("2024-01-01 01:00:00", "noon", ", row 2, column timestamp: 'noon' is not a time such as"),
        ("2024-01-01 01", "2024-02-30 01", ", row 2, column timestamp: '2024-02-30 01:00:00' is n"),
        ("2024-01-01", "01/02/2024", ", row 1, column timestamp: '01/02/2024 00:00:00' is not a"),
        ("2024-01-01", "01-02-2024", ", row 1, column timestamp: '01-02-2024 00:00:00' is not a"),
        (" 01:00:00", "T01:00:00Z", ", row 2, column timestamp: '2024-01-01T01:00:00Z' is not a"),
        ("1.5,3,1,2,20", "oops,3,1,2,20", ", row 2, column open: 'oops', expected a price above 0"),
        ("1.5,3,1,2,20", "1,'3',1,2,20", ", row 2, column high: \"'3'\", expected a price above 0"),
        ("1.5,3,1,2,20", "1,3,,2,20", ", row 2, column low: nan, expected a price above 0"),
        ("1.5,3,1,2,20", "1,3,1,NaN,20", ", row 2, column close: nan, expected a price above 0"),
        ("1.5,3,1,2,20", "1,inf,1,2,20", ", row 2, column high: inf, expected a price above 0"),
        ("1.5,3,1,2,20", "1,3,0,2,20", ", row 2, column low: 0.0, expected a price above 0"),
        ("1.5,3,1,2,20", "-1,3,1,2,20", ", row 2, column open: -1.0, expected a price above 0"),
        ("1.5,3,1,2,20", "1,1,3,2,20", ", row 2: open 1.0 or close 2.0 lies outside low 3.0 to hi"),
        ("1.5,3,1,2,20", "4,3,1,2,20", ", row 2: open 4.0 or close 2.0 lies outside low 1.0 to hi"),
        ("1.5,3,1,2,20", "2,3,1,.9,20", ", row 2: open 2.0 or close 0.9 lies outside low 1.0 to h"),
        ("1.5,3,1,2,20", "1,3,1,2,-1", ", row 2, column volume: -1.0, expected a volume of 0 or"),
        ("1.5,3,1,2,20", "1,3,1,2,", ", row 2, column volume: nan, expected a volume of 0 or more"),
        ("1.5,3,1,2,20", "1,3,1,2,x", ", row 2, column volume: 'x', expected a volume of 0 or mor"),
        ("1.5,3,1,2,20", "1,3", ", row 2, column volume: nan, expected a volume of 0 or more"),
        ("1.5,3,1,2,20", "1,3,1,2,20,7,8", ": cannot be read: found more fields than defined in"),
        ("close,", "last,", ": no column close; found timestamp, open, high, low, last, volume"),
        (
            "timestamp,",
            "when,",
            ": no column timestamp; found when, open, high, low, close, volume",
        ),
        (",", ";", ": no column timestamp, open, high, low, close; found timestamp;open;high;"),
        ("volume", "open", ": column open is there twice; keep one"),
        ("volume", "Open ", ": column open is there twice; keep one"),
        ("volume", "volum\xe9", ": cannot be read: invalid utf-8 sequence"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(tmp_path, old, new, finding):
    assert old in TEXT
    content = TEXT.replace(old, new).encode("latin-1")
    assert refusal(tmp_path, content).startswith(f"EURUSD.csv{finding}")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "cannot be read: empty CSV"),
        (b"\n\n", "cannot be read: empty CSV"),
        (TEXT.encode("utf-16"), "cannot be read: invalid utf-8 sequence"),
        (TEXT.replace("2.25,30", "2.25,3\xe9").encode("latin-1"), "cannot be read: invalid utf-8"),
        (TEXT.splitlines()[0], "0 bars, at least 2 are needed"),
        ("\n".join(TEXT.splitlines()[:2]), "1 bars, at least 2 are needed"),
    ],
)
def test_a_file_without_bars_is_told_in_one_line(tmp_path, content, finding):
    assert refusal(tmp_path, content).startswith(f"EURUSD.csv: {finding}")


def test_whole_numbers_that_are_no_moment_are_refused(tmp_path):
    said = refusal(tmp_path, times("20240101", "20240102", "20240103"))
    assert said == (
        "EURUSD.csv, column timestamp: holds 20240101 to 20240103, expected times such as "
        "2024-01-31 13:00:00, or seconds since 1970"
    )


def test_a_bar_that_has_not_begun_is_refused_and_one_that_has_not_ended_left_out(tmp_path):
    now = datetime.now(UTC).replace(tzinfo=None)
    texts = [f"{now + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}" for hours in (-2.5, -1.5, 9)]
    assert refusal(tmp_path, times(*texts)).startswith("EURUSD.csv, row 3, column timestamp: 20")
    assert refusal(tmp_path, times(*texts)).endswith(" is in the future")
    texts[2] = f"{now - timedelta(hours=0.5):%Y-%m-%d %H:%M:%S}"
    assert len(read(tmp_path, times(*texts))) == 2


@pytest.mark.parametrize(
    ("columns", "finding"),
    [
        (
            {"timestamp": pl.Series([1.5, 2.5, 3.5])},
            "column timestamp: holds Float64, expected tim",
        ),
        ({"timestamp": pl.Series([None] * 3)}, "row 1, column timestamp: is empty"),
        ({"close": pl.Series([None] * 3)}, "row 1, column close: nan, expected a price above 0"),
        (
            {"close": pl.Series([[1], [2], [3]])},
            "column close: holds List(Int64), expected a price",
        ),
        ({"close": pl.Series([True] * 3)}, "column close: holds Boolean, expected a price above 0"),
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_told_in_one_line(tmp_path, columns, finding):
    with pytest.raises(DataError) as error:
        read_parquet(tmp_path, **columns)
    assert str(error.value).startswith(f"EURUSD.parquet, {finding}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_parquet_file_that_ends_too_soon_is_told_in_one_line(tmp_path, share):
    read_parquet(tmp_path)
    path = tmp_path / "EURUSD.parquet"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"^EURUSD\.parquet: cannot be read: [^\n]+$"):
        BarFiles(dir=str(tmp_path)).bars("EURUSD")


@pytest.mark.parametrize("name", ["EURUSD.csv", "EURUSD.parquet"])
def test_a_folder_named_like_a_file_is_refused_whatever_it_holds(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "part.csv").write_text(TEXT)
    with pytest.raises(DataError, match=f"^{name}: is a folder, expected a file$"):
        BarFiles(dir=str(tmp_path)).bars("EURUSD")


def test_a_folder_may_have_any_name(tmp_path):
    for read_it, name in ((read_parquet, "bars [fx] *"), (lambda at: read(at, TEXT), "[ab]?")):
        (tmp_path / name).mkdir()
        assert len(read_it(tmp_path / name)) == 3


def test_symbols_are_the_names_of_the_data_files_and_nothing_else(tmp_path):
    for name in (
        "EURUSD.csv",
        "XAUUSD.PARQUET",
        "EURUSD.txt",
        ".hidden.csv",
        "notes.md",
        "a b.csv",
    ):
        (tmp_path / name).write_text(TEXT)
    files = BarFiles(dir=str(tmp_path))
    assert files.symbols == ["EURUSD", "XAUUSD", "a b"]
    assert len(files.bars("EURUSD")) == 3
    with pytest.raises(DataError, match=r"^a b\.csv: 'a b' cannot be a symbol; rename the file"):
        files.bars("a b")


def test_a_failing_symbol_leaves_the_others_alone(tmp_path):
    (tmp_path / "BROKEN.csv").write_bytes(b"")
    assert len(read(tmp_path, TEXT)) == 3


def test_two_files_for_one_symbol_are_refused(tmp_path):
    read(tmp_path, TEXT)
    with pytest.raises(DataError, match=r"EURUSD\.csv and EURUSD\.parquet are both EURUSD; keep"):
        read_parquet(tmp_path)


def test_a_folder_that_is_missing_or_holds_no_data_is_named(tmp_path):
    with pytest.raises(DataError, match=r"/nowhere: no such folder$"):
        BarFiles(dir=str(tmp_path / "nowhere"))
    (tmp_path / "README.txt").write_text("empty")
    with pytest.raises(DataError, match=r": no \.parquet or \.csv file named after a symbol$"):
        BarFiles(dir=str(tmp_path))
    with pytest.raises(DataError, match=r"README\.txt: no such folder$"):
        BarFiles(dir=str(tmp_path / "README.txt"))


def test_the_digest_is_that_of_the_file(tmp_path):
    read(tmp_path, TEXT)
    files = BarFiles(dir=str(tmp_path))
    before = files.digest("EURUSD")
    assert before == files.digest("EURUSD")
    read(tmp_path, TEXT.replace("30", "31"))
    assert files.digest("EURUSD") != before
