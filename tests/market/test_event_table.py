"""Event tables: what is stored is what is read back."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from market.event_table import UNDECIDED, EventTable
from market.table_files import TableFiles
from tests.market.conftest import bar_files

HOUR = np.timedelta64(3_600_000_000, "us")
ARRAYS = ("t0_N", "x_NF", "label_N", "t1_N", "weight_N")


def table(undecided=(1, 4, 5)):
    """Six events with values that are hard to write, some of them undecided."""
    rng = np.random.default_rng(0)
    t0_N = np.datetime64("2024-03-30T23:59:59.999999", "us") + np.array([0, 1, 2, 5, 9, 10]) * HOUR
    x_NF = rng.normal(size=(6, 3)) * 10.0 ** np.array([-12, 0, 12])
    x_NF[0] = [np.nextafter(0.1, 1), -0.0, 5e-324]
    x_NF[5, 1] = np.nan
    label_N, t1_N = np.array([1, 0, 0, 1, 1, 0], dtype=np.int8), t0_N + 7 * HOUR
    label_N[list(undecided)], t1_N[list(undecided)] = UNDECIDED, np.datetime64("NaT")
    names, weight_N = ("rsi", "atr", "OB_Age"), rng.random(6)
    return EventTable("EURUSD", t0_N, x_NF, names, label_N, t1_N, weight_N, timed_out_N=None)


def read_back(events, folder, suffix):
    frame, path = events.to_frame(), folder / f"EURUSD.{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_csv(path)
    return TableFiles(dir=str(folder)).table("EURUSD")


@pytest.mark.parametrize("undecided", [(), (5,), (1, 4, 5), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_comes_back_from_a_file_bit_for_bit(tmp_path, suffix, undecided):
    there = table((*undecided, 5))
    back = read_back(there, tmp_path, suffix)
    assert (back.symbol, back.names_F, len(back)) == ("EURUSD", there.names_F, 6)
    for name in ARRAYS:
        assert getattr(back, name).dtype == getattr(there, name).dtype, name
        assert getattr(back, name).tobytes() == getattr(there, name).tobytes(), name


def test_an_empty_table_comes_back_empty(tmp_path):
    parts = {name: getattr(table(), name)[:0] for name in ARRAYS}
    back = read_back(dataclasses.replace(table(), **parts), tmp_path, "parquet")
    assert len(back) == len(back.samples()) == 0
    assert back.names_F == table().names_F


def test_times_are_stored_in_utc_and_microseconds():
    frame = table().to_frame()
    assert frame.columns == ["timestamp", "rsi", "atr", "OB_Age", "label", "label_end", "weight"]
    assert frame.schema["timestamp"] == frame.schema["label_end"] == pl.Datetime("us", "UTC")
    assert str(frame["timestamp"][0]) == "2024-03-30 23:59:59.999999+00:00"


def test_an_undecided_row_is_stored_without_label_and_label_end():
    frame = table().to_frame()
    for name in ("label", "label_end"):
        assert frame[name].is_null().to_list() == [False, True, False, False, True, True], name
    assert frame["label"].drop_nulls().to_list() == [1, 0, 1]
    assert frame.drop("label", "label_end").null_count().row(0) == (0, 0, 0, 0, 0)


def test_samples_are_the_decided_rows_and_no_others():
    events, decided = table(), [0, 2, 3]
    rows = events.samples()
    assert rows.y_N.tolist() == [1, 0, 1]
    assert rows.y_N.dtype == np.int64
    for name in ("t0_N", "x_NF", "t1_N", "weight_N"):
        assert getattr(rows, name).tobytes() == getattr(events, name)[decided].tobytes(), name
    assert rows.names_F == events.names_F


def test_a_stored_table_is_not_taken_for_bars(tmp_path):
    read_back(table(), tmp_path, "csv")
    with pytest.raises(ValueError, match=r"EURUSD.csv: no column open, high, low, close; found"):
        bar_files(tmp_path).bars("EURUSD")
