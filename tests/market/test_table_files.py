"""Tables made elsewhere: what is accepted, and the one line that says what is wrong."""

import gzip
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from market.bars import DataError
from market.reading.parquet_file import parquet_frame
from market.reading.text_encoding import unpacked
from market.table_files import TableFiles

TEXT = """timestamp,rsi,atr,label,label_end,weight
2024-01-01 00:00:00,50.5,1,1,2024-01-01 05:00:00,1
2024-01-01 01:00:00,49,2,0,2024-01-01 02:00:00,0.5
2024-01-01 02:00:00,48,3,,,
"""
SECOND = "2024-01-01 01:00:00,49,2,0,2024-01-01 02:00:00,0.5"


def read(folder, text):
    (folder / "EURUSD.csv").write_text(text)
    return TableFiles(dir=str(folder)).table("EURUSD")


def read_parquet(folder, **columns):
    """Three rows; the columns given take the place of the usual ones."""
    hours = [datetime(2024, 1, 1, hour) for hour in range(3)]
    frame = pl.DataFrame({"timestamp": hours, "rsi": [1.0, 2.0, 3.0], "label": [0, 1, None]})
    frame.with_columns(**columns).write_parquet(folder / "EURUSD.parquet")
    return TableFiles(dir=str(folder)).table("EURUSD")


def test_a_csv_table_is_read_as_it_stands(tmp_path):
    table = read(tmp_path, TEXT)
    assert table.names_F == ("rsi", "atr")
    assert table.x_NF.tolist() == [[50.5, 1], [49, 2], [48, 3]]
    assert table.label_N.tolist() == [1, 0, -1]
    hours = ["2024-01-01T05", "2024-01-01T02", "NaT"]
    np.testing.assert_array_equal(table.t1_N, np.array(hours, dtype="datetime64[us]"))
    assert table.weight_N[:2].tolist() == [1, 0.5]
    assert len(table.samples()) == 2


