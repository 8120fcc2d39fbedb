"""Policies side by side on the same entries, and trade by trade against each other.

Two units: R, each trade by its own risk (money, where every trade risks the same budget), and ATR
of the signal bar, the same distance for all policies. Axes: N trades of all policies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from backtest.estimates import Draws, Estimate, blocks_of_entries

N_RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
# Which trades are the same of two policies.
_SAME: Final = ["symbol", "signal_time"]
_TAIL: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """What one policy made of its trades; None where it made none.

    Attributes
    ----------
    name : str
    n_trades : int
    r, atr : Estimate
        Mean result of a trade, net, in R and in ATR of the signal bar.
    win_share : float or None
    mean_bars : float or None
        Bars held.
    r_tail : float or None
        Five in a hundred trades end lower than this, in R.
    """

    name: str
    n_trades: int
    r: Estimate
    atr: Estimate
    win_share: float | None
    mean_bars: float | None
    r_tail: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What one policy made more than a baseline, of the signals that both have traded.

    Attributes
    ----------
    name, baseline : str
    n_pairs : int
    n_only, n_only_baseline : int
        Signals that just the one or the other has a trade of.
    r, atr : Estimate
        Mean difference of a pair, in R and in ATR of the signal bar.
    """

    name: str
    baseline: str
    n_pairs: int
    n_only: int
    n_only_baseline: int
    r: Estimate
    atr: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Policies, their differences, and how the intervals were made.

    Attributes
    ----------
    policies : tuple of PolicyResult
        In the order given.
    differences : tuple of Difference
        Of each policy that is no baseline to each that is.
    confidence : float
    block : str
        What was drawn with all its trades: a day, a week, so many weeks.
    n_blocks, n_resamples : int
    """

    policies: tuple[PolicyResult, ...]
    differences: tuple[Difference, ...]
    confidence: float
    block: str
    n_blocks: int
    n_resamples: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain numbers, texts, lists and dicts."""
        return asdict(self) | {
            "policies": [asdict(one) for one in self.policies],
            "differences": [asdict(one) for one in self.differences],
        }


def compare(
    trades: Mapping[str, pl.DataFrame],
    baselines: Sequence[str],
    *,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compare policies by the trades that they made of the same signals.

    Trades are paired by symbol and time of the signal. The intervals are those of
    `backtest.estimates`: blocks of time are drawn, the same ones for all policies and differences.

    Parameters
    ----------
    trades : mapping
        Name of a policy to its trades (`backtest.replayed.TRADES`).
    baselines : sequence of str
        Which of them the others are held against.
    seed : int
    n_resamples, confidence
        Of the intervals.

    Raises
    ------
    ValueError
        If no policy is given, a baseline is none of them, or a policy has two trades of one signal.
    """
    if not trades:
        raise ValueError("there is no policy to compare")
    if lacking := [name for name in baselines if name not in trades]:
        raise ValueError(f"{lacking[0]}: is a baseline, its trades are not given")
    own = {name: _own(name, frame) for name, frame in trades.items()}
    pairs = {
        (name, baseline): _paired(own[name], own[baseline])
        for name in trades
        if name not in baselines
        for baseline in baselines
    }
    groups = [*own.values(), *pairs.values()]
    rows = pl.concat([one.select(_COLUMNS) for one in groups])
    draws = Draws.of(
        blocks_of_entries(rows), n_resamples=n_resamples, confidence=confidence, seed=seed
    )
    group_N = np.repeat(np.arange(len(groups)), [len(one) for one in groups])
    ones_N = np.ones(len(rows))
    r, atr = (
        draws.ratios(rows[unit].to_numpy(), ones_N, group_N, len(groups)) for unit in ("r", "atr")
    )
    n_policies = len(own)
    return Comparison(
        policies=tuple(
            _result(name, frame, *units)
            for (name, frame), *units in zip(own.items(), r, atr, strict=False)
        ),
        differences=tuple(
            _difference(names, own, len(frame), *units)
            for (names, frame), *units in zip(
                pairs.items(), r[n_policies:], atr[n_policies:], strict=True
            )
        ),
        confidence=confidence,
        block=draws.blocks.unit,
        n_blocks=draws.blocks.n_blocks,
        n_resamples=n_resamples,
    )


_COLUMNS: Final = [*_SAME, "entry_time", "exit_time", "r", "atr"]


def _own(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a policy's trades in an order that does not hang on the one they came in."""
    if frame.select(_SAME).is_duplicated().any():
        twice = frame.filter(frame.select(_SAME).is_duplicated()).row(0, named=True)
        raise ValueError(
            f"{name}: {twice['symbol']} has two trades of the signal at {twice['signal_time']}"
        )
    r = pl.col("r_multiple")
    return frame.sort(_SAME).with_columns(
        r.alias("r"), (r * pl.col("risk_price") / pl.col("entry_atr")).alias("atr")
    )


def _paired(one: pl.DataFrame, baseline: pl.DataFrame) -> pl.DataFrame:
    """Return the differences of the trades that both have; a pair lasts as long as the longer."""
    kept = baseline.select(*_SAME, "exit_time", "r", "atr")
    both = one.select(_COLUMNS).join(kept, on=_SAME, how="inner", suffix="_b").sort(_SAME)
    return both.with_columns(
        pl.max_horizontal("exit_time", "exit_time_b").alias("exit_time"),
        pl.col("r") - pl.col("r_b"),
        pl.col("atr") - pl.col("atr_b"),
    )


def _result(name: str, frame: pl.DataFrame, r: Estimate, atr: Estimate) -> PolicyResult:
    tail, won = frame["r"].quantile(_TAIL, "linear"), (frame["r"] > 0).mean()
    return PolicyResult(
        name=name,
        n_trades=len(frame),
        r=r,
        atr=atr,
        win_share=_number(won),
        mean_bars=_number(frame["bars_held"].mean()),
        r_tail=_number(tail),
    )


def _number(found: Any) -> float | None:
    return None if found is None else float(found)


def _difference(
    names: tuple[str, str],
    own: Mapping[str, pl.DataFrame],
    n_pairs: int,
    r: Estimate,
    atr: Estimate,
) -> Difference:
    name, baseline = names
    return Difference(
        name=name,
        baseline=baseline,
        n_pairs=n_pairs,
        n_only=len(own[name]) - n_pairs,
        n_only_baseline=len(own[baseline]) - n_pairs,
        r=r,
        atr=atr,
    )
