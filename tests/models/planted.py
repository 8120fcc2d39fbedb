"""Rows with a known truth, and every model of conf/ made small.

Axes: N rows, F features.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from market.bars import FloatArray
from market.samples import IntArray, Samples
from models.base import Model
from models.store import KINDS

HOUR = np.timedelta64(3_600_000_000, "us")
CONF = Path(__file__).parents[2] / "conf"
SMALLER: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 30},
    "xgboost": {"n_estimators": 25, "early_stopping_min_rows": 100},
    "council": {"n_estimators": 25, "learning_rate": 0.15},
    "mlp": {"hidden": [16, 8], "max_epochs": 40, "learning_rate": 0.01},
    "lstm": {
        "hidden": 8,
        "lookback": 4,
        "max_epochs": 25,
        "batch_size": 64,
        "dropout": 0.1,
        "learning_rate": 0.03,
    },
}
KINDS_BY_FILE = {
    "random_forest": "RandomForest",
    "xgboost": "XGBoost",
    "mlp": "MLP",
    "lstm": "LSTM",
    "council": "Council",
    "majority": "MajorityClass",
    "logistic": "LogisticRegression",
}
CANDIDATES = tuple(sorted(file.stem for file in (CONF / "model").glob("*.yaml")))
NULLS = tuple(sorted(file.stem for file in (CONF / "null_model").glob("*.yaml")))


def make_model(file: str, **changes: Any) -> Model:
    """Return an unfitted model with the hyperparameters of its file in conf/, made smaller."""
    return shipped_model(file, **{**SMALLER.get(file, {}), **changes})


def shipped_model(file: str, **changes: Any) -> Model:
    """Return an unfitted model with the hyperparameters of its file in conf/."""
    folder = "model" if file in CANDIDATES else "null_model"
    conf = yaml.safe_load((CONF / folder / f"{file}.yaml").read_text(encoding="utf-8"))
    conf = {key: value for key, value in conf.items() if not key.startswith("_")}
    return KINDS[KINDS_BY_FILE[file]](**{**conf, **changes})


def samples(
    x_NF: FloatArray,
    y_N: npt.NDArray[Any],
    *,
    weight_N: FloatArray | None = None,
    label_bars: int = 2,
) -> Samples:
    """Return hourly rows whose labels each last ``label_bars``."""
    t0_N = np.datetime64("2020-01-01", "us") + np.arange(len(y_N)) * HOUR
    return Samples(
        x_NF,
        y_N.astype(np.int64),
        np.ones(len(y_N)) if weight_N is None else weight_N,
        t0_N,
        t0_N + label_bars * HOUR,
        tuple(f"feature_{f}" for f in range(x_NF.shape[1])),
    )


def noise(n_rows: int, seed: int, rate: float = 0.5, **more: Any) -> Samples:
    """Return rows whose labels no feature knows anything about."""
    rng = np.random.default_rng(seed)
    return samples(rng.normal(size=(n_rows, 4)), rng.random(n_rows) < rate, **more)


def signal(n_rows: int, seed: int, **more: Any) -> Samples:
    """Return rows whose label depends on ``feature_2`` alone, strongly."""
    rng = np.random.default_rng(seed)
    x_NF = rng.normal(size=(n_rows, 4)) * [1.0, 50.0, 1.0, 0.01] + [0.0, 900.0, 0.0, 0.0]
    return samples(x_NF, rng.random(n_rows) < 1 / (1 + np.exp(-4 * x_NF[:, 2])), **more)


def balancing(x: Any, y: Any) -> tuple[Any, Any]:
    """Append copies of the rarer class until both are equally frequent."""
    rare = int(np.mean(y) < 0.5)
    rows = np.flatnonzero(y == rare)
    missing = int(np.sum(y != rare)) - len(rows)
    copies = np.resize(rows, missing)
    return np.concatenate([x, x[copies]]), np.concatenate([y, y[copies]])


def log_loss(y_N: IntArray, p_N: FloatArray) -> float:
    return float(-np.mean(np.log(np.where(y_N == 1, p_N, 1 - p_N))))


def ticking(step_s: float) -> Callable[[], float]:
    """Return a clock that advances by ``step_s`` whenever it is read."""
    now_s = [0.0]

    def clock() -> float:
        now_s[0] += step_s
        return now_s[0]

    return clock