def test_without_label_end_and_weight_the_decision_time_and_one_stand_in(tmp_path):
    table = read_parquet(tmp_path)
    assert (table.t1_N[:2] == table.t0_N[:2]).all()
    assert np.isnat(table.t1_N[2])
    assert table.weight_N.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (",0,2024", ",2,2024", "row 2, column label: 2, expected 0, 1 or empty"),
        (",0,2024", ",-1,2024", "row 2, column label: -1, expected 0, 1 or empty"),
        (",0,2024", ",0.5,2024", "row 2, column label: 0.5, expected 0, 1 or empty"),
        (",0,2024", ",win,2024", "row 2, column label: 'win', expected 0, 1 or empty"),
        (",49,", ",high,", "row 2, column rsi: 'high', expected a number"),
        (",48,", ",high,", "row 3, column rsi: 'high', expected a number"),
        (",49,", ",NaN,", "row 2, column rsi: nan, expected a finite number; fill it, or leave"),
        (",49,", ",inf,", "row 2, column rsi: inf, expected a finite number; fill it, or leave"),
        (",49,", ",,", "row 2, column rsi: empty, expected a finite number; fill it, or leave"),
        ("01 02:00:00,0.5", "01 00:30:00,0.5", "row 2, column label_end: 2024-01-01 00:30:00, exp"),
        ("2024-01-01 02:00:00,0.5", ",0.5", "row 2, column label_end: empty, expected a time from"),
        ("2024-01-01 02:00:00,0.5", "soon,0.5", "row 2, column label_end: 'soon' is not a time"),
        (",0.5\n", ",0\n", "row 2, column weight: 0, expected a number above 0"),
        (",0.5\n", ",-1\n", "row 2, column weight: -1, expected a number above 0"),
        (",0.5\n", ",\n", "row 2, column weight: empty, expected a number above 0"),
        (",0.5\n", ",inf\n", "row 2, column weight: inf, expected a number above 0"),
        (",0.5\n", ",much\n", "row 2, column weight: 'much', expected a number above 0"),
        ("2024-01-01 01:00:00,49", ",49", "row 2, column timestamp: is empty"),
        ("01 01:00:00,49", "01 00:00:00,49", "row 2, column timestamp: 2024-01-01T00:00:00.000000"),
        ("01 02:00:00,48", "01 00:30:00,48", "row 3, column timestamp: 2024-01-01T00:30:00.000000"),
        ("2024-01-01 01:00:00,49", "noon,49", "row 2, column timestamp: 'noon' is not a time such"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named_in_one_line(tmp_path, old, new, finding):
    assert old in TEXT
    with pytest.raises(DataError) as refusal:
        read(tmp_path, TEXT.replace(old, new))
    assert str(refusal.value).startswith(f"EURUSD.csv, {finding}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("header", "finding"),
    [
        ("timestamp,rsi,atr,target,label_end,weight", "no column label; found timestamp, rsi, atr"),
        ("time,rsi,atr,label,label_end,weight", "no column timestamp; found time, rsi, atr, label"),
        ("timestamp,rsi,rsi,label,label_end,weight", "column rsi is there twice; keep one"),
        ("timestamp,label,atr,label,label_end,weight", "column label is there twice; keep one"),
        ("timestamp,,atr,label,label_end,weight", "column 2 has no name; name it, or drop it"),
    ],
)
def test_a_header_that_cannot_be_used_is_told_in_one_line(tmp_path, header, finding):
    with pytest.raises(DataError) as refusal:
        read(tmp_path, TEXT.replace("timestamp,rsi,atr,label,label_end,weight", header))
    assert str(refusal.value).startswith(f"EURUSD.csv: {finding}")
    assert "\n" not in str(refusal.value)


def test_a_table_needs_a_feature(tmp_path):
    with pytest.raises(DataError, match=r"^EURUSD.csv: no feature beside timestamp, label; add"):
        read(tmp_path, "timestamp,label\n2024-01-01,1\n")


def test_bars_are_told_how_they_are_read(tmp_path):
    with pytest.raises(DataError, match=r"no column label; .*\(a file of bars is read with data="):
        read(tmp_path, "timestamp,open,high,low,close\n2024-01-01,1,1,1,1\n")


@pytest.mark.parametrize("value", ["NaN", "inf", ""])
def test_an_undecided_row_may_lack_features(tmp_path, value):
    table = read(tmp_path, TEXT.replace(",48,", f",{value},"))
    assert not np.isfinite(table.x_NF[2, 0])
    assert len(table.samples()) == 2


def test_an_undecided_row_has_no_label_end_whatever_the_file_says(tmp_path):
    table = read(tmp_path, TEXT.replace("3,,,", "3,,2024-01-01 09:00:00,1"))
    assert np.isnat(table.t1_N).tolist() == [False, False, True]


def test_booleans_and_whole_numbers_are_numbers(tmp_path):
    flags, counts = pl.Series([True, False, True]), pl.Series([7, 8, 9], dtype=pl.Int16)
    table = read_parquet(tmp_path, flag=flags, n=counts, label=pl.Series([True, False, None]))
    assert table.x_NF[:, 1:].tolist() == [[1, 7], [0, 8], [1, 9]]
    assert table.label_N.tolist() == [1, 0, -1]


def test_booleans_written_as_text_are_labels(tmp_path):
    text = "timestamp,a,label\n2024-01-01,1,true\n2024-01-02,2,false\n2024-01-03,3,\n"
    assert read(tmp_path, text).label_N.tolist() == [1, 0, -1]


@pytest.mark.parametrize("dtype", [pl.Null, pl.Int8, pl.Float64, pl.String])
def test_labels_may_all_be_empty(tmp_path, dtype):
    nothing = pl.Series([None] * 3, dtype=dtype)
    table = read_parquet(tmp_path, label=nothing, label_end=nothing.cast(pl.Null))
    assert table.label_N.tolist() == [-1, -1, -1]
    assert np.isnat(table.t1_N).all()
    assert len(table.samples()) == 0


def test_numbers_written_as_text_are_numbers(tmp_path):
    row = '2024-01-01 01:00:00,"49", 2 ,"0",2024-01-01 02:00:00,"0.5"'
    table = read(tmp_path, TEXT.replace(SECOND, row))
    assert table.x_NF.tolist() == [[50.5, 1], [49, 2], [48, 3]]
    texts, other = pl.Series(["1", " 2.5", "-3e2"]), tmp_path / "other"
    other.mkdir()
    assert read_parquet(other, rsi=texts).x_NF[:, 0].tolist() == [1, 2.5, -300]


def test_what_is_no_number_at_all_names_its_type(tmp_path):
    with pytest.raises(DataError, match=r"^EURUSD.parquet, column rsi: holds List\(Int64\), exp"):
        read_parquet(tmp_path, rsi=pl.Series([[1], [2], [3]]))


def test_times_of_another_zone_are_converted(tmp_path):
    hours = [datetime(2024, 1, 1, hour) for hour in range(3)]
    tokyo = pl.Series(hours).dt.replace_time_zone("Asia/Tokyo")
    table = read_parquet(tmp_path, timestamp=tokyo, label_end=tokyo)
    assert str(table.t0_N[0]) == "2023-12-31T15:00:00.000000"
    assert (table.t1_N[:2] == table.t0_N[:2]).all()


def test_a_label_end_is_compared_in_utc(tmp_path):
    late = TEXT.replace("2024-01-01 02:00:00,0.5", "2024-01-01 02:00:00+05:00,0.5")
    late = late.replace("2024-01-01 05:00:00", "2024-01-01 05:00:00+00:00")
    with pytest.raises(DataError, match=r"row 2, column label_end: .*expected a time from"):
        read(tmp_path, late)


@pytest.mark.parametrize(
    ("unit", "count", "finding"),
    [
        ("ms", 2**62, "4611686018427387904 milliseconds"),
        ("us", -(2**62), "-4611686018427387904 microseconds"),
        (None, -(2**31), "-2147483648 days"),
    ],
)
def test_a_time_too_far_to_convert_is_told(tmp_path, capfd, unit, count, finding):
    days, kind = pl.Series([19_000, 19_001, count]), pl.Datetime(unit) if unit else pl.Date
    times = days.cast(pl.Int64 if unit else pl.Int32).cast(kind)
    for name in ("timestamp", "label_end"):
        with pytest.raises(DataError) as error:
            read_parquet(tmp_path, **{name: times})
        assert str(error.value).endswith(f"{finding} since 1970 is outside the years 1900 to 2199")
        assert str(error.value).startswith("EURUSD.parquet, row 3, column ")
    assert capfd.readouterr().err == ""


def test_a_panic_of_the_reader_is_one_line_and_leaves_standard_error_alone(tmp_path, capfd):
    read_parquet(tmp_path)
    path, said = tmp_path / "EURUSD.parquet", []
    whole = path.read_bytes()
    for cut in range(4, 500, 7):
        path.write_bytes(whole[:cut] + whole[cut + 5 :])
        try:
            TableFiles(dir=str(tmp_path)).table("EURUSD")
        except DataError as error:
            said.append(str(error))
    assert len(said) > 10
    assert not any("\n" in line for line in said)
    assert capfd.readouterr().err == ""


def test_names_of_columns_are_printable_in_messages(tmp_path):
    with pytest.raises(
        DataError,
        match=r"^EURUSD\.parquet: column 4, a\\nb, has signs nobody sees in its name; ren",
    ):
        read_parquet(tmp_path, **{"a\nb": pl.Series([np.nan, 1.0, 1.0])})
    with pytest.raises(
        DataError, match=r"^EURUSD\.parquet: column 4, \\x1b, has signs nobody sees in its name; "
    ):
        read_parquet(tmp_path, **{"\x1b": pl.Series(["x", "1", "2"])})


def test_a_cell_with_a_line_break_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"row 1, column label: 7\\n, expected 0, 1 or empty$"):
        read_parquet(tmp_path, label=pl.Series(["7\n", "1", "0"]))


