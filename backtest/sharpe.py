"""How good the returns of an account are, and how much of that may be luck.

Axes: D days, B resamples, T steps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtest.estimates import Estimate

FEWEST_DAYS: Final = 30
FEWEST_DAYS_FOR_INTERVALS: Final = 60
# A trading week and a bit: what volatility and open positions carry from day to day.
MEAN_BLOCK_DAYS: Final = 10
_YEAR_DAYS = 365.25
_EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()
_ROWS_AT_ONCE = 250

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityStatistics:
    """The account over time.

    Attributes
    ----------
    n_days, days_per_year
        Days with bars, and how many a year that makes: what annualises the Sharpe ratio.
    total_return
        Of the account, as a share.
    sharpe
        Of daily returns, annualised; no interest is taken off.
    skew, kurtosis
        Of daily returns; 3 is the normal distribution's kurtosis.
    probabilistic_sharpe
        Probability that the true Sharpe ratio is above 0 (Bailey and Lopez de Prado 2012).
    deflated_sharpe
        Probability that it is above what the best of `n_trials` worthless configurations shows
        by luck (Bailey and Lopez de Prado 2014).
    max_drawdown
        Deepest fall from a high, as a share, at the close of any step.
    drawdown_paths
        Of the daily returns put together anew: median, and the range of the middle of all paths.
    longest_drawdown_days
        Longest time from a high to the next (or to the end), in calendar days.
    exposure
        Share of steps with an open position.
    mean_open_risk, max_open_risk
        Shares of equity at risk, over all steps.
    """

    n_days: int
    days_per_year: float | None
    total_return: float | None
    sharpe: Estimate
    skew: float | None
    kurtosis: float | None
    probabilistic_sharpe: Estimate
    deflated_sharpe: Estimate
    n_trials: int
    max_drawdown: float | None
    drawdown_paths: Estimate
    longest_drawdown_days: float | None
    exposure: float | None
    mean_open_risk: float | None
    max_open_risk: float | None


@dataclass(frozen=True, slots=True)
class Returns:
    """Returns of an account from day to day, as shares; `lack` says why they cannot be judged."""

    return_D: FloatArray
    days_per_year: float
    lack: str


def equity_statistics(
    equity: pl.DataFrame, *, n_trials: int, n_resamples: int, confidence: float, seed: int
) -> EquityStatistics:
    """Judge an account by the equity of its steps (`backtest.replayed.EQUITY`)."""
    returns = daily_returns(equity)
    moments = None if returns.lack else _moments(returns.return_D)
    sharpe, drawdowns = _resampled(
        returns, n_resamples=n_resamples, confidence=confidence, seed=seed
    )
    some = equity.height > 0
    return EquityStatistics(
        n_days=len(returns.return_D),
        days_per_year=returns.days_per_year if some else None,
        total_return=equity["equity"][-1] / equity["equity"][0] - 1 if some else None,
        sharpe=sharpe,
        skew=moments and moments[0],
        kurtosis=moments and moments[1],
        probabilistic_sharpe=_probability(returns, 1),
        deflated_sharpe=_probability(returns, n_trials),
        n_trials=n_trials,
        max_drawdown=equity["drawdown"].max() if some else None,  # type: ignore[arg-type]
        drawdown_paths=drawdowns,
        longest_drawdown_days=_longest_drawdown_days(equity) if some else None,
        exposure=_mean(equity["open_positions"] > 0),
        mean_open_risk=_mean(equity["open_risk"]),
        max_open_risk=equity["open_risk"].max() if some else None,  # type: ignore[arg-type]
    )


def daily_returns(equity: pl.DataFrame) -> Returns:
    """Return the changes of equity from the last step of a UTC day to that of the next.

    The first day counts from its first step, if it has others. Days without a bar are no days.
    """
    if not equity.height:
        return Returns(np.empty(0), 0.0, "no bars")
    by_day = equity.group_by(pl.col("time").dt.date().alias("day"), maintain_order=True)
    days = by_day.agg(pl.col("equity").last(), n_steps=pl.len())
    level_D = days["equity"].to_numpy()
    if days["n_steps"][0] > 1:
        level_D = np.concatenate((equity["equity"].head(1).to_numpy(), level_D))
    span_days = (days["day"][-1] - days["day"][0]).days + 1
    per_year = days.height / span_days * _YEAR_DAYS
    if (level_D <= 0).any():
        return Returns(np.zeros(len(level_D) - 1), per_year, "the account was lost")
    return_D = level_D[1:] / level_D[:-1] - 1
    return Returns(return_D, per_year, _lacking(return_D))


def _lacking(return_D: FloatArray) -> str:
    if len(return_D) < FEWEST_DAYS:
        return f"too few days: {len(return_D)}, needed {FEWEST_DAYS}"
    n_moved = int((np.abs(return_D) > 1e-12).sum())
    if n_moved < FEWEST_DAYS:
        return f"too few days on which the equity moved: {n_moved}, needed {FEWEST_DAYS}"
    return "" if return_D.std() > 1e-12 else "the equity's daily return never changed"


def sharpe_ratio(return_D: FloatArray) -> float:
    """Return mean / standard deviation of daily returns, not annualised."""
    return float(return_D.mean() / return_D.std(ddof=1))


def _moments(return_D: FloatArray) -> tuple[float, float]:
    z_D = (return_D - return_D.mean()) / return_D.std()
    return float((z_D**3).mean()), float((z_D**4).mean())


def probabilistic_sharpe(
    sharpe: float, benchmark: float, n: int, *, skew: float, kurtosis: float
) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark.

    Bailey and Lopez de Prado (2012), "The Sharpe ratio efficient frontier". Both ratios are per
    period, of `n` returns; the normal distribution's kurtosis is 3.
    """
    error = _standard_error(sharpe, n, skew=skew, kurtosis=kurtosis)
    return _NORMAL.cdf((sharpe - benchmark) / error)


