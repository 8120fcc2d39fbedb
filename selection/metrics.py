"""Scores of binary predictions, on NumPy alone.

Axes: N rows, B rows of one bin. y_N holds labels 0 or 1, p_N the predicted probability of class 1.
"""

import math
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Probabilities are moved this far from 0 and 1 before a logarithm is taken, so that one row can
# cost 13.8 nats at most; models and the no-skill constant are treated alike.
PROBABILITY_FLOOR = 1e-6


def log_odds(p_N: FloatArray, floor: float = PROBABILITY_FLOOR) -> FloatArray:
    """Return log(p / (1 - p)), of probabilities that are kept ``floor`` away from 0 and 1."""
    p_N = np.clip(p_N, floor, 1 - floor)
    odds_N: FloatArray = np.log(p_N) - np.log1p(-p_N)
    return odds_N


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Return the bounds of a share seen in n independent rows, z standard errors either side.

    Wilson, Journal of the American Statistical Association 22, 1927.
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


class ClassificationMetrics(TypedDict):
    """What `classification_metrics` returns."""

    accuracy: float
    precision: float
    recall: float
    f1_score: float
    confusion_matrix: list[list[int]]
    log_loss: float
    roc_auc: float | None
    brier: float
    n: int


class NoSkillMetrics(TypedDict):
    """What `no_skill_metrics` returns."""

    accuracy: float
    log_loss: float


class Expectancy(TypedDict):
    """What `expectancy_r` returns."""

    trades: int
    share_taken: float
    expectancy_r: float | None
    total_r: float


class ReliabilityBin(TypedDict):
    """One bin of `reliability_bins`."""

    mean_probability: float
    win_rate: float
    n: int


def classification_metrics(
    y_N: npt.ArrayLike, p_N: npt.ArrayLike, threshold: float = 0.5
) -> ClassificationMetrics:
    """Score predicted probabilities against labels.

    Parameters
    ----------
    y_N : array of shape (n_rows,)
        Labels, 0 or 1.
    p_N : array of shape (n_rows,)
        Probability of class 1, in [0, 1].
    threshold : float
        Class 1 is predicted where ``p >= threshold``.

    Returns
    -------
    ClassificationMetrics
        ``precision``, ``recall`` and ``f1_score`` are those of class 1, and 0 where undefined;
        ``confusion_matrix`` is [[tn, fp], [fn, tp]]; ``log_loss`` is in nats per row, with
        probabilities clipped to [1e-6, 1 - 1e-6]; ``roc_auc`` counts ties half and is None where
        only one class is present; ``brier`` is the mean squared error of the probability.

    Raises
    ------
    ValueError
        If there is no row, lengths differ, a label is not 0 or 1 or a probability not in [0, 1].
    """
    positive_N, p_N = _checked(y_N, p_N)
    predicted_N = p_N >= threshold
    tp = int(np.sum(predicted_N & positive_N))
    fp = int(np.sum(predicted_N & ~positive_N))
    fn = int(np.sum(~predicted_N & positive_N))
    tn = len(p_N) - tp - fp - fn
    return {
        "accuracy": (tp + tn) / len(p_N),
        "precision": tp / max(tp + fp, 1),
        "recall": tp / max(tp + fn, 1),
        "f1_score": 2 * tp / max(2 * tp + fp + fn, 1),
        "confusion_matrix": [[tn, fp], [fn, tp]],
        "log_loss": _log_loss(positive_N, p_N),
        "roc_auc": _roc_auc(positive_N, p_N),
        "brier": float(np.mean((p_N - positive_N) ** 2)),
        "n": len(p_N),
    }


def no_skill_metrics(y_N: npt.ArrayLike, base_rate: npt.ArrayLike) -> NoSkillMetrics:
    """Score always answering with the share of class 1 among the training rows.

    Parameters
    ----------
    y_N : array of shape (n_rows,)
        Labels to be predicted, 0 or 1.
    base_rate : float or array of shape (n_rows,)
        Share of class 1 in the training rows (behind each row), in [0, 1]; from 0.5 on, class 1 is
        the answer.

    Returns
    -------
    NoSkillMetrics
        What a model must beat: ``accuracy``, and ``log_loss`` in nats per row.

    Raises
    ------
    ValueError
        As `classification_metrics`.
    """
    y_N = np.asarray(y_N)
    positive_N, p_N = _checked(y_N, np.broadcast_to(base_rate, y_N.shape))
    accuracy = float(np.mean(positive_N == (p_N >= 0.5)))
    return {"accuracy": accuracy, "log_loss": _log_loss(positive_N, p_N)}


