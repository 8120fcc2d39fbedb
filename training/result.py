"""The training result: one JSON document per symbol and model.

Axes: N rows of development.
"""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples, mean_uniqueness
from market.splits import Split
from selection.metrics import (
    BoolArray,
    classification_metrics,
    expectancy_r,
    log_losses,
    no_skill_metrics,
    reliability_bins,
)
from selection.tuned import counted
from selection.tuned_in_words import tuning_record
from training.predictions import judged_rows
from training.task import Task, Trained

OVERFIT_GAP = 0.15
STABLE_CV_STD = 0.10
POOR_FOLD_ACCURACY = 0.50
LIBRARIES = ("numpy", "scikit-learn", "xgboost-cpu", "xgboost", "torch", "mlflow", "numba")


@dataclass(frozen=True, slots=True)
class Payoff:
    """What a decided trade pays, in ATR at entry.

    Attributes
    ----------
    profit_atr, stop_atr : float
        The label's barriers.
    cost_atr : float
        Spread, commission and slippage of one round trip.
    threshold : float
        Probability of winning from which a trade is taken.
    """

    profit_atr: float
    stop_atr: float
    cost_atr: float
    threshold: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Everything measured on one model of one symbol; `to_json_safe` gives its JSON form.

    ``history``, ``val_metrics``, ``test_metrics``, ``feature_importance``, ``warnings`` and
    ``training_duration_seconds`` have the reference system's names; ``history.oof_gap`` is the
    mean training accuracy of all fits less the pooled out-of-fold one. Scores are those of
    probabilities before calibration, ``expectancy`` that of trades chosen by calibrated ones.
    Every row in here is read by selection, so no figure of a chosen model is unbiased afterwards;
    the holdout is not in here.

    ``tuning`` is None but for a model that was swept. Where it was adopted, ``out_of_fold``,
    ``no_skill.out_of_fold``, ``expectancy.out_of_fold``, ``reliability``, ``calibration`` and
    ``history.oof_gap`` are those of rows decided at or after ``tuning.tuned_until``, of which
    ``tuning.judged_rows`` are left; all other rows were read by the search.
    """

    symbol: str
    model_name: str
    timestamp: datetime
    history: dict[str, Any]
    val_metrics: dict[str, Any]
    test_metrics: dict[str, Any]
    feature_importance: list[dict[str, Any]]
    warnings: list[str]
    training_duration_seconds: float
    out_of_fold: dict[str, Any]
    reliability: list[dict[str, Any]]
    no_skill: dict[str, Any]
    expectancy: dict[str, Any]
    decision_threshold: float
    label_uniqueness: float
    sizes: dict[str, int]
    folds: list[dict[str, Any]]
    windows: dict[str, Any]
    curves: dict[str, list[float]]
    hyperparameters: dict[str, Any]
    strength: dict[str, Any]
    calibration: dict[str, Any] | None
    augmentation: str
    augmentation_verdict: dict[str, Any] | None
    augmentation_failures: list[str]
    tuning: dict[str, Any] | None
    null_model: bool
    seed: int
    digests: dict[str, str]
    library_versions: dict[str, str]
    cpu_seconds: dict[str, float]


def training_result(
    task: Task,
    trained: Trained,
    *,
    payoff: Payoff,
    null_model: bool,
    conf_digest: str,
    notes: tuple[str, ...],
    now: datetime,
) -> TrainingResult:
    """Score what a task predicted out of fold.

    Parameters
    ----------
    notes : tuple of str
        Warnings about the symbol's data that every model of it shares.
    """
    split, development = task.split, task.split.development
    judged_N = judged_rows(split, trained, task.judged_from)
    parts: dict[str, Any] = {
        "validation": split.validation,
        "test": split.test,
        "out_of_fold": judged_N,
    }
    scores = {name: _scores(development, trained, rows) for name, rows in parts.items()}
    no_skill = {name: _no_skill(development, trained, rows) for name, rows in parts.items()}
    p_traded_N = trained.p_N.copy()
    if trained.calibrated is not None:
        p_traded_N[judged_N] = trained.calibrated.p_N
    return TrainingResult(
        symbol=task.symbol,
        model_name=task.model.name,
        timestamp=now,
        history=_history(split, trained, scores, judged_N),
        val_metrics=scores["validation"],
        test_metrics=scores["test"],
        feature_importance=_importance(trained),
        warnings=[*notes, *trained.warnings, *_read_by_the_sweep(task, judged_N)],
        training_duration_seconds=trained.duration_s,
        out_of_fold=scores["out_of_fold"],
        reliability=_reliability(development, trained, judged_N),
        no_skill=no_skill,
        expectancy={
            name: _expectancy(development, p_traded_N, rows, payoff) for name, rows in parts.items()
        },
        decision_threshold=payoff.threshold,
        label_uniqueness=mean_uniqueness(development),
        sizes=_sizes(development, trained),
        folds=_folds(split, trained),
        windows=windows(split),
        curves=dict(trained.final.curves),
        hyperparameters=trained.hyperparameters,
        strength=_strength(task, trained, scores["out_of_fold"]),
        calibration=_calibration(development.y_N[judged_N], trained),
        augmentation=task.augmentation,
        augmentation_verdict=asdict(trained.augmentation) if trained.augmentation else None,
        augmentation_failures=list(trained.augmentation_failures),
        tuning=_tuning(task, judged_N),
        null_model=null_model,
        seed=task.seed,
        digests={**_digests(development), "conf": conf_digest},
        library_versions=dict(library_versions()),
        cpu_seconds=asdict(trained.cpu),
    )


def windows(split: Split) -> dict[str, Any]:
    """Return first and last decision time and number of rows of each part of development."""
    development = split.development
    deployed = development if split.refits else development.take(split.folds[-1].train_N)
    return {
        "train": window(deployed),
        "validation": window(development.take(split.validation)),
        "test": window(development.take(split.test)),
    }


def window(samples: Samples) -> dict[str, Any]:
    """Return first and last decision time (UTC) and number of rows."""
    start, end = samples.t0_N[0], samples.t0_N[-1]
    return {"start": _utc(start), "end": _utc(end), "rows": len(samples)}


def features_digest(names_F: tuple[str, ...]) -> str:
    """Return the SHA-256 of the feature names in order, in hexadecimal."""
    return hashlib.sha256("\n".join(names_F).encode()).hexdigest()


@cache
def library_versions() -> Mapping[str, str]:
    """Return the versions of the libraries that decide a fit."""
    versions = {}
    for name in LIBRARIES:
        # XGBoost has two distributions, of which one is installed.
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _utc(moment: np.datetime64) -> str:
    return f"{np.datetime_as_string(moment, unit='s')}+00:00"


def _sizes(development: Samples, trained: Trained) -> dict[str, int]:
    return {
        "development_rows": len(development),
        "rows_before_augmentation": trained.final.n_rows,
        "rows_after_augmentation": trained.final.n_rows_augmented,
        "rounds": trained.final.n_rounds,
    }


def _scores(development: Samples, trained: Trained, rows: Any) -> dict[str, Any]:
    return dict(classification_metrics(development.y_N[rows], trained.p_N[rows]))


def _no_skill(development: Samples, trained: Trained, rows: Any) -> dict[str, Any]:
    return dict(no_skill_metrics(development.y_N[rows], trained.base_rate_N[rows]))


def _tuning(task: Task, judged_N: BoolArray) -> dict[str, Any] | None:
    if task.tuning is None:
        return None
    return {**tuning_record(task.tuning), "judged_rows": int(judged_N.sum())}


def _read_by_the_sweep(task: Task, judged_N: BoolArray) -> list[str]:
    """Say which figures of a tuned model its own search has read."""
    if task.tuning is None or not task.tuning.adopted:
        return []
    n_judged, since = int(judged_N.sum()), f"{task.tuning.tuned_until:%Y-%m-%d %H:%M} UTC"
    read = [
        str(number)
        for number, fold in enumerate(task.split.folds, start=1)
        if not judged_N[fold.block].all()
    ]
    return [
        f"tuned ({counted(task.tuning.n_trials)}): the search has read blocks "
        f"{', '.join(read) or 'none'} and so their cv_* accuracies; only the {n_judged} rows from "
        f"{since} on speak for the model, and they have been used to adopt it"
    ]


def _expectancy(
    development: Samples, p_traded_N: FloatArray, rows: Any, payoff: Payoff
) -> dict[str, Any]:
    y_N, p_N = development.y_N[rows], p_traded_N[rows]
    barriers = (payoff.profit_atr, payoff.stop_atr, payoff.cost_atr)
    return dict(expectancy_r(y_N, p_N, payoff.threshold, *barriers))


def _history(
    split: Split, trained: Trained, scores: dict[str, Any], judged_N: BoolArray
) -> dict[str, Any]:
    """Return the reference's numbers; train accuracy is that of the fit that predicted test."""
    train_accuracy = trained.folds[-1].train_accuracy
    judged = [
        outcome.train_accuracy
        for fold, outcome in zip(split.folds, trained.folds, strict=True)
        if judged_N[fold.block].any()
    ]
    mean_train_accuracy = float(np.mean(judged))
    gap = train_accuracy - scores["validation"]["accuracy"]
    return {
        "train_accuracy": train_accuracy,
        "val_accuracy": scores["validation"]["accuracy"],
        "test_accuracy": scores["test"]["accuracy"],
        "train_val_gap": gap,
        "oof_gap": mean_train_accuracy - scores["out_of_fold"]["accuracy"],
        "overfitting_detected": gap > OVERFIT_GAP,
        **_cross_validation(split, trained),
    }


