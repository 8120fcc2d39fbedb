"""Numbers with intervals that trades which overlap do not make too narrow.

Trades of one week share what the market did in it, over all symbols. So the unit that is drawn is
not the trade but a block of time, with all trades entered in it: blocks that do not overlap
(Carlstein 1986), drawn with replacement, each draw judged by its own standard error (the
bootstrap-t, which of the bootstraps does best with few clusters: Cameron, Gelbach and Miller 2008).

Axes: N trades, G blocks, B resamples, J groups of trades.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

FEWEST_TRADES: Final = 30
FEWEST_BLOCKS: Final = 10
# More draws than that without a standard error, and the quantiles would be of what is left.
_MOST_UNDEFINED = 0.01
_WEEK_DAYS = 7
# 5 January 1970 was a Monday.
_FIRST_MONDAY = 4

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its interval; None where there is not enough, and then `why` says what lacks."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of time by day of entry.

    Attributes
    ----------
    days
        Length of a block: 1, or weeks of 7 from Monday on. 0: there are too few for any interval.
    block_N
        The block of each trade, from 0.
    n_blocks
        All blocks from the first trade to the last, those without trades too.
    """

    days: int
    block_N: IntArray
    n_blocks: int

    @property
    def unit(self) -> str:
        """The block in words."""
        weeks = self.days // _WEEK_DAYS
        return "day" if not weeks else "week" if weeks == 1 else f"{weeks} weeks"


def blocks_of_entries(trades: pl.DataFrame) -> Blocks:
    """Return weeks of entry, longer where trades are, or days where that gives too few blocks.

    Trades that reach into the next block tie both together, so that a block is at least twice as
    long as nine in ten trades; days are used only for trades that are over within half of one.
    """
    day_N = trades["entry_time"].dt.epoch("d").to_numpy().astype(np.int64)
    held = (trades["exit_time"] - trades["entry_time"]).dt.total_seconds() / 86_400
    long_days = float(held.quantile(0.9) or 0.0)
    weeks = max(1, math.ceil(2 * long_days / _WEEK_DAYS))
    by_week = _blocks(day_N - _FIRST_MONDAY, weeks * _WEEK_DAYS)
    if _n_filled(by_week) >= FEWEST_BLOCKS or long_days > 0.5:
        return by_week
    by_day = _blocks(day_N, 1)
    return by_day if _n_filled(by_day) >= FEWEST_BLOCKS else by_week


def _blocks(day_N: IntArray, days: int) -> Blocks:
    block_N = day_N // days
    block_N = block_N - block_N.min(initial=block_N[0] if block_N.size else 0)
    return Blocks(days, block_N, int(block_N.max(initial=-1)) + 1)


def _n_filled(blocks: Blocks) -> int:
    return int(np.unique(blocks.block_N).size)


