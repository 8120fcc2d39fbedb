"""Which map from log-odds to probability the rows out of fold speak for, and its answers.

A probability is worth acting on when trades of that probability win that often. Nothing here is
learnt from what lies after the row that it is used on.

Axes: N rows out of fold in time order; 2 columns, log-odds and a constant; 4 rows made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.calibration import Calibration, Kind
from selection.evidence import LEAST_EFFECTIVE_ROWS, paired_gain
from selection.metrics import classification_metrics
from selection.overlap import Overlaps

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.datetime64]

SIMPLEST_FIRST: tuple[Kind, ...] = ("none", "platt", "isotonic")
# The more freely a map bends, the more rows it takes before it does more good than harm.
LEAST_ROWS: Mapping[Kind, int] = {"none": 0, "platt": 50, "isotonic": 200}
# The same in labels that share nothing, which is what rows with overlapping labels amount to.
LEAST_EFFECTIVE_ROWS_FITTED: Mapping[Kind, int] = {"none": 0, "platt": 20, "isotonic": 100}


@dataclass(frozen=True, slots=True)
class Judged:
    """What one kind of calibration, fitted on earlier blocks, cost on the rows after them.

    Attributes
    ----------
    rows : int
        Kinds that need more rows before them are judged on fewer.
    log_loss : float
        Nats per row.
    log_loss_of_none : float
        Of the uncalibrated probabilities on the same rows.
    """

    rows: int
    log_loss: float
    log_loss_of_none: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Out-of-fold probabilities, each calibrated by what was known before its block.

    Attributes
    ----------
    p_N : float64 array
        Probability of winning.
    final : Calibration
        For whatever comes after these rows: chosen and fitted on all of them.
    kind_by_block : dict
        By block number, the kind behind ``p_N``.
    judged : dict
        By kind; None where no block had enough rows before it.
    """

    p_N: FloatArray
    final: Calibration
    kind_by_block: dict[int, Kind]
    judged: dict[Kind, Judged | None]


@dataclass(frozen=True, slots=True)
class _Rows:
    log_odds_N: FloatArray
    y_N: IntArray
    weight_N: FloatArray
    block_N: IntArray
    t0_N: TimeArray
    t1_N: TimeArray

    def __post_init__(self) -> None:
        _check_rows(self.log_odds_N, self.y_N, self.weight_N)
        if not len(self.log_odds_N) == len(self.block_N) == len(self.t0_N) == len(self.t1_N):
            raise ValueError(
                f"{len(self.log_odds_N)} log-odds, {len(self.block_N)} blocks, {len(self.t0_N)} "
                f"and {len(self.t1_N)} times: expected one of each per row"
            )
        if (np.diff(self.block_N) < 0).any():
            raise ValueError("block numbers must not decrease: rows must be in time order")

    def known_at(self, first: int) -> IntArray:
        """Return the earlier blocks' rows whose label had ended when row ``first`` was decided."""
        earlier_N = self.block_N < self.block_N[first]
        return np.flatnonzero(earlier_N & (self.t1_N <= self.t0_N[first]))

    def overlaps(self, rows: IntArray) -> Overlaps:
        return Overlaps(self.t0_N[rows], self.t1_N[rows])

    def fitted(self, kind: Kind, rows: IntArray) -> Calibration:
        return fitted(kind, self.log_odds_N[rows], self.y_N[rows], self.weight_N[rows])


def walk_forward_calibration(
    log_odds_N: FloatArray,
    y_N: IntArray,
    weight_N: FloatArray,
    block_N: IntArray,
    t0_N: TimeArray,
    t1_N: TimeArray,
) -> Calibrated:
    """Calibrate each block by what the blocks before it taught, and what follows by all of them.

    Both what is fitted and which kind is chosen rest on rows of earlier blocks whose label had
    ended at the block's first decision. A kind takes a simpler one's place where, on rows after
    those it was fitted on, its log-loss is lower by more than one standard error of the paired
    difference, which allows for labels that overlap.

    Parameters
    ----------
    log_odds_N : float64 array, shape (n_rows,)
        Of winning, out of fold: corrected for the base rate, not calibrated.
    y_N : int64 array, shape (n_rows,)
        1 where the trade won, else 0.
    weight_N : float64 array, shape (n_rows,)
        Of each row in a fit, positive; only their ratios count.
    block_N : int64 array, shape (n_rows,)
        Number of the block that each row was predicted in, never decreasing.
    t0_N, t1_N : datetime64 arrays, shape (n_rows,)
        Decision times, increasing, and when each label was known.

    Returns
    -------
    Calibrated

    Raises
    ------
    ValueError
        If lengths differ, rows are not in time order, a log-odds is not finite, a label is not 0
        or 1 or a weight is not positive.
    """
    rows = _Rows(log_odds_N, y_N, weight_N, block_N, t0_N, t1_N)
    p_by_kind = {kind: np.full(len(y_N), np.nan) for kind in SIMPLEST_FIRST}
    p_N = np.full(len(y_N), np.nan)
    kind_by_block: dict[int, Kind] = {}
    for block, first in zip(*np.unique(block_N, return_index=True), strict=True):
        known, now_N = rows.known_at(first), block_N == block
        chosen = _choice(p_by_kind, rows, known)
        offered = _offered(rows, known)
        for kind, calibration in offered.items():
            p_by_kind[kind][now_N] = calibration(log_odds_N[now_N])
        used = chosen if chosen in offered else SIMPLEST_FIRST[0]
        p_N[now_N] = p_by_kind[used][now_N]
        kind_by_block[int(block)] = used
    everything = np.arange(len(y_N))
    final = rows.fitted(_choice(p_by_kind, rows, everything), everything)
    judged = {kind: _judged(y_N, p_by_kind, kind) for kind in SIMPLEST_FIRST}
    return Calibrated(p_N, final, kind_by_block, judged)