def test_the_digest_is_that_of_the_bytes_that_were_read(tmp_path):
    read(tmp_path, TEXT)
    files = TableFiles(dir=str(tmp_path))
    before = files.digest("EURUSD")
    files.table("EURUSD")
    (tmp_path / "EURUSD.csv").write_text(TEXT.replace("50.5", "50.6"))
    assert files.digest("EURUSD") == before


def test_the_digest_is_that_of_the_file(tmp_path):
    read(tmp_path, TEXT)
    files = TableFiles(dir=str(tmp_path))
    assert files.symbols == ["EURUSD"]
    before = files.digest("EURUSD")
    (tmp_path / "EURUSD.csv").write_text(TEXT.replace("50.5", "50.6"))
    assert len(before) == 64
    assert files.digest("EURUSD") != before


def test_columns_that_are_nearly_always_0_are_read_though_they_pack_to_a_hundredth(tmp_path):
    rng = np.random.default_rng(1)
    flag = pl.Series(rng.random(1_000_000) < 0.005).cast(pl.Int8)
    frame = pl.DataFrame([flag.alias(f"flag_{n}") for n in range(40)])
    path = tmp_path / "EURUSD.parquet"
    frame.write_parquet(path)
    assert frame.height * frame.width * 8 > 100 * path.stat().st_size
    assert parquet_frame(path.read_bytes(), path.name).shape == frame.shape


def test_text_that_is_nearly_always_0_is_unpacked():
    text = b"2024-01-01 00:00," + b",".join([b"0"] * 200) + b"\n"
    content = text * (70 * 2**20 // len(text))
    packed = gzip.compress(content, 1)
    assert 100 < len(content) / len(packed) < 500
    assert unpacked(packed, "EURUSD.csv.gz") == (content, "gzip")


def test_times_of_another_clock_are_told_how_they_were_read(tmp_path):
    (tmp_path / "EURUSD.csv").write_text(TEXT)
    tables = TableFiles(dir=str(tmp_path), clock=lambda: datetime(2024, 1, 1, 1, 30, tzinfo=UTC))
    with pytest.raises(
        DataError, match=r"02:00.* UTC is in the future, .* without an offset are r"
    ):
        tables.table("EURUSD")
