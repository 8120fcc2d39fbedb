"""The numbers of a training result, on a case small enough to count by hand."""

import hashlib
import json
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.samples import Samples, mean_uniqueness
from market.splits import Fold, Split
from models.base import FitReport
from selection.json_safe import to_json_safe
from selection.metrics import classification_metrics
from tests.models.planted import make_model, noise, samples
from tests.training.spies import by_fractions, task, train_task, walked
from training.result import Payoff, TrainingResult, training_result, window
from training.task import Cpu, FoldOutcome, Trained

Y_N = np.array([0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1])
# Hits per block of two rows: 1, 2, 0, 2.
P_N = np.array([math.nan] * 4 + [0.9, 0.1, 0.2, 0.3, 0.4, 0.7, 0.5, 0.8])
PAYOFF = Payoff(profit_atr=3.0, stop_atr=2.0, cost_atr=0.2, threshold=0.5)


def outcome(train_accuracy: float, p_N: Any, base_rate: float, error: str | None) -> FoldOutcome:
    return FoldOutcome(3, 1, base_rate, train_accuracy, np.asarray(p_N), error)


def case(first_fails: bool = False) -> tuple[Split, Trained]:
    development = samples(np.arange(24.0).reshape(12, 2), Y_N)
    blocks = [slice(4, 6), slice(6, 8), slice(8, 10), slice(10, 12)]
    folds = tuple(Fold(np.arange(block.start - 1), block, 1) for block in blocks)
    split = Split(development, folds, 4, blocks[2], blocks[3], refits=True)
    p_N, rate_N = P_N.copy(), np.repeat([math.nan, math.nan, 0.25, 0.5, 0.6, 0.75], 2)
    errors: list[str | None] = [None] * 4
    if first_fails:
        errors[0], p_N[4:6], rate_N[4:6] = "one class", math.nan, math.nan
    accuracies = [math.nan if error else 0.7 + 0.05 * k for k, error in enumerate(errors)]
    outcomes = tuple(
        outcome(accuracies[k], p_N[block], 0.5, errors[k]) for k, block in enumerate(blocks)
    )
    return split, Trained(
        p_N=p_N,
        base_rate_N=rate_N,
        folds=outcomes,
        final=FitReport(11, 22, 5, {"val_loss": [0.7, 0.6]}),
        importance={"feature_0": 0.5, "feature_1": 0.5},
        warnings=("fold 1: slow",),
        augmentation_failures=("fold 1: no augmentation",),
        duration_s=3.5,
        cpu=Cpu(fit=1.0, walk_forward=2.0, augmentation=0.5),
    )


def result_of(split: Split, trained: Trained, **changes: Any) -> TrainingResult:
    given: dict[str, Any] = {
        "payoff": PAYOFF,
        "null_model": False,
        "conf_digest": "c0ffee",
        "notes": ("labels overlap",),
        "now": datetime(2024, 5, 6, tzinfo=UTC),
    }
    return training_result(task(split, Path("unused")), trained, **{**given, **changes})


def test_the_history_has_the_references_names_and_numbers() -> None:
    history = result_of(*case()).history
    assert history == {
        "train_accuracy": pytest.approx(0.85),
        "val_accuracy": 0.0,
        "test_accuracy": 1.0,
        "train_val_gap": pytest.approx(0.85),
        "overfitting_detected": True,
        "cv_available": True,
        "cv_mean_accuracy": pytest.approx(0.625),
        "cv_std_accuracy": pytest.approx(math.sqrt((0.125**2 + 0.375**2 * 2 + 0.625**2) / 4)),
        "cv_min_accuracy": 0.0,
        "cv_max_accuracy": 1.0,
        "cv_is_stable": False,
        "cv_fold_accuracies": [0.5, 1.0, 0.0, 1.0],
        "cv_poor_folds": [3],
    }


@pytest.mark.parametrize(("train", "overfits"), [(0.6499, False), (0.6501, True)])
def test_a_gap_above_fifteen_points_is_overfitting(train: float, overfits: bool) -> None:
    split, trained = case()
    p_N = trained.p_N.copy()
    p_N[8] = 0.6
    last = replace(trained.folds[-1], train_accuracy=train)
    trained = replace(trained, p_N=p_N, folds=(*trained.folds[:-1], last))
    history = result_of(split, trained).history
    assert history["val_accuracy"] == 0.5
    assert history["train_val_gap"] == train - 0.5
    assert history["overfitting_detected"] is overfits


def test_accuracies_that_spread_little_are_stable() -> None:
    split, trained = case()
    p_N = np.where(np.isnan(P_N), math.nan, np.where(Y_N == 1, 0.8, 0.2))
    history = result_of(split, replace(trained, p_N=p_N)).history
    assert history["cv_is_stable"] is True
    assert history["cv_poor_folds"] == []
    assert (history["cv_mean_accuracy"], history["cv_std_accuracy"]) == (1.0, 0.0)


def test_only_the_folds_of_cross_validation_count_for_it() -> None:
    split, trained = case()
    history = result_of(replace(split, n_cv=2), trained).history
    assert history["cv_fold_accuracies"] == [0.5, 1.0]
    assert history["cv_min_accuracy"] == 0.5


