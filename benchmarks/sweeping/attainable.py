"""Rows of the simulated market that no sweep has seen, and what a perfect forecaster says of them.

Axes: N rows, F features.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from market.build import find_events
from market.simulate import SimulatedMarket
from market.truth import win_probability
from models.base import Model
from pipelines.settings import TrainSettings

# What is attainable comes out too low by the variance of the truth's own error: with so many paths
# by a tenth of a millinat.
N_PATHS = 1000
# A chance from so many paths may be 0 or 1 by luck; none is so certain.
SUREST = 0.99
LEAST_P = 1e-6


@dataclass(frozen=True, slots=True)
class FreshRows:
    """Events later than all that a sweep was given.

    Attributes
    ----------
    x_NF : float64 array, shape (n_rows, n_features)
    before_NF : float64 array, shape (n_before, n_features)
        Rows before them, for models that look back.
    truth_N : float64 array, shape (n_rows,)
        True probability of winning.
    """

    x_NF: FloatArray
    before_NF: FloatArray
    truth_N: FloatArray

    def log_loss(self, model: Model) -> float:
        """Return the expected log-loss of a model's answers before calibration, nats per row."""
        log_odds_N = model.raw_log_odds(self.x_NF, self.before_NF)
        return expected_log_loss(self.truth_N, 1 / (1 + np.exp(-log_odds_N)))

    def constant_log_loss(self, p: float) -> float:
        """Return the expected log-loss of one and the same answer to all rows."""
        return expected_log_loss(self.truth_N, np.full(len(self.truth_N), p))

    @property
    def attainable_log_loss(self) -> float:
        """Expected log-loss of the true probabilities."""
        return expected_log_loss(self.truth_N, self.truth_N)


def expected_log_loss(truth_N: FloatArray, p_N: FloatArray) -> float:
    """Return the mean log-loss of answers over the outcomes that the truth makes likely.

    No luck of drawn labels is in it: it is precise on a few thousand rows.
    """
    p_N = np.clip(p_N, LEAST_P, 1 - LEAST_P)
    return float(-np.mean(truth_N * np.log(p_N) + (1 - truth_N) * np.log(1 - p_N)))


def fresh_rows(settings: TrainSettings, symbol: str, *, n_bars: int) -> FreshRows:
    """Return the events of the same market after its configured length, up to ``n_bars``.

    Parameters
    ----------
    settings : TrainSettings
        Of a simulated market; a longer one begins with the same bars.
    """
    source, labels = settings.source, settings.labels
    if not isinstance(source, SimulatedMarket):
        raise TypeError("only the simulated market goes on, and has a truth")
    longer = SimulatedMarket(n_bars=n_bars, edge=source.edge).simulate(symbol, settings.seed)
    found = find_events(
        longer.bars, features=settings.features, events=settings.events, labels=labels
    )
    first = int(np.searchsorted(found.bar_N, source.n_bars))
    truth_N = win_probability(
        longer,
        found.bar_N[first:],
        found.direction_N[first:],
        found.state.atr_T,
        profit_atr=labels.profit_atr,
        stop_atr=labels.stop_atr,
        max_bars=labels.max_bars,
        n_paths=N_PATHS,
        rng=np.random.default_rng(settings.seed),
    )
    x_NF = found.x_NF
    return FreshRows(x_NF[first:], x_NF[:first], np.clip(truth_N, 1 - SUREST, SUREST))
