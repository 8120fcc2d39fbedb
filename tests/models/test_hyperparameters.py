"""Constructors refuse what cannot be trained, in one line that names the argument."""

import math
from typing import Any

import pytest

from models.base import Model
from tests.models.planted import CANDIDATES, make_model, shipped_model

REFUSED: dict[str, dict[str, tuple[Any, ...]]] = {
    "random_forest": {
        "n_estimators": (0,),
        "max_depth": (0,),
        "min_samples_split": (1,),
        "min_samples_leaf": (0,),
        "min_leaf_share": (-0.01, 1.0, math.nan),
        "max_features": ("all", 0.0, 0, 1.5, 2),
        "max_samples": (0.0, 1.01, math.nan),
        "class_weight": ("balanced_subsample",),
    },
    "xgboost": {
        "n_estimators": (0,),
        "max_depth": (0,),
        "learning_rate": (0.0, 1.1, math.nan),
        "subsample": (0.0, 1.1),
        "colsample_bytree": (0.0, 1.1),
        "min_child_weight": (-1.0, math.nan),
        "reg_alpha": (-0.1,),
        "reg_lambda": (-0.1,),
        "early_stopping_rounds": (0,),
        "early_stopping_min_rows": (-1,),
        "max_bin": (1,),
    },
    "council": {
        "c_rows": (0.0, math.nan),
        "depths": ([], [2, 2], [2, 1, 2], [0], [2, -1]),
        "n_estimators": (0,),
        "learning_rate": (0.0, 1.1),
        "subsample": (0.0, 1.1),
        "colsample_bytree": (0.0, 1.1),
        "min_child_weight": (-1.0,),
        "reg_alpha": (-0.1,),
        "reg_lambda": (-0.1,),
        "clip": (0.0, 0.5, -0.02, math.nan),
    },
    "mlp": {"hidden": ([], [8, 0])},
    "lstm": {"hidden": (0,), "layers": (0,), "lookback": (0,)},
    "logistic": {"c_rows": (0.0, -1.0, math.nan)},
}
OF_EVERY_NET: dict[str, tuple[Any, ...]] = {
    "dropout": (-0.1, 1.0),
    "weight_decay": (-0.1, math.nan),
    "learning_rate": (0.0, 1.1, math.nan),
    "label_smoothing": (-0.1, 1.0),
    "batch_size": (0,),
    "max_epochs": (0,),
    "patience": (0,),
}
for net in ("mlp", "lstm"):
    REFUSED[net] |= OF_EVERY_NET
CASES = [
    pytest.param(file, key, value, id=f"{file}-{key}-{value}")
    for file, keys in REFUSED.items()
    for key, values in keys.items()
    for value in values
]


@pytest.mark.parametrize("file", [*CANDIDATES, "logistic"])
def test_every_hyperparameter_has_a_refused_value(file: str) -> None:
    assert set(REFUSED[file]) == set(make_model(file).hyperparameters)


@pytest.mark.parametrize(("file", "key", "value"), CASES)
def test_a_value_out_of_range_is_named_in_one_line(file: str, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=" must be ") as caught:
        make_model(file, **{key: value})
    sentence = str(caught.value)
    assert key in sentence
    assert "\n" not in sentence
    shown = "0" if key == "hidden" else str(value)
    assert sentence.endswith(f", was {shown}") or float(sentence.split("was ")[1]) == value


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("random_forest", "max_samples", 1.0),
        ("random_forest", "class_weight", None),
        ("random_forest", "max_features", "log2"),
        ("random_forest", "min_leaf_share", 0.0),
        ("council", "depths", [3]),
        ("council", "clip", 0.499),
        ("xgboost", "learning_rate", 1.0),
        ("xgboost", "early_stopping_rounds", None),
        ("xgboost", "reg_alpha", 0),
        ("mlp", "dropout", 0.0),
        ("mlp", "label_smoothing", 0.0),
        ("lstm", "lookback", 1),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(file: str, key: str, value: Any) -> None:
    assert make_model(file, **{key: value}).hyperparameters[key] == value


def test_one_feature_of_many_is_never_meant_by_the_share_one() -> None:
    whole: Model = make_model("random_forest", max_features=1)
    share = whole.hyperparameters["max_features"]
    assert isinstance(share, float)


@pytest.mark.parametrize(
    ("file", "n_rows", "stops"),
    [
        ("mlp", 1, True),
        ("lstm", 1, True),
        ("random_forest", 10_000, False),
        ("council", 10_000, False),
        ("logistic", 10_000, False),
        ("xgboost", 99, False),
        ("xgboost", 100, True),
    ],
)
def test_rows_are_held_back_for_models_that_stop_early(file: str, n_rows: int, stops: bool) -> None:
    assert make_model(file).stops_early(n_rows) is stops


def test_as_shipped_boosting_holds_nothing_back_from_small_fits() -> None:
    shipped = shipped_model("xgboost")
    assert [shipped.stops_early(n_rows) for n_rows in (999, 1000)] == [False, True]


def test_boosting_without_early_stopping_rounds_holds_nothing_back() -> None:
    assert not make_model("xgboost", early_stopping_rounds=None).stops_early(10_000)
