"""Whatever a fit is reweighted to, it answers for the true base rate."""

import numpy as np
import pytest

from market.samples import Samples
from models.base import Augment, Model
from models.monitor import TrainingMonitor
from tests.models.planted import balancing, log_loss, make_model, noise, signal

TRUE_RATE = 0.68
# What the fit itself is tilted by: balanced classes, smoothed labels, or nothing.
TILTED = [
    ("random_forest", {}),
    ("random_forest", {"class_weight": None}),
    ("xgboost", {}),
    ("mlp", {"label_smoothing": 0.6, "max_epochs": 20, "patience": 20}),
    ("lstm", {"max_epochs": 15, "patience": 15}),
    ("logistic", {}),
    ("council", {}),
]


def fit_on(model: Model, rows: Samples, augment: Augment | None = None) -> Model:
    n_fit = len(rows) * 4 // 5
    train, valid = rows.take(slice(0, n_fit)), rows.take(slice(n_fit, len(rows)))
    rng = np.random.default_rng(0)
    model.fit(train, valid, rng=rng, monitor=TrainingMonitor(), augment=augment)
    return model


@pytest.mark.parametrize("augment", [None, balancing], ids=["as_is", "resampled_to_half"])
@pytest.mark.parametrize(("file", "changes"), TILTED)
def test_noise_is_answered_with_the_base_rate(
    file: str, changes: dict[str, float], augment: Augment | None
) -> None:
    rows, later = noise(400, seed=21, rate=TRUE_RATE), noise(500, seed=22, rate=TRUE_RATE)
    model = fit_on(make_model(file, **changes), rows, augment)
    answered = model.predict_proba(later.x_NF)[:, 1].mean()
    assert answered == pytest.approx(rows.y_N[:320].mean(), abs=0.05)


def test_a_balanced_forest_on_noise_loses_little_to_the_constant() -> None:
    rows, later = noise(500, seed=31, rate=TRUE_RATE), noise(3000, seed=32, rate=TRUE_RATE)
    forest = fit_on(make_model("random_forest", n_estimators=100), rows)
    p_N = forest.predict_proba(later.x_NF)[:, 1]
    constant = log_loss(later.y_N, np.full(3000, TRUE_RATE))
    assert log_loss(later.y_N, p_N) < constant + 0.015


def test_classes_of_different_weight_count_by_their_weight() -> None:
    rows = noise(400, seed=41, rate=0.5)
    weight_N = np.where(rows.y_N == 1, 0.9, 0.3)
    weighted = Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    rate = float(np.average(rows.y_N[:320], weights=weight_N[:320]))
    assert rate > 0.7
    for file in ("random_forest", "xgboost", "logistic", "council"):
        answered = fit_on(make_model(file), weighted).predict_proba(rows.x_NF)[:, 1].mean()
        assert answered == pytest.approx(rate, abs=0.03), file


def test_resampling_changes_the_level_and_not_the_order_of_the_answers() -> None:
    rows, later = signal(300, seed=51), signal(300, seed=52)
    plain = fit_on(make_model("logistic"), rows).predict_proba(later.x_NF)[:, 1]
    rare = rows.take(np.flatnonzero((rows.y_N == 1) | (np.arange(300) % 4 == 0)))
    tilted = fit_on(make_model("logistic"), rare, balancing).predict_proba(later.x_NF)[:, 1]
    assert tilted.mean() > plain.mean() + 0.1
    assert np.corrcoef(plain, tilted)[0, 1] > 0.9
