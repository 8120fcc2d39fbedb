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
from models.calibration import Calibration
from selection.calibration import Calibrated, Judged
from selection.json_safe import to_json_safe
from selection.metrics import classification_metrics
from tests.models.planted import make_model, noise, samples, signal
from tests.training.spies import by_fractions, task, train_task, walked
from training.choices import AugmentationVerdict, Choice, StrengthVerdict
from training.result import Payoff, TrainingResult, training_result, window
from training.task import Cpu, FoldOutcome, Trained

Y_N = np.array([0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1])
# Hits per block of two rows: 1, 2, 0, 2.
P_N = np.array([math.nan] * 4 + [0.9, 0.1, 0.2, 0.3, 0.4, 0.7, 0.5, 0.8])
# Of the trades at 0.9, 0.7, 0.5 and 0.8 the second and the last are left; the row at 0.1 is new.
CALIBRATED_N = np.array([0.4, 0.6, 0.2, 0.3, 0.4, 0.7, 0.45, 0.8])
CALIBRATED = Calibrated(
    CALIBRATED_N,
    Calibration.platt(0.5, 0.1),
    {0: "none", 1: "none", 2: "platt", 3: "platt"},
    {"none": Judged(8, 0.7, 0.7), "platt": Judged(4, 0.68, 0.72), "isotonic": None},
)
STRENGTH = StrengthVerdict(1, ({}, {"max_depth": 2}), (0.71, None))
VERDICT = AugmentationVerdict(
    adopted=True,
    rows=6,
    log_loss_with=0.6,
    log_loss_without=0.7,
    gain=0.1,
    standard_error=0.05,
)
NOW = datetime(2024, 5, 6, tzinfo=UTC)
PAYOFF = Payoff(profit_atr=3.0, stop_atr=2.0, cost_atr=0.2, threshold=0.5)


def outcome(
    number: int, train_accuracy: float, p_N: Any, base_rate: float, error: str | None
) -> FoldOutcome:
    choice = Choice(step=number % 2, augmented=number > 1)
    return FoldOutcome(choice, 3, 1, base_rate, train_accuracy, np.asarray(p_N), error)


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
        outcome(k, accuracies[k], p_N[block], 0.5, errors[k]) for k, block in enumerate(blocks)
    )
    return split, Trained(
        p_N=p_N,
        base_rate_N=rate_N,
        calibrated=None,
        folds=outcomes,
        strength=STRENGTH,
        augmentation=None,
        hyperparameters={"max_depth": 2},
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
        "now": NOW,
    }
    return training_result(task(split, Path("unused")), trained, **{**given, **changes})


