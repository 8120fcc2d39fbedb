"""Decisions of some trades as they were read, before those of all trades are put in order.

Axes: M trades, K their decisions, F the 208 features, P the 132 parameters.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exits.features import features
from exits.record_fields import CATEGORIES, N_CODES
from exits.recorded_trade import ITEM_COLUMNS, TRADE_COLUMNS, RecordedTrade
from exits.trade_batch import TradeBatch, trade_batch
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray

# Entry in microseconds since 1970, symbol, id: the order of trades.
Key = tuple[int, str, str]


@dataclass(slots=True)
class Part:
    """Some trades and their decisions, by the names of `DecisionRows`.

    Attributes
    ----------
    keys, exit_us_M, learnt_until_us_M, r_M, regime_M
        Of the trades.
    mean_atr_M : float64 array
        While the trade was open.
    trade_K : int64 array
        Place in this part's trades.
    missing : counter of str
        Fields that were not there, or not finite.
    """

    keys: list[Key]
    exit_us_M: IndexArray
    learnt_until_us_M: IndexArray
    r_M: FloatArray
    mean_atr_M: FloatArray
    regime_M: IndexArray
    x_KF: FloatArray
    previous_KP: FloatArray
    decided_KP: FloatArray
    trade_K: IndexArray
    number_K: IndexArray
    time_K: TimeArray
    atr_K: FloatArray
    r_K: FloatArray
    worth_K: FloatArray
    missing: Counter[str]


def part_of(named: Sequence[tuple[str, RecordedTrade]], *, hindsight: bool) -> Part:
    """Return some trades, by their ids, with the features of their decisions."""
    trades = [trade for _, trade in named]
    batch = trade_batch(trades)
    regime_M = batch.codes_MC[:, CATEGORIES.index("regime")]
    return Part(
        keys=[(one.entry_us, one.symbol, trade_id) for trade_id, one in named],
        exit_us_M=np.array([one.exit_us for one in trades], np.int64),
        learnt_until_us_M=np.array([one.learnt_until_us for one in trades], np.int64),
        r_M=batch.values_MR[:, TRADE_COLUMNS["r_multiple"]].copy(),
        mean_atr_M=batch.values_MR[:, TRADE_COLUMNS["outcome.avg_atr_during_trade"]].copy(),
        regime_M=np.where(regime_M == N_CODES["regime"] - 1, -1, regime_M),
        x_KF=features(batch, hindsight=hindsight),
        previous_KP=batch.previous_KP,
        decided_KP=batch.decided_KP,
        trade_K=batch.trade_K,
        number_K=batch.number_K,
        time_K=batch.time_K,
        atr_K=_positive(batch.items_KI[:, ITEM_COLUMNS["atr"]]),
        r_K=np.nan_to_num(batch.items_KI[:, ITEM_COLUMNS["r"]], nan=0.0),
        worth_K=_worth(batch),
        missing=_missing(batch),
    )


def _positive(atr_K: FloatArray) -> FloatArray:
    return np.where(atr_K > 0.0, atr_K, np.nan)


def _worth(batch: TradeBatch) -> FloatArray:
    """Return profit at each decision in R; r where the money of one R is unknown."""
    quantity_M, contracts_M, risk_M = (
        batch.values_MR[:, TRADE_COLUMNS[name]]
        for name in ("quantity", "outcome.contracts", "outcome.risk_price")
    )
    money_M = risk_M * np.where(np.isnan(quantity_M), contracts_M, quantity_M)
    pnl_K, r_K = (batch.items_KI[:, ITEM_COLUMNS[name]] for name in ("pnl", "r"))
    money_K = np.where(money_M > 0.0, money_M, np.nan)[batch.trade_K]
    worth_K = pnl_K / money_K
    return np.nan_to_num(np.where(np.isfinite(worth_K), worth_K, r_K), nan=0.0)


def _missing(batch: TradeBatch) -> Counter[str]:
    counts: Counter[str] = Counter()
    for x, columns in ((batch.values_MR, TRADE_COLUMNS), (batch.items_KI, ITEM_COLUMNS)):
        within = "decision_history." if columns is ITEM_COLUMNS else ""
        n_unknown = np.isnan(x).sum(axis=0).tolist()
        for name, count in zip(columns, n_unknown, strict=True):
            counts[f"{within}{name}" if "market_state" not in name else name] += count
    return +counts