def fitted(
    kind: Kind,
    log_odds_N: FloatArray,
    y_N: IntArray,
    weight_N: FloatArray,
    *,
    least_rows: Mapping[Kind, int] = LEAST_ROWS,
) -> Calibration:
    """Fit one kind of calibration.

    Parameters
    ----------
    kind : str
        ``none``, ``platt`` or ``isotonic``.
    log_odds_N, y_N, weight_N
        As `walk_forward_calibration`.
    least_rows : mapping
        By kind, how many rows it takes. A part of the rows, fitted to judge the rest, may be
        smaller than what is fitted for use.

    Returns
    -------
    Calibration
        Of kind ``none`` where the rows are too few for the kind or hold one class only.

    Raises
    ------
    ValueError
        As `walk_forward_calibration`.
    """
    _check_rows(log_odds_N, y_N, weight_N)
    if kind == "none" or len(y_N) < least_rows[kind] or len(np.unique(y_N)) < 2:
        return Calibration.none()
    weight_N = weight_N / weight_N.mean()
    return (_platt if kind == "platt" else _isotonic)(log_odds_N, y_N, weight_N)


def break_even(profit_atr: float, stop_atr: float, cost_atr: float) -> float:
    """Return the probability of winning from which a trade pays on average.

    Parameters
    ----------
    profit_atr, stop_atr, cost_atr : float
        Distances of target and stop and the cost of one round trip, in ATR.

    Returns
    -------
    float
        In (0, 1): where a win of profit less cost makes up for losses of stop plus cost.

    Raises
    ------
    ValueError
        If a distance is not positive, the cost is negative, or it leaves nothing of the target.
    """
    if not (profit_atr > 0 and stop_atr > 0 and cost_atr >= 0):
        raise ValueError(
            "profit_atr and stop_atr must be above 0 and cost_atr at least 0, "
            f"were {profit_atr}, {stop_atr} and {cost_atr}"
        )
    p = (stop_atr + cost_atr) / (profit_atr + stop_atr)
    if not 0 < p < 1:
        raise ValueError(
            f"costs of {cost_atr} ATR reach or exceed the target of {profit_atr} ATR: no trade can "
            "pay; give a wider target or lower costs"
        )
    return p


def _offered(rows: _Rows, known: IntArray) -> dict[Kind, Calibration]:
    """Return the kinds that the known rows are enough for, fitted on them."""
    effective = rows.overlaps(known).effective_rows if len(known) else 0.0
    kinds = [kind for kind in SIMPLEST_FIRST if effective >= LEAST_EFFECTIVE_ROWS_FITTED[kind]]
    made = {kind: rows.fitted(kind, known) for kind in kinds}
    return {kind: calibration for kind, calibration in made.items() if calibration.kind == kind}


def _choice(p_by_kind: Mapping[Kind, FloatArray], rows: _Rows, known: IntArray) -> Kind:
    """Return the simplest kind that none beats on the known rows by one standard error."""
    chosen = SIMPLEST_FIRST[0]
    for kind in SIMPLEST_FIRST[1:]:
        both = known[~np.isnan(p_by_kind[kind][known])]
        if not len(both):
            continue
        overlaps = rows.overlaps(both)
        if overlaps.effective_rows < LEAST_EFFECTIVE_ROWS:
            continue
        ahead_N, behind_N = p_by_kind[kind][both], p_by_kind[chosen][both]
        gain, error = paired_gain(rows.y_N[both], ahead_N, behind_N, overlaps)
        if gain > error:
            chosen = kind
    return chosen


