"""XGBoost: rows are put into bins once for all fits on them, and the bins are as many as asked."""

import json
import os
import signal as signals
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from market.samples import Samples
from models import xgb
from models.base import Model
from models.monitor import TrainingMonitor
from tests.models.planted import log_loss, make_model, signal


def fit(rows: Samples, valid: Samples | None = None, **changes: Any) -> Model:
    model = make_model("xgboost", **changes)
    model.fit(rows, valid, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    return model


def saved(model: Model, folder: Path) -> bytes:
    model.save(folder)
    return (folder / xgb.WEIGHTS).read_bytes()


@pytest.fixture
def binnings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many rows were put into bins, one number for each time."""
    import xgboost

    counted: list[int] = []
    binned = xgboost.QuantileDMatrix

    def count(x_MF: Any, *more: Any, **named: Any) -> Any:
        counted.append(len(x_MF))
        return binned(x_MF, *more, **named)

    monkeypatch.setattr(xgboost, "QuantileDMatrix", count)
    monkeypatch.setattr(xgb, "_binned_rows", OrderedDict())
    return counted


def test_fits_on_the_same_rows_share_their_bins_and_differ_in_nothing(
    binnings: list[int], tmp_path: Path
) -> None:
    rows, others = signal(200, seed=1), signal(150, seed=2)
    alone = saved(fit(rows), tmp_path / "alone")
    fit(others)
    fit(rows, max_depth=1)
    # The same rows again, though not the same arrays.
    after = saved(fit(rows.take(np.arange(200))), tmp_path / "after")
    assert binnings == [200, 150, 200]
    assert after == alone


def changed(rows: Samples, part: str) -> Samples:
    parts = {name: getattr(rows, name).copy() for name in ("x_NF", "y_N", "weight_N")}
    parts[part][3] = {"x_NF": parts["x_NF"][3] + 1e-3, "y_N": 1 - rows.y_N[3], "weight_N": 2.0}[
        part
    ]
    return Samples(**parts, t0_N=rows.t0_N, t1_N=rows.t1_N, names_F=rows.names_F)


@pytest.mark.parametrize("part", ["x_NF", "y_N", "weight_N"])
def test_rows_that_differ_in_one_place_are_put_into_bins_anew(
    part: str, binnings: list[int], tmp_path: Path
) -> None:
    rows = signal(200, seed=1)
    other = changed(rows, part)
    fit(rows)
    shared = saved(fit(other), tmp_path / "shared")
    xgb._binned_rows.clear()
    assert binnings == [200, 200]
    assert shared == saved(fit(other), tmp_path / "fresh")


def test_the_members_of_a_council_share_the_bins_of_their_rows(binnings: list[int]) -> None:
    model = make_model("council")
    model.fit(signal(200, seed=1), None, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    assert binnings == [200]


@pytest.mark.parametrize("max_bin", [2, 8])
def test_a_feature_is_cut_only_between_its_bins(max_bin: int, tmp_path: Path) -> None:
    model = fit(signal(400, seed=1), max_bin=max_bin)
    trees = [json.loads(one) for one in model._booster.get_dump(dump_format="json")]
    cuts: dict[str, set[float]] = {}
    while trees:
        node = trees.pop()
        trees += node.get("children", [])
        if "split" in node:
            cuts.setdefault(node["split"], set()).add(node["split_condition"])
    assert {"f2"} <= set(cuts)
    assert max(len(places) for places in cuts.values()) <= max_bin


def test_the_curve_of_held_rows_is_their_log_loss() -> None:
    rows = signal(260, seed=1)
    held = rows.take(slice(200, 260))
    model = make_model("xgboost", early_stopping_rounds=100)
    report = model.fit(
        rows.take(slice(0, 200)), held, rng=np.random.default_rng(0), monitor=TrainingMonitor()
    )
    p_N = model.predict_proba(held.x_NF)[:, 1]
    best = report.n_rounds - 1
    assert report.curves["val_loss"][best] == min(report.curves["val_loss"])
    assert report.curves["val_loss"][best] == pytest.approx(log_loss(held.y_N, p_N), rel=1e-5)
    right = np.mean((p_N > 0.5) == (held.y_N == 1))
    assert report.curves["val_accuracy"][best] == pytest.approx(right)


def test_an_interrupt_while_rows_are_put_into_bins_comes_right_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def interrupted(*_given: object, **_named: object) -> None:
        os.kill(os.getpid(), signals.SIGINT)
        time.sleep(0.2)
        made.append(True)

    monkeypatch.setattr(xgboost, "QuantileDMatrix", interrupted)
    before = signals.signal(signals.SIGINT, signals.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            xgb._binned(np.ones((3, 2)), np.array([0, 1, 1]), np.ones(3), 16)
    finally:
        signals.signal(signals.SIGINT, before)
    assert made == [True]
