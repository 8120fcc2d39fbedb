"""The file of out-of-fold predictions, read back."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from backtest.predictions import predicted
from selection import DeploymentError

TIMES = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(4)]


def content(**columns):
    given = {"timestamp": TIMES, "p": [0.1, 0.2, 0.3, 0.4], **columns}
    kinds = {"timestamp": pl.Datetime("us", "UTC")}
    buffer = io.BytesIO()
    pl.DataFrame(given, schema_overrides=kinds).write_parquet(buffer)
    return buffer.getvalue()


def asked(rows):
    times_N = np.array([one.replace(tzinfo=None) for one in TIMES], "datetime64[us]")
    return rows.at(times_N).tolist()


def test_the_calibrated_probability_goes_before_the_raw_one():
    assert asked(predicted("it", content())) == [0.1, 0.2, 0.3, 0.4]
    assert asked(predicted("it", content(p_calibrated=[0.5, 0.6, 0.7, 0.8]))) == [
        0.5,
        0.6,
        0.7,
        0.8,
    ]


def test_of_a_tuned_model_only_rows_that_may_speak_for_it_have_a_probability():
    judged = content(judged=[False, True, True, True], p_calibrated=[None, None, 0.7, 0.8])
    assert asked(predicted("it", judged)) == pytest.approx([np.nan, np.nan, 0.7, 0.8], nan_ok=True)
    assert np.isnan(asked(predicted("it", content(judged=[False] * 4)))).all()


def test_a_time_that_was_not_predicted_has_no_probability():
    rows = predicted("it", content())
    other_N = np.array([TIMES[0].replace(tzinfo=None)], "datetime64[us]") + np.arange(-1, 2) * 60
    assert rows.at(other_N).tolist() == pytest.approx([np.nan, 0.1, np.nan], nan_ok=True)
    empty = predicted("it", content(timestamp=TIMES[:0], p=pl.Series([], dtype=pl.Float64)))
    assert np.isnan(empty.at(other_N)).all()


@pytest.mark.parametrize(
    ("spoilt", "finding"),
    [
        (b"PAR1 no more", "it cannot be read as Parquet: "),
        (content(p=["a"] * 4), "it has no column p of type Float64"),
        (content(timestamp=TIMES[::-1]), "it: its decision times do not increase"),
        (content(timestamp=[None, *TIMES[1:]]), "it: its decision times do not increase"),
        (content(p=[0.1, 0.2, 0.3, 1.4]), "it: a probability lies outside 0 to 1"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(spoilt, finding):
    with pytest.raises(DeploymentError, match=finding) as refused:
        predicted("it", spoilt)
    assert "\n" not in str(refused.value)