def _judged(y_N: IntArray, p_by_kind: Mapping[Kind, FloatArray], kind: Kind) -> Judged | None:
    on_N = ~np.isnan(p_by_kind[kind])
    if not on_N.any():
        return None
    own, none = (
        classification_metrics(y_N[on_N], p_by_kind[one][on_N])["log_loss"]
        for one in (kind, "none")
    )
    return Judged(int(on_N.sum()), own, none)


def _platt(x_N: FloatArray, y_N: IntArray, weight_N: FloatArray) -> Calibration:
    """Fit a sigmoid to smoothed targets (Platt 1999, section 2.2); its slope is never negative."""
    wins, losses = (float(weight_N[y_N == label].sum()) for label in (1, 0))
    target_N = np.where(y_N == 1, (wins + 1) / (wins + 2), 1 / (losses + 2))
    rate = float(np.average(target_N, weights=weight_N))
    constant = float(np.log(rate) - np.log1p(-rate))
    mean = float(np.average(x_N, weights=weight_N))
    scale = float(np.sqrt(np.average((x_N - mean) ** 2, weights=weight_N)))
    if scale <= 1e-9 * max(1.0, abs(mean)):
        return Calibration.platt(0.0, constant)
    slope, intercept = _logistic((x_N - mean) / scale, target_N, weight_N, constant)
    if slope <= 0:
        return Calibration.platt(0.0, constant)
    return Calibration.platt(slope / scale, intercept - slope * mean / scale)


def _logistic(
    z_N: FloatArray, target_N: FloatArray, weight_N: FloatArray, constant: float
) -> tuple[float, float]:
    """Return slope and intercept of the likeliest sigmoid, by Newton steps that never go uphill.

    Lin, Lin and Weng, A Note on Platt's Probabilistic Outputs for Support Vector Machines, Machine
    Learning 68 (2007), section 2.
    """
    z_N2 = np.column_stack([z_N, np.ones_like(z_N)])

    def cost(b_2: FloatArray) -> float:
        s_N = z_N2 @ b_2
        return float(weight_N @ (np.logaddexp(0.0, s_N) - target_N * s_N))

    b_2 = np.array([0.0, constant])
    for _ in range(100):
        p_N = 0.5 + 0.5 * np.tanh(0.5 * (z_N2 @ b_2))
        gradient_2 = z_N2.T @ (weight_N * (p_N - target_N))
        if np.abs(gradient_2).max() <= 1e-10 * len(z_N):
            break
        curvature_22 = (z_N2.T * (weight_N * p_N * (1 - p_N))) @ z_N2
        step_2 = np.linalg.solve(curvature_22 + 1e-12 * np.eye(2), gradient_2)
        while cost(b_2 - step_2) > cost(b_2) and np.abs(step_2).max() > 1e-12:
            step_2 = step_2 / 2
        b_2 = b_2 - step_2
    return float(b_2[0]), float(b_2[1])


def _isotonic(x_N: FloatArray, y_N: IntArray, weight_N: FloatArray) -> Calibration:
    """Fit a function that never decreases, by pooling adjacent violators.

    A win and a loss made up at either end keep the outermost steps off 0 and 1, by as much as
    Laplace's rule of succession: what always won in five rows is not certain to win the sixth.
    """
    from sklearn.isotonic import IsotonicRegression

    low, high = x_N.min(), x_N.max()
    steps = IsotonicRegression(out_of_bounds="clip").fit(
        np.append(x_N, [low, low, high, high]),
        np.append(y_N, [0, 1, 0, 1]),
        sample_weight=np.append(weight_N, np.ones(4)),
    )
    return Calibration.isotonic(steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist())


def _check_rows(log_odds_N: FloatArray, y_N: IntArray, weight_N: FloatArray) -> None:
    if not log_odds_N.shape == y_N.shape == weight_N.shape or log_odds_N.ndim != 1:
        raise ValueError(
            "log-odds, labels and weights must be three equally long rows, were "
            f"{log_odds_N.shape}, {y_N.shape} and {weight_N.shape}"
        )
    for good_N, value_N, rule in (
        (np.isfinite(log_odds_N), log_odds_N, "log-odds must be finite"),
        (np.isin(y_N, (0, 1)), y_N, "label must be 0 or 1"),
        (np.isfinite(weight_N) & (weight_N > 0), weight_N, "weight must be positive"),
    ):
        if not good_N.all():
            row = int(np.argmin(good_N))
            raise ValueError(f"row {row}: {rule}, was {value_N[row]}")
