"""Simulated symbols whose truth is known: kinds of noise, and signals of a stated strength.

Axes: N rows in time order, F features, T bars.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from benchmarks.honesty import signals, walks
from benchmarks.honesty.columns import NAMES, autoregressive, feature_columns
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray
from market.event_table import EventTable
from market.samples import IntArray, uniqueness

START = np.datetime64("2020-01-01", "us")
BAR = np.timedelta64(3_600_000_000, "us")
# Rows between the last one trained on and the first fresh one, at most: its label must have ended.
MOST_BETWEEN = walks.MAX_BARS + 1

# Labels apart: each ends before the next row begins.
LENGTH_APART = (1, 9)
PAUSE = (1, 5)
# Labels that overlap: about 4.5 are open at any time.
LENGTH_OVERLAPPING = (18, 37)
STEP_OVERLAPPING = (2, 11)
# The drifting base rate forgets itself in a hundred rows.
DRIFT_PHI = 0.99
DRIFT_RANGE = (0.4, 0.6)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Consecutive rows of one symbol and the truth behind their labels.

    Attributes
    ----------
    x_NF : float64 array, shape (n_rows, 57)
        Known at the decision time.
    y_N : int64 array, shape (n_rows,)
    p_N : float64 array, shape (n_rows,)
        True probability of winning, given the features and everything before the decision.
    start_bar_N, end_bar_N : int64 arrays, shape (n_rows,)
        Bars at whose close the trade is decided on, and its label known.
    """

    x_NF: FloatArray
    y_N: IntArray
    p_N: FloatArray
    start_bar_N: IndexArray
    end_bar_N: IndexArray


@dataclass(frozen=True, slots=True)
class SimulatedSymbol:
    """One symbol: rows to train on, and fresh ones of the same world, later than all their labels.

    Attributes
    ----------
    drawn : Drawn
    n_rows : int
        The first so many rows are trained on.
    fresh : slice
        Rows whose decision lies at or after the end of every label that is trained on.
    """

    drawn: Drawn
    n_rows: int
    fresh: slice

    @property
    def t0_N(self) -> TimeArray:
        """Decision times of all rows, UTC."""
        return START + self.drawn.start_bar_N * BAR

    @property
    def t1_N(self) -> TimeArray:
        """Times at which the labels of all rows were known, UTC."""
        return START + self.drawn.end_bar_N * BAR

    @property
    def bayes_accuracy(self) -> float:
        """Accuracy that is attainable on the fresh rows."""
        return signals.attainable_accuracy(self.drawn.p_N[self.fresh])

    def table(self, symbol: str) -> pl.DataFrame:
        """Return the rows to train on as ``data=table`` reads them, weighted by uniqueness."""
        rows = slice(self.n_rows)
        drawn = self.drawn
        spans = drawn.start_bar_N[rows].astype(float), drawn.end_bar_N[rows].astype(float)
        return EventTable(
            symbol=symbol,
            t0_N=self.t0_N[rows],
            x_NF=drawn.x_NF[rows],
            names_F=NAMES,
            label_N=drawn.y_N[rows].astype(np.int8),
            t1_N=self.t1_N[rows],
            weight_N=uniqueness(*spans),
            timed_out_N=None,
        ).to_frame()


World = Callable[[np.random.Generator, int], Drawn]


def simulated(
    world: str, rng: np.random.Generator, n_rows: int, n_fresh: int = 4000
) -> SimulatedSymbol:
    """Draw one symbol of a world.

    Parameters
    ----------
    world : str
        A key of ``WORLDS``.
    rng : numpy.random.Generator
    n_rows, n_fresh : int
        Rows to train on, and later ones to hold a model against the truth.
    """
    drawn = WORLDS[world](rng, n_rows + MOST_BETWEEN + n_fresh)
    first = int(np.searchsorted(drawn.start_bar_N, drawn.end_bar_N[:n_rows].max()))
    return SimulatedSymbol(drawn, n_rows, slice(first, first + n_fresh))


def fair_coin(rng: np.random.Generator, n_rows: int, *, base_rate: float) -> Drawn:
    """Draw labels that win at a constant rate, each ended before the next row begins."""
    return _decided(
        rng, feature_columns(rng, n_rows), np.full(n_rows, base_rate), *_apart(rng, n_rows)
    )


def drifting(rng: np.random.Generator, n_rows: int) -> Drawn:
    """Draw labels whose base rate wanders from 0.4 to 0.6, beside persistent features.

    No feature knows the rate, yet over a few hundred rows some will have risen and fallen with it.
    """
    from scipy.special import ndtr

    low, high = DRIFT_RANGE
    latent_N = autoregressive(rng, n_rows, np.array([DRIFT_PHI]))[:, 0]
    x_NF = feature_columns(rng, n_rows, all_persistent=True)
    return _decided(rng, x_NF, low + (high - low) * ndtr(latent_N), *_apart(rng, n_rows))


