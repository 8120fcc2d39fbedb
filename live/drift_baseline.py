"""What a manifest shows of a model before it was deployed, with how surely it is known.

Axes: N rows.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from scipy.special import expit, log_expit, logit
from scipy.stats import norm

from backtest.predictions import predicted
from live.drift_alarm import unshared
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray
from selection import DeployedModels
from selection.deployed_files import DeploymentError
from selection.evidence import CLIP, LEAST_EFFECTIVE_ROWS
from selection.metrics import log_odds, wilson
from selection.overlap import Overlaps
from selection.stored_predictions import PREDICTIONS, verified_predictions

Rows = Literal["holdout", "out_of_fold"]
_MOST_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class AccuracyBefore:
    """How often the model was right before it was deployed.

    Attributes
    ----------
    rows : str
        ``holdout``, which nothing had read, or ``out_of_fold``, which the selection had read: a
        model that was chosen by these rows looks better on them than it is.
    accuracy : float
    at_least : float
        Lower bound of what it may truly be.
    n : int
    effective : float
        Rows that share no time and would say as much.
    """

    rows: Rows
    accuracy: float
    at_least: float
    n: int
    effective: float


@dataclass(frozen=True, slots=True)
class SlopeBefore:
    """How far the model's probabilities could be believed out of fold, which selection had read.

    Attributes
    ----------
    slope : float
        Of the log-odds of winning on what the model's own say beyond those of the base rate: 1
        where they can be taken at their word, 0 where they tell nothing.
    at_least : float
        Lower bound of what it may truly be, at most 1.
    base_rate : float
        Share of rows that won.
    p_N : float64 array, shape (n_rows,)
        What the model said of them.
    share : float
        Of the rows, those in a chain that shares no time.
    """

    slope: float
    at_least: float
    base_rate: float
    p_N: FloatArray
    share: float


def accuracy_before(
    symbol: str, selection: Mapping[str, Any], *, confidence: float
) -> AccuracyBefore | str:
    """Return what a manifest says of a symbol's accuracy; a sentence where it says too little.

    Parameters
    ----------
    symbol : str
    selection : mapping
        Its entry in the manifest.
    confidence : float
        Chance that the true accuracy is at least the lower bound (Wilson, Journal of the American
        Statistical Association 22, 1927).
    """
    holdout = selection.get("holdout")
    opened = isinstance(holdout, Mapping) and holdout.get("accuracy") is not None
    rows: Rows = "holdout" if opened else "out_of_fold"
    found = selection.get(rows)
    if not isinstance(found, Mapping) or found.get("accuracy") is None:
        return "the manifest gives no accuracy out of fold or on a holdout; train again"
    n, accuracy = int(found["n"]), float(found["accuracy"])
    evidence = selection.get("evidence") or {}
    whole = n if opened else evidence.get("rows", n)
    effective = float((found if opened else evidence).get("effective_rows", n)) / max(whole, 1) * n
    if effective < LEAST_EFFECTIVE_ROWS:
        return f"its {rows.replace('_', ' ')} accuracy is of {n} rows, too few to hold it to"
    lower, _ = wilson(accuracy, effective, float(norm.ppf(confidence)))
    return AccuracyBefore(rows, accuracy, lower, n, effective)


def slope_before(deployed: DeployedModels, symbol: str, *, confidence: float) -> SlopeBefore | str:
    """Return how far a model could be believed out of fold; a sentence where that is not known.

    Raises
    ------
    DeploymentError
        If the predictions that the manifest names are not what it says.
    """
    selection = deployed.selection(symbol)
    if selection.get(PREDICTIONS) is None:
        return "the manifest names no predictions out of fold; train again"
    what = f"{symbol}: {selection[PREDICTIONS]['path']}"
    y_N, p_N, t0_N, t1_N = _rows(what, verified_predictions(deployed.folder, symbol, selection))
    if len(y_N) == 0 or not 0 < y_N.mean() < 1:
        return f"all of its {len(y_N)} outcomes out of fold are alike"
    base_rate = float(y_N.mean())
    fitted = fitted_slope(y_N, p_N, base_rate)
    effective = Overlaps(t0_N, t1_N).effective_rows
    if fitted is None or effective < LEAST_EFFECTIVE_ROWS:
        return f"its {len(y_N)} rows out of fold are too few, or its answers there all alike"
    slope, error = fitted
    error *= math.sqrt(len(y_N) / effective)
    at_least = min(slope - float(norm.ppf(confidence)) * error, 1.0)
    if at_least <= 0:
        return (
            f"its rows out of fold are too few to say that its probabilities tell anything (slope "
            f"{slope:.2f}, at least {at_least:.2f}): there is nothing that could be seen to go"
        )
    share = len(unshared(t0_N, t1_N)) / len(t0_N)
    return SlopeBefore(slope, at_least, base_rate, p_N, share)


def win_log_likelihood(y_N: IndexArray, z_N: FloatArray) -> FloatArray:
    """Return the log-likelihood of each outcome under these log-odds of winning."""
    found_N: FloatArray = log_expit(np.where(y_N == 1, z_N, -z_N))
    return found_N


def _rows(what: str, content: bytes) -> tuple[IndexArray, FloatArray, TimeArray, TimeArray]:
    """Return labels, probabilities, decision times and label ends of the rows that may be judged.

    Raises
    ------
    DeploymentError
        If the file holds something else.
    """
    import polars as pl

    known = predicted(what, content)
    frame = pl.read_parquet(io.BytesIO(content))
    if frame.schema.get("label") != pl.Int64 or "label_end" not in frame.columns:
        raise DeploymentError(f"{what} has no columns label and label_end; train again")
    y_N = frame["label"].to_numpy()
    t1_N = frame["label_end"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    judged_N = np.isfinite(known.p_N) & np.isin(y_N, (0, 1)) & ~np.isnat(t1_N)
    return y_N[judged_N], known.p_N[judged_N], known.t0_N[judged_N], t1_N[judged_N]


def fitted_slope(y_N: IndexArray, p_N: FloatArray, base_rate: float) -> tuple[float, float] | None:
    """Return the likeliest slope and its standard error, None where the answers do not differ."""
    score_N = log_odds(p_N, CLIP) - logit(base_rate)
    slope, information = 1.0, 0.0
    for _ in range(_MOST_STEPS):
        p_N = expit(logit(base_rate) + slope * score_N)
        information = float(np.sum(p_N * (1 - p_N) * score_N**2))
        if information <= 1e-9:
            return None
        step = float(np.sum((y_N - p_N) * score_N)) / information
        # Newton's step alone may run away where few rows say much.
        slope += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-10:
            break
    return slope, 1.0 / math.sqrt(information)
