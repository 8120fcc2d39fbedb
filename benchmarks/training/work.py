"""The work that every contender is given: the same rows, the same fits, the same hyperparameters.

Axes: N rows, F features.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from market.splits import Split, WalkForward, early_stopping_tail
from market.table_files import TableFiles

# The slow ones first, so that no process is left alone with one at the end.
MODELS = ("lstm", "random_forest", "mlp", "xgboost")
NETS = ("mlp", "lstm")
NAMES = {"random_forest": "RandomForest", "xgboost": "XGBoost", "mlp": "MLP", "lstm": "LSTM"}
FINAL = "final fit"


@dataclass(frozen=True, slots=True)
class Work:
    """Which tables are trained on, and how; all of it from ``conf/``.

    Attributes
    ----------
    tables : str
        Folder of one Parquet file per symbol.
    digests : mapping of str to str
        SHA-256 of each symbol's file.
    models : mapping of str to mapping
        Hyperparameters by model.
    split : mapping
        Arguments of the walk-forward.
    early_stopping_fraction : float
    seed : int
    max_epochs : int or None
        In place of the configured ones, for a trial.
    """

    tables: str
    digests: Mapping[str, str]
    models: Mapping[str, Mapping[str, Any]]
    split: Mapping[str, Any]
    early_stopping_fraction: float
    seed: int
    max_epochs: int | None

    @classmethod
    def read(cls, path: Path) -> "Work":
        """Return what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write it for a process that is to do it."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def symbols(self) -> list[str]:
        """The symbols, in alphabetical order."""
        return sorted(self.digests)

    @property
    def digest(self) -> str:
        """What the work is known by, wherever its tables lie."""
        told = {**asdict(self), "tables": None}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit, and the rows it predicts.

    Attributes
    ----------
    name : str
        ``fold 1`` and so on, or ``final fit``, which predicts nothing.
    train : Samples
        Rows that weights are fitted on.
    tail : Samples or None
        Rows to stop early by; None where the model does not.
    block_NF, before_NF : float64 arrays
        Features of the rows to predict, and of all rows before them.
    block : slice
        Where in development the predicted rows lie.
    """

    name: str
    train: Samples
    tail: Samples | None
    block_NF: FloatArray
    before_NF: FloatArray
    block: slice


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a contender found for one model of one symbol.

    Attributes
    ----------
    symbol, model : str
    out_of_fold, test : float
        Log-loss of all predicted rows, and of the last block.
    rounds : list of int
        Epochs, boosting rounds or trees that were made, by fit.
    cpu_s : float
        Of the fits and their predictions.
    """

    symbol: str
    model: str
    out_of_fold: float
    test: float
    rounds: list[int]
    cpu_s: float


def configured(
    tables: Path, digests: Mapping[str, str], overrides: Sequence[str], max_epochs: int | None
) -> Work:
    """Return the work that ``conf/train_all.yaml`` with these overrides describes."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train_all", [*overrides, *epoch_overrides(max_epochs)])
    conf: Any = OmegaConf.to_container(composed, resolve=True)
    return Work(
        tables=str(tables.resolve()),
        digests=dict(digests),
        models={model: conf["models"][model] for model in MODELS},
        split={key: value for key, value in conf["split"].items() if key != "kind"},
        early_stopping_fraction=conf["training"]["early_stopping_fraction"],
        seed=conf["seed"],
        max_epochs=max_epochs,
    )


def epoch_overrides(max_epochs: int | None) -> list[str]:
    """Return what cuts the nets' training short."""
    if max_epochs is None:
        return []
    return [f"models.{net}.max_epochs={max_epochs}" for net in NETS]


def divided(work: Work, symbol: str) -> Split:
    """Read one symbol's table and divide its rows; the holdout is left out."""
    samples = TableFiles(dir=work.tables).table(symbol).samples()
    split, _ = WalkForward(**work.split).divide(samples)
    return split


def fits(work: Work, model: str, split: Split) -> Iterator[Fit]:
    """Yield every fit of one model: each block from the purged rows before it, then the final one.

    A net always holds a tail back to stop by, XGBoost from as many rows as it is configured to,
    the forest never.
    """
    rows = split.development
    for number, fold in enumerate(split.folds, start=1):
        train, tail = _tailed(work, model, rows.take(fold.train_N))
        block_NF, before_NF = rows.x_NF[fold.block], rows.x_NF[: fold.block.start]
        yield Fit(f"fold {number}", train, tail, block_NF, before_NF, fold.block)
    nothing = slice(len(rows), len(rows))
    yield Fit(FINAL, *_tailed(work, model, rows), rows.x_NF[nothing], rows.x_NF, nothing)


def _tailed(work: Work, model: str, train: Samples) -> tuple[Samples, Samples | None]:
    own = work.models[model]
    stops = model in NETS
    if model == "xgboost":
        asked = own["early_stopping_rounds"] is not None
        stops = asked and len(train) >= own["early_stopping_min_rows"]
    return early_stopping_tail(train, work.early_stopping_fraction) if stops else (train, None)


def losses(y_N: IntArray, p_N: FloatArray, test: slice) -> tuple[float, float]:
    """Return the log-loss of all rows that were predicted (not NaN), and of the last block."""
    from selection.metrics import log_losses

    predicted_N = ~np.isnan(p_N)
    out_of_fold = log_losses(y_N[predicted_N], p_N[predicted_N]).mean()
    return float(out_of_fold), float(log_losses(y_N[test], p_N[test]).mean())


def base_rate(train: Samples) -> float:
    """Return the weighted share of wins."""
    return float(np.average(train.y_N, weights=train.weight_N))


def at_base_rate(log_odds_N: FloatArray, train: Samples, fitted_rate: float) -> FloatArray:
    """Return probabilities for the rows' true base rate from a fit at another one."""
    shift = _logit(base_rate(train)) - _logit(fitted_rate)
    p_N: FloatArray = 1 / (1 + np.exp(-(log_odds_N + shift)))
    return p_N


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))