@dataclass(frozen=True, slots=True)
class Draws:
    """Resamples of blocks: how often each block is drawn, the same for all groups of trades."""

    blocks: Blocks
    count_BG: FloatArray
    confidence: float

    @classmethod
    def of(cls, blocks: Blocks, *, n_resamples: int, confidence: float, seed: int) -> "Draws":
        """Draw as many blocks as there are, `n_resamples` times."""
        n = blocks.n_blocks
        shares = np.full(n, 1 / n) if n else np.ones(1)
        drawn = np.random.default_rng(seed).multinomial(n, shares, size=n_resamples)
        return cls(blocks, drawn.astype(np.float64)[:, :n], confidence)

    def ratios(
        self,
        over_N: FloatArray,
        under_N: FloatArray,
        group_N: IntArray,
        n_groups: int,
        *,
        logarithm: bool = False,
    ) -> list[Estimate]:
        """Return sum of `over_N` / sum of `under_N` of each group, with its interval.

        Parameters
        ----------
        group_N
            Group of each trade, from 0 to `n_groups` - 1.
        logarithm
            For ratios of two positive sums: the interval is that of the logarithm, so that it is
            never below 0 and does not depend on which of them is above.
        """
        over_GJ, under_GJ = (
            self._sums(over_N, group_N, n_groups),
            self._sums(under_N, group_N, n_groups),
        )
        n_J = np.bincount(group_N, minlength=n_groups)
        filled_GJ = self._sums(np.ones(len(group_N)), group_N, n_groups) > 0
        low_J, high_J = np.full(n_groups, np.nan), np.full(n_groups, np.nan)
        lacks = [
            _lacking(int(n), int(g), self.blocks)
            for n, g in zip(n_J, filled_GJ.sum(0), strict=True)
        ]
        enough = np.array([not lack for lack in lacks], dtype=bool)
        if enough.any():
            low_J[enough], high_J[enough] = self._bounds(
                over_GJ[:, enough], under_GJ[:, enough], logarithm=logarithm
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio_J = over_GJ.sum(0) / under_GJ.sum(0)
        return [
            _estimate(*found)
            for found in zip(
                *(one.tolist() for one in (ratio_J, low_J, high_J, n_J)), lacks, strict=True
            )
        ]

    def _sums(self, value_N: FloatArray, group_N: IntArray, n_groups: int) -> FloatArray:
        place_N = self.blocks.block_N * n_groups + group_N
        n = self.blocks.n_blocks
        return weighted_counts(place_N, value_N, n * n_groups).reshape(n, n_groups)

    def _bounds(
        self, over_GJ: FloatArray, under_GJ: FloatArray, *, logarithm: bool
    ) -> tuple[FloatArray, FloatArray]:
        moments = (over_GJ, under_GJ, over_GJ**2, over_GJ * under_GJ, under_GJ**2)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value_J, error_J = _ratio(*(one.sum(0) for one in moments), logarithm=logarithm)
            value_BJ, error_BJ = _ratio(
                *(self.count_BG @ one for one in moments), logarithm=logarithm
            )
            t_BJ = (value_BJ - value_J) / error_BJ
        undefined_BJ = ~np.isfinite(t_BJ)
        t_BJ[undefined_BJ] = 0.0
        tail = (1 - self.confidence) / 2
        lowest_J, highest_J = np.quantile(t_BJ, (tail, 1 - tail), axis=0)
        low_J, high_J = value_J - highest_J * error_J, value_J - lowest_J * error_J
        unknown_J = (undefined_BJ.mean(0) > _MOST_UNDEFINED) | ~(error_J > 0)
        low_J[unknown_J] = high_J[unknown_J] = np.nan
        return (np.exp(low_J), np.exp(high_J)) if logarithm else (low_J, high_J)


def weighted_counts(place_N: IntArray, weight_N: FloatArray, n: int) -> FloatArray:
    """Return the sum of the weights at each of `n` places."""
    return np.bincount(place_N, weight_N.astype(np.float64), n).astype(np.float64, copy=False)


def _ratio(
    over: FloatArray,
    under: FloatArray,
    over_2: FloatArray,
    both: FloatArray,
    under_2: FloatArray,
    *,
    logarithm: bool,
) -> tuple[FloatArray, FloatArray]:
    """Return a ratio of sums over blocks, or its logarithm, and its error (delta method)."""
    ratio = over / under
    if logarithm:
        square = over_2 / over**2 - 2 * both / (over * under) + under_2 / under**2
        value = np.log(ratio)
    else:
        square = (over_2 - 2 * ratio * both + ratio**2 * under_2) / under**2
        value = ratio
    # What is left of sums that cancel is rounding, no spread.
    scale = np.maximum(1.0, value**2) * 1e-14
    return value, np.where(square > scale, np.sqrt(np.abs(square)), 0.0)


def _lacking(n_trades: int, n_blocks: int, blocks: Blocks) -> str:
    if n_trades < FEWEST_TRADES:
        return f"too few trades for an interval: {n_trades}, needed {FEWEST_TRADES}"
    if n_blocks < FEWEST_BLOCKS:
        found = f"{n_blocks} with trades, needed {FEWEST_BLOCKS}"
        return f"too few blocks of a {blocks.unit} for an interval: {found}"
    return ""


def _estimate(value: float, low: float, high: float, n_trades: int, lack: str) -> Estimate:
    if not math.isfinite(value):
        return Estimate(None, why="no losing trade" if n_trades else "no trade")
    if lack:
        return Estimate(value, why=lack)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(value, why="nearly all trades won, lost or are alike: no interval")
    return Estimate(value, low, high)


def in_bounds(estimates: Sequence[Estimate], least: float, most: float) -> list[Estimate]:
    """Cut intervals to what a number can be."""
    return [
        one
        if one.low is None or one.high is None
        else Estimate(one.value, max(one.low, least), min(one.high, most))
        for one in estimates
    ]