def test_the_history_has_the_references_names_and_numbers() -> None:
    history = result_of(*case()).history
    assert history == {
        "train_accuracy": pytest.approx(0.85),
        "val_accuracy": 0.0,
        "test_accuracy": 1.0,
        "train_val_gap": pytest.approx(0.85),
        # Mean of 0.7, 0.75, 0.8 and 0.85 less 5 of 8.
        "oof_gap": pytest.approx(0.775 - 0.625),
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
    # Mean of 0.75, 0.8 and 0.85 less 4 of 6.
    assert result.history["oof_gap"] == pytest.approx(0.8 - 4 / 6)
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


def test_trades_are_chosen_by_calibrated_probabilities_and_scored_as_the_gate_reads_them() -> None:
    split, trained = case()
    raw, result = (
        result_of(split, trained),
        result_of(split, replace(trained, calibrated=CALIBRATED)),
    )
    assert (result.out_of_fold, result.reliability) == (raw.out_of_fold, raw.reliability)
    assert result.val_metrics == raw.val_metrics
    # Raw: four trades, of labels 1, 0, 1, 1; calibrated: three, of labels 1, 0, 1.
    assert [raw.expectancy["out_of_fold"]["trades"], raw.expectancy["test"]["trades"]] == [4, 2]
    assert result.expectancy["out_of_fold"]["trades"] == 3
    assert result.expectancy["out_of_fold"]["total_r"] == pytest.approx(1.4 + 1.4 - 1.1)
    assert result.expectancy["test"]["trades"] == 1
    assert result.expectancy["test"]["share_taken"] == 0.5


def test_trades_of_a_block_without_predictions_are_left_out_of_calibration_too() -> None:
    split, trained = case(first_fails=True)
    fewer = replace(CALIBRATED, p_N=CALIBRATED_N[2:])
    result = result_of(split, replace(trained, calibrated=fewer))
    assert result.expectancy["out_of_fold"]["trades"] == 2
    assert result.expectancy["validation"]["trades"] == 1


def test_strength_calibration_and_the_verdict_on_augmentation_are_told() -> None:
    split, trained = case()
    told = replace(trained, calibrated=CALIBRATED, augmentation=VERDICT)
    result = result_of(split, told)
    assert result.strength == {
        "chosen": 1,
        "steps": [
            {"hyperparameters": {}, "out_of_fold_log_loss": 0.71},
            {"hyperparameters": {"max_depth": 2}, "out_of_fold_log_loss": None},
        ],
    }
    assert result.hyperparameters == {"max_depth": 2}
    assert result.calibration == {
        "kind": "platt",
        "kind_by_block": {"1": "none", "2": "none", "3": "platt", "4": "platt"},
        "out_of_fold_log_loss": result.calibration["out_of_fold_log_loss"],
        "judged": {
            "none": {"rows": 8, "log_loss": 0.7, "log_loss_of_none": 0.7},
            "platt": {"rows": 4, "log_loss": 0.68, "log_loss_of_none": 0.72},
            "isotonic": None,
        },
    }
    assert result.augmentation_verdict == asdict(VERDICT)
    made = [(fold["strength"], fold["augmented"]) for fold in result.folds]
    assert made == [(0, False), (1, False), (0, True), (1, True)]
    plain = result_of(split, trained)
    assert (plain.calibration, plain.augmentation_verdict) == (None, None)


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


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, dict[str, Any]]:
    """Return what a small forest gave with every choice left open, and its result as JSON."""
    split = walked(signal(260, seed=1, label_bars=3))
    forest, stronger = (
        make_model("random_forest", n_estimators=20, min_leaf_share=share) for share in (0.0, 0.15)
    )
    folder = tmp_path_factory.mktemp("model")
    choices: dict[str, Any] = {"augmentation": "adaptive", "calibrates": True}
    work = task(split, folder, forest, stronger=(stronger,), **choices)
    trained = train_task(work)
    given: dict[str, Any] = {"null_model": False, "conf_digest": "c0ffee", "notes": (), "now": NOW}
    result = to_json_safe(training_result(work, trained, payoff=PAYOFF, **given))
    return trained, json.loads(json.dumps(result, allow_nan=False))


def test_the_gap_of_a_real_run_is_of_all_its_fits_and_predictions(real_run: Any) -> None:
    trained, result = real_run
    fitted = np.mean([fold.train_accuracy for fold in trained.folds])
    gap = fitted - result["out_of_fold"]["accuracy"]
    assert result["history"]["oof_gap"] == pytest.approx(gap)
    assert result["out_of_fold"]["n"] == 156


def test_the_strength_of_a_real_run_is_that_of_the_deployed_fit(real_run: Any) -> None:
    trained, result = real_run
    weak, strong = result["strength"]["steps"]
    assert (weak["hyperparameters"], strong["hyperparameters"]) == ({}, {"min_leaf_share": 0.15})
    assert 0.2 < weak["out_of_fold_log_loss"] < 0.7
    chosen = result["strength"]["chosen"]
    assert result["hyperparameters"]["min_leaf_share"] == (0.0, 0.15)[chosen]
    assert [fold["strength"] for fold in result["folds"]] == [
        outcome.choice.step for outcome in trained.folds
    ]
    assert result["folds"][0]["strength"] == 1


def test_a_real_runs_verdict_on_augmentation_holds_the_numbers_it_rests_on(real_run: Any) -> None:
    _, result = real_run
    verdict = result["augmentation_verdict"]
    assert (result["augmentation"], verdict["rows"]) == ("adaptive", 156)
    gain = verdict["log_loss_without"] - verdict["log_loss_with"]
    assert verdict["gain"] == pytest.approx(gain)
    assert verdict["adopted"] is (verdict["gain"] > 1.645 * verdict["standard_error"])


def test_a_real_run_is_calibrated_by_its_own_predictions(real_run: Any) -> None:
    trained, result = real_run
    calibration, none = result["calibration"], result["calibration"]["judged"]["none"]
    assert calibration["kind"] == trained.calibrated.final.kind
    assert len(calibration["kind_by_block"]) == 6
    assert calibration["kind_by_block"]["1"] == "none"
    assert none["rows"] == 156
    assert none["log_loss"] == pytest.approx(result["out_of_fold"]["log_loss"])


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