def test_a_fold_without_predictions_makes_cross_validation_unavailable_and_no_more() -> None:
    result = result_of(*case(first_fails=True))
    assert result.history["cv_available"] is False
    assert "cv_mean_accuracy" not in result.history
    assert result.history["test_accuracy"] == 1.0
    assert result.out_of_fold["n"] == 6
    assert result.folds[0]["error"] == "one class"
    assert [fold["fold"] for fold in result.folds] == [1, 2, 3, 4]


def test_each_part_is_scored_on_its_own_rows() -> None:
    result = result_of(*case())
    assert result.val_metrics == classification_metrics(Y_N[8:10], P_N[8:10])
    assert result.test_metrics == classification_metrics(Y_N[10:], P_N[10:])
    assert result.out_of_fold == classification_metrics(Y_N[4:], P_N[4:])
    assert result.test_metrics["confusion_matrix"] == [[0, 0], [0, 2]]
    assert result.out_of_fold["accuracy"] == 5 / 8
    assert result.no_skill["test"] == {"accuracy": 1.0, "log_loss": pytest.approx(-math.log(0.75))}
    # Base rates 0.25, 0.5, 0.6, 0.75 for the labels 11, 00, 10, 11.
    assert result.no_skill["out_of_fold"]["accuracy"] == 3 / 8
    # Test: two trades, both won, each paying 1.5 less 0.1 of costs.
    assert result.expectancy["test"]["expectancy_r"] == pytest.approx(1.4)
    assert result.expectancy["out_of_fold"]["trades"] == 4


def test_the_rest_of_the_result_says_what_was_done() -> None:
    split, trained = case()
    result = result_of(split, trained)
    names = hashlib.sha256(b"feature_0\nfeature_1").hexdigest()
    assert (result.symbol, result.model_name, result.seed) == ("EURUSD", "Nearest", 7)
    assert result.warnings == ["labels overlap", "fold 1: slow"]
    assert result.training_duration_seconds == 3.5
    assert result.cpu_seconds == {"fit": 1.0, "walk_forward": 2.0, "augmentation": 0.5}
    assert result.sizes == {
        "development_rows": 12,
        "rows_before_augmentation": 11,
        "rows_after_augmentation": 22,
        "rounds": 5,
    }
    assert result.curves == {"val_loss": [0.7, 0.6]}
    digests = {"data": split.development.digest(), "features": names, "conf": "c0ffee"}
    assert result.digests == digests
    assert {"numpy", "scikit-learn", "torch"} <= set(result.library_versions)
    assert (result.augmentation, result.null_model) == ("none", False)
    assert result.augmentation_failures == ["fold 1: no augmentation"]
    test_window = {
        "start": "2020-01-01T10:00:00+00:00",
        "end": "2020-01-01T11:00:00+00:00",
        "rows": 2,
    }
    assert result.windows["test"] == test_window
    assert result.windows["train"]["rows"] == 12


def test_importances_are_ranked_and_ties_go_by_name() -> None:
    split, trained = case()
    shares = {"b": 0.2, "c": 0.6, "a": 0.2}
    ranked = result_of(split, replace(trained, importance=shares)).feature_importance
    assert [one["feature"] for one in ranked] == ["c", "a", "b"]
    assert [one["importance"] for one in ranked] == [0.6, 0.2, 0.2]
    assert result_of(split, replace(trained, importance=None)).feature_importance == []


@pytest.mark.parametrize("first_fails", [False, True])
def test_a_result_is_json_without_nan_and_with_every_field(first_fails: bool) -> None:
    result = result_of(*case(first_fails))
    safe = to_json_safe(result)
    text = json.dumps(safe, allow_nan=False)
    assert set(json.loads(text)) == set(asdict(result))
    assert safe["timestamp"] == "2024-05-06T00:00:00+00:00"
    assert safe["folds"][0]["train_accuracy"] == (None if first_fails else 0.7)


@pytest.mark.parametrize("divide", [walked, by_fractions])
def test_no_skill_is_what_the_majority_class_scores(divide: Any, tmp_path: Path) -> None:
    rows = noise(300, seed=3, rate=0.6)
    weight_N = np.random.default_rng(4).uniform(0.2, 1.0, 300)
    weighted = Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    split = divide(weighted)
    result = result_of(split, train_task(task(split, tmp_path, make_model("majority"))))
    scored = {
        "validation": result.val_metrics,
        "test": result.test_metrics,
        "out_of_fold": result.out_of_fold,
    }
    for part, metrics in scored.items():
        for key in ("accuracy", "log_loss"):
            assert result.no_skill[part][key] == pytest.approx(metrics[key])


def test_overlap_lowers_uniqueness() -> None:
    rows = noise(100, seed=1, label_bars=1)
    assert mean_uniqueness(rows) == pytest.approx(1.0)
    rows = noise(100, seed=1, label_bars=4)
    assert 0.25 < mean_uniqueness(rows) < 0.3


def test_a_window_is_from_the_first_decision_to_the_last() -> None:
    rows = noise(30, seed=1).take(slice(2, 27))
    assert window(rows) == {
        "start": "2020-01-01T02:00:00+00:00",
        "end": "2020-01-02T02:00:00+00:00",
        "rows": 25,
    }