def reliability_bins(
    y_N: npt.ArrayLike, p_N: npt.ArrayLike, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Compare predicted probabilities with what happened, in bins of about equally many rows.

    Parameters
    ----------
    y_N : array of shape (n_rows,)
        Labels, 0 or 1.
    p_N : array of shape (n_rows,)
        Probability of class 1, in [0, 1].
    n_bins : int
        Most bins there can be, at least 1. Equal probabilities share a bin, so there may be fewer.

    Returns
    -------
    list of ReliabilityBin
        Smallest probabilities first; every row is in one bin, no bin is empty.

    Raises
    ------
    ValueError
        As `classification_metrics`, and if `n_bins` is below 1.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, was {n_bins}")
    positive_N, p_N = _checked(y_N, p_N)
    order_N = np.argsort(p_N, kind="stable")
    positive_N, p_N = positive_N[order_N], p_N[order_N]
    # The bin of the first row with the same probability.
    bin_N = np.searchsorted(p_N, p_N, side="left") * n_bins // len(p_N)
    starts = np.flatnonzero(np.diff(bin_N, prepend=-1))
    return [
        {"mean_probability": float(p_B.mean()), "win_rate": float(won_B.mean()), "n": len(p_B)}
        for p_B, won_B in zip(
            np.split(p_N, starts[1:]), np.split(positive_N, starts[1:]), strict=True
        )
    ]


def expected_calibration_error(y_N: npt.ArrayLike, p_N: npt.ArrayLike, n_bins: int = 10) -> float:
    """Return how far win rates lie from probabilities: mean distance over bins, by their rows.

    Naeini, Cooper and Hauskrecht, AAAI (2015), with the bins of `reliability_bins`. It is never 0:
    of few rows even exact probabilities lie some way off, about 0.8 * sqrt(p (1 - p) * n_bins / N).

    Raises
    ------
    ValueError
        As `reliability_bins`.
    """
    bins = reliability_bins(y_N, p_N, n_bins)
    apart = [one["n"] * abs(one["win_rate"] - one["mean_probability"]) for one in bins]
    return float(sum(apart) / sum(one["n"] for one in bins))


def expectancy_r(
    y_N: npt.ArrayLike,
    p_N: npt.ArrayLike,
    threshold: float,
    profit_atr: float,
    stop_atr: float,
    cost_atr: float,
) -> Expectancy:
    """Return what the trades taken earn on average, in units of the risk R (the stop's distance).

    A trade is taken where ``p >= threshold``. A win pays profit / stop, a loss costs 1, every
    trade pays its cost / stop. Trades closed by time count as if they had reached a barrier.

    Parameters
    ----------
    y_N : array of shape (n_rows,)
        1 where the trade wins, else 0.
    p_N : array of shape (n_rows,)
        Predicted probability of a win, in [0, 1].
    threshold : float
        Smallest probability that is traded.
    profit_atr, stop_atr, cost_atr : float
        Distances of target and stop and the cost of one round trip, in ATR.

    Returns
    -------
    Expectancy
        ``expectancy_r`` is None where no trade is taken, ``total_r`` then 0.

    Raises
    ------
    ValueError
        As `classification_metrics`, and if a distance is not positive or a cost is negative.
    """
    if not (profit_atr > 0 and stop_atr > 0 and cost_atr >= 0):
        raise ValueError(
            "profit_atr and stop_atr must be above 0 and cost_atr at least 0, "
            f"were {profit_atr}, {stop_atr} and {cost_atr}"
        )
    positive_N, p_N = _checked(y_N, p_N)
    won = positive_N[p_N >= threshold]
    trades, wins = len(won), int(won.sum())
    total = (wins * profit_atr - (trades - wins) * stop_atr - trades * cost_atr) / stop_atr
    return {
        "trades": trades,
        "share_taken": trades / len(p_N),
        "expectancy_r": total / trades if trades else None,
        "total_r": total,
    }


def log_losses(y_N: npt.ArrayLike, p_N: npt.ArrayLike) -> FloatArray:
    """Return each row's log-loss in nats, probabilities clipped as in `classification_metrics`.

    Raises
    ------
    ValueError
        As `classification_metrics`.
    """
    return _row_losses(*_checked(y_N, p_N))


def _checked(y_N: npt.ArrayLike, p_N: npt.ArrayLike) -> tuple[BoolArray, FloatArray]:
    y_N, p_N = np.asarray(y_N), np.asarray(p_N, dtype=np.float64)
    if y_N.ndim != 1 or y_N.shape != p_N.shape or len(y_N) == 0:
        raise ValueError(
            f"labels and probabilities must be two equally long rows, were {y_N.shape} and "
            f"{p_N.shape}"
        )
    _refuse(~np.isin(y_N, (0, 1)), y_N, "label must be 0 or 1")
    _refuse(~((p_N >= 0) & (p_N <= 1)), p_N, "probability must be in [0, 1]")
    return y_N == 1, p_N


def _refuse(bad_N: BoolArray, value_N: npt.NDArray[Any], rule: str) -> None:
    if bad_N.any():
        row = int(np.argmax(bad_N))
        raise ValueError(f"row {row}: {rule}, was {value_N[row]}")


def _log_loss(positive_N: BoolArray, p_N: FloatArray) -> float:
    return float(_row_losses(positive_N, p_N).mean())


def _row_losses(positive_N: BoolArray, p_N: FloatArray) -> FloatArray:
    p_N = np.clip(p_N, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    losses_N: FloatArray = -np.log(np.where(positive_N, p_N, 1 - p_N))
    return losses_N


def _roc_auc(positive_N: BoolArray, p_N: FloatArray) -> float | None:
    """Share of (positive, negative) pairs in the right order: Mann and Whitney (1947)."""
    negatives = np.sort(p_N[~positive_N])
    positives = p_N[positive_N]
    if len(negatives) == 0 or len(positives) == 0:
        return None
    below = np.searchsorted(negatives, positives, side="left")
    up_to = np.searchsorted(negatives, positives, side="right")
    return float(np.mean(below + up_to) / (2 * len(negatives)))