def _cross_validation(split: Split, trained: Trained) -> dict[str, Any]:
    y_N, p_N = split.development.y_N, trained.p_N
    blocks = [fold.block for fold in split.folds[: split.n_cv]]
    if any(np.isnan(p_N[block]).any() for block in blocks):
        return {"cv_available": False}
    accuracies = [float(np.mean((p_N[block] >= 0.5) == (y_N[block] == 1))) for block in blocks]
    std = float(np.std(accuracies))
    return {
        "cv_available": True,
        "cv_mean_accuracy": float(np.mean(accuracies)),
        "cv_std_accuracy": std,
        "cv_min_accuracy": min(accuracies),
        "cv_max_accuracy": max(accuracies),
        "cv_is_stable": std <= STABLE_CV_STD,
        "cv_fold_accuracies": accuracies,
        "cv_poor_folds": [
            number for number, one in enumerate(accuracies, start=1) if one < POOR_FOLD_ACCURACY
        ],
    }


def _reliability(development: Samples, trained: Trained, rows: Any) -> list[dict[str, Any]]:
    return [dict(one) for one in reliability_bins(development.y_N[rows], trained.p_N[rows])]


def _digests(development: Samples) -> dict[str, str]:
    names = features_digest(development.names_F)
    return {"data": development.digest(), "features": names}


