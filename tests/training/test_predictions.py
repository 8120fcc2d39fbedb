"""The rows predicted out of fold, as the gate gets them and as a file.

Axes: N rows.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from market.splits import Split
from tests.models.planted import make_model, signal
from tests.training.spies import Nearest, by_fractions, task, train_task, walked
from training.predictions import out_of_fold, write_predictions
from training.task import Trained


def trained_on(split: Split, folder: Path, **more: Any) -> Trained:
    return train_task(task(split, folder, make_model("logistic"), **more))


@pytest.mark.parametrize(("divide", "first", "n_blocks"), [(walked, 80, 6), (by_fractions, 20, 6)])
def test_the_gate_gets_every_predicted_row_with_the_block_it_is_of(
    divide: Any, first: int, n_blocks: int, tmp_path: Path
) -> None:
    split = divide(signal(200, seed=1, label_bars=3))
    trained = trained_on(split, tmp_path)
    rows, development = out_of_fold(split, trained), split.development
    assert len(rows) == 200 - first
    assert np.array_equal(rows.p_N, trained.p_N[first:])
    assert np.array_equal(rows.base_rate_N, trained.base_rate_N[first:])
    assert np.array_equal(rows.y_N, development.y_N[first:])
    assert np.array_equal(rows.t0_N, development.t0_N[first:])
    assert np.array_equal(rows.t1_N, development.t1_N[first:])
    sizes = [fold.block.stop - fold.block.start for fold in split.folds]
    assert np.array_equal(rows.block_N, np.repeat(np.arange(n_blocks), sizes))


def test_a_block_that_could_not_be_predicted_is_left_out(tmp_path: Path) -> None:
    Nearest.fails_at = frozenset({2})
    split = walked(signal(200, seed=1))
    rows = out_of_fold(split, train_task(task(split, tmp_path)))
    assert np.unique(rows.block_N).tolist() == [0, 2, 3, 4, 5]
    assert len(rows) == 100


@pytest.mark.parametrize("calibrates", [False, True])
def test_the_file_holds_the_same_with_times_in_utc(calibrates: bool, tmp_path: Path) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    trained = trained_on(split, tmp_path, calibrates=calibrates)
    path = tmp_path / "new" / "EURUSD.parquet"
    write_predictions(path, split, trained)
    frame, rows = pl.read_parquet(path), out_of_fold(split, trained)
    for column, times_N in (("timestamp", rows.t0_N), ("label_end", rows.t1_N)):
        assert frame.schema[column] == pl.Datetime("us", "UTC")
        assert np.array_equal(frame[column].dt.replace_time_zone(None).to_numpy(), times_N)
    assert str(frame["timestamp"][0]) == "2020-01-04 08:00:00+00:00"
    assert np.array_equal(frame["block"].to_numpy(), rows.block_N + 1)
    expected = {"label": rows.y_N, "p": rows.p_N, "base_rate": rows.base_rate_N}
    if trained.calibrated is not None:
        expected["p_calibrated"] = trained.calibrated.p_N
        assert not np.array_equal(trained.calibrated.p_N, rows.p_N)
    assert {*expected, "timestamp", "label_end", "block"} == set(frame.columns)
    for column, values_N in expected.items():
        assert np.array_equal(frame[column].to_numpy(), values_N)


def test_what_is_said_of_the_file_tells_it_from_another_and_what_is_in_sample(
    tmp_path: Path,
) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    path = tmp_path / "one.parquet"
    said = write_predictions(path, split, trained_on(split, tmp_path))
    content, frame = path.read_bytes(), pl.read_parquet(path)
    digest = hashlib.sha256(content).hexdigest()
    assert (said["file"], said["sha256"], said["bytes"]) == (path.name, digest, len(content))
    assert said["rows"] == len(frame)
    assert said["first_decision"] == frame["timestamp"][0]
    assert said["last_decision"] == frame["timestamp"][-1]
    assert said["development_end"] == frame["label_end"].max()


def test_of_a_tuned_model_the_first_decision_is_the_first_that_may_speak_for_it(
    tmp_path: Path,
) -> None:
    split = walked(signal(200, seed=1, label_bars=3))
    judged_from = split.development.t0_N[140]
    trained = trained_on(split, tmp_path)
    said = write_predictions(tmp_path / "one.parquet", split, trained, judged_from)
    frame = pl.read_parquet(tmp_path / "one.parquet")
    assert said["first_decision"] == frame.filter("judged")["timestamp"][0]
    assert said["first_decision"] > frame["timestamp"][0]
    assert (said["last_decision"], said["rows"]) == (frame["timestamp"][-1], len(frame))
    later = write_predictions(
        tmp_path / "none.parquet", split, trained, np.datetime64("2040-01-01")
    )
    assert later["first_decision"] is later["last_decision"] is None


def test_the_file_of_a_model_with_a_missing_block_keeps_its_calibration_in_step(
    tmp_path: Path,
) -> None:
    Nearest.fails_at = frozenset({2})
    split = walked(signal(200, seed=1))
    trained = train_task(task(split, tmp_path, calibrates=True))
    write_predictions(tmp_path / "one.parquet", split, trained)
    frame = pl.read_parquet(tmp_path / "one.parquet")
    assert frame["block"].unique().sort().to_list() == [1, 3, 4, 5, 6]
    assert frame["p_calibrated"].is_not_null().all()
    # What is not calibrated yet is answered as it was predicted, row by row.
    first = frame.filter(pl.col("block") == 1)
    assert first["p_calibrated"].to_list() == pytest.approx(first["p"].to_list())