def expected_best_sharpe(n_trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of so many worthless trials is expected to show.

    Bailey and Lopez de Prado (2014), "The deflated Sharpe ratio". `variance` is that of the trials'
    Sharpe ratios.
    """
    if n_trials == 1:
        return 0.0
    # Of the lower tail: 1 - 1 / n is 1 for very many.
    best = -_NORMAL.inv_cdf(1 / n_trials)
    next_best = -_NORMAL.inv_cdf(1 / (n_trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER_GAMMA) * best + _EULER_GAMMA * next_best)


def _standard_error(sharpe: float, n: int, *, skew: float, kurtosis: float) -> float:
    return math.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (n - 1))


def _probability(returns: Returns, n_trials: int) -> Estimate:
    if returns.lack:
        return Estimate(None, why=returns.lack)
    sharpe, n = sharpe_ratio(returns.return_D), len(returns.return_D)
    skew, kurtosis = _moments(returns.return_D)
    # The other trials' ratios are not known here; by luck alone they spread like this one's error.
    variance = _standard_error(sharpe, n, skew=skew, kurtosis=kurtosis) ** 2
    benchmark = expected_best_sharpe(n_trials, variance)
    return Estimate(probabilistic_sharpe(sharpe, benchmark, n, skew=skew, kurtosis=kurtosis))


def _resampled(
    returns: Returns, *, n_resamples: int, confidence: float, seed: int
) -> tuple[Estimate, Estimate]:
    """Return the Sharpe ratio with its interval, and the drawdowns of resampled paths."""
    if returns.lack:
        return Estimate(None, why=returns.lack), Estimate(None, why=returns.lack)
    yearly = math.sqrt(returns.days_per_year)
    sharpe = sharpe_ratio(returns.return_D) * yearly
    n = len(returns.return_D)
    if n < FEWEST_DAYS_FOR_INTERVALS:
        why = f"too few days for an interval: {n}, needed {FEWEST_DAYS_FOR_INTERVALS}"
        return Estimate(sharpe, why=why), Estimate(None, why=why)
    paths = list(_paths(returns.return_D, n_resamples, np.random.default_rng(seed)))
    sharpe_B, drawdown_B = (np.concatenate(column) for column in zip(*paths, strict=True))
    tail = (1 - confidence) / 2
    low, high = np.quantile(sharpe_B, (tail, 1 - tail)) * yearly
    least, middle, most = np.quantile(drawdown_B, (tail, 0.5, 1 - tail))
    return (
        Estimate(sharpe, float(low), float(high)),
        Estimate(float(middle), float(least), float(most)),
    )


def _paths(
    return_D: FloatArray, n_resamples: int, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield Sharpe ratios (per day) and drawdowns of paths of blocks, some paths at a time."""
    log_D = np.log1p(return_D)
    for start in range(0, n_resamples, _ROWS_AT_ONCE):
        day_BD = stationary_blocks(
            len(return_D), min(_ROWS_AT_ONCE, n_resamples - start), MEAN_BLOCK_DAYS, rng
        )
        path_BD = return_D[day_BD]
        deviation_B = path_BD.std(axis=1, ddof=1)
        sharpe_B = np.divide(
            path_BD.mean(axis=1), deviation_B, out=np.zeros(len(path_BD)), where=deviation_B > 1e-12
        )
        level_BD = np.cumsum(log_D[day_BD], axis=1)
        high_BD = np.maximum(np.maximum.accumulate(level_BD, axis=1), 0.0)
        yield sharpe_B, np.abs(np.expm1((level_BD - high_BD).min(axis=1)))


def stationary_blocks(
    n: int, n_resamples: int, mean_length: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return positions drawn in blocks of random length: Politis and Romano (1994).

    At every place a new block starts with the probability 1 / `mean_length`; otherwise the next
    position follows, the first one after the last.
    """
    place_N = np.arange(n)
    starts_BN = rng.random((n_resamples, n)) < 1 / mean_length
    starts_BN[:, 0] = True
    from_BN = np.maximum.accumulate(np.where(starts_BN, place_N, 0), axis=1)
    first_BN = rng.integers(0, n, (n_resamples, n))
    return (np.take_along_axis(first_BN, from_BN, axis=1) + place_N - from_BN) % n


def _longest_drawdown_days(equity: pl.DataFrame) -> float:
    """Return the longest time from a step at a high to the next such step, or to the end."""
    time_T = equity["time"].to_physical().to_numpy()
    at_high = np.flatnonzero(equity["drawdown"].to_numpy() <= 0)
    # Between two highs in a row there may be a weekend, but no drawdown.
    left_H = np.diff(at_high, append=len(time_T)) > 1
    lasted_H = np.diff(time_T[at_high], append=time_T[-1])
    return float(lasted_H[left_H].max(initial=0) / 86_400e6)


def _mean(series: pl.Series) -> float | None:
    mean = series.mean()
    return None if mean is None else float(mean)  # type: ignore[arg-type]
