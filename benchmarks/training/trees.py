"""Forest and XGBoost as their libraries fit them, from the configured hyperparameters.

Axes: N rows, F features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.training.work import Fit, at_base_rate, base_rate
from market.bars import FloatArray

# What scikit-learn's forest has of our hyperparameters, by the same names.
FOREST = (
    "n_estimators",
    "max_depth",
    "min_samples_split",
    "min_samples_leaf",
    "max_features",
    "max_samples",
    "class_weight",
)
EARLY_STOPPING = ("early_stopping_rounds", "early_stopping_min_rows")


def forest(own: Mapping[str, Any], n_rows: int, random_state: int) -> Any:
    """Return scikit-learn's forest with the configured hyperparameters, unfitted."""
    from sklearn.ensemble import RandomForestClassifier

    given = {key: own[key] for key in FOREST}
    least = int(np.ceil(own["min_leaf_share"] * n_rows))
    given["min_samples_leaf"] = max(given["min_samples_leaf"], least)
    return RandomForestClassifier(**given, random_state=random_state)


def fitted_forest(fit: Fit, own: Mapping[str, Any], random_state: int) -> tuple[FloatArray, int]:
    """Fit on one thread; return the block's probabilities of winning, and the number of trees."""
    classifier = forest(own, len(fit.train), random_state)
    classifier.fit(fit.train.x_NF, fit.train.y_N, sample_weight=mean_one(fit.train.weight_N))
    p_N = classifier.predict_proba(fit.block_NF)[:, 1] if len(fit.block_NF) else np.zeros(0)
    return forest_at_base_rate(p_N, fit, own), len(classifier.estimators_)


def forest_at_base_rate(p_N: FloatArray, fit: Fit, own: Mapping[str, Any]) -> FloatArray:
    """Return what a forest fitted on balanced classes says at the true base rate."""
    p_N = np.clip(p_N, 1e-6, 1 - 1e-6)
    fitted_rate = 0.5 if own["class_weight"] == "balanced" else base_rate(fit.train)
    return at_base_rate(np.log(p_N) - np.log1p(-p_N), fit.train, fitted_rate)


def fitted_xgboost(fit: Fit, own: Mapping[str, Any], random_state: int) -> tuple[FloatArray, int]:
    """Fit on one thread; return the block's probabilities of winning, and the rounds made."""
    import xgboost

    train, tail = fit.train, fit.tail
    rows = xgboost.QuantileDMatrix(
        train.x_NF, train.y_N, weight=mean_one(train.weight_N), nthread=1
    )
    stopping: dict[str, Any] = {}
    if tail is not None:
        held = xgboost.QuantileDMatrix(
            tail.x_NF, tail.y_N, weight=tail.weight_N, ref=rows, nthread=1
        )
        rounds = own["early_stopping_rounds"]
        stopping = {"evals": [(held, "val")], "early_stopping_rounds": rounds}
    booster = xgboost.train(
        xgboost_parameters(own) | {"nthread": 1, "seed": random_state},
        rows,
        num_boost_round=own["n_estimators"],
        verbose_eval=False,
        **stopping,
    )
    n_rounds = booster.num_boosted_rounds()
    if not len(fit.block_NF):
        return np.zeros(0), n_rounds
    used = (0, booster.best_iteration + 1 if tail is not None else n_rounds)
    p_N = booster.inplace_predict(fit.block_NF, iteration_range=used)
    return np.asarray(p_N, dtype=np.float64), n_rounds


def xgboost_parameters(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configured hyperparameters as xgboost.train takes them."""
    passed_over = ("n_estimators", *EARLY_STOPPING)
    kept = {key: own[key] for key in own if key not in passed_over and own[key] is not None}
    return {**kept, "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist"}


def mean_one(weight_N: FloatArray) -> FloatArray:
    """Return weights of mean 1: a forest's ``max_samples`` is relative to their sum."""
    normalised_N: FloatArray = weight_N / weight_N.mean()
    return normalised_N