def walk(
    rng: np.random.Generator, n_rows: int, *, step_bars: tuple[int, int], two_sided: bool
) -> Drawn:
    """Draw triple-barrier labels of a driftless random walk, beside indicators of its past.

    Whatever the past, both barriers are equally likely to be reached first: p is 0.5.

    Parameters
    ----------
    step_bars : (int, int)
        Bars from one row to the next: at least, and less than.
    two_sided : bool
        Trade in the direction of the moving averages, as ``events=every_bar`` does of a market;
        else always long.
    """
    bar_N = walks.WARM_UP_BARS + np.cumsum(rng.integers(*step_bars, n_rows))
    close_T = walks.random_walk(rng, int(bar_N[-1]) + walks.MAX_BARS + 1)
    barrier_N = walks.BARRIER * walks.mean_move(close_T)[bar_N]
    up_N, end_bar_N = walks.outcomes(close_T, bar_N, barrier_N)
    x_NF = walks.walk_features(rng, close_T, bar_N)
    long_N = x_NF[:, walks.TREND_COLUMN] == 1 if two_sided else np.ones(n_rows, dtype=bool)
    y_N = np.where(long_N, up_N, 1 - up_N)
    return Drawn(x_NF, y_N, np.full(n_rows, 0.5), bar_N, end_bar_N)


def signal(rng: np.random.Generator, n_rows: int, *, bayes_accuracy: float) -> Drawn:
    """Draw labels that depend on eight features (see `signals`), each on its own coin."""
    x_NF = feature_columns(rng, n_rows)
    score_N = signals.score(rng, x_NF)
    p_N = signals.win_probability(score_N, bayes_accuracy=bayes_accuracy, link="logit")
    return _decided(rng, x_NF, p_N, *_apart(rng, n_rows))


def signal_overlapping(rng: np.random.Generator, n_rows: int, *, bayes_accuracy: float) -> Drawn:
    """Draw labels that depend on eight features and share their luck with their neighbours.

    A trade wins where its score and the bars of its span add up to more than 0. The bars' sum is
    scaled to unit variance whatever the span, so that each label by itself is a probit of its
    score; two labels share the luck of the bars they share.
    """
    x_NF = feature_columns(rng, n_rows)
    score_N = signals.score(rng, x_NF)
    p_N = signals.win_probability(score_N, bayes_accuracy=bayes_accuracy, link="probit")
    start_N = np.cumsum(rng.integers(*STEP_OVERLAPPING, n_rows))
    end_N = start_N + rng.integers(*LENGTH_OVERLAPPING, n_rows)
    luck_T = np.cumsum(rng.standard_normal(int(end_N.max()) + 1))
    luck_N = (luck_T[end_N] - luck_T[start_N]) / np.sqrt(end_N - start_N)
    strength_N = signals.scale(bayes_accuracy, "probit") * score_N
    return Drawn(x_NF, (strength_N + luck_N > 0).astype(np.int64), p_N, start_N, end_N)


def _decided(
    rng: np.random.Generator,
    x_NF: FloatArray,
    p_N: FloatArray,
    start_bar_N: IndexArray,
    end_bar_N: IndexArray,
) -> Drawn:
    y_N = (rng.random(len(p_N)) < p_N).astype(np.int64)
    return Drawn(x_NF, y_N, p_N, start_bar_N, end_bar_N)


def _apart(rng: np.random.Generator, n_rows: int) -> tuple[IndexArray, IndexArray]:
    """Draw spans that do not touch."""
    length_N = rng.integers(*LENGTH_APART, n_rows)
    end_N = np.cumsum(length_N + rng.integers(*PAUSE, n_rows))
    return end_N - length_N, end_N


WORLDS: dict[str, World] = {
    "balanced": partial(fair_coin, base_rate=0.5),
    "base_rate_60": partial(fair_coin, base_rate=0.6),
    "overlapping": partial(walk, step_bars=STEP_OVERLAPPING, two_sided=False),
    "every_bar": partial(walk, step_bars=(1, 2), two_sided=False),
    "drifting": drifting,
    "overlapping_two_sided": partial(walk, step_bars=STEP_OVERLAPPING, two_sided=True),
    "every_bar_two_sided": partial(walk, step_bars=(1, 2), two_sided=True),
    "signal_68": partial(signal, bayes_accuracy=0.68),
    "signal_68_overlap": partial(signal_overlapping, bayes_accuracy=0.68),
    "signal_60": partial(signal, bayes_accuracy=0.60),
}
