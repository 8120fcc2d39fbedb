"""The council is the mean of what its members say, and hears nobody else.

Axes: N rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from models.base import FitReport, Model
from models.council import Council
from models.monitor import TrainingMonitor
from models.null_models import LogisticRegression
from models.store import load_model
from models.xgb import XGBoost
from tests.models.planted import balancing, make_model, noise, shipped_model, signal

OF_BOOSTING = (
    *("n_estimators", "learning_rate", "subsample", "colsample_bytree"),
    *("min_child_weight", "reg_alpha", "reg_lambda"),
)
NEVER: dict[str, Any] = {"early_stopping_rounds": None, "early_stopping_min_rows": 0}


def fit_on(model: Model, rows: Samples, valid: Samples | None = None, **more: Any) -> FitReport:
    rng = np.random.default_rng(5)
    return model.fit(rows, valid, rng=rng, monitor=TrainingMonitor(), **more)


def log_odds(p: Any) -> Any:
    return np.log(p / (1 - p))


@pytest.mark.parametrize("clip", [0.02, 0.3])
def test_it_answers_the_mean_of_its_members_clipped_log_odds(clip: float) -> None:
    rows, later = signal(300, seed=1), signal(200, seed=2)
    council = make_model("council", clip=clip, c_rows=400.0)
    fit_on(council, rows)
    conf = council.hyperparameters
    boosting = {name: conf[name] for name in OF_BOOSTING}
    members: list[Model] = [LogisticRegression(c_rows=conf["c_rows"])]
    members += [XGBoost(max_depth=depth, **boosting, **NEVER) for depth in conf["depths"]]
    rng = np.random.default_rng(5)
    for member in members:
        member.fit(rows, None, rng=rng, monitor=TrainingMonitor())
    said = [member.predict_proba(later.x_NF)[:, 1] for member in members]
    assert any(((p_N < clip) | (p_N > 1 - clip)).any() for p_N in said)
    mean_N = np.mean([log_odds(np.clip(p_N, clip, 1 - clip)) for p_N in said], axis=0)
    assert log_odds(council.predict_proba(later.x_NF)[:, 1]) == pytest.approx(mean_N, abs=1e-9)


def test_as_shipped_it_is_the_council_that_the_gate_declares() -> None:
    council = shipped_model("council")
    assert isinstance(council, Council)
    conf = council.hyperparameters
    assert (conf["c_rows"], conf["depths"], conf["clip"]) == (4.0, [2, 1], 0.02)
    assert (conf["n_estimators"], conf["learning_rate"]) == (80, 0.05)
    assert list(council.members) == ["logistic", "xgboost_depth_2", "xgboost_depth_1"]
    assert not any(member.stops_early(10**6) for member in council.members.values())
    assert not council.stronger_when


def test_it_ignores_synthetic_rows_and_rows_to_stop_by() -> None:
    rows = noise(160, seed=4, rate=0.7)
    train, valid = rows.take(slice(0, 120)), rows.take(slice(120, 160))
    plain, offered = make_model("council"), make_model("council")
    report = fit_on(plain, train)
    assert fit_on(offered, train, valid, augment=balancing) == report
    assert (report.n_rows, report.n_rows_augmented, report.n_rounds) == (120, 120, 25)
    later = noise(100, seed=5)
    assert np.array_equal(plain.predict_proba(later.x_NF), offered.predict_proba(later.x_NF))


def test_each_member_is_saved_in_a_folder_of_its_own_and_found_there(tmp_path: Path) -> None:
    rows, council = signal(200, seed=1), make_model("council")
    fit_on(council, rows)
    council.save(tmp_path)
    assert isinstance(council, Council)
    for name, member in council.members.items():
        alone = load_model(tmp_path / name)
        raw_N = alone.raw_log_odds(rows.x_NF)
        assert np.array_equal(raw_N, member.raw_log_odds(rows.x_NF))
    loaded = load_model(tmp_path)
    assert np.array_equal(loaded.predict_proba(rows.x_NF), council.predict_proba(rows.x_NF))


def test_a_member_that_uses_no_feature_leaves_importance_to_the_others() -> None:
    rows, council = signal(100, seed=1), make_model("council", min_child_weight=50)
    fit_on(council, rows)
    assert isinstance(council, Council)
    assert set((council.members["xgboost_depth_1"].importance() or {}).values()) == {0.0}
    shares = council.importance()
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=lambda name: shares[name]) == "feature_2"
