"""The evidence gate for one symbol, and models of known skill to put before it.

Axes: N rows.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from selection.certified import CertifiedSelector
from selection.evidence import advantage
from selection.out_of_fold import OutOfFold
from tests.selection.drawn_rows import informed, labels, rows_of, sigmoid

SETTINGS: dict[str, Any] = {
    "alpha": 0.05,
    "hard": [],
    "seeds": 3,
    "max_gap": 0.20,
    "min_accuracy": 0.55,
    "stability_threshold": 0.05,
}
SINGLES = ("RandomForest", "XGBoost", "MLP", "LSTM")
SOME, MUCH = 0.3, 0.8
FAILED = {"error": "fold 2: timeout", "null_model": False}


def selector(**changes: Any) -> CertifiedSelector:
    """Return the gate as configured by default, but for some changes."""
    return CertifiedSelector(**{**SETTINGS, **changes})


def drawn(seed: int, n_rows: int = 400, **shifts: float) -> dict[str, OutOfFold]:
    """Return rows of models that each see the outcome through noise of their own.

    A model's rows do not depend on which others there are.
    """
    y_N = labels(np.random.default_rng(seed), n_rows)
    return {
        name: rows_of(
            y_N, informed(np.random.default_rng([seed, zlib.crc32(name.encode())]), y_N, shift)
        )
        for name, shift in shifts.items()
    }


def result(**changes: float) -> dict[str, Any]:
    """Return the part of a training result that selection reads, within all limits."""
    given = {"train": 0.65, "val": 0.60, "test": 0.61, "oof": 0.59, **changes}
    return {
        "history": {
            "train_accuracy": given["train"],
            "val_accuracy": given["val"],
            "test_accuracy": given["test"],
            "train_val_gap": given.get("last_gap", given["train"] - given["val"]),
            "oof_gap": given["train"] - given["oof"],
        },
        "out_of_fold": {"accuracy": given["oof"]},
    }


def selected(
    models: Mapping[str, OutOfFold],
    results: Mapping[str, Mapping[str, Any]] | None = None,
    reseeded: Mapping[str, Sequence[OutOfFold]] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return the selection of a single symbol; results that are not given keep all limits."""
    known = {**{name: result() for name in models}, **(results or {})}
    seeds = {("EURUSD", name): rows for name, rows in (reseeded or {}).items()}
    return selector(**changes).select({"EURUSD": known}, {"EURUSD": models}, seeds)["EURUSD"]


def p_over_council(models: Mapping[str, OutOfFold], name: str) -> float:
    """Return the p-value of a model against the council."""
    return advantage(models[name], models["Council"]).p_value


def tied(**noise: float) -> dict[str, OutOfFold]:
    """Return a council and singles that share one better prediction, each a little off it."""
    models = drawn(7, Council=SOME, best=MUCH)
    best = models.pop("best")
    rng = np.random.default_rng([7, 1])
    for name, size in noise.items():
        log_odds_N = np.log(best.p_N / (1 - best.p_N)) * (1 + size)
        models[name] = replace(best, p_N=sigmoid(log_odds_N + size * rng.standard_normal(400)))
    return models


BREAKING = {
    "max_gap": result(train=0.80, oof=0.59, last_gap=0.0),
    "min_accuracy": result(test=0.54, val=0.54),
    "stability": result(val=0.60, test=0.66),
}