def _strength(task: Task, trained: Trained, scores: dict[str, Any]) -> dict[str, Any]:
    strength = trained.strength
    if task.judged_from is not None:
        # A path of one step, on the rows that may speak for it.
        strength = replace(strength, log_losses=(scores["log_loss"],))
    return {
        "chosen": strength.chosen,
        "steps": [
            {"hyperparameters": changed, "out_of_fold_log_loss": log_loss}
            for changed, log_loss in zip(strength.steps, strength.log_losses, strict=True)
        ],
    }


def _calibration(y_N: IntArray, trained: Trained) -> dict[str, Any] | None:
    calibrated = trained.calibrated
    if calibrated is None:
        return None
    return {
        "kind": calibrated.final.kind,
        "kind_by_block": {str(k + 1): kind for k, kind in calibrated.kind_by_block.items()},
        "out_of_fold_log_loss": float(log_losses(y_N, calibrated.p_N).mean()),
        "judged": {
            kind: asdict(judged) if judged else None for kind, judged in calibrated.judged.items()
        },
    }


def _importance(trained: Trained) -> list[dict[str, Any]]:
    shares = trained.importance or {}
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return [{"feature": name, "importance": share} for name, share in ranked]


def _folds(split: Split, trained: Trained) -> list[dict[str, Any]]:
    return [
        {
            "fold": number,
            "train_rows": outcome.n_train,
            "purged_rows": outcome.n_purged,
            "predicted_rows": fold.block.stop - fold.block.start,
            "train_accuracy": outcome.train_accuracy,
            "base_rate": outcome.base_rate,
            "strength": outcome.choice.step,
            "augmented": outcome.choice.augmented,
            "error": outcome.error,
        }
        for number, (fold, outcome) in enumerate(
            zip(split.folds, trained.folds, strict=True), start=1
        )
    ]
